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
	"time"

	"github.com/panjf2000/ants/v2"

	"github.com/quellhq/quell/rules"
)

// Pool runs a detector over the artifacts of sources: several artifacts at once, and several
// chunks of a long one. The number of workers bounds the bytes in flight, whatever the size of
// the input.
type Pool struct {
	Unpacker Unpacker // nil: no file is unpacked
	Detector Detector
	Workers  int // 0: one per CPU
	// NoMarkers makes the pool report findings despite markers that suppress them. It is for
	// text whose author is not trusted.
	NoMarkers bool
	// Seen, if set, receives every secret in the text, including those that are not emitted.
	// Several goroutines can call it at once.
	Seen     func(rules.Secret)
	Patience Patience // zero: DefaultPatience
	Bounds   *Bounds  // shared by the pools of a target; nil: the pool's own
	Watch    *Watch   // counts what was read so far; may be nil
	// Finished, if set, is called after all findings of a byte stream were emitted, with the
	// common beginning of their locations. Several goroutines can call it at once.
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
	// tokens bounds the chunks in detection. Reading takes no token: while all are taken, each
	// artifact prepares its next chunk.
	tokens  chan struct{}
	helpers *ants.Pool
	emit    func(rules.Finding)
	gap     func(Gap)
	matched func(rules.Location)
	heads   sync.Pool // buffers for the beginning of a file
	tally   tally
	key     rules.FingerprintKey
	known   contents
}

// Run opens src, scans it as Read does, and closes it.
func (p *Pool) Run(ctx context.Context, src Source, emit func(rules.Finding), gap func(Gap)) (Stats, error) {
	session, err := src.Open(ctx)
	if err != nil {
		return Stats{}, err
	}
	defer session.Close()
	return p.Read(ctx, session, emit, gap)
}

// Read scans what a session yields. It calls emit with findings and gap with what it could not read, possibly from
// several goroutines at once. The error is ctx's or the pool's own.
func (p *Pool) Read(ctx context.Context, src Session, emit func(rules.Finding), gap func(Gap)) (Stats, error) {
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
	if r.Bounds == nil {
		r.Bounds = NewBounds(r.Patience)
	}
	ctx = context.WithValue(ctx, boundsKey{}, r.Bounds)
	rand.Read(r.key[:])
	r.matched = src.Matched
	r.gap = func(g Gap) { src.Matched(g.Location); gap(g) }
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
			var fatal *Fatal
			if errors.As(err, &fatal) {
				wg.Wait()
				return r.stats, fatal
			}
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
	src.Finish(ctx, gap)
	return r.stats, ctx.Err()
}

// caught turns a panic into a gap of one artifact. It does not print the panic's value, which
// can quote scanned bytes.
func (r *run) caught(at rules.Location) {
	if x := recover(); x != nil {
		r.gap(Gap{Location: at, Kind: GapInternal, Reason: "internal error, please report", Err: fmt.Errorf("panic of type %T", x)})
	}
}

// cancelDelay is how long a cancellation may take from a context to those made of it. A busy
// machine may stop the goroutine that cancels them one after the other.
const cancelDelay = time.Second

// interrupted reports whether a read ended because the run was interrupted.
func interrupted(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !errors.Is(err, context.Canceled) {
		return ctx.Err() != nil
	}
	select {
	case <-ctx.Done():
		return true
	case <-time.After(cancelDelay):
		return false
	}
}

func (r *run) artifact(ctx context.Context, a Artifact) {
	x := &account{Meter: newMeter(r.Patience, r.Bounds)}
	if a.Done != nil {
		defer a.Done()
	}
	defer x.report(a.Location, r.gap)
	if a.Parts != nil {
		if err := a.Parts(ctx, func(a Artifact, b io.Reader) error { return r.unpack(ctx, a, b, x, nil) }, r.gap); err != nil && !interrupted(ctx, err) {
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
	if err := r.unpack(ctx, a, b, x, nil); err != nil && !interrupted(ctx, err) {
		r.gap(Gap{Location: a.Location, Reason: "read to its middle only", Err: err})
	}
}
