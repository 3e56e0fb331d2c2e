package run

import (
	"context"
	"errors"
	"os/user"
	"regexp"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/detect"
)

// Plan decides what would be done about credentials. breakGlass is the reason
// for ending what policy would hold; a secret in it is redacted.
func (r *Runtime) Plan(ctx context.Context, checked []Checked, breakGlass string) (*plan.Plan, error) {
	for _, c := range checked {
		r.Redactor.Add(c.Secret)
	}
	return r.Planner(r.Typed(breakGlass)).Plan(ctx, checked)
}

// Typed redacts the words with secrets in text that a person typed and that is recorded, such as
// a reason: secrets that this process has seen, and those that the rules find.
func (r *Runtime) Typed(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	d := detect.New(r.Rules)
	if r.Redactor.Detect == nil {
		r.Redactor.Detect = SecretsIn(d)
	}
	for _, s := range secretsOf(d, text) { // as a whole: Quoted reads names, which have parts
		r.Redactor.Add(s)
	}
	// A word next to a match may be a part of the secret that the rule did not match.
	clean := redactedWord.ReplaceAllString(r.Redactor.Quoted(text), rules.Redacted)
	if clean != report.Name(text) {
		r.options.Progress("the reason contained a secret: it is recorded without it")
	}
	return clean
}

var redactedWord = regexp.MustCompile(`\S*` + regexp.QuoteMeta(rules.Redacted) + `\S*`)

// ApplyOptions is what a caller chooses about an apply; see Applier.
type ApplyOptions struct {
	DryRun      bool
	Only        []string
	RevokeFirst bool
	// Reserve is the Applier's; may be nil.
	Reserve func(ctx context.Context, fingerprint string) *policy.Hold
	// Servers gives the CI servers for the plan's deletions; nil: none is named, and everything
	// stays.
	Servers Servers
	// Delete adds deletions to the plan after its kills, which nothing delays.
	Delete DeletionOptions
}

// Apply carries out a plan and emits an action for each item. The summary
// and the tally are those of the run's earlier steps: Apply adds the outcomes
// and the exit code. An interruption is no error; the exit code shows it.
func (r *Runtime) Apply(ctx context.Context, p *plan.Plan, id string, o ApplyOptions, sink report.Sink, sum report.Summary, tally Tally) (report.Summary, error) {
	led, err := r.Ledger(ctx)
	if err != nil {
		return sum, err
	}
	defer led.Close()
	a, err := r.Applier(led, p.BreakGlass)
	if err != nil {
		return sum, err
	}
	a.DryRun, a.Only, a.RevokeFirst = o.DryRun, o.Only, o.RevokeFirst
	a.Reserve = o.Reserve
	sum.Outcomes = map[prove.Outcome]int{}
	start := r.options.Now()
	ended := map[string]report.Action{}
	err = a.Apply(ctx, p, id, func(act report.Action) error {
		ended[act.Fingerprint] = act
		if act.Outcome != "" {
			sum.Outcomes[act.Outcome]++
		}
		tally.add(act)
		return sink.Emit(withNext(act))
	})
	if err == nil && ctx.Err() == nil && len(o.Delete.Kinds) > 0 {
		if err = r.PlanDeletions(ctx, p, o.Delete); err == nil {
			o.Servers = o.Delete.Servers
			for _, n := range r.TakeNotices() {
				err = errors.Join(err, sink.Emit(n))
			}
		}
	}
	if err == nil && len(p.Deletions) > 0 {
		c := closing{Runtime: r, applier: a, plan: p, id: id, servers: o.Servers, ended: ended, dry: o.DryRun, some: len(o.Only) > 0, each: o.Delete.Each}
		err = c.run(ctx, sink.Emit, &tally)
	}
	tally.Interrupted = ctx.Err() != nil
	var unrecorded UnrecordedError
	if errors.As(err, &unrecorded) {
		tally.Failed = true
		err = sink.Emit(report.Notice{Message: unrecorded.Error(), Incomplete: true})
	}
	if err != nil && !tally.Interrupted {
		return sum, err
	}
	sum.Seconds += time.Since(start).Seconds()
	sum.ExitCode = tally.ExitCode()
	return sum, nil
}

// Contain plans and applies the findings of a scan, whose summary and tally it
// continues. A killed credential is known to be dead and is no finding any more;
// unread input and unanswered questions still count.
func (r *Runtime) Contain(ctx context.Context, checked []Checked, breakGlass string, sink report.Sink, sum report.Summary, tally Tally) (report.Summary, error) {
	return r.ContainAndDelete(ctx, checked, breakGlass, DeletionOptions{}, sink, sum, tally)
}

// ContainAndDelete is Contain, and then deletes what CI systems keep of the leak.
func (r *Runtime) ContainAndDelete(ctx context.Context, checked []Checked, breakGlass string, o DeletionOptions, sink report.Sink, sum report.Summary, tally Tally) (report.Summary, error) {
	p, err := r.Plan(ctx, checked, breakGlass)
	if err != nil {
		return sum, err
	}
	for _, n := range r.TakeNotices() {
		if err := sink.Emit(n); err != nil {
			return sum, err
		}
	}
	tally.Incomplete += r.unsearched
	id, err := p.ID()
	if err != nil {
		return sum, err
	}
	return r.Apply(ctx, p, id, ApplyOptions{Delete: o}, sink, sum, tally)
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
