package run

import (
	"context"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// window is the credentials whose issuers are asked at one time.
type window struct {
	*scan
	ask    bool
	until  time.Time // when the time for asking is over
	list   []grouped
	places int
}

const (
	maxWindow       = 1024
	maxWindowPlaces = 4 * maxPlaces
)

func (w *window) add(c grouped) {
	w.list = append(w.list, c)
	w.places += len(c.Findings)
}

func (w *window) full() bool { return len(w.list) >= maxWindow || w.places >= maxWindowPlaces }

// flush asks about the credentials and emits them.
func (w *window) flush(ctx context.Context) {
	creds := make([]rules.Credential, len(w.list))
	for i, c := range w.list {
		creds[i] = c.Credential
	}
	var checked []Checked
	if w.ask || w.Keep && !w.out.Tally.Interrupted {
		// Without --offline issuers answer; with it, some verdicts need no answer.
		var err error
		if checked, err = w.checker().Check(ctx, creds, nil); err != nil {
			w.out.Tally.Interrupted = true
		}
	}
	for i, c := range w.list {
		if w.ask {
			w.credential(c, &checked[i])
		} else {
			w.credential(c, nil)
		}
	}
	if w.Keep {
		w.out.Credentials = append(w.out.Credentials, creds...)
		w.out.Checked = append(w.out.Checked, checked...)
	}
	w.list, w.places = nil, 0
}

// checker asks within what is left of the time for asking.
func (w *window) checker() *Checker {
	k := w.Checker()
	if k.Time == 0 {
		k.Time = probeTime
	}
	if w.until.IsZero() {
		w.until = time.Now().Add(k.Time)
	}
	k.Time = max(time.Until(w.until), time.Nanosecond)
	return k
}

// probeTime limits the time for probes in one run, unless the options set another.
const probeTime = 10 * time.Minute

// credential emits a credential with its verdicts, and counts it.
func (s *scan) credential(c grouped, checked *Checked) {
	sealed, err := SealCredential(c.Credential, s.Sealer)
	s.fail(err)
	var v *revokers.Verdict
	if checked != nil {
		best := checked.Verdict()
		v = &best
	}
	e := CredentialEvent(c.Credential, sealed)
	e.Findings, e.Inside = c.Count, c.Inside
	e.Counts = s.FailOn.Counts(c.Credential, v)
	accepted, why := false, ""
	if e.Unanswered = v != nil && v.Unanswered(); e.Unanswered {
		if why, accepted = s.Allow.AcceptsKind(string(v.Reason), c.Provider, s.start); accepted {
			e.Unanswered = false
			s.unjudged[why]++
		}
	}
	if s.ShowSecrets {
		e.Secret = c.Secret.Reveal()
	}
	s.emit(e)
	sum := &s.out.Summary
	sum.Credentials++
	if checked != nil {
		for _, x := range checked.Verdicts {
			s.emit(report.Verdict{Fingerprint: c.Fingerprint, Verdict: x})
		}
	}
	CountVerdict(sum, v, revokers.Over(c.Ref, s.start) && !c.Renewable)
	if accepted {
		sum.Unanswered--
	}
	if v != nil && v.Reason == revokers.Refused {
		// The hints at the end count them; they need the provider and the verdict.
		s.refused = append(s.refused, Checked{Credential: rules.Credential{Ref: rules.Ref{Provider: c.Provider}}, Verdicts: []revokers.Verdict{*v}})
	}
	if e.Counts {
		s.out.Tally.Count(c.Fingerprint)
	}
	if s.Each != nil {
		s.Each(c.Credential, v, e.Counts)
	}
}
