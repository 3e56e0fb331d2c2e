package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/quellhq/quell/cmd/quell/internal/action"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

func (j *job) scanAndKill(ctx context.Context, rt *run.Runtime, kill string, sources []scanners.Source, sink report.Sink) (int, error) {
	o, err := j.scanOptions("action "+j.env.Event, j.result.Sources, sources...)
	if err != nil {
		return 0, err
	}
	o.Keep = kill == "plan" || kill == "apply"
	j.result.Counted = map[string]bool{}
	o.Each = func(c rules.Credential, _ *revokers.Verdict, counts bool) { j.result.Counted[c.Fingerprint] = counts }
	res, err := rt.Scan(ctx, o, sink)
	if err != nil {
		return 0, err
	}
	sum := res.Summary
	switch {
	case kill == "plan" && !res.Tally.Interrupted:
		if err := j.planFor(ctx, rt, res, sink); err != nil {
			return 0, err
		}
	case kill == "apply" && !res.Tally.Interrupted:
		if sum, err = rt.Contain(ctx, res.Checked, "", sink, res.Summary, res.Tally); err != nil {
			return 0, err
		}
		if err := errors.Join(sink.Emit(sum), sink.Close()); err != nil {
			return 0, err
		}
		return sum.ExitCode, j.deleteLog(ctx, rt, res)
	}
	return sum.ExitCode, errors.Join(sink.Emit(sum), sink.Close())
}

// planFor writes what would be done, for whoever holds the keys of the recipients.
func (j *job) planFor(ctx context.Context, rt *run.Runtime, res *run.Scanned, sink report.Sink) error {
	p, err := rt.Plan(ctx, res.Checked, "")
	if err != nil {
		return err
	}
	for n, it := range p.Items {
		if err := sink.Emit(run.ActionOf(n+1, it)); err != nil {
			return err
		}
	}
	b, err := plan.Sign(p, rt.Keys.Sign)
	if err != nil {
		return err
	}
	j.result.Plan = filepath.Join(j.temp, "plan.json")
	j.result.TrustKey = base64.StdEncoding.EncodeToString(rt.PublicKey())
	return output.WriteFile(j.result.Plan, b, output.Mode)
}

// durable reports whether a ledger outlives the job.
func (j *job) durable(path string) bool {
	if ledger.Remote(path) {
		return true
	}
	if j.env.Hosted || !filepath.IsAbs(path) {
		return false
	}
	for _, dir := range []string{j.env.Workspace, j.env.Temp} {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return false
		}
	}
	return true
}

// deleteLog deletes the logs of the finished run that credentials leaked into, after the
// ledger has recorded their findings, and checks that they are gone.
func (j *job) deleteLog(ctx context.Context, rt *run.Runtime, res *run.Scanned) error {
	if !j.in.DeleteLog || j.d.Run == 0 {
		return nil
	}
	var leaked []rules.Credential
	for _, c := range res.Credentials {
		if slices.ContainsFunc(c.Findings, func(f rules.Finding) bool { return f.Location.Source == "log" }) {
			leaked = append(leaked, c)
		}
	}
	if len(leaked) == 0 {
		return nil
	}
	if live := j.unproven(leaked); live != "" {
		// A log is the evidence of a credential that is still live.
		j.result.Why = append(j.result.Why, "the logs of the run are kept: "+live)
		return nil
	}
	if why := keepsLogs(ctx, rt); why != "" {
		j.result.Why = append(j.result.Why, "the logs of the run are kept: "+why)
		return nil
	}
	led, err := rt.Ledger(ctx)
	if err != nil {
		return err
	}
	defer led.Close()
	entry := func(c rules.Credential, body ledger.Body) ledger.Entry {
		return ledger.Entry{Incident: c.Fingerprint, Actor: rt.Actor(), Run: fmt.Sprintf("actions-run/%d", j.d.Run), Body: body}
	}
	for _, c := range leaked {
		var at []rules.Location
		for _, f := range c.Findings {
			at = append(at, j.red.Location(f.Location))
		}
		if err := led.Append(ctx, entry(c, ledger.Intent{Action: "delete_logs", FoundAt: at})); err != nil {
			return err
		}
	}
	gone, err := action.DeleteLogs(ctx, j.api, j.d.Run, j.d.Attempt)
	outcome := "deleted, and gone"
	switch {
	case err != nil:
		outcome = err.Error()
	case !gone:
		outcome = "deleted by GitHub's word, and still there"
	}
	j.result.Why = append(j.result.Why, "the logs of the run: "+outcome)
	word := ledger.Word("deleted")
	if err != nil || !gone {
		word = "not_deleted"
	}
	for _, c := range leaked {
		if err := led.Append(context.WithoutCancel(ctx), entry(c, ledger.Deletion{What: "the logs of the run", Outcome: word, Detail: outcome})); err != nil {
			return err
		}
	}
	return nil
}

// keepsLogs returns the reason why no log may be deleted now; empty: logs may be deleted.
func keepsLogs(ctx context.Context, rt *run.Runtime) string {
	if rt.Policy.LegalHold {
		return "legal_hold is set in the policy"
	}
	if h := rt.Switch(ctx); h != nil {
		return h.Why
	}
	return ""
}

// unproven returns the reason why a log must be kept: a credential that leaked into it is not
// proven dead. It is empty if all are.
func (j *job) unproven(leaked []rules.Credential) string {
	for _, c := range leaked {
		dead := j.result.Verdicts[c.Fingerprint].Liveness == revokers.Dead
		for _, a := range j.result.Actions {
			if a.Fingerprint == c.Fingerprint {
				dead = a.Outcome == prove.Confirmed || a.Outcome == prove.AlreadyDead || a.Action == plan.ActNone
			}
		}
		if !dead {
			return fmt.Sprintf("%s %s is not proven dead", c.Rule, c.Redacted)
		}
	}
	return ""
}
