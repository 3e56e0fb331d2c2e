package scanners

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/quellhq/quell/rules"
)

// Limits of what a run remembers about scanned contents.
const (
	maxContents = 1 << 17
	maxRecorded = 1 << 10 // findings per content
	maxReplays  = 1 << 16 // findings of all contents
)

// contents are the contents that a run has scanned, by Artifact.Content.
type contents struct {
	mu       sync.Mutex
	byName   map[string]*record
	findings int
}

// record has the findings of one content. Its methods do nothing on nil.
type record struct {
	// base is the location of the artifact that was scanned; nil once the scan ended without a
	// finding, which most do, so that 100,000 contents cost little.
	base *rules.Location
	done chan struct{} // closed after the scan

	mu         sync.Mutex
	findings   []rules.Finding
	suppressed int64
	allowed    int64
	spoilt     bool // something was not read, or there are too many findings
}

func (r *record) add(f rules.Finding) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.findings) >= maxRecorded {
		r.spoilt, r.findings = true, nil
	}
	if !r.spoilt {
		r.findings = append(r.findings, f)
	}
}

func (r *record) spoil() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spoilt, r.findings = true, nil
}

func (r *record) suppress() {
	if r != nil {
		atomic.AddInt64(&r.suppressed, 1)
	}
}

func (r *record) allow() {
	if r != nil {
		atomic.AddInt64(&r.allowed, 1)
	}
}

// get returns the record of a content. fresh is true if it is new and the caller must scan the
// content. The record is nil if the limits are reached.
func (c *contents) get(name string, base rules.Location) (r *record, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.byName[name]; r != nil {
		return r, false
	}
	if len(c.byName) >= maxContents || c.findings >= maxReplays {
		return nil, false
	}
	if c.byName == nil {
		c.byName = map[string]*record{}
	}
	at := base // the caller's is no allocation where the content is known
	r = &record{base: &at, done: make(chan struct{})}
	c.byName[name] = r
	return r, true
}

// once scans an artifact. If one with the same content was scanned before, it reports the
// earlier findings instead.
func (r *run) once(ctx context.Context, a Artifact, b io.Reader, x *account) error {
	rec, fresh := r.known.get(a.Content, a.Location)
	if rec != nil && !fresh {
		select {
		case <-rec.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if r.replay(rec, a, x) {
			return nil
		}
		rec = nil
	}
	a.Content, a.record = "", rec
	if rec == nil {
		return r.unpack(ctx, a, b, x, nil)
	}
	complete := false
	defer func() {
		if !complete || ctx.Err() != nil {
			rec.spoil()
		}
		rec.mu.Lock()
		if len(rec.findings) == 0 {
			rec.base = nil
		}
		rec.mu.Unlock()
		r.known.mu.Lock()
		r.known.findings += len(rec.findings)
		r.known.mu.Unlock()
		close(rec.done)
	}()
	err := r.unpack(ctx, a, b, x, nil)
	complete = err == nil
	return err
}

// replay reports the findings of a record for artifact a. It returns false if the record is not
// usable.
func (r *run) replay(rec *record, a Artifact, x *account) bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.spoilt {
		return false
	}
	atomic.AddInt64(&r.stats.Artifacts, 1)
	atomic.AddInt64(&r.stats.Suppressed, rec.suppressed)
	atomic.AddInt64(&r.stats.Allowed, rec.allowed)
	if rec.suppressed+rec.allowed+int64(len(rec.findings)) > 0 {
		r.matched(a.Location)
	}
	var ends []rules.Location
	for _, f := range rec.findings {
		if !r.tally.lists(x, r.key.Fingerprint(f.Secret)) {
			x.reached(GapLimitFindings)
			continue
		}
		f.Location = moved(f.Location, *rec.base, a.Location)
		if len(ends) == 0 || ends[len(ends)-1].Path != f.Location.Path {
			ends = append(ends, f.Location)
		}
		r.emit(f)
	}
	for _, at := range ends {
		r.finished(at)
	}
	return true
}

// moved maps location l in the artifact at from to the same position in the artifact at to.
func moved(l, from, to rules.Location) rules.Location {
	out := to
	out.Path = to.Path + strings.TrimPrefix(l.Path, from.Path)
	out.Line, out.Column, out.Offset, out.Excess = l.Line, l.Column, l.Offset, l.Excess
	out.EndLine, out.EndColumn, out.EndOffset, out.EndExcess = l.EndLine, l.EndColumn, l.EndOffset, l.EndExcess
	out.Spans = l.Spans
	// Fields that the content itself determines.
	for _, x := range []struct{ l, from, out *string }{{&l.Job, &from.Job, &out.Job}, {&l.Step, &from.Step, &out.Step}, {&l.Group, &from.Group, &out.Group}, {&l.System, &from.System, &out.System}} {
		if *x.l != *x.from {
			*x.out = *x.l
		}
	}
	for k, v := range l.Notes {
		if from.Notes[k] == v {
			continue
		}
		notes := map[string]string{k: v}
		for k, v := range out.Notes {
			if _, ok := notes[k]; !ok {
				notes[k] = v
			}
		}
		out.Notes = notes
	}
	return out
}
