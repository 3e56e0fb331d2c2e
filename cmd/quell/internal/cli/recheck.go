package cli

import "github.com/spf13/cobra"

func (a *app) recheck() *cobra.Command {
	var purge bool
	c := &cobra.Command{Use: "recheck", Short: "Ask again about every credential that was killed here", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		rt, err := a.runtime(mayLackSecrets)
		if err != nil {
			return err
		}
		if purge {
			n, err := rt.Forget(c.Context())
			a.say("%d sealed credentials forgotten; the ledger stays", n)
			return err
		}
		sink, err := a.sink(rt.Rules)
		if err != nil {
			return err
		}
		defer sink.Close()
		sum, err := rt.Recheck(c.Context(), sink)
		if err != nil {
			return err
		}
		return finish(sink, sum)
	}}
	c.Flags().BoolVar(&purge, "purge", false, "forget the sealed credentials instead")
	return c
}
