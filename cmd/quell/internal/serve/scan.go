package serve

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/riverqueue/river"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
)

// scan reads a repository, or one run of it, and records the credentials. Probes are jobs of
// their own.
//
// A run counts as read once all its credentials are recorded; a job that ends earlier leaves it
// for the next one. Each sweep compares all runs of the last weeks, so that runs that end late, are
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
	start := time.Now()
	back := x.LookBack.or(31 * day)
	if known.ReadAt.IsZero() {
		back = max(back, x.Backfill.or(90*day))
	} else {
		// Commits that were not read since, because quell or the server was down, are compared too.
		back = max(back, start.Sub(known.ReadAt)+day)
	}
	c, err := x.api()
	if err != nil {
		return err
	}
	in, err := x.open(c, a, start.Add(-back))
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
	rt, err := s.o.Runtime(true, red, s.own.all())
	if err != nil {
		return err
	}
	defer rt.Close(context.WithoutCancel(ctx))
	rec := &recorder{s: s, rt: rt, red: red, target: a.Target, public: known.Public, run: "serve " + a.Target}
	left := &unread{red: red, a: a, runs: map[string]*missed{}, below: map[string]bool{}}
	res, err := rt.Scan(ctx, run.ScanOptions{
		Command: "serve", Version: s.o.Version, Targets: []string{a.Repo}, Sources: []scanners.Source{in.Source},
		Detector: s.detector, Workers: 1, Confidence: rules.Medium,
		// The author of a run controls its log: a marker there suppresses nothing. Files of a
		// repository are reviewed.
		NoMarkers: a.What != whatGit,
		Gap:       left.add,
		Each:      func(c rules.Credential, _ *revokers.Verdict, _ bool) { rec.add(ctx, c) },
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
	if in.wait != nil && left.n > 0 {
		left.wait = max(left.wait, min(in.wait(), 2*time.Hour))
	}
	if left.wait > 0 {
		return river.JobSnooze(left.wait)
	}
	if tries := left.tries(); left.again > 0 && failures(ctx) < tries {
		return fmt.Errorf("%s of %s: %s could not be read, and may be later: %s", a.What, a.Repo, report.Count(left.again, "thing"), left.cause)
	}
	switch {
	case a.Run == "" && a.What == whatRuns:
		read := start
		if left.again > 0 || left.list {
			read = known.ReadAt // the next sweep looks back as far as this one did
		}
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			return errors.Join(
				tx.Read(store.Repo{Target: a.Target, Repo: a.Repo, Public: known.Public, ReadAt: read, Artifacts: res.Summary.Artifacts, Gaps: left.rest.n, Gap: left.rest.first}),
				s.missedRuns(ctx, tx, a, left.runs, start, start.Add(-back)))
		})
	case a.What != whatImage:
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			return tx.Missed(a.Target, a.Repo, a.What, a.Run, left.n, left.first, start)
		})
	}
	s.metrics.read(a.Target, res.Summary, left.n)
	return err
}

// missedRuns records what a sweep could not read of each run, and adds jobs for the runs of which
// something was missed earlier: a sweep does not see a run that the server no longer lists. What
// the sweep did read is not read again by such a job.
func (s *Server) missedRuns(ctx context.Context, tx *store.Tx, a ScanArgs, left map[string]*missed, start, since time.Time) error {
	list, err := tx.Unread(a.Target, a.Repo, a.What, since)
	if err != nil {
		return err
	}
	var jobs []river.InsertManyParams
	for _, id := range list {
		if left[id] == nil {
			jobs = append(jobs, job(ScanArgs{Target: a.Target, Repo: a.Repo, What: a.What, Run: id}, queueScan, late))
		}
	}
	for id, m := range left {
		if err := tx.Missed(a.Target, a.Repo, a.What, id, m.n, m.first, start); err != nil {
			return err
		}
	}
	return s.insert(ctx, tx, jobs...)
}

// missed counts the things that could not be read, and has the first message about them.
type missed struct {
	n     int64
	first string
}

func (m *missed) add(n int64, text string) {
	if m.n += n; m.first == "" {
		m.first = text
	}
}

// unread collects what a scan could not read.
type unread struct {
	red   *report.Redactor
	a     ScanArgs
	n     int64
	first string
	again int64              // of n, those that a later attempt may read
	cause string             // the first of these
	waits bool               // all of these are logs that the server does not have yet
	list  bool               // the list of the runs was not read
	runs  map[string]*missed // of n, those of one run, by its identifier
	rest  missed             // of n, the others
	below map[string]bool    // paths, and the archives that they are in
	wait  time.Duration      // the longest that a server asked for
}

func (u *unread) add(g scanners.Gap) {
	if d, ok := throttled(g.Err); ok {
		u.wait = max(u.wait, d)
	}
	u.n += max(g.Count, 1)
	text := scanners.Clip(report.Clean(u.red.Quoted(g.Error())), 300)
	if u.first == "" {
		u.first = text
	}
	if again, wait := u.passing(g); again {
		if u.again == 0 {
			u.cause, u.waits = text, true
		}
		u.again += max(g.Count, 1)
		u.waits = u.waits && wait
	}
	switch kindOf(g) {
	case scanners.GapUnreadable, scanners.GapDenied, scanners.GapMissing, scanners.GapInterrupted:
		u.list = u.list || g.Location.Path == "" || strings.HasSuffix(g.Location.Path, u.a.Repo)
	}
	of := &u.rest
	if id := g.Location.Run; id != "" {
		if u.runs[id] == nil {
			u.runs[id] = &missed{}
		}
		of = u.runs[id]
	}
	of.add(max(g.Count, 1), text)
	for p := g.Location.Path; ; {
		u.below[p] = true
		i := strings.LastIndexByte(p, '!')
		if i < 0 {
			return
		}
		p = p[:i]
	}
}

func kindOf(g scanners.Gap) string {
	if g.Kind != "" {
		return g.Kind
	}
	return scanners.KindOf(g.Err)
}

// passing reports whether a later attempt may read what a gap is about: a server or the network
// failed, a registry refused, or the logs of a run that has just ended are not there yet (wait).
func (u *unread) passing(g scanners.Gap) (again, wait bool) {
	code := ci.Status(g.Err)
	var answer *transport.Error
	if errors.As(g.Err, &answer) {
		code = answer.StatusCode
	}
	switch {
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return true, false
	case u.a.What == whatImage && code != 0:
		// No sweep reads it later.
		return true, false
	case code == http.StatusNotFound && u.a.Run != "":
		return true, true
	case code != 0:
		return false, false
	}
	return kindOf(g) == scanners.GapUnreadable, false
}

// tries returns the number of attempts of a scan with such gaps. The logs of a run become
// available within seconds or never, and the next sweep reads a run that was not read. No sweep
// reads an image, so its job is tried until it counts as discarded.
func (u *unread) tries() int {
	switch {
	case u.a.What == whatImage:
		return maxAttempts
	case u.waits:
		return 3
	}
	return 6 // about 40 minutes
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
	moved  bool // it is found at a place that was not recorded
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
		shown := r.red.String(string(text))
		if json.Unmarshal([]byte(shown), &ref) != nil {
			ref = rules.Ref{Rule: c.Rule, Provider: c.Provider, Kind: c.Kind, Confidence: c.Confidence, Fingerprint: c.Fingerprint, Redacted: ref.Redacted}
		}
		f := finding{ref: ref, places: map[string]rules.Location{}}
		f.row = store.Credential{Fingerprint: c.Fingerprint, Rule: c.Rule, Provider: c.Provider, Redacted: ref.Redacted, Ref: shown, Target: r.target, Public: r.public}
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

// better reports whether a newly found form of a credential replaces the one in its row. A less
// specific rule, or a place where one part of a pair is missing, must not replace the form that an
// issuer can be asked about.
func better(found rules.Ref, row store.Credential) bool {
	if row.State == revokers.Live.String() || row.Outcome != "" {
		return false // this form is the one that works
	}
	var have rules.Ref
	if json.Unmarshal([]byte(row.Ref), &have) != nil {
		return true
	}
	lost, more := false, false
	for name, p := range have.PartFingerprints {
		q, ok := found.PartFingerprints[name]
		lost, more = lost || !ok, more || ok && p != q
	}
	for name := range found.PartFingerprints {
		_, had := have.PartFingerprints[name]
		more = more || !had
	}
	switch {
	case lost, have.Provider != "" && found.Provider == "":
		return false
	case have.Provider == "" && found.Provider != "":
		return true
	case more:
		// Another secret for the same name counts once the issuer refused the first one.
		return len(found.PartFingerprints) > len(have.PartFingerprints) || row.State != ""
	}
	return found.Confidence > have.Confidence
}

// enrich adds the new facts of a finding to a row, and reports whether there are any. before is
// the row as it was, and replaced is set if the find's form is kept.
func enrich(tx *store.Tx, before store.Credential, found rules.Ref, replaced bool) (bool, error) {
	var have rules.Ref
	if before.Fingerprint == "" || json.Unmarshal([]byte(before.Ref), &have) != nil {
		return false, nil
	}
	kept, was := have, before.Ref
	if replaced {
		b, err := json.Marshal(found)
		if err != nil {
			return false, err
		}
		kept, was, found = found, string(b), have
	}
	kept.Merge(found)
	b, err := json.Marshal(kept)
	if err != nil || string(b) == was {
		return false, err
	}
	return true, tx.Describe(before.Fingerprint, string(b))
}

// flush appends new places to the ledger, and then adds rows and jobs in one transaction. If the
// process ends in between, the next scan appends the places once more.
func (r *recorder) flush(ctx context.Context) {
	list := r.list
	r.list = nil
	if len(list) == 0 || r.err != nil {
		return
	}
	// Findings are recorded even if the job is stopped.
	ctx = context.WithoutCancel(ctx)
	now := time.Now()
	var entries []ledger.Entry
	for i, f := range list {
		fresh, err := r.s.store.Unseen(ctx, f.row.Fingerprint, f.order)
		if err != nil {
			r.err = err
			return
		}
		if len(fresh) == 0 {
			continue
		}
		list[i].moved = true
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
			before, replaced, err := tx.Found(f.row, f.order, now, func(before store.Credential) bool { return better(f.ref, before) })
			if err != nil {
				return err
			}
			more, err := enrich(tx, before, f.ref, replaced)
			if err != nil {
				return err
			}
			// A new credential is probed, and a dead one that leaks at another place, because it
			// may have been made valid again, or if the text names another issuer of it. Recheck probes the others.
			if before.Fingerprint == "" || before.State == "" || replaced || more && before.Outcome == "" || f.moved && before.State == revokers.Dead.String() && now.Sub(before.ProbedAt) > time.Hour {
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
