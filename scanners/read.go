package scanners

import (
	"bytes"
	"context"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/rules"
)

// memory is a file that is completely in memory.
type memory struct {
	bytes.Reader
	all []byte
}

// InMemory returns a reader of b for scanning. b is not copied, and must not change until it is
// scanned.
func InMemory(b []byte) io.Reader { return &memory{*bytes.NewReader(b), b} }

// whole scans an artifact in memory that is a single chunk.
func (r *run) whole(ctx context.Context, a Artifact, b []byte, x *account, own bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.place == nil {
		r.count(&a)
		atomic.AddInt64(&r.stats.Bytes, int64(len(b)))
	}
	if own {
		x.Read(int64(len(b)))
		r.bounds(a).Read(int64(len(b)))
	}
	r.tokens <- struct{}{}
	defer func() { <-r.tokens }()
	defer r.finished(a.Location)
	defer r.caught(a.Location)
	c := Chunk{Artifact: &a, Data: b, Line: 1, Column: 1, To: len(b), Binary: binary(b), track: track(&a, nil)}
	a.within.look(r.Unpacker, c, true)
	r.chunk(x, c)
	return ctx.Err()
}

func (r *run) count(a *Artifact) {
	if !a.Uncounted {
		atomic.AddInt64(&r.stats.Artifacts, 1)
		r.Watch.artifact()
	}
}

// read scans the chunks of one artifact: the last chunk (usually the only one) in this
// goroutine, the others in helpers.
func (r *run) read(ctx context.Context, a Artifact, b io.Reader, x *account, own bool) error {
	r.count(&a)
	var background sync.WaitGroup
	var before *tracked
	n, err := r.chunks.Each(&timed{ctx, b, x, own, r.bounds(a)}, &a, func(c Chunk) error {
		c.track = track(&a, before)
		before = c.track
		a.within.look(r.Unpacker, c, c.To == len(c.Data))
		r.tokens <- struct{}{}
		work := func() {
			defer func() { <-r.tokens }()
			defer r.caught(a.Location)
			r.chunk(x, c)
			r.chunks.Free(c)
		}
		if c.To == len(c.Data) {
			work()
			return ctx.Err()
		}
		background.Add(1)
		if err := r.helpers.Submit(func() { defer background.Done(); work() }); err != nil {
			background.Done()
			work()
		}
		return ctx.Err()
	})
	background.Wait()
	r.finished(a.Location)
	atomic.AddInt64(&r.stats.Bytes, n)
	return err
}

func (r *run) finished(at rules.Location) {
	if r.Finished != nil {
		r.Finished(at)
	}
}

func (r *run) chunk(x *account, c Chunk) {
	defer c.track.finish()
	r.Watch.bytes(c.To)
	if x.Err() != nil {
		c.Artifact.record.spoil()
		x.reached(GapLimitTime)
		return
	}
	rec := c.Artifact.record
	c.Meter, c.reached, c.positions = x.Meter, x.reached, &positions{}
	if rec != nil {
		c.reached = func(kind string) { rec.spoil(); x.reached(kind) }
	}
	began := time.Now()
	var found []rules.Finding
	var masks []string
	defer func() {
		x.Spend(time.Since(began))
		c.track.place(c.Offset, found)
		// Emit after Spend: the consumer's time is not the artifact's.
		for i, f := range found {
			if masks[i] != "" && f.Location.System != "" {
				note(&f.Location, "mask", masks[i])
			}
			rec.add(f)
			r.emit(f)
		}
	}()
	for m := range r.Detector.Detect(c) {
		r.matched(c.Artifact.Location)
		r.saw(c, m)
		if m.Suppressed {
			atomic.AddInt64(&r.stats.Suppressed, 1)
			rec.suppress()
			continue
		}
		if m.Allowed && !r.NoMarkers {
			atomic.AddInt64(&r.stats.Allowed, 1)
			rec.allow()
			continue
		}
		if !r.tally.lists(x, r.key.Fingerprint(m.Secret)) {
			rec.spoil()
			x.reached(GapLimitFindings)
			continue
		}
		f := m.Finding()
		f.Location = c.Locate(m.Start, m.End)
		for _, p := range m.Pieces {
			l := c.Locate(p[0], p[1])
			f.Location.Spans = append(f.Location.Spans, rules.Span{Line: l.Line, Column: l.Column, EndLine: l.EndLine, EndColumn: l.EndColumn})
		}
		if w := c.Artifact.where; w != nil {
			note(&f.Location, "row", w(f.Location.Line))
		}
		if place := c.Artifact.place; place != nil {
			f.Location = place(f.Location)
		}
		found, masks = append(found, f), append(masks, m.Mask)
	}
}

// note adds a note to a location, which may share its notes with others.
func note(l *rules.Location, key, value string) {
	notes := maps.Clone(l.Notes)
	if notes == nil {
		notes = map[string]string{}
	}
	notes[key] = value
	l.Notes = notes
}

// Locate returns the location of Data[start:end].
func (c Chunk) Locate(start, end int) rules.Location {
	l := c.Artifact.Location
	l.Offset, l.EndOffset = c.Offset+int64(start), c.Offset+int64(end)
	l.Line, l.Column, l.Excess = c.place(start)
	l.EndLine, l.EndColumn, l.EndExcess = c.place(max(end-1, start))
	l.EndColumn++
	if end > start {
		l.EndExcess += excess(c.Data[end-1 : end])
	}
	return l
}

func (c Chunk) place(i int) (line, column, over int) {
	s := c.positions
	if s == nil {
		s = &positions{}
	}
	p := s.of(c, i)
	return p.line, p.column, p.over
}

// timed stops a long read when the run is cancelled or the file's time is over. It counts the
// time spent in reading.
type timed struct {
	ctx context.Context
	r   io.Reader
	x   *account
	own bool // the bytes belong to the file itself, not to nested content
	// bounds are those that the file's own bytes count towards.
	bounds *Bounds
}

func (r *timed) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if err := r.x.Err(); err != nil {
		return 0, err
	}
	began := time.Now()
	n, err := r.r.Read(b)
	r.x.Spend(time.Since(began))
	if r.own {
		r.x.Read(int64(n))
		r.bounds.Read(int64(n))
	}
	return n, err
}

func (r *timed) Hole() (int64, bool) { return hole(r.r) }
