package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/rulestest"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/detect"
)

func (a *app) rules() *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "List, explain and test rules", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return errors.New("rules what? list, explain or test") }}
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "List the rules", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			rt, err := a.runtime(mayLackSecrets)
			if err != nil {
				return err
			}
			list := slices.Clone(rt.Rules.Rules)
			slices.SortFunc(list, func(x, y *rules.Rule) int { return strings.Compare(x.ID, y.ID) })
			for _, r := range list {
				fmt.Fprintf(a.out, "%-42s %-15s %-7s %s\n", r.ID, r.Kind, r.Confidence, abilities(r))
			}
			return nil
		}},
		&cobra.Command{Use: "explain ID", Short: "Say what a rule finds, asks and does", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
			rt, err := a.runtime(mayLackSecrets)
			if err != nil {
				return err
			}
			r := rt.Rules.Rule(args[0])
			if r == nil {
				return fmt.Errorf("no rule %q (quell: hint: quell rules list)", args[0])
			}
			a.explain(rt.Rules, r)
			return nil
		}},
		&cobra.Command{Use: "test FILE…", Short: "Run the examples, look-alikes and cases of rules files", Args: cobra.MinimumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
			bad := 0
			for _, f := range args {
				b, err := os.ReadFile(f)
				if err != nil {
					return fmt.Errorf("rules: %w", err)
				}
				problems := rulestest.Accept(c.Context(), f, b)
				for _, p := range problems {
					fmt.Fprintln(a.out, p)
				}
				bad += len(problems)
				if len(problems) == 0 {
					fmt.Fprintf(a.out, "%s: accepted\n", f)
				}
			}
			if bad > 0 {
				return exit(exitFindings)
			}
			return nil
		}})
	return c
}

func abilities(r *rules.Rule) string {
	var out []string
	if r.Probe != nil {
		out = append(out, "asks")
	}
	for _, v := range r.Revokes {
		out = append(out, "revokes ("+string(v.Tier)+")")
	}
	return strings.Join(out, ", ")
}

func (a *app) explain(set *rules.Set, r *rules.Rule) {
	p := func(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }
	p("%s: %s", r.ID, r.Description)
	p("  from        %s:%d", r.File, r.Line)
	p("  kind        %s, confidence %s", r.Kind, r.Confidence)
	if r.Provider != nil {
		hosts := strings.Join(r.Provider.Hosts, ", ")
		if hosts == "" {
			hosts = "only where the operator names an instance"
		}
		p("  issuer      %s; asked at %s", r.Provider.Name, hosts)
		p("  docs        %s", r.Provider.Docs)
	}
	if r.Cookie != nil {
		p("  cookie      %s = %s", strings.Join(r.Cookie.Names, ", "), r.Cookie.Value)
	} else if r.Regex != nil {
		p("  expression  %s", r.Regex)
	}
	if slices.Contains(detect.New(set).Slow(), r.ID) {
		p("  speed       slow: the expression has no literal to search for")
	}
	if r.Checksum != "" {
		p("  checksum    %s", r.Checksum)
	}
	if r.Stateless {
		p("  stateless   accepted until it expires, whatever its issuer answers")
	}
	if q := r.Probe; q != nil {
		if q.Request != nil {
			p("  asks        %s %s", q.Request.Method, q.Request.Path)
			for _, w := range q.When {
				p("              %v: %s %s", w.Status, w.Then, w.Reason)
			}
		} else {
			p("  asks        native %s", q.Native)
		}
		if q.Note != "" {
			p("              %s", q.Note)
		}
	}
	if r.Note != "" {
		p("  note        %s", r.Note)
	}
	for _, v := range r.Revokes {
		how := "native " + v.Native
		if v.Request() != nil {
			how = v.Request().Method + " " + v.Request().Path
		}
		p("  revokes     %s: %s", v.ID, how)
		p("              tier %s, ends %s, settles within %s, source grade %s", v.Tier, v.Scope, time.Duration(v.Settle), v.Grade)
		if v.Collateral != "" {
			p("              collateral: %s", v.Collateral)
		}
	}
}
