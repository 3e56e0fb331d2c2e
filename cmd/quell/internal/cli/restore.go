package cli

import "github.com/spf13/cobra"

func (a *app) restore() *cobra.Command {
	return &cobra.Command{Use: "restore INCIDENT", Short: "Take a reversible kill back (a prefix of the incident's id suffices)", Args: cobra.ExactArgs(1),
		Long: `Take a reversible kill back.

Only kills whose rules file names a request that restores the credential can be
taken back, within the time that the issuer allows; quell rules explain shows
both. The credential is the one that leaked: replace it.`,
		RunE: func(c *cobra.Command, args []string) error {
			rt, err := a.runtime(needsSecrets)
			if err != nil {
				return err
			}
			sink, err := a.sink(rt.Rules)
			if err != nil {
				return err
			}
			defer sink.Close()
			sum, err := rt.Restore(c.Context(), args[0], sink)
			if err != nil {
				return err
			}
			return finish(sink, sum)
		}}
}
