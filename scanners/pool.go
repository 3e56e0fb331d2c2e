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

// Pool runs a detector over the artifacts of sources. Each worker owns one
// chunk buffer, so the bytes in flight are bounded by the workers, not by the
// input.
type Pool struct {
	Detector Detector
	Workers  int // 0: one per CPU
}

// Stats counts what a run read.
type Stats struct {
	Artifacts int64
	Bytes     int64
	Allowed   int64 // findings that a marker in the text suppressed
}

// Run scans src. emit gets findings, gap what could not be read; both may be
// called by several goroutines at once. The error is ctx's, or the pool's own.
func (p *Pool) Run(ctx context.Context, src Source, emit func(rules.Finding), gap func(Gap)) (Stats, error) {
	var st Stats
	var wg sync.WaitGroup
	chunkers := sync.Pool{New: func() any { return NewChunker(p.Detector.MaxLen()) }}
	workers, err := ants.NewPool(cmp.Or(p.Workers, runtime.GOMAXPROCS(0)), ants.WithPreAlloc(false), ants.WithPanicHandler(func(any) {}))
	if err != nil {
		return st, fmt.Errorf("scan: %w", err)
	}
	defer workers.Release()
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
			// A panic concerns one artifact. Its value may quote scanned bytes:
			// only its place is told.
			defer func() {
				if r := recover(); r != nil {
					gap(Gap{Location: a.Location, Reason: "internal error, please report", Err: fmt.Errorf("panic of type %T", r)})
				}
			}()
			k := chunkers.Get().(*Chunker)
			defer chunkers.Put(k)
			p.artifact(ctx, k, a, &st, emit, gap)
		})
		if err != nil {
			wg.Done()
			return st, fmt.Errorf("scan: %w", err)
		}
	}
	wg.Wait()
	return st, ctx.Err()
}

func (p *Pool) artifact(ctx context.Context, k *Chunker, a Artifact, st *Stats, emit func(rules.Finding), gap func(Gap)) {
	scan := func(a Artifact, r io.Reader) error {
		atomic.AddInt64(&st.Artifacts, 1)
		n, err := k.Each(contextReader{ctx, r}, &a, func(c Chunk) error {
			p.chunk(c, st, emit)
			return ctx.Err()
		})
		atomic.AddInt64(&st.Bytes, n)
		return err
	}
	if a.Parts != nil {
		if err := a.Parts(ctx, scan, gap); err != nil && ctx.Err() == nil {
			gap(Gap{Location: a.Location, Err: err})
		}
		return
	}
	r, err := a.Open(ctx)
	if err != nil {
		gap(Gap{Location: a.Location, Err: err})
		return
	}
	defer r.Close()
	if err := scan(a, r); err != nil && ctx.Err() == nil {
		gap(Gap{Location: a.Location, Reason: "read to its middle only", Err: err})
	}
}

func (p *Pool) chunk(c Chunk, st *Stats, emit func(rules.Finding)) {
	for m := range p.Detector.Detect(c) {
		if m.Allowed {
			atomic.AddInt64(&st.Allowed, 1)
			continue
		}
		f := rules.Finding{Rule: m.Rule.ID, Kind: m.Rule.Kind, Confidence: m.Confidence, Secret: m.Secret,
			Location: c.Locate(m.Start, m.End), Decoded: m.Decoded, Views: m.Views, Partial: m.Partial, Offline: m.Offline, Cookie: m.Cookie, Claims: m.Claims}
		for _, p := range m.Pieces {
			l := c.Locate(p[0], p[1])
			f.Location.Spans = append(f.Location.Spans, rules.Span{Line: l.Line, Column: l.Column, EndLine: l.EndLine, EndColumn: l.EndColumn})
		}
		if m.Rule.Provider != nil {
			f.Provider = m.Rule.Provider.ID
		}
		emit(f)
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
