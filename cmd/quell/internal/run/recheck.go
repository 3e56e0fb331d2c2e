package run

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Recheck asks again about every credential that the ledger keeps, at the
// instance and by the endpoint that said Live. Live ones are findings in the
// exit code, unanswered ones make it incomplete.
func (r *Runtime) Recheck(ctx context.Context, sink report.Sink) (report.Summary, error) {
	var sum report.Summary
	if r.options.Offline {
		return sum, errOffline
	}
	led, err := r.Ledger(ctx)
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
	start := r.options.Now()
	checker := r.Checker()
	sum.Credentials = len(kept)
	for _, e := range kept {
		c, err := OpenCredential(r.Rules, e.Ref.Ref, e.Value, ids...)
		if err != nil {
			return sum, fmt.Errorf("incident %s: %w", e.Incident, err)
		}
		c.Fingerprint, c.Redacted = e.Incident, c.Secret.Hint()
		r.Redactor.Add(c.Secret)
		entries, err := led.Incident(ctx, e.Incident)
		if err != nil && len(entries) == 0 && !errors.Is(err, ledger.ErrNoIncident) {
			return sum, err
		}
		for _, l := range exposures(entries) {
			c.Findings = append(c.Findings, rules.Finding{Ref: c.Ref, Secret: c.Secret, Location: r.Redactor.Location(l)})
		}
		sum.Findings += len(c.Findings)
		verdicts := r.again(ctx, checker, e, c, killOf(entries))
		if ctx.Err() != nil {
			return sum, ctx.Err()
		}
		best := Checked{Verdicts: verdicts}.Verdict()
		CountVerdict(&sum, &best, false)
		errs := []error{sink.Emit(CredentialEvent(c, ""))}
		for _, v := range verdicts {
			errs = append(errs, sink.Emit(report.Verdict{Fingerprint: e.Incident, Verdict: v}))
		}
		if err := errors.Join(errs...); err != nil {
			return sum, err
		}
	}
	sum.Seconds = time.Since(start).Seconds()
	sum.ExitCode = Tally{Counted: sum.Live, Unanswered: sum.Credentials - sum.Live - sum.Dead}.ExitCode()
	return sum, nil
}

// exposures is where the newest record of an incident says that it was found.
func exposures(entries []ledger.Entry) (out []rules.Location) {
	for _, e := range entries {
		if f, ok := e.Body.(ledger.Found); ok && len(f.Exposures) > 0 {
			out = f.Exposures
		}
	}
	return out
}

// Forget deletes the sealed credentials that Recheck asks about, and returns
// their number. The ledger's entries stay.
func (r *Runtime) Forget(ctx context.Context) (int64, error) {
	led, err := r.Ledger(ctx)
	if err != nil {
		return 0, err
	}
	defer led.Close()
	return led.Purge(ctx)
}

// again asks about one kept credential. Rows of earlier releases do not name
// the instance: then every instance that it can belong to is asked.
func (r *Runtime) again(ctx context.Context, k *Checker, e ledger.Sealed, c credential.Credential, ended *kill) []revokers.Verdict {
	rule := r.Rules.Rule(c.Rule)
	if rule == nil {
		return []revokers.Verdict{revokers.Undecided(revokers.Unsupported, "no rule %q", c.Rule)}
	}
	if e.Ref.Instance == "" {
		return k.One(ctx, c).Verdicts
	}
	if v, done := revokers.WithoutAsking(r.Rules, c, k.Canary(c), r.options.Now()); done {
		return []revokers.Verdict{v}
	}
	in := r.instanceOf(rule, e.Ref)
	if in == nil {
		v := revokers.Undecided(revokers.NoHost, "the policy no longer names the instance %s", e.Ref.Instance)
		v.Remedy = fmt.Sprintf("an [[instance]] with url = %q in the policy", e.Ref.Instance)
		if u, err := url.Parse(e.Ref.Instance); err == nil {
			v.Host = u.Host
		}
		return []revokers.Verdict{v}
	}
	t := revokers.Target{Credential: c, Rule: rule, Instance: in}
	if e.Ref.Endpoint != "" {
		t.Seen = &revokers.Sighting{Endpoint: e.Ref.Endpoint, Learned: e.Ref.Learned}
	}
	v, _ := k.after(ctx, &t, ended)
	return []revokers.Verdict{v}
}

// instanceOf finds the ledger's own instance among today's.
func (r *Runtime) instanceOf(rule *rules.Rule, ref ledger.Ref) *issuer.Instance {
	if rule.Provider == nil {
		return nil
	}
	var found *issuer.Instance
	for _, i := range r.Instances.Of(rule.Provider.ID) {
		if i.URL.String() != ref.Instance || i.Cookie != "" && i.Cookie != ref.Cookie || ref.User != "" && i.Settings["user"] != ref.User {
			continue
		}
		if ref.Page != "" && i.Settings["probe_path"] == ref.Page {
			return i
		}
		if found == nil {
			found = i
		}
	}
	return found
}
