package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/rules"
)

// complete completes the first argument with names of the rules that the flags select. It
// ignores wrong flags: the command itself reports them.
func (a *app) complete(names func(*rules.Set) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.err = io.Discard
		rt, err := a.reader()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, n := range names(rt.Rules) {
			if strings.HasPrefix(n, begun) {
				out = append(out, n)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// incidents completes the id of an incident, with what leaked as its description.
func (a *app) incidents(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	a.err = io.Discard
	rt, err := a.reader()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	l, err := rt.Ledger(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer l.Close()
	var out []string
	for s, err := range l.Incidents(c.Context()) {
		if err != nil {
			break
		}
		if strings.HasPrefix(s.Incident, begun) {
			what := string(s.Outcome)
			if s.Credential != nil {
				what += " " + s.Credential.Rule
			}
			out = append(out, s.Incident+"\t"+what)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
