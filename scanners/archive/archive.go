// Package archive opens files that hold others: archives, packages, compressed
// files, disk images and documents. A form is recognised by how the bytes begin,
// not by the name.
package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/quellhq/quell/scanners"
)

// form is one kind of file that holds others.
type form struct {
	name string
	// at is where magic stands.
	at    int
	magic string
	// known looks closer where the magic is not enough; nil: it is.
	known func(head []byte) bool
	// single is set where there is one thing inside: what it gives of an error
	// before any byte says that the file is none of this form.
	single bool
	// seeks is set where the form is read from its end or in no order.
	seeks bool
	open  func(o *opening) error
}

// forms is the table of what can be opened. The first that fits counts.
func forms() []form {
	return []form{
		{name: "gzip", magic: "\x1f\x8b\x08", single: true, open: gunzip},
		{name: "zip", magic: "PK\x03\x04", seeks: true, open: unzip},
		{name: "zip", magic: "PK\x05\x06", seeks: true, open: unzip},
		{name: "zip", magic: "PK\x07\x08PK\x03\x04", seeks: true, open: unzip},
		{name: "zip behind a script", magic: "#!", known: zipApp, seeks: true, open: unzipApp},
		{name: "tar", at: 257, magic: "ustar", open: untar},
		{name: "zstd", magic: "\x28\xb5\x2f\xfd", single: true, open: unzstd},
		{name: "xz", magic: "\xfd7zXZ\x00", single: true, open: unxz},
		{name: "bzip2", magic: "BZh", known: bzip2Head, single: true, open: bunzip},
		{name: "lz4", magic: "\x04\x22\x4d\x18", single: true, open: unlz4},
		{name: "lz4", magic: "\x02\x21\x4c\x18", single: true, open: unlz4},
		{name: "lzip", magic: "LZIP\x01", single: true, open: unlzip},
		{name: "lzma", magic: "\x5d\x00\x00", known: lzmaHead, single: true, open: unlzma},
		{name: "zlib", magic: "\x78", known: zlibHead, single: true, open: unzlib},
		{name: "snappy", magic: "\xff\x06\x00\x00sNaPpY", single: true, open: unsnappy},
		{name: "snappy", magic: "\xff\x06\x00\x00S2sTwO", single: true, open: unsnappy},
		{name: "7z", magic: "7z\xbc\xaf\x27\x1c", seeks: true, open: un7z},
		{name: "rar", magic: "Rar!\x1a\x07", open: unrar},
		{name: "ar", magic: "!<arch>\n", open: unar},
		{name: "rpm", magic: "\xed\xab\xee\xdb", open: unrpm},
		{name: "cpio", magic: "070701", open: uncpio},
		{name: "cpio", magic: "070702", open: uncpio},
		{name: "crx", magic: "Cr24", seeks: true, open: uncrx},
		{name: "iso", at: 0x8001, magic: "CD001", seeks: true, open: uniso},
		{name: "mozlz4", magic: "mozLz40\x00", open: unmozlz4},
		{name: "pdf", magic: "%PDF-", seeks: true, open: pdfText},
		{name: "git pack", magic: "PACK\x00\x00\x00\x02", seeks: true, open: unpack},
		{name: "git pack", magic: "PACK\x00\x00\x00\x03", seeks: true, open: unpack},
		{name: "git bundle", magic: "# v2 git bundle\n", seeks: true, open: unbundle},
		{name: "git bundle", magic: "# v3 git bundle\n", seeks: true, open: unbundle},
		{name: "tar", known: oldTar, open: untar},
		{name: "mail", known: mailHead, seeks: true, open: unmail},
	}
}

// headLen is how much of a file is looked at: an ISO image says what it is at byte
// 32,769.
const headLen = 0x8001 + 5

// Limits bound what is opened.
type Limits struct {
	// Depth is how many forms within forms are opened.
	Depth int
	// Ratio is how often its own size all that is inside of a file may have
	// together, beyond Free bytes. Deflate alone makes 1,032 of one.
	Ratio, Free int64
	// Entries is how many things one file may hold, with all that is inside.
	Entries int
	// Kept is the largest file within another that is kept in memory, where its
	// form is read from the end: zip, 7z, ISO, PDF. It is not written to a disk.
	Kept int64
}

// DefaultLimits are those of a scan.
var DefaultLimits = Limits{Depth: 8, Ratio: 300, Free: 2 << 30, Entries: 5_000_000, Kept: 256 << 20}

// Opener implements scanners.Unpacker.
type Opener struct {
	limits Limits
	forms  []form
	// kept bounds what is kept by all goroutines together: each waits its turn.
	kept chan struct{}
}

// New makes an opener.
func New(l Limits) *Opener {
	return &Opener{limits: l, forms: forms(), kept: make(chan struct{}, 2)}
}

// Head implements scanners.Unpacker.
func (o *Opener) Head() int { return headLen }

// Recognise implements scanners.Unpacker.
func (o *Opener) Recognise(head []byte, name string) string {
	if strings.HasSuffix(name, "!"+wholeMember) || strings.HasSuffix(name, "!"+restMember) {
		return "" // bytes as they are, of a form that was opened
	}
	if f := o.find(head); f != nil {
		return f.name
	}
	// Brotli has no beginning of its own.
	if strings.HasSuffix(name, ".br") {
		return "brotli"
	}
	return ""
}

func (o *Opener) find(head []byte) *form {
	for i := range o.forms {
		f := &o.forms[i]
		if len(head) >= f.at+len(f.magic) && string(head[f.at:f.at+len(f.magic)]) == f.magic && (f.known == nil || f.known(head)) {
			return f
		}
	}
	return nil
}

// ErrLimit says that a file holds more than is read of one.
var ErrLimit = errors.New("holds more than is read of one file")

// opening is one file that is being opened.
type opening struct {
	ctx    context.Context
	in     io.Reader
	buf    *bufio.Reader // in, of forms that are read in order and have several members
	at     io.ReaderAt   // where the form seeks
	size   int64
	from   int64  // where the form begins, behind a script
	name   string // the file's own, for what has no name inside
	member func(name string, r io.Reader) error
	gap    func(name string, err error)
	names  *bytes.Buffer // names and the like, as text
}

// note keeps a name, or what stands beside one, to be looked at as text.
func (o *opening) note(words ...string) {
	for i, w := range words {
		if i > 0 {
			o.names.WriteByte('\t')
		}
		o.names.WriteString(w)
	}
	o.names.WriteByte('\n')
	if o.names.Len() > 256<<10 {
		o.tell()
	}
}

const (
	// NamesMember is what names and the like are called.
	NamesMember = "(names)"
	// wholeMember is a file as it is, where its own bytes are text as well.
	wholeMember = "(document)"
	// restMember is what is left of a damaged file behind what could be told apart.
	restMember = "(rest)"
	// BehindMember is what stands behind an archive's end, which may be another one.
	BehindMember = "(behind)"
)

// Padding leaves out NULs, and reports whether anything stands behind them.
func Padding(r *bufio.Reader) bool {
	for {
		b, err := r.Peek(1)
		if err != nil {
			return false
		}
		b, _ = r.Peek(r.Buffered())
		rest := bytes.TrimLeft(b, "\x00")
		_, _ = r.Discard(len(b) - len(rest))
		if len(rest) > 0 {
			return true
		}
	}
}

// behind looks at what a form that is read in order left: behind its end, or behind the place
// at which it is damaged.
func (o *opening) behind(damaged error) {
	if o.buf == nil || !Padding(o.buf) {
		return
	}
	name := BehindMember
	if damaged != nil {
		name = restMember
	}
	_ = o.member(name, o.buf) // which says what it can't read
}

func (o *opening) tell() {
	if o.names.Len() == 0 {
		return
	}
	text := bytes.Clone(o.names.Bytes())
	o.names.Reset()
	if err := o.member(NamesMember, bytes.NewReader(text)); err != nil {
		o.gap(NamesMember, err)
	}
}

// Open implements scanners.Unpacker.
func (o *Opener) Open(ctx context.Context, what string, in scanners.Packed, b *scanners.Budget, member func(name string, r io.Reader) error, gap func(name string, err error)) (err error) {
	var f *form
	for i := range o.forms {
		if o.forms[i].name == what {
			f = &o.forms[i]
			break
		}
	}
	if what == "brotli" {
		f = &form{name: what, open: unbrotli}
	}
	if f == nil {
		return fmt.Errorf("%s is not opened", what)
	}
	if b.Depth >= o.limits.Depth {
		return fmt.Errorf("%w: %d forms within each other", ErrLimit, b.Depth)
	}
	// A library's panic on hostile bytes concerns this file.
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("damaged %s (%T)", what, x)
		}
	}()
	x := &opening{ctx: ctx, in: in.Reader, at: in.At, size: in.Size, name: in.Name, names: &bytes.Buffer{}}
	if f.seeks && x.at == nil {
		if b.Kept == 0 { // one turn for a file with all that is inside
			select {
			case o.kept <- struct{}{}:
				defer func() { <-o.kept }()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		left := o.limits.Kept - b.Kept
		kept, err := io.ReadAll(io.LimitReader(in.Reader, left+1))
		if err != nil {
			return err
		}
		if int64(len(kept)) > left {
			return fmt.Errorf("a %s of over %d MiB within another file is not opened", what, left>>20)
		}
		b.Kept += int64(len(kept)) + 1
		defer func() { b.Kept -= int64(len(kept)) + 1 }()
		x.at, x.size = bytes.NewReader(kept), int64(len(kept))
	}
	var over error
	x.gap = gap
	x.member = func(name string, r io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if over != nil {
			return over
		}
		if name != NamesMember {
			if b.Entries++; b.Entries > o.limits.Entries {
				over = fmt.Errorf("%w: over %d entries", ErrLimit, o.limits.Entries)
				return over
			}
		}
		m := &metered{r: r, b: b, l: o.limits}
		b.Depth++
		err := member(name, m)
		b.Depth--
		if m.over {
			over = fmt.Errorf("%w: %d bytes of %d", ErrLimit, b.Out, b.In())
			return over
		}
		if err != nil && m.n == 0 && f.single && name != NamesMember {
			return err
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrLimit) {
			gap(name, err)
			err = nil
		}
		if errors.Is(err, ErrLimit) {
			over = err
		}
		return err
	}
	before := b.Out
	if !f.seeks && !f.single {
		x.buf = bufio.NewReader(x.in)
		x.in = x.buf
	}
	err = f.open(x)
	// What nothing came out of is looked at as it is, with the names in it.
	if over == nil && (err == nil || b.Out > before) {
		x.tell()
		x.behind(err)
	}
	if over != nil {
		return over
	}
	return err
}

// metered counts what comes out of a file.
type metered struct {
	r    io.Reader
	b    *scanners.Budget
	l    Limits
	n    int64
	over bool
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	// What comes out of a form within a form is counted where it comes out.
	m.b.Out += int64(n)
	m.n += int64(n)
	if m.b.Out > m.l.Free+m.l.Ratio*m.b.In() {
		m.over = true
		return n, ErrLimit
	}
	return n, err
}

// clean makes a member's name one that stays inside: no root, no "..", one line.
func clean(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if name == "" {
		return "(no name)"
	}
	return name
}

// stem is what a compressed file's content is called.
func stem(name string) string {
	base := path.Base(name)
	if i := strings.LastIndexByte(base, '!'); i >= 0 {
		base = base[i+1:]
	}
	for _, ext := range []string{".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".lz4", ".lz", ".lzma", ".br", ".sz", ".s2", ".jsonlz4", ".mozlz4"} {
		if s, ok := strings.CutSuffix(base, ext); ok && s != "" {
			switch ext {
			case ".tgz", ".tbz2", ".txz", ".tzst":
				return s + ".tar"
			case ".jsonlz4":
				return s + ".json"
			}
			return s
		}
	}
	return "(content)"
}
