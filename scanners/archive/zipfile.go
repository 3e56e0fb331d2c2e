package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/zip"

	"github.com/quellhq/quell/scanners"
)

// Zip is a zip whose members the caller scans itself, because it knows more about them than
// their names.
type Zip struct {
	o *opening
	z *zip.Reader
}

// OpenZip opens a zip. It calls part with everything that is not a member (names, comments, and
// the bytes before, between and after the members), and gap with what it can't read.
func OpenZip(ctx context.Context, at io.ReaderAt, size int64, part func(name string, r io.Reader) error, gap func(name string, err error)) (*Zip, error) {
	opener := New(DefaultLimits)
	bounds := scanners.BoundsOf(ctx)
	bounds.Read(size)
	budget := &scanners.Budget{In: func() int64 { return size }, Target: scanners.Surplus{Bounds: bounds}}
	o := &opening{ctx: ctx, opener: opener, form: opener.named("zip"), budget: budget, at: at, size: size, deliver: part, gap: gap}
	z, err := zip.NewReader(at, size)
	if err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	return &Zip{o, z}, nil
}

// Members lists the members in the order of the directory.
func (z *Zip) Members() (out []*ZipMember) {
	for _, f := range z.z.File {
		out = append(out, &ZipMember{Name: clean(f.Name), zip: z, f: f})
	}
	return out
}

// Around scans the names and the bytes outside of members. Call it after reading the members.
func (z *Zip) Around() error {
	for _, f := range z.z.File {
		z.o.noteFile(f)
	}
	err := z.o.around(z.z)
	if err == nil {
		z.o.emitNotes()
		err = z.o.over
	}
	return err
}

// ZipMember is a member of a zip.
type ZipMember struct {
	Name string
	zip  *Zip
	f    *zip.File
	open *zippedMember
}

// Empty reports whether the member has no content.
func (m *ZipMember) Empty() bool {
	return m.f.FileInfo().IsDir() && m.f.CompressedSize64 == 0
}

// Open returns the content, whose bytes BoundsOf counts. The reader's last error reports a wrong
// size or checksum.
func (m *ZipMember) Open() (io.ReadCloser, error) {
	var err error
	if m.open, err = m.zip.o.zipped(m.f); err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&metered{r: m.open, b: m.zip.o.budget, l: m.zip.o.opener.limits}, closer(m.open.close)}, nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

// Rest scans the data after the compressed stream within the member. Call it after reading the
// content to its end and before Close.
func (m *ZipMember) Rest() error {
	if rest := m.open.trailing(); rest != nil {
		return m.zip.o.member(join(m.Name, TrailingMember), rest)
	}
	return nil
}
