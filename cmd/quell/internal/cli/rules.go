package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/rulestest"
	"github.com/quellhq/quell/rules"
)

func (a *app) rules() *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "List, explain, test and convert rules", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return errors.New("rules: a command is missing: list, explain, test or convert")
	}}
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "List the rules", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			rt, err := a.reader()
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
		&cobra.Command{Use: "explain ID", Short: "Print a rule's detection, probes and revocations, with their sources", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
			rt, err := a.reader()
			if err != nil {
				return err
			}
			r := rt.Rules.Rule(args[0])
			if r == nil {
				return noRule(args[0], rt.Rules)
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
		}},
		a.convertRules())
	return c
}

// convertRules rewrites files of an earlier release in place.
func (a *app) convertRules() *cobra.Command {
	return &cobra.Command{Use: "convert FILE…", Short: "Convert rules files of an earlier release to the current language", Args: cobra.MinimumNArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		for _, f := range args {
			b, err := os.ReadFile(f)
			if err != nil {
				return fmt.Errorf("rules: %w", err)
			}
			out, changes, err := rules.Convert(f, b)
			if err != nil {
				return fmt.Errorf("rules: %w", err)
			}
			for _, c := range changes {
				fmt.Fprintln(a.out, c)
			}
			if len(changes) == 0 {
				fmt.Fprintf(a.out, "%s: nothing to convert\n", f)
				continue
			}
			if err := output.WriteFile(f, out, 0o644); err != nil {
				return fmt.Errorf("rules: %w", err)
			}
		}
		return nil
	}}
}

func noRule(id string, set *rules.Set) error {
	hint := "quell rules list"
	if n := config.Nearest(id, ruleNames(set)); n != "" {
		hint = fmt.Sprintf("did you mean %q? %s lists them", n, hint)
	}
	return fmt.Errorf("no rule %q (hint: %s)", id, hint)
}

func ruleNames(set *rules.Set) []string {
	var out []string
	for _, r := range set.Rules {
		out = append(out, r.ID)
	}
	slices.Sort(out)
	return out
}
