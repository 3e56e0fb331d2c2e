package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/quellhq/quell/scanners"
)

// opening is one file that is being opened.
type opening struct {
	ctx    context.Context
	opener *Opener
	form   *form
	budget *scanners.Budget

	in   io.Reader
	buf  *bufio.Reader // in, of forms that are read in order and have several members
	at   io.ReaderAt   // where the form seeks
	size int64
	from int64  // where the form begins, after a script
	name string // the file's own, for content without a name

	deliver func(name string, r io.Reader) error
	gap     func(name string, err error)
	names   scanners.Names
	over    error // ends the file
}

const (
	// NamesMember is the name of the text of all names and the like.
	NamesMember = "(names)"
	// wholeMember is a file as it is, where its own bytes are text as well.
	wholeMember = "(document)"
	// restMember is what is left of a damaged file after the last part that could be read.
	restMember = "(rest)"
	// BehindMember is what follows an archive's end, which may be another one.
	BehindMember = "(behind)"
)

// run opens the file.
func (x *opening) run() error {
	before := x.budget.Out
	if !x.form.seeks && !x.form.single {
		x.buf = bufio.NewReader(x.in)
		x.in = x.buf
	}
	err := x.form.open(x)
	// A file that nothing came out of is scanned as it is, with the names in it.
	if x.over == nil && (err == nil || x.budget.Out > before) {
		x.tell()
		err = errors.Join(err, x.behind(err))
	}
	if x.over != nil {
		return x.over
	}
	return err
}

// member gives the content of something inside to be scanned, and opened where it has a form.
func (x *opening) member(name string, r io.Reader) error { return x.give(name, r, false) }

// plain gives bytes to be scanned as they are.
func (x *opening) plain(name string, r io.Reader) error { return x.give(name, r, true) }

func (x *opening) give(name string, r io.Reader, plain bool) error {
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
		in = scanners.AsIs{Reader: m}
	}
	b.Depth++
	err := x.deliver(name, in)
	b.Depth--
	if err == nil && x.form.single && !plain && !m.over {
		// What a form inside left is read too: a checksum comes last.
		_, err = io.Copy(io.Discard, m)
	}
	switch {
	case m.over:
		x.over = limitOf(scanners.GapLimitBytes, "%d bytes of %d", b.Out, b.In())
		return x.over
	case errors.Is(err, scanners.ErrTime), errors.Is(err, ErrLimit):
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

// counts counts a thing inside of the file.
func (x *opening) counts() error {
	if x.budget.Entries++; x.budget.Entries > x.opener.limits.Entries {
		x.over = limitOf(scanners.GapLimitEntries, "over %d entries", x.opener.limits.Entries)
	}
	return x.over
}

// note keeps a name, or words that belong to one, to be scanned as text.
func (x *opening) note(words ...string) {
	x.names.Add(words...)
	if x.names.Full() {
		x.tell()
	}
}

func (x *opening) tell() {
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

// window takes n bytes of what decoders may keep, until done is called.
func (x *opening) window(n int64) (done func(), err error) {
	b, most := x.budget, x.opener.limits.Window
	if most > 0 && b.Window+n > most {
		return nil, limitOf(scanners.GapLimitMemory, "decoders within each other want %d MiB", (b.Window+n)>>20)
	}
	b.Window += n
	return func() { b.Window -= n }, nil
}

// Padding leaves out NULs, and reports whether anything follows them. The error is r's.
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

// behind gives what a form that is read in order left: after its end, or after the place at
// which it is damaged.
func (x *opening) behind(damaged error) error {
	if x.buf == nil {
		return nil
	}
	if more, err := Padding(x.buf); !more {
		if damaged != nil {
			return nil // the same error, most likely
		}
		return err
	}
	if damaged != nil {
		return x.plain(restMember, x.buf)
	}
	return x.member(BehindMember, x.buf)
}

// after gives what follows the end that an archive states for itself.
func (x *opening) after(end int64) error {
	if end <= 0 || end >= x.size {
		return nil
	}
	in := bufio.NewReader(io.NewSectionReader(x.at, end, x.size-end))
	if more, err := Padding(in); !more {
		return err
	}
	return x.member(BehindMember, in)
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

// Hole lets the pool pass over the holes of a sparse member.
func (m *metered) Hole() (int64, bool) {
	if h, ok := m.r.(scanners.Holed); ok {
		return h.Hole()
	}
	return 0, false
}

// guarded ends the reading of a file whose time is over.
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
