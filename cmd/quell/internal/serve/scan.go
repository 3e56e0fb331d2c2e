package serve

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// scan reads a repository, or one run of it, and records what it finds. Issuers are asked by
// jobs of their own.
//
// A run counts as read once all that was found in it is recorded. What ends before that reads
// it again: each sweep compares all runs of the last weeks, so that those which end late, are
// run again, or whose webhook was lost are read too.
func (s *Server) scan(ctx context.Context, a ScanArgs, red *report.Redactor) error {
	x := s.sources[a.Target]
	if x == nil {
		return river.JobCancel(errors.New("the configuration no longer has this target"))
	}
	known, err := s.store.Repo(ctx, a.Target, a.Repo)
	if err != nil {
		return err
	}
	back := x.LookBack.or(31 * day)
	if known.ReadAt.IsZero() {
		back = max(back, x.Backfill.or(90*day))
	}
	c, err := x.api()
	if err != nil {
		return err
	}
	in, err := x.open(c, a, time.Now().Add(-back))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	keys := map[string]string{} // of the scan's memory, by the path of the item
	if in.items != nil {
		in.items.Found = func(at rules.Location, key string) {
			mu.Lock()
			defer mu.Unlock()
			keys[at.Path] = key
		}
	}
	rt, err := s.o.Runtime(true, red)
	if err != nil {
		return err
	}
	defer rt.Close(context.WithoutCancel(ctx))
	rec := &recorder{s: s, rt: rt, red: red, target: a.Target, public: known.Public, run: "serve " + a.Target}
	left := &unread{red: red, below: map[string]bool{}}
	res, err := rt.Scan(ctx, run.ScanOptions{
		Command: "serve", Version: s.o.Version, Targets: []string{a.Repo}, Sources: []scanners.Source{in.Source},
		Detector: s.detector, Workers: 1, Confidence: rules.Medium,
		Gap:  left.add,
		Each: func(c rules.Credential, _ *revokers.Verdict, _ bool) { rec.add(ctx, c) },
	}, silent{})
	rec.flush(ctx)
	switch {
	case err != nil:
		x.failed(c)
		return err
	case rec.err != nil:
		return rec.err
	}
	for path, key := range keys {
		if !left.below[path] {
			in.items.Recorded(context.WithoutCancel(ctx), key)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if left.wait > 0 {
		return river.JobSnooze(left.wait)
	}
	if a.Run == "" && a.What == whatRuns {
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			return tx.Read(store.Repo{Target: a.Target, Repo: a.Repo, Public: known.Public, ReadAt: time.Now(), Artifacts: res.Summary.Artifacts, Gaps: left.n, Gap: left.first})
		})
	}
	s.metrics.read(a.Target, res.Summary.Artifacts, res.Summary.Bytes, left.n)
	return err
}

// unread collects what a scan could not read.
type unread struct {
	red   *report.Redactor
	n     int64
	first string
	below map[string]bool // paths, and the archives that they are in
	wait  time.Duration   // the longest that a server asked for
}

func (u *unread) add(g scanners.Gap) {
	if d, ok := throttled(g.Err); ok {
		u.wait = max(u.wait, d)
	}
	u.n += max(g.Count, 1)
	if u.first == "" {
		u.first = scanners.Clip(report.Clean(u.red.Quoted(g.Error())), 300)
	}
	for p := g.Location.Path; ; {
		u.below[p] = true
		i := strings.LastIndexByte(p, '!')
		if i < 0 {
			return
		}
		p = p[:i]
	}
}

// silent is a report.Sink that nothing reads.
type silent struct{}

// Emit implements report.Sink.
func (silent) Emit(report.Event) error { return nil }

// Close implements report.Sink.
func (silent) Close() error { return nil }

// recorder records the credentials of a scan, some at a time.
type recorder struct {
	s      *Server
	rt     *run.Runtime
	red    *report.Redactor
	target string
	public bool
	run    string
	list   []finding
	err    error
}

// finding is a credential without its secret.
type finding struct {
	row    store.Credential
	ref    rules.Ref
	places map[string]rules.Location // by digest
	order  []string
}

// batch is how many credentials are recorded together, maxPlaces how many places of one.
const (
	batch     = 50
	maxPlaces = 1000
)

func (r *recorder) add(ctx context.Context, c rules.Credential) {
	if r.err != nil {
		return
	}
	ref := c.Ref
	ref.Redacted = c.Secret.Hint()
	text, err := json.Marshal(ref)
	if err == nil {
		f := finding{ref: ref, places: map[string]rules.Location{}}
		f.row = store.Credential{Fingerprint: c.Fingerprint, Rule: c.Rule, Provider: c.Provider, Redacted: ref.Redacted, Ref: r.red.String(string(text)), Target: r.target, Public: r.public}
		for _, x := range c.Findings[:min(len(c.Findings), maxPlaces)] {
			l := r.red.Location(x.Location)
			key := r.digest(l)
			if _, had := f.places[key]; !had {
				f.places[key], f.order = l, append(f.order, key)
			}
		}
		if f.row.Sealed, err = run.SealCredential(c, r.rt.Sealer); err == nil {
			r.list = append(r.list, f)
		}
	}
	if err != nil {
		r.err = fmt.Errorf("record a credential: %w", err)
	} else if len(r.list) >= batch {
		r.flush(ctx)
	}
}

// digest names a place; keyed, since a path may contain a secret that no rule finds.
func (r *recorder) digest(l rules.Location) string {
	h := hmac.New(sha256.New, r.rt.Keys.Fingerprint[:])
	fmt.Fprintf(h, "%q %q %q %d %d %q %q %q", l.Source, l.Artifact, l.Path, l.Line, l.Column, l.Commit, l.Layer, l.Run)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// flush appends new places to the ledger, and then adds rows and jobs in one transaction. If the
// process ends in between, the next scan appends the places once more.
func (r *recorder) flush(ctx context.Context) {
	list := r.list
	r.list = nil
	if len(list) == 0 || r.err != nil {
		return
	}
	// What was found is recorded though the job is stopped.
	ctx = context.WithoutCancel(ctx)
	now := time.Now()
	var entries []ledger.Entry
	for _, f := range list {
		fresh, err := r.s.store.Unseen(ctx, f.row.Fingerprint, f.order)
		if err != nil {
			r.err = err
			return
		}
		if len(fresh) == 0 {
			continue
		}
		ref := f.ref
		found := ledger.Found{Credential: &ref}
		for _, k := range fresh {
			found.Exposures = append(found.Exposures, f.places[k])
		}
		entries = append(entries, ledger.Entry{Incident: f.row.Fingerprint, Actor: r.rt.Actor(), Run: r.run, Body: found})
	}
	if err := r.s.ledger.Append(ctx, entries...); err != nil {
		r.err = err
		return
	}
	r.err = r.s.store.Update(ctx, func(tx *store.Tx) error {
		var jobs []river.InsertManyParams
		for _, f := range list {
			before, err := tx.Found(f.row, f.order, now)
			if err != nil {
				return err
			}
			// Issuers are asked about what is new; about the rest as often as recheck says.
			if before.Fingerprint == "" || before.State == "" {
				priority := usual
				if r.public {
					priority = public
				}
				jobs = append(jobs, job(ProbeArgs{f.row.Fingerprint}, queueProbe, priority))
			}
		}
		return r.s.insert(ctx, tx, jobs...)
	})
}
