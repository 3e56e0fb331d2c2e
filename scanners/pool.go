package scanners

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/panjf2000/ants/v2"

	"github.com/quellhq/quell/rules"
)

// Pool runs a detector over the artifacts of sources: several artifacts at once,
// and several chunks of a long one. The bytes in flight are bounded by the
// workers, not by the input.
type Pool struct {
	Openers  []Opener
	Unpacker Unpacker // nil: files that hold others are read as they are
	Detector Detector
	Workers  int // 0: one per CPU
	// NoMarkers reports what a marker in the text asks not to: whoever wrote the text
	// is not to be trusted with that.
	NoMarkers bool
	// Seen gets every secret of the text, also those that are not emitted; nil: nobody
	// asks. It may be called by several goroutines at once.
	Seen func(rules.Secret)
}

// Stats counts what a run read.
type Stats struct {
	Artifacts int64
	Bytes     int64
	Allowed   int64 // findings that a marker in the text suppressed
}

// run is one call of Run.
type run struct {
	*Pool
	stats  Stats
	chunks *Chunker
	// tokens bound the chunks that are looked at at one time. Reading takes
	// none: while all are held, the next chunk of each artifact is made ready.
	tokens  chan struct{}
	helpers *ants.Pool
	emit    func(rules.Finding)
	gap     func(Gap)
	matched func(rules.Location)
	heads   sync.Pool // for what a file begins with
}

// Run scans src. emit gets findings, gap what could not be read; both may be
// called by several goroutines at once. The error is ctx's, or the pool's own.
func (p *Pool) Run(ctx context.Context, src Source, emit func(rules.Finding), gap func(Gap)) (Stats, error) {
	n := cmp.Or(p.Workers, runtime.GOMAXPROCS(0))
	report := gap
	gap = func(g Gap) {
		g.Kind = cmp.Or(g.Kind, KindOf(g.Err))
		report(g)
	}
	r := &run{Pool: p, chunks: NewChunker(p.Detector.MaxLen()), tokens: make(chan struct{}, n), emit: emit, gap: gap, matched: func(rules.Location) {}}
	if w, ok := src.(Watcher); ok {
		r.matched = w.Matched
		r.gap = func(g Gap) { w.Matched(g.Location); gap(g) }
	}
	if p.Unpacker != nil {
		r.heads.New = func() any { b := make([]byte, p.Unpacker.Head()); return &b }
	}
	workers, err := ants.NewPool(n, ants.WithPanicHandler(func(any) {}))
	if err != nil {
		return r.stats, fmt.Errorf("scan: %w", err)
	}
	defer workers.Release()
	if r.helpers, err = ants.NewPool(n, ants.WithPanicHandler(func(any) {})); err != nil {
		return r.stats, fmt.Errorf("scan: %w", err)
	}
	defer r.helpers.Release()
	var wg sync.WaitGroup
	for a, err := range src.Artifacts(ctx) {
		if err != nil {
			var g Gap
			if !errors.As(err, &g) {
				g = Gap{Location: a.Location, Err: err}
			}
			gap(g)
			continue
		}
		if ctx.Err() != nil {
			break
		}
		wg.Add(1)
		err := workers.Submit(func() {
			defer wg.Done()
			defer r.caught(a.Location)
			r.artifact(ctx, a)
		})
		if err != nil {
			wg.Done()
			wg.Wait()
			return r.stats, fmt.Errorf("scan: %w", err)
		}
	}
	wg.Wait()
	if f, ok := src.(Finisher); ok {
		f.Finish(ctx, gap)
	}
	return r.stats, ctx.Err()
}

// caught makes a gap of a panic, which concerns one artifact. Its value may
// quote scanned bytes: only its place is told.
func (r *run) caught(at rules.Location) {
	if x := recover(); x != nil {
		r.gap(Gap{Location: at, Kind: GapInternal, Reason: "internal error, please report", Err: fmt.Errorf("panic of type %T", x)})
	}
}

func (r *run) artifact(ctx context.Context, a Artifact) {
	if a.Parts != nil {
		if err := a.Parts(ctx, func(a Artifact, b io.Reader) error { return r.unpack(ctx, a, b, nil) }, r.gap); err != nil && ctx.Err() == nil {
			r.gap(Gap{Location: a.Location, Err: err})
		}
		return
	}
	b, err := a.Open(ctx)
	if err != nil {
		r.gap(Gap{Location: a.Location, Err: err})
		return
	}
	defer b.Close()
	if err := r.unpack(ctx, a, b, nil); err != nil && ctx.Err() == nil {
		r.gap(Gap{Location: a.Location, Reason: "read to its middle only", Err: err})
	}
}

// unpack reads one artifact: what is inside of it, where it holds others, else the
// artifact as it is. budget is that of the file which it is a part of; nil: it is
// none's.
func (r *run) unpack(ctx context.Context, a Artifact, b io.Reader, budget *Budget) error {
	if r.Unpacker == nil {
		return r.stream(ctx, a, b)
	}
	head := &peeked{r: b}
	var form string
	if m, ok := b.(*memory); ok {
		form = r.Unpacker.Recognise(m.all[:min(len(m.all), r.Unpacker.Head())], a.Location.Path)
		if form == "" {
			return r.stream(ctx, a, b)
		}
	} else if at, ok := b.(io.ReaderAt); ok {
		buf := r.heads.Get().(*[]byte)
		n, _ := at.ReadAt(*buf, 0)
		form = r.Unpacker.Recognise((*buf)[:n], a.Location.Path)
		r.heads.Put(buf)
		if form == "" {
			return r.stream(ctx, a, b)
		}
	} else {
		buf := r.heads.Get().(*[]byte)
		defer r.heads.Put(buf)
		if form = r.Unpacker.Recognise(head.peek(*buf), a.Location.Path); form == "" {
			head.lost = true // it isn't read again
			return r.stream(ctx, a, head)
		}
	}
	atomic.AddInt64(&r.stats.Artifacts, 1)
	if budget == nil {
		budget = &Budget{In: head.count}
	}
	in := Packed{Name: a.Location.Path, Reader: head}
	if at, ok := b.(io.ReaderAt); ok {
		if s, ok := b.(interface{ Stat() (fs.FileInfo, error) }); ok {
			if info, err := s.Stat(); err == nil && info.Mode().IsRegular() {
				in.At, in.Size = at, info.Size()
				budget.In = info.Size
			}
		} else if s, ok := b.(interface{ Size() int64 }); ok {
			in.At, in.Size = at, s.Size()
			budget.In = s.Size
		}
	}
	inside := func(name string) Artifact {
		m := a
		m.Open, m.Parts, m.Beside = nil, nil, nil
		if name != "" {
			m.Location.Path += "!" + name
		}
		return m
	}
	before := budget.Out
	err := r.Unpacker.Open(ctx, form, in, budget, func(name string, b io.Reader) error {
		return r.unpack(ctx, inside(name), b, budget)
	}, func(name string, err error) { r.gap(Gap{Location: inside(name).Location, Err: err}) })
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	r.gap(Gap{Location: a.Location, Reason: form, Err: err})
	opened := budget.Out > before
	if budget.Depth > 0 && opened {
		// Whoever holds it decides whether to go on.
		return nil
	}
	if !opened {
		// What is no such file after all is looked at as it is.
		switch {
		case in.At != nil:
			return r.stream(ctx, a, io.NewSectionReader(in.At, 0, in.Size))
		case head.rewind():
			return r.stream(ctx, a, head)
		}
	}
	return nil
}

// maxRewind is how far a stream can be read again from its beginning, where it was
// taken for something that it is not.
const maxRewind = 256 << 10

// peeked is a stream whose beginning was looked at.
type peeked struct {
	r     io.Reader
	begin []byte // what was read of the beginning
	at    int    // how much of it was given out
	total int64
	lost  bool // more was read than is kept
	err   error
}

// peek fills b, which it keeps, as far as the stream goes.
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
	p.err = err
	if !p.lost && len(p.begin)+n <= maxRewind {
		p.begin = append(p.begin, b[:n]...)
		p.at = len(p.begin)
	} else if n > 0 {
		p.lost = true
	}
	return n, err
}

func (p *peeked) count() int64 { return p.total }

// rewind goes back to the beginning, and reports whether it could.
func (p *peeked) rewind() bool {
	if p.lost {
		return false
	}
	p.at = 0
	return true
}

// memory is a file that is all there.
type memory struct {
	bytes.Reader
	all []byte
}

// InMemory gives a reader of b to scan. b is not copied, and must stay as it is until it is
// scanned.
func InMemory(b []byte) io.Reader { return &memory{*bytes.NewReader(b), b} }

// whole looks at an artifact in memory that is one chunk.
func (r *run) whole(ctx context.Context, a Artifact, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	atomic.AddInt64(&r.stats.Artifacts, 1)
	atomic.AddInt64(&r.stats.Bytes, int64(len(b)))
	r.tokens <- struct{}{}
	defer func() { <-r.tokens }()
	defer r.caught(a.Location)
	r.chunk(Chunk{Artifact: &a, Data: b, Line: 1, Column: 1, To: len(b), Binary: binary(b)})
	return ctx.Err()
}

// stream reads one artifact, and then what an opener sees in it.
func (r *run) stream(ctx context.Context, a Artifact, b io.Reader) error {
	if m, ok := b.(*memory); ok && len(m.all) <= chunkSize && m.Len() == len(m.all) &&
		!slices.ContainsFunc(r.Openers, func(o Opener) bool { return bytes.HasPrefix(m.all, o.Magic) }) {
		return r.whole(ctx, a, m.all)
	}
	b, inner := r.opened(a, b)
	if err := r.read(ctx, a, b); err != nil || inner == nil {
		return err
	}
	in, err := inner(ctx)
	if err != nil {
		r.gap(Gap{Location: a.Location, Err: err})
	}
	if len(in.Text) == 0 {
		return nil
	}
	a.Location.Path += "!" + in.Name
	a.where = in.Where
	return r.read(ctx, a, bytes.NewReader(in.Text))
}

// opened looks at how the bytes begin. Where an opener knows the form, they are
// kept while they are read, for it to open once they are all there.
func (r *run) opened(a Artifact, b io.Reader) (io.Reader, func(context.Context) (Inner, error)) {
	longest := 0
	for _, o := range r.Openers {
		longest = max(longest, len(o.Magic))
	}
	if longest == 0 {
		return b, nil
	}
	head := make([]byte, longest)
	n, err := io.ReadFull(b, head)
	head = head[:n]
	whole := io.MultiReader(bytes.NewReader(head), b)
	if err != nil {
		// A short file, or an error that the reader gives again.
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			whole = io.MultiReader(bytes.NewReader(head), failing{err})
		}
		return whole, nil
	}
	for _, o := range r.Openers {
		if bytes.HasPrefix(head, o.Magic) {
			kept := &keeper{max: o.Max}
			return io.TeeReader(whole, kept), func(ctx context.Context) (Inner, error) {
				if kept.over {
					return Inner{}, fmt.Errorf("larger than %d MiB: scanned as it is, not opened", o.Max>>20)
				}
				return o.Open(ctx, kept.b, beside(a, o.Max))
			}
		}
	}
	return whole, nil
}

// beside reads what stands beside an artifact.
func beside(a Artifact, most int) func(string) ([]byte, error) {
	if a.Beside == nil {
		return nil
	}
	return func(suffix string) ([]byte, error) {
		f, err := a.Beside(suffix)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
		if err == nil && len(b) > most {
			err = fmt.Errorf("larger than %d MiB", most>>20)
		}
		return b, err
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// keeper holds what is written to it, up to a limit.
type keeper struct {
	b    []byte
	max  int
	over bool
}

func (k *keeper) Write(p []byte) (int, error) {
	if k.over = k.over || len(k.b)+len(p) > k.max; k.over {
		k.b = nil
	} else {
		k.b = append(k.b, p...)
	}
	return len(p), nil
}

// read looks at the chunks of one artifact: the last one here, which is the only
// one of most, and the others beside.
func (r *run) read(ctx context.Context, a Artifact, b io.Reader) error {
	atomic.AddInt64(&r.stats.Artifacts, 1)
	var beside sync.WaitGroup
	n, err := r.chunks.Each(contextReader{ctx, b}, &a, func(c Chunk) error {
		r.tokens <- struct{}{}
		work := func() {
			defer func() { <-r.tokens }()
			defer r.caught(a.Location)
			r.chunk(c)
			r.chunks.Free(c)
		}
		if c.To == len(c.Data) {
			work()
			return ctx.Err()
		}
		beside.Add(1)
		if err := r.helpers.Submit(func() { defer beside.Done(); work() }); err != nil {
			beside.Done()
			work()
		}
		return ctx.Err()
	})
	beside.Wait()
	atomic.AddInt64(&r.stats.Bytes, n)
	return err
}

func (r *run) chunk(c Chunk) {
	for m := range r.Detector.Detect(c) {
		r.matched(c.Artifact.Location)
		r.saw(c, m)
		if m.Allowed && !r.NoMarkers {
			atomic.AddInt64(&r.stats.Allowed, 1)
			continue
		}
		f := m.Finding()
		f.Location = c.Locate(m.Start, m.End)
		for _, p := range m.Pieces {
			l := c.Locate(p[0], p[1])
			f.Location.Spans = append(f.Location.Spans, rules.Span{Line: l.Line, Column: l.Column, EndLine: l.EndLine, EndColumn: l.EndColumn})
		}
		if w := c.Artifact.where; w != nil {
			notes := maps.Clone(f.Location.Notes)
			if notes == nil {
				notes = map[string]string{}
			}
			notes["row"] = w(f.Location.Line)
			f.Location.Notes = notes
		}
		r.emit(f)
	}
}

// Locate gives the place of Data[start:end].
func (c Chunk) Locate(start, end int) rules.Location {
	l := c.Artifact.Location
	l.Offset, l.EndOffset = c.Offset+int64(start), c.Offset+int64(end)
	l.Line, l.Column = c.place(start)
	l.EndLine, l.EndColumn = c.place(max(end-1, start))
	l.EndColumn++
	return l
}

func (c Chunk) place(i int) (line, column int) {
	before := c.Data[:i]
	nl := bytes.LastIndexByte(before, '\n')
	if nl < 0 {
		return c.Line, c.Column + i
	}
	return c.Line + bytes.Count(before, []byte{'\n'}), i - nl
}

// contextReader ends a long read when the run is cancelled.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}
