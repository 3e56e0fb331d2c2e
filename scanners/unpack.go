package scanners

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"time"
)

// AsIs marks bytes that the pool scans without unpacking them, whatever their format: they
// belong to a file that is already open.
type AsIs struct {
	io.Reader
	// Where describes the content of a line in terms of the file's format, such as "table log,
	// row 7"; nil: the line number is sufficient.
	Where func(line int) string
}

// asIsCloser is AsIs as an io.ReadCloser, for Artifact.Open.
type asIsCloser struct{ AsIs }

func (asIsCloser) Close() error { return nil }

// unpack scans the content of a container, and any other artifact as it is. budget is that of
// the enclosing file, or nil at the top level.
func (r *run) unpack(ctx context.Context, a Artifact, b io.Reader, x *account, budget *Budget) error {
	if err := x.Err(); err != nil {
		return err
	}
	if a.Content != "" && budget == nil {
		return r.once(ctx, a, b, x)
	}
	if plain, ok := b.(AsIs); ok {
		if plain.Where != nil {
			a.where = plain.Where
		}
		return r.stream(ctx, a, plain.Reader, x, budget == nil)
	}
	if plain, ok := b.(asIsCloser); ok {
		return r.stream(ctx, a, plain.Reader, x, budget == nil)
	}
	if r.Unpacker == nil {
		return r.stream(ctx, a, b, x, budget == nil)
	}
	form, head, done := r.recognise(a, b)
	defer done()
	if form == "" {
		a.within = &within{}
		a.within.at, a.within.size = anywhere(b)
		if head.at == 0 && len(head.begin) == 0 {
			return errors.Join(r.stream(ctx, a, b, x, budget == nil), r.parts(ctx, a, a.within, x, budget))
		}
		head.lost = true // no rewind is needed
		return errors.Join(r.stream(ctx, a, head, x, budget == nil), r.parts(ctx, a, a.within, x, budget))
	}
	atomic.AddInt64(&r.stats.Artifacts, 1)
	in := Packed{Name: a.Location.Path, Reader: Filled(head), Beside: a.Companion}
	in.At, in.Size = anywhere(b)
	if budget == nil {
		budget = &Budget{In: head.count, Target: Surplus{Bounds: r.Bounds}}
		own := r.bounds(a)
		if in.At != nil {
			budget.In = func() int64 { return in.Size }
			x.Read(in.Size)
			own.Read(in.Size)
		} else {
			head.meter, head.bounds = x.Meter, own
			x.Read(head.total)
			own.Read(head.total)
		}
	}
	return r.open(ctx, a, form, in, head, x, budget)
}

// bounds are those that the bytes of an artifact count towards.
func (r *run) bounds(a Artifact) *Bounds {
	if a.Expanded {
		return nil
	}
	return r.Bounds
}

// stream scans one artifact as it is.
func (r *run) stream(ctx context.Context, a Artifact, b io.Reader, x *account, own bool) error {
	if m, ok := b.(*memory); ok && len(m.all) <= chunkSize && m.Len() == len(m.all) {
		return r.whole(ctx, a, m.all, x, own)
	}
	return r.read(ctx, a, b, x, own)
}

// recognise determines the format of the artifact. head reads the artifact from its beginning.
// The caller calls done after its last read from head.
func (r *run) recognise(a Artifact, b io.Reader) (form string, head *peeked, done func()) {
	head = &peeked{r: b}
	if m, ok := b.(*memory); ok {
		return r.Unpacker.Recognise(m.all[:min(len(m.all), r.Unpacker.Head())], a.Location.Path), head, func() {}
	}
	buf := r.heads.Get().(*[]byte)
	if at, ok := b.(io.ReaderAt); ok {
		n, _ := at.ReadAt(*buf, 0)
		form = r.Unpacker.Recognise((*buf)[:n], a.Location.Path)
		r.heads.Put(buf)
		return form, head, func() {}
	}
	return r.Unpacker.Recognise(head.peek(*buf), a.Location.Path), head, func() { r.heads.Put(buf) }
}

// anywhere returns b as an io.ReaderAt with its size, or nil if it has no random access.
func anywhere(b io.Reader) (io.ReaderAt, int64) {
	at, ok := b.(io.ReaderAt)
	if !ok {
		return nil, 0
	}
	if s, ok := b.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := s.Stat(); err == nil && info.Mode().IsRegular() {
			return at, info.Size()
		}
	} else if s, ok := b.(interface{ Size() int64 }); ok {
		return at, s.Size()
	}
	return nil, 0
}

// open scans the content of a container.
func (r *run) open(ctx context.Context, a Artifact, form string, in Packed, head *peeked, x *account, budget *Budget) error {
	inside := func(name string) Artifact {
		m := a
		m.Open, m.Parts, m.Companion = nil, nil, nil
		if name != "" {
			m.Location.Path += "!" + name
		}
		return m
	}
	before := budget.Out
	budget.Meter = x.Meter
	waited := budget.Waited
	budget.Began = time.Now()
	spend := func() {
		x.Spend(time.Since(budget.Began) - (budget.Waited - waited))
	}
	err := r.Unpacker.Open(ctx, form, in, budget, func(name string, b io.Reader) error {
		spend()
		defer func() { budget.Began, waited = time.Now(), budget.Waited }()
		return r.unpack(ctx, inside(name), b, x, budget)
	}, func(name string, err error) {
		a.record.spoil()
		r.gap(Gap{Location: inside(name).Location, Kind: kindInside(err), Err: err})
	})
	spend()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, ErrTime) {
		a.record.spoil()
		if budget.Depth == 0 {
			r.gap(Gap{Location: a.Location, Kind: GapLimitTime, Reason: form, Err: err})
		}
		return err
	}
	a.record.spoil()
	r.gap(Gap{Location: a.Location, Kind: kindInside(err), Reason: form, Err: err})
	if budget.Out > before {
		return nil
	}
	// The artifact does not have this format: scan it as it is.
	switch {
	case in.At != nil:
		return r.stream(ctx, a, io.NewSectionReader(in.At, 0, in.Size), x, budget.Depth == 0)
	case head.rewind():
		return r.stream(ctx, a, head, x, budget.Depth == 0)
	}
	return nil
}

// kindInside returns the kind of a gap inside a container. An error that is neither quell's nor
// the file system's means damage.
func kindInside(err error) string {
	kind := KindOf(err)
	var io *fs.PathError
	if kind == GapUnreadable && !errors.As(err, &io) {
		return GapDamaged
	}
	return kind
}

// maxRewind is the number of bytes of a stream that are kept for a second pass, in case the
// stream does not have the format that its first bytes indicate.
const maxRewind = 256 << 10

// peeked is a stream whose first bytes were read ahead.
type peeked struct {
	r     io.Reader
	begin []byte // the bytes read first
	at    int    // read position in begin
	total int64
	lost  bool // bytes after begin were read and not kept
	err   error
	// meter and bounds count the bytes read.
	meter  *Meter
	bounds *Bounds
}

// peek reads into b until it is full or the stream ends. It keeps b.
func (p *peeked) peek(b []byte) []byte {
	n := 0
	for n < len(b) && p.err == nil {
		var k int
		k, p.err = p.r.Read(b[n:])
		n += k
	}
	p.begin, p.total = b[:n:n], int64(n)
	return p.begin
}

func (p *peeked) Read(b []byte) (int, error) {
	if p.at < len(p.begin) {
		n := copy(b, p.begin[p.at:])
		p.at += n
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.r.Read(b)
	p.total += int64(n)
	p.meter.Read(int64(n))
	p.bounds.Read(int64(n))
	p.err = err
	if !p.lost && len(p.begin)+n <= maxRewind {
		p.begin = append(p.begin, b[:n]...)
		p.at = len(p.begin)
	} else if n > 0 {
		p.lost = true
	}
	return n, err
}

// Hole implements Holed.
func (p *peeked) Hole() (int64, bool) {
	if p.err != io.EOF {
		return 0, false
	}
	n, ok := hole(p.r)
	if ok {
		p.err, p.lost = nil, true
	}
	return n, ok
}

func (p *peeked) count() int64 { return p.total }

// rewind returns to the beginning. It reports false if the bytes are no longer available.
func (p *peeked) rewind() bool {
	if p.lost {
		return false
	}
	p.at = 0
	return true
}
