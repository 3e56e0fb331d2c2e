package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

func (a *app) plan() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "plan [REPORT…]", Short: "Write what would be done about the credentials of reports, and change nothing",
		Long: `Write what would be done about the credentials of JSON-lines reports.

The plan goes to --output (or standard output), sealed and signed, for quell
apply; what it says is shown on standard error.`,
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
			creds, err := a.credentials(rt, args, "", "")
			if err != nil {
				return err
			}
			verdicts, err := run.Check(c.Context(), rt.Prober, creds)
			if err != nil {
				return err
			}
			p, err := a.makePlan(c.Context(), rt, creds, verdicts, reason)
			if err != nil {
				return err
			}
			text, err := report.New("text", a.err, rt.Rules)
			if err != nil {
				return err
			}
			show := report.Redacting(text, a.red)
			for _, it := range p.Items {
				if err := show.Emit(run.ActionOf(it)); err != nil {
					return err
				}
			}
			if err := show.Close(); err != nil {
				return err
			}
			b, err := plan.Sign(p, rt.Keys.Sign)
			if err != nil {
				return err
			}
			if file == nil {
				_, err = a.out.Write(b)
				return err
			}
			if _, err := file.Write(b); err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			if err := file.Commit(); err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			a.say("%d of %d credentials would be ended; apply within %s: quell apply %s", doable(p), len(p.Items), rt.Policy.MaxAge(), a.output)
			return nil
		}}
	c.Flags().StringVar(&reason, "break-glass", "", "kill without shown ownership or a sure verdict, for this `REASON`, which is recorded")
	return c
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

func (a *app) makePlan(ctx context.Context, rt *run.Runtime, creds []rules.Credential, verdicts []revokers.Verdict, reason string) (*plan.Plan, error) {
	for _, c := range creds {
		a.red.Add(c.Secret)
	}
	pl := run.Planner{Prober: rt.Prober, Policy: rt.Policy, Own: run.OwnSecrets(rt.Prober.Instances, a.getenv), BreakGlass: reason,
		Recipients: rt.Recipients, Names: rt.RecipientNames, Redactor: a.red, NoKill: a.getenv("QUELL_NO_KILL") != ""}
	return pl.Plan(ctx, creds, verdicts)
}

func (a *app) apply() *cobra.Command {
	var trust []string
	c := &cobra.Command{Use: "apply PLAN", Short: "Do what a plan says, and prove it", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		rt, err := a.runtime(needsSecrets)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(args[0])
		if err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		keys, err := trusted(rt, trust)
		if err != nil {
			return err
		}
		p, id, err := plan.Verify(b, keys, rt.Policy.MaxAge(), time.Now())
		if err != nil {
			return err
		}
		sink, err := a.sink(rt.Rules)
		if err != nil {
			return err
		}
		defer sink.Close()
		code, err := a.runApply(c.Context(), rt, p, id, sink, report.Summary{})
		if err != nil {
			return err
		}
		if code != exitClean {
			return exit(code)
		}
		return nil
	}}
	c.Flags().StringArrayVar(&trust, "trust-key", nil, "also take plans signed by this Ed25519 public `KEY` (base64)")
	return c
}

// runApply applies p, closes the sink and gives the exit code.
func (a *app) runApply(ctx context.Context, rt *run.Runtime, p *plan.Plan, id string, sink report.Sink, sum report.Summary) (int, error) {
	if a.offline {
		return 0, errors.New("apply asks and revokes; --offline forbids it")
	}
	led, err := rt.Ledger()
	if err != nil {
		return 0, err
	}
	defer led.Close()
	ids, err := rt.Identities()
	if err != nil {
		return 0, err
	}
	ap := run.Applier{Prober: rt.Prober, Policy: rt.Policy, Own: run.OwnSecrets(rt.Prober.Instances, a.getenv), Ledger: led, Identities: ids, Recipients: rt.Recipients,
		Actor: a.actor(), NoKill: a.getenv("QUELL_NO_KILL") != "", Progress: func(s string) { a.say("%s", report.Clean(s)) }}
	sum.Outcomes = map[revokers.Outcome]int{}
	start := time.Now()
	err = ap.Apply(ctx, p, id, func(act report.Action) error {
		if act.Outcome != "" {
			sum.Outcomes[act.Outcome]++
		}
		return sink.Emit(act)
	})
	code := exitClean
	for o, n := range sum.Outcomes {
		if n > 0 && o != revokers.Confirmed {
			code = exitLeft
		}
	}
	if ctx.Err() != nil {
		code, err = exitInterrupted, nil
	}
	if err != nil {
		_ = sink.Close()
		return 0, err
	}
	sum.Seconds += time.Since(start).Seconds()
	sum.ExitCode = code
	return code, errors.Join(sink.Emit(sum), sink.Close())
}

// actor names who runs quell, for the ledger.
func (a *app) actor() string {
	if v := a.getenv("GITHUB_ACTOR"); v != "" {
		return "github:" + v
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// end plans and applies what a scan found, closes the sink and gives the exit code.
func (a *app) end(ctx context.Context, rt *run.Runtime, res *scanned, sink report.Sink, sum report.Summary, reason string) (int, error) {
	if res.verdicts == nil {
		res.verdicts = make([]revokers.Verdict, len(res.Credentials))
	}
	p, err := a.makePlan(ctx, rt, res.Credentials, res.verdicts, reason)
	if err != nil {
		return 0, err
	}
	b, err := plan.Sign(p, rt.Keys.Sign)
	if err != nil {
		return 0, err
	}
	keys, err := trusted(rt, nil)
	if err != nil {
		return 0, err
	}
	p, id, err := plan.Verify(b, keys, rt.Policy.MaxAge(), time.Now())
	if err != nil {
		return 0, err
	}
	code, err := a.runApply(ctx, rt, p, id, sink, sum)
	// What was killed is known to be dead now and counts no more; what could not be
	// read still does.
	if err == nil && code == exitClean && len(res.Gaps) > 0 {
		code = exitIncomplete
	}
	return code, err
}

func (a *app) contain() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "contain", Short: "Scan, plan and apply in one go, under a policy file", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return errors.New("contain what? log, git, image or path") }}
	c.PersistentFlags().StringVar(&reason, "break-glass", "", "kill without shown ownership or a sure verdict, for this `REASON`, which is recorded")
	for _, s := range sources {
		sub := &cobra.Command{Use: s.use, Short: s.short, Args: cobra.MinimumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
			if a.policyFile == "" {
				return errors.New("contain kills without asking again, so its policy must be named (quell: hint: --policy FILE; quell policy init makes one)")
			}
			rt, err := a.runtime(needsSecrets)
			if err != nil {
				return err
			}
			src, err := s.open(a, rt, args)
			if err != nil {
				return err
			}
			fail, err := run.ParseFailOn(a.failOn)
			if err != nil {
				return err
			}
			sink, err := a.sink(rt.Rules)
			if err != nil {
				return err
			}
			defer sink.Close()
			res, err := a.doScan(c.Context(), rt, src)
			if err != nil {
				return err
			}
			sum, _, err := a.emitScan(rt, sink, "contain "+s.name, args, res, fail)
			if err != nil {
				return err
			}
			code, err := a.end(c.Context(), rt, res, sink, sum, reason)
			if err != nil {
				return err
			}
			if code != exitClean {
				return exit(code)
			}
			return nil
		}}
		if s.flags != nil {
			s.flags(a, sub.Flags())
		}
		c.AddCommand(sub)
	}
	return c
}
