package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/rules"
)

// complete completes the first argument with names of the rules that the flags
// select. What is wrong with them is for the command itself to say.
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
