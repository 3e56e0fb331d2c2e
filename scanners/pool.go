package scanners

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
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
	Detector Detector
	Workers  int // 0: one per CPU
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
}

// Run scans src. emit gets findings, gap what could not be read; both may be
// called by several goroutines at once. The error is ctx's, or the pool's own.
func (p *Pool) Run(ctx context.Context, src Source, emit func(rules.Finding), gap func(Gap)) (Stats, error) {
	n := cmp.Or(p.Workers, runtime.GOMAXPROCS(0))
	r := &run{Pool: p, chunks: NewChunker(p.Detector.MaxLen()), tokens: make(chan struct{}, n), emit: emit, gap: gap, matched: func(rules.Location) {}}
	if w, ok := src.(Watcher); ok {
		r.matched = w.Matched
		r.gap = func(g Gap) { w.Matched(g.Location); gap(g) }
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
		r.gap(Gap{Location: at, Reason: "internal error, please report", Err: fmt.Errorf("panic of type %T", x)})
	}
}

func (r *run) artifact(ctx context.Context, a Artifact) {
	if a.Parts != nil {
		if err := a.Parts(ctx, func(a Artifact, b io.Reader) error { return r.stream(ctx, a, b) }, r.gap); err != nil && ctx.Err() == nil {
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
	if err := r.stream(ctx, a, b); err != nil && ctx.Err() == nil {
		r.gap(Gap{Location: a.Location, Reason: "read to its middle only", Err: err})
	}
}

// stream reads one artifact, and then what an opener sees in it.
func (r *run) stream(ctx context.Context, a Artifact, b io.Reader) error {
	b, inner := r.opened(b)
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
	return r.read(ctx, a, bytes.NewReader(in.Text))
}

// opened looks at how the bytes begin. Where an opener knows the form, they are
// kept while they are read, for it to open once they are all there.
func (r *run) opened(b io.Reader) (io.Reader, func(context.Context) (Inner, error)) {
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
				return o.Open(ctx, kept.b)
			}
		}
	}
	return whole, nil
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
		if m.Allowed {
			atomic.AddInt64(&r.stats.Allowed, 1)
			continue
		}
		f := rules.Finding{Rule: m.Rule.ID, Kind: m.Rule.Kind, Confidence: m.Confidence, Secret: m.Secret,
			Location: c.Locate(m.Start, m.End), Decoded: m.Decoded, Views: m.Views, Partial: m.Partial, Offline: m.Offline, Cookie: m.Cookie, Claims: m.Claims, Token: m.Token}
		for _, p := range m.Pieces {
			l := c.Locate(p[0], p[1])
			f.Location.Spans = append(f.Location.Spans, rules.Span{Line: l.Line, Column: l.Column, EndLine: l.EndLine, EndColumn: l.EndColumn})
		}
		if m.Rule.Provider != nil {
			f.Provider = m.Rule.Provider.ID
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
