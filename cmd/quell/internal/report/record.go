package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// record is what a run has found out about one credential, in little memory: formats that
// sort or group credentials keep one for each until the end.
type record struct {
	rule, provider, fingerprint, redacted, secret string

	kind       rules.Kind
	confidence rules.Confidence
	partial    bool // an incomplete value, which is never probed

	file   string   // of the first place
	places []string // the first, as Place writes them
	n      int      // how many places there are

	// The verdict, by judge.
	asked                        bool
	liveness                     revokers.Liveness
	reason                       revokers.Reason
	host, detail, remedy, expiry string
	identity                     string

	// Results of a plan or an apply.
	action, held, proof, next string
	outcome                   prove.Outcome

	doubtful   bool // suspect, unless a verdict is Dead
	counts     bool // for --fail-on, or what an apply left
	unanswered bool
}

// live reports that an issuer accepts it, for all that is known at the end of the run.
func (r *record) live() bool {
	switch r.outcome {
	case prove.Confirmed, prove.AlreadyDead:
		return false
	case prove.StillAlive:
		return true
	}
	return r.asked && r.liveness == revokers.Live
}

// suspect reports a credential that is not live for all that is known, and that
// --fail-on suspect counts.
func (r *record) suspect() bool {
	switch {
	case r.live(), r.outcome == prove.Confirmed, r.outcome == prove.AlreadyDead:
		return false
	case r.outcome == prove.Unconfirmed, r.outcome == prove.UntilExpiry:
		return true
	}
	return r.doubtful && (!r.asked || r.liveness != revokers.Dead)
}

// rank orders records: live first, then suspect.
func (r *record) rank() int {
	switch {
	case r.live():
		return 0
	case r.suspect():
		return 1
	}
	return 2
}

// state is the outcome, or else the verdict, in a few words.
func (r *record) state() string {
	switch {
	case r.outcome != "":
		return string(r.outcome)
	case r.partial:
		return "partial"
	case r.asked:
		return r.verdict()
	case r.action != "":
		return r.action
	}
	return "not asked"
}

// verdict is the liveness and its reason.
func (r *record) verdict() string {
	if !r.asked {
		return ""
	}
	if r.reason == "" {
		return r.liveness.String()
	}
	return r.liveness.String() + " (" + string(r.reason) + ")"
}

// why is the last that is known about it, and todo what the operator does next.
func (r *record) why() string  { return cmp.Or(r.held, r.proof, r.detail) }
func (r *record) todo() string { return cmp.Or(r.next, r.remedy) }

// where lists its places.
func (r *record) where() []string {
	out := slices.Clone(r.places)
	if n := int64(r.n - len(r.places)); n > 0 && len(r.places) > 0 {
		out = append(out, "and "+Count(n, "more place"))
	}
	return out
}

// inOrder sorts records: live ones first, then suspect ones.
func inOrder(list []*record) []*record {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b *record) int { return cmp.Compare(a.rank(), b.rank()) })
	return out
}

func newRecord(ref rules.Ref) *record {
	return &record{rule: ref.Rule, provider: ref.Provider, kind: ref.Kind, confidence: ref.Confidence, fingerprint: ref.Fingerprint, redacted: ref.Redacted,
		doubtful: entry{Credential: Credential{Ref: ref}}.suspect()}
}

// records keeps a record for each credential of a stream of events.
type records struct {
	list []*record
	by   map[string]*record
}

// of returns the record of a credential, a new one if there is none.
func (s *records) of(ref rules.Ref) *record {
	r := s.by[ref.Fingerprint]
	if r == nil {
		if s.by == nil {
			s.by = map[string]*record{}
		}
		r = newRecord(ref)
		s.by[ref.Fingerprint] = r
		s.list = append(s.list, r)
	}
	return r
}

// take updates the record that an event is about.
func (s *records) take(e Event) {
	switch e := e.(type) {
	case Finding:
		if e.Partial {
			r := newRecord(e.Ref)
			r.partial, r.counts, r.doubtful, r.n, r.places = true, e.Counts, false, 1, []string{Place(e.Location)}
			r.file = cmp.Or(e.Location.Path, e.Location.Artifact)
			s.list = append(s.list, r)
		}
	case Credential:
		r := s.of(e.Ref)
		r.redacted, r.secret, r.counts, r.unanswered = e.Redacted, e.Secret, e.Counts, e.Unanswered
		r.n = max(e.Findings, len(e.Locations))
		for _, l := range e.Locations[:min(len(e.Locations), maxPlaces)] {
			r.file = cmp.Or(r.file, l.Path, l.Artifact)
			r.places = append(r.places, Place(l))
		}
		if e.Offline.Expires != nil {
			r.expiry = e.Offline.Expires.Format(time.RFC3339)
		}
	case Verdict:
		if r := s.by[e.Fingerprint]; r != nil {
			r.judge(e)
		}
	case Action:
		s.of(e.Ref).act(e)
	}
}

// judge takes a verdict, and reports whether it counts: several instances can have been
// asked, and Live counts before Dead.
func (r *record) judge(e Verdict) bool {
	if r.asked && r.liveness != revokers.Unknown && e.Liveness != revokers.Live {
		return false
	}
	r.asked, r.liveness, r.reason, r.host, r.detail, r.remedy, r.identity = true, e.Liveness, e.Reason, e.Host, e.Detail, e.Remedy, pairs(e.Identity)
	if e.Expires != nil {
		r.expiry = e.Expires.Format(time.RFC3339)
	}
	return true
}

func (r *record) act(e Action) {
	r.host = cmp.Or(e.Host, r.host)
	r.action, r.outcome, r.held, r.proof, r.next = e.Action, e.Outcome, e.Held, e.Detail, e.Remedy
	switch e.Leaves() {
	case LeavesAlive:
		r.counts, r.unanswered = true, false
	case LeavesUnanswered:
		r.unanswered = true
	case LeavesDead:
		r.counts, r.unanswered = false, false
	}
}

// heading is the first line of a page. "No live credential" is only what every answer shows: not
// what was never asked, or not read.
func heading(live int, s Summary) string {
	switch {
	case live > 0:
		return Count(int64(live), "live credential")
	case s.Unknown > 0:
		return "no credential known to be live, " + Count(int64(s.Unknown), "unknown one")
	case s.Incomplete > 0:
		return "no live credential in what was read"
	}
	return "no live credential"
}
