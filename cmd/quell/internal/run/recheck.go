package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
)

// Recheck asks again about every credential that was killed here. Live ones
// are findings in the exit code, unknown ones unanswered questions.
func (r *Runtime) Recheck(ctx context.Context, sink report.Sink) (report.Summary, error) {
	var sum report.Summary
	if r.options.Offline {
		return sum, errOffline
	}
	led, err := r.Ledger()
	if err != nil {
		return sum, err
	}
	defer led.Close()
	ids, err := r.Identities()
	if err != nil {
		return sum, err
	}
	kept, err := led.Kept(ctx)
	if err != nil {
		return sum, err
	}
	sum.Credentials = len(kept)
	start := r.options.Now()
	for _, e := range kept {
		s, err := config.Open(e.Sealed, ids...)
		if err != nil {
			return sum, fmt.Errorf("incident %s: %w", e.Incident, err)
		}
		rule := r.Rules.Rule(e.Rule)
		if rule == nil {
			continue // nothing knows how to ask: it counts as unanswered
		}
		cred := rules.Credential{Ref: rules.Ref{Fingerprint: e.Incident, Rule: e.Rule, Kind: rule.Kind, Redacted: s.Hint(), Cookie: e.Cookie}, Secret: s}
		r.Redactor.Add(s)
		r.Prober.SawLive(e.Incident)
		v, err := r.Prober.Verify(ctx, cred)
		if err != nil {
			return sum, err
		}
		CountVerdict(&sum, &v, false)
		if err := errors.Join(sink.Emit(CredentialEvent(cred, "")), sink.Emit(report.Verdict{Fingerprint: e.Incident, Verdict: v})); err != nil {
			return sum, err
		}
	}
	sum.Seconds = time.Since(start).Seconds()
	sum.ExitCode = Tally{Counted: sum.Live, Unanswered: sum.Credentials - sum.Live - sum.Dead}.ExitCode()
	return sum, nil
}

// Forget deletes the sealed credentials that Recheck asks about, and returns
// how many there were. The ledger's entries stay.
func (r *Runtime) Forget(ctx context.Context) (int64, error) {
	led, err := r.Ledger()
	if err != nil {
		return 0, err
	}
	defer led.Close()
	return led.Purge(ctx)
}
