package scanners

import (
	"cmp"
	"context"
	"crypto/rand"
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
	Unpacker Unpacker // nil: files that hold others are read as they are
	Detector Detector
	Workers  int // 0: one per CPU
	// NoMarkers reports what a marker in the text asks not to: whoever wrote the text
	// is not to be trusted with that.
	NoMarkers bool
	// Seen gets every secret of the text, also those that are not emitted; nil: nobody
	// asks. It may be called by several goroutines at once.
	Seen     func(rules.Secret)
	Patience Patience // zero: DefaultPatience
	// Finished, if set, is called once all findings of a byte stream were emitted,
	// with the location that most of them begin with. It may be called by several
	// goroutines at once.
	Finished func(at rules.Location)
}

// Stats counts what a run read.
type Stats struct {
	Artifacts  int64
	Bytes      int64
	Allowed    int64 // findings that a marker in the text suppressed
	Suppressed int64 // findings that a list of paths suppressed
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
	shared  atomic.Int64
	tally   tally
	key     rules.FingerprintKey
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
	q := *p
	r := &run{Pool: &q, chunks: NewChunker(p.Detector.MaxLen()), tokens: make(chan struct{}, n), emit: emit, gap: gap, matched: func(rules.Location) {}}
	if r.Patience == (Patience{}) {
		r.Patience = DefaultPatience
	}
	r.shared.Store(int64(r.Patience.Shared))
	rand.Read(r.key[:])
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
	x := &account{Meter: newMeter(r.Patience, &r.shared)}
	defer x.report(a.Location, r.gap)
	if a.Parts != nil {
		if err := a.Parts(ctx, func(a Artifact, b io.Reader) error { return r.unpack(ctx, a, b, x, nil) }, r.gap); err != nil && ctx.Err() == nil {
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
	if err := r.unpack(ctx, a, b, x, nil); err != nil && ctx.Err() == nil {
		r.gap(Gap{Location: a.Location, Reason: "read to its middle only", Err: err})
	}
}
