package run

import (
	"context"
	"os/user"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Plan decides what would be done about credentials, whose verdicts are in the
// same order. breakGlass is the reason for ending what policy would hold.
func (r *Runtime) Plan(ctx context.Context, creds []rules.Credential, verdicts []revokers.Verdict, breakGlass string) (*plan.Plan, error) {
	for _, c := range creds {
		r.Redactor.Add(c.Secret)
	}
	p := Planner{
		Prober:     r.Prober,
		Policy:     r.Policy,
		Own:        OwnSecrets(r.Instances, r.options.Getenv),
		BreakGlass: breakGlass,
		Recipients: r.Recipients,
		Names:      r.RecipientNames,
		Redactor:   r.Redactor,
		NoKill:     r.noKill(),
	}
	return p.Plan(ctx, creds, verdicts)
}

// Apply does what a plan says and emits an action for each item. The summary
// and the tally are those of what the run did before: Apply adds the outcomes
// and the exit code. An interruption is no error, but in the exit code.
func (r *Runtime) Apply(ctx context.Context, p *plan.Plan, id string, sink report.Sink, sum report.Summary, tally Tally) (report.Summary, error) {
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
	a := Applier{
		Prober:     r.Prober,
		Policy:     r.Policy,
		Own:        OwnSecrets(r.Instances, r.options.Getenv),
		Ledger:     led,
		Identities: ids,
		Recipients: r.Recipients,
		Actor:      r.Actor(),
		NoKill:     r.noKill(),
		Progress:   func(s string) { r.options.Progress(report.Clean(s)) },
	}
	sum.Outcomes = map[revokers.Outcome]int{}
	start := r.options.Now()
	err = a.Apply(ctx, p, id, func(act report.Action) error {
		if act.Outcome != "" {
			sum.Outcomes[act.Outcome]++
		}
		return sink.Emit(act)
	})
	tally.Interrupted = ctx.Err() != nil
	if err != nil && !tally.Interrupted {
		return sum, err
	}
	sum.Seconds += time.Since(start).Seconds()
	tally.Left += left(sum.Outcomes)
	sum.ExitCode = tally.ExitCode()
	return sum, nil
}

// Contain plans and applies what a scan found, whose summary and tally it
// continues. What was killed is known to be dead and is no finding any more;
// what could not be read is still missing.
func (r *Runtime) Contain(ctx context.Context, creds []rules.Credential, verdicts []revokers.Verdict, breakGlass string, sink report.Sink, sum report.Summary, tally Tally) (report.Summary, error) {
	if verdicts == nil {
		verdicts = make([]revokers.Verdict, len(creds))
	}
	p, err := r.Plan(ctx, creds, verdicts, breakGlass)
	if err != nil {
		return sum, err
	}
	id, err := p.ID()
	if err != nil {
		return sum, err
	}
	tally.Counted, tally.Unanswered = 0, 0
	return r.Apply(ctx, p, id, sink, sum, tally)
}

// noKill reports the environment's switch that stops all killing.
func (r *Runtime) noKill() bool { return r.options.Getenv("QUELL_NO_KILL") != "" }

// Actor names who runs quell, for the ledger.
func (r *Runtime) Actor() string {
	if v := r.options.Getenv("GITHUB_ACTOR"); v != "" {
		return "github:" + v
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
