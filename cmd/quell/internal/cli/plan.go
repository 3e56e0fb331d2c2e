package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/scanners/ci/removal"
)

func (a *app) plan() *cobra.Command {
	var reason string
	var o run.DeletionOptions
	var urls map[string]string
	c := &cobra.Command{Use: "plan [REPORT…]", Short: "Write a plan of the requests that end the credentials of reports, and send none",
		Long: `Write a plan of the requests that end the credentials of reports: quell's JSON
lines, or reports of gitleaks, betterleaks, TruffleHog, Kingfisher,
detect-secrets, ggshield, GitHub's secret-scanning alerts and SARIF.

The plan goes to --output (or standard output), sealed and signed, for quell
apply; a summary of it goes to standard error, and reports of it to the files of
--report.

With --delete it also has the requests that delete the copies of the leak in CI
systems. quell apply sends them once every credential in a log is proven dead and
a sealed copy is kept; docs/ci.md lists what each system can delete.`,
		RunE: func(c *cobra.Command, args []string) error {
			rt, err := a.runtime(needsSecrets)
			if err != nil {
				return err
			}
			var file *output.File
			if a.output != stdout && a.output != "" {
				if file, err = output.Create(a.output, output.Mode); err != nil {
					return fmt.Errorf("plan: %w", err)
				}
				defer file.Discard()
			}
			t, err := a.sinks(rt.Rules, func(show report.Show) (report.Sink, error) {
				text, err := report.New("text", a.meter.over(a.err), rt.Rules, a.style(a.err, show))
				return withoutSummary{text}, err
			})
			if err != nil {
				return err
			}
			show := report.Redacting(t, a.red)
			defer show.Close()
			creds, err := a.credentials(rt, args, "", "")
			if err != nil {
				return err
			}
			checked, err := rt.Checker().Check(c.Context(), creds, nil)
			if err != nil {
				return err
			}
			p, err := rt.Plan(c.Context(), checked, reason)
			if err != nil {
				return err
			}
			o.Servers = a.servers(rt, urls, o.Comment)
			if err := rt.PlanDeletions(c.Context(), p, o); err != nil {
				return err
			}
			sum := report.Summary{Credentials: len(checked), Incomplete: a.unread + rt.Unsearched()}
			for _, c := range checked {
				v := c.Verdict()
				run.CountVerdict(&sum, &v, false)
			}
			if sum.Incomplete > 0 {
				sum.ExitCode = exitIncomplete
			}
			if err := show.Emit(report.Config{Protocol: report.Protocol, Version: Version(), Command: "plan", Targets: args, Rules: len(rt.Rules.Rules), At: time.Now().UTC()}); err != nil {
				return err
			}
			if err := warn(rt, show); err != nil {
				return err
			}
			for n, it := range p.Items {
				if err := show.Emit(run.ActionOf(n+1, it)); err != nil {
					return err
				}
			}
			for _, d := range p.Deletions {
				if err := show.Emit(report.Notice{Message: run.DeletionText(d)}); err != nil {
					return err
				}
			}
			if err := errors.Join(show.Emit(sum), show.Close()); err != nil {
				return err
			}
			if n := run.Leaks(p); n > 0 && len(o.Kinds) == 0 {
				a.printf("they are in %s of CI systems: --delete %s adds the deletion, once they are dead", report.Count(int64(n), "log or artifact"), strings.Join(removal.Kinds(), ","))
			}
			b, err := plan.Sign(p, rt.Keys.Sign)
			if err != nil {
				return err
			}
			var left error
			if sum.ExitCode != exitClean {
				left = exit(sum.ExitCode)
			}
			if file == nil {
				if _, err = a.out.Write(b); err != nil {
					return err
				}
				return left
			}
			if _, err := file.Write(b); err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			if err := file.Commit(); err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			line := fmt.Sprintf("%d of %s would be ended", doable(p), report.Count(int64(len(p.Items)), "credential"))
			if doable(p) > 0 || len(p.Deletions) > 0 {
				line += fmt.Sprintf("; apply within %s: quell apply %s", seconds(rt.Policy.MaxAge()), a.output)
			}
			a.printf("%s", line)
			return left
		}}
	c.Flags().StringVar(&reason, "break-glass", "", "kill even if ownership is not shown or the verdict is not certain, for this `REASON`, which is recorded")
	c.Flags().StringSliceVar(&o.Kinds, "delete", nil, "also delete the copies of the leak in CI systems, of these `KINDS`: logs, artifacts, caches")
	c.Flags().BoolVar(&o.Comment, "comment", false, "with --delete: comment on the pull requests of GitHub's runs")
	serverFlag(c, &urls)
	return c
}

// withoutSummary is the text of a plan: a line of its own ends it.
type withoutSummary struct{ report.Sink }

func (s withoutSummary) Emit(e report.Event) error {
	if _, ok := e.(report.Summary); ok {
		return nil
	}
	return s.Sink.Emit(e)
}

func serverFlag(c *cobra.Command, urls *map[string]string) {
	c.Flags().StringToStringVar(urls, "url", nil, "`SYSTEM=ADDRESS` of a self-hosted CI server that may be asked to delete (repeatable)")
	c.Flags().Lookup("url").DefValue = ""
}

// warn emits what the operator should know before anything is planned or killed.
func warn(rt *run.Runtime, sink report.Sink) error {
	for _, w := range rt.Warnings() {
		if err := sink.Emit(report.Notice{Message: w}); err != nil {
			return err
		}
	}
	return nil
}

func doable(p *plan.Plan) int {
	n := 0
	for _, it := range p.Items {
		if it.Kills() {
			n++
		}
	}
	return n
}

func (a *app) apply() *cobra.Command {
	var trust []string
	var o run.ApplyOptions
	var urls map[string]string
	c := &cobra.Command{Use: "apply PLAN", Short: "Send the requests of a plan, and prove the result", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		rt, err := a.runtime(needsSecrets)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(args[0])
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("plan: there is no file %s (hint: quell plan REPORT --output %s makes it)", args[0], args[0])
		}
		if err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		keys, err := trusted(rt, trust)
		if err != nil {
			return err
		}
		// Apply checks kill.max_age item by item: what was begun is finished at any
		// age.
		p, id, err := plan.Verify(b, keys, time.Now())
		if err != nil {
			return err
		}
		sink, err := a.sink(rt.Rules)
		if err != nil {
			return err
		}
		defer sink.Close()
		if err := warn(rt, sink); err != nil {
			return err
		}
		o.Servers = a.servers(rt, urls, slices.ContainsFunc(p.Deletions, func(d plan.Deletion) bool { return len(d.Comments) > 0 }))
		sum, err := rt.Apply(c.Context(), p, id, o, sink, report.Summary{}, run.Tally{})
		if err != nil {
			return err
		}
		return finish(sink, sum)
	}}
	c.Long = `Send the requests of a plan, and prove the result.

First quell asks the issuer about each credential again, and sends nothing for one that is
dead by now or that the policy no longer allows. It records each request in the ledger
before it sends it. Then it repeats the probe that answered live until the settle time is
over: the result is Confirmed if every answer is dead and your own credential, the
control, stays live. Every other result that you can change has a line "next:".

quell refuses a plan that was changed, that was signed by another installation, or whose
items were not begun within kill.max_age (15 minutes). After an interruption, run the
same command again: it goes on with what was begun.`
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "show everything and send nothing")
	c.Flags().StringSliceVar(&o.Only, "only", nil, "apply only these `ITEMS` of the plan: numbers, as 1,3, or prefixes of fingerprints")
	c.Flags().BoolVar(&o.RevokeFirst, "revoke-first", false, "revoke before rotating: the leaked value ends at once, and its consumers have none until the rotation is done")
	serverFlag(c, &urls)
	c.Flags().StringArrayVar(&trust, "trust-key", nil, "also accept plans signed by this Ed25519 public `KEY` (base64)")
	return c
}

func (a *app) contain() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "contain", Short: "Scan, plan and apply in one run, under a policy file", Args: cobra.NoArgs,
		Long: `Scan, plan and apply in one run, without a question in between. --policy names the file
that decides what may be killed; everything else is Held, with the setting that would
allow it. Use quell scan, quell plan and quell apply to read the plan first.`,
		RunE: func(c *cobra.Command, _ []string) error { return errors.New("contain what? log, git, image or path") }}
	c.PersistentFlags().StringVar(&reason, "break-glass", "", "kill even if ownership is not shown or the verdict is not certain, for this `REASON`, which is recorded")
	for _, s := range sources {
		sub := &cobra.Command{Use: s.use, Short: s.short, Args: cobra.MinimumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
			if a.offline {
				return errors.New("contain asks and revokes; --offline forbids it")
			}
			if a.policyFile == "" {
				return errors.New("contain kills without asking again, so its policy must be named (hint: --policy FILE; quell policy init makes one)")
			}
			rt, err := a.runtime(needsSecrets)
			if err != nil {
				return err
			}
			for _, w := range rt.Warnings() {
				rt.Notice(w)
			}
			src, err := s.open(a, rt, args)
			if err != nil {
				return err
			}
			o, err := a.scanOptions("contain "+s.name, args, src)
			if err != nil {
				return err
			}
			o.Keep = true
			sink, err := a.sink(rt.Rules)
			if err != nil {
				return err
			}
			defer sink.Close()
			res, err := rt.Scan(c.Context(), o, sink)
			if err != nil {
				return err
			}
			sum, err := rt.Contain(c.Context(), res.Checked, reason, sink, res.Summary, res.Tally)
			if err != nil {
				return err
			}
			return finish(sink, sum)
		}}
		if s.flags != nil {
			s.flags(a, sub.Flags())
		}
		c.AddCommand(sub)
	}
	return c
}
