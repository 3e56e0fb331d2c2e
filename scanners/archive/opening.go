package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/quellhq/quell/scanners"
)

// opening is the state of one file that is being opened.
type opening struct {
	ctx    context.Context
	opener *Opener
	form   *form
	budget *scanners.Budget

	in   io.Reader
	buf  *bufio.Reader // wraps in, for sequential formats with several members
	at   io.ReaderAt   // for formats that seek
	size int64
	from int64  // offset of the format's first byte, after a script
	name string // the file's name, for content without its own
	// openCompanion opens a companion file, such as a database's -wal. It is nil if the source has no
	// companion files.
	openCompanion func(from, to string) (io.ReadCloser, error)

	deliver func(name string, r io.Reader) error
	gap     func(name string, err error)
	names   scanners.Names
	over    error // ends the reading of the file
}

const (
	// NamesMember is the member that contains all names, comments and similar metadata.
	NamesMember = "(names)"
	// wholeMember is the file's own bytes, for formats that are readable as text.
	wholeMember = "(document)"
	// restMember is the unread part of a damaged file.
	restMember = "(rest)"
	// TrailingMember is the data after an archive's end, which can be another archive.
	TrailingMember = "(behind)"
)

// run opens the file.
func (x *opening) run() error {
	before := x.budget.Out
	if !x.form.seeks && !x.form.single {
		x.buf = bufio.NewReader(x.in)
		x.in = x.buf
	}
	err := x.form.open(x)
	// If the format yielded nothing, the caller scans the file's bytes, which contain the
	// names.
	if x.over == nil && (err == nil || x.budget.Out > before) {
		x.emitNotes()
		err = errors.Join(err, x.trailing(err))
		if x.form.name == "pdf" && x.over == nil {
			err = errors.Join(err, x.appended())
		}
	}
	if x.over != nil {
		return x.over
	}
	return err
}

// member passes nested content to the scan, which opens it if it has a known format.
func (x *opening) member(name string, r io.Reader) error { return x.give(name, r, false, nil) }

// plain passes bytes to the scan, which does not open them.
func (x *opening) plain(name string, r io.Reader) error { return x.give(name, r, true, nil) }

// give passes content to the scan. where describes its lines, for plain bytes only.
func (x *opening) give(name string, r io.Reader, plain bool, where func(line int) string) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	if x.over != nil {
		return x.over
	}
	if err := x.counts(); err != nil {
		return err
	}
	b, limits := x.budget, x.opener.limits
	m := &metered{r: r, b: b, l: limits}
	var in io.Reader = m
	if plain {
		in = scanners.AsIs{Reader: m, Where: where}
	}
	b.Depth++
	err := x.deliver(name, in)
	b.Depth--
	if err == nil && x.form.single && !plain && m.over == nil {
		// Read what the nested format left: the checksum comes last.
		_, err = io.Copy(io.Discard, m)
	}
	switch {
	case m.over != nil:
		x.over = m.over
		return x.over
	case errors.Is(err, scanners.ErrTime), errors.Is(err, ErrLimit), errors.Is(err, scanners.ErrExpansion):
		x.over = err
		return err
	case err != nil && m.n == 0 && x.form.single && !plain:
		return err
	case err != nil && x.ctx.Err() == nil:
		x.gap(name, err)
		err = nil
	}
	return err
}

// counts adds one entry to the budget, and returns an error above the limit.
func (x *opening) counts() error {
	if x.budget.Entries++; x.budget.Entries > x.opener.limits.Entries {
		x.over = limitOf(scanners.GapLimitEntries, "over %d entries", x.opener.limits.Entries)
	}
	return x.over
}

// note collects a name, or words that belong to one, to be scanned as text.
func (x *opening) note(words ...string) {
	x.names.Add(words...)
	if x.names.Full() {
		x.emitNotes()
	}
}

func (x *opening) emitNotes() {
	text := x.names.Take()
	if text == nil || x.over != nil {
		return
	}
	x.budget.Depth++
	err := x.deliver(NamesMember, scanners.AsIs{Reader: bytes.NewReader(text)})
	x.budget.Depth--
	switch {
	case errors.Is(err, scanners.ErrTime):
		x.over = err
	case err != nil && x.ctx.Err() == nil:
		x.gap(NamesMember, err)
	}
}

// window reserves n bytes of the decoders' memory until the caller calls done.
func (x *opening) window(n int64) (done func(), err error) {
	b, most := x.budget, x.opener.limits.Window
	if most > 0 && b.Window+n > most {
		return nil, limitOf(scanners.GapLimitMemory, "decoders within each other want %d MiB", (b.Window+n)>>20)
	}
	b.Window += n
	return func() { b.Window -= n }, nil
}

// Padding skips NULs, and reports whether other bytes follow. The error is r's.
func Padding(r *bufio.Reader) (more bool, err error) {
	for {
		if _, err := r.Peek(1); err != nil {
			if err == io.EOF {
				err = nil
			}
			return false, err
		}
		b, _ := r.Peek(r.Buffered())
		rest := bytes.TrimLeft(b, "\x00")
		_, _ = r.Discard(len(b) - len(rest))
		if len(rest) > 0 {
			return true, nil
		}
	}
}

// trailing passes on the data that a sequential format left unread: after its end, or after the
// damage.
func (x *opening) trailing(damaged error) error {
	if x.buf == nil {
		return nil
	}
	if more, err := Padding(x.buf); !more {
		if damaged != nil {
			return nil // most likely the same error
		}
		return err
	}
	if damaged != nil {
		return x.plain(restMember, x.buf)
	}
	return x.member(TrailingMember, x.buf)
}

// after passes on the data after the end that an archive states in its header.
func (x *opening) after(end int64) error {
	if end <= 0 || end >= x.size {
		return nil
	}
	in := bufio.NewReader(io.NewSectionReader(x.at, end, x.size-end))
	if more, err := Padding(in); !more {
		return err
	}
	return x.member(TrailingMember, in)
}

// metered counts the bytes that a file yields, and stops at the limit.
type metered struct {
	r    io.Reader
	b    *scanners.Budget
	l    Limits
	n    int64
	over error // ends the reading of the file
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	// Bytes of a nested format count once, where that format yields them.
	m.b.Out += int64(n)
	m.n += int64(n)
	in := m.b.In()
	if m.b.Out > m.l.Free+m.l.Ratio*in {
		m.over = limitOf(scanners.GapLimitBytes, "%d bytes of %d", m.b.Out, in)
	} else {
		m.over = m.b.Target.Expand(m.b.Out, in)
	}
	if m.over != nil {
		return n, m.over
	}
	return n, err
}

// Hole reports the next hole of a sparse member, which the pool skips.
func (m *metered) Hole() (int64, bool) {
	if h, ok := m.r.(scanners.Holed); ok {
		return h.Hole()
	}
	return 0, false
}

// guarded stops reading when the file's time is over.
type guarded struct {
	io.Reader
	b *scanners.Budget
}

func (g guarded) Read(p []byte) (int, error) {
	if g.b.Meter.Over(g.b.Began) {
		return 0, scanners.ErrTime
	}
	return g.Reader.Read(p)
}

type guardedAt struct {
	io.ReaderAt
	b *scanners.Budget
}

func (g guardedAt) ReadAt(p []byte, off int64) (int, error) {
	if g.b.Meter.Over(g.b.Began) {
		return 0, scanners.ErrTime
	}
	return g.ReaderAt.ReadAt(p, off)
}

func readerAt(b []byte) io.ReaderAt { return bytes.NewReader(b) }
