package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/run"
)

func (a *app) recheck() *cobra.Command {
	var purge, due bool
	c := &cobra.Command{Use: "recheck", Short: "Ask again about every credential that this installation killed", Long: `Ask again about every credential that this installation killed, at the endpoint that
answered live, and record the answers in the ledger. A credential that was dead and is
accepted again is reported as StillAlive. Exit code 1: a credential is live; 4: a question
was not answered.

With --due quell asks only about credentials that the schedule has due: 1 hour, 6 hours,
1 day, 7 days and 30 days after the last outcome. Run it every hour, by cron or a timer.`, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		rt, err := a.runtime(mayLackSecrets)
		if err != nil {
			return err
		}
		if purge {
			n, err := rt.Forget(c.Context())
			a.printf("%d sealed credentials forgotten; the ledger stays", n)
			return err
		}
		sink, err := a.sink(rt.Rules)
		if err != nil {
			return err
		}
		defer sink.Close()
		sum, err := rt.Recheck(c.Context(), sink, due)
		if errors.Is(err, run.ErrUnrecorded) {
			return errors.Join(sink.Emit(sum), err)
		}
		if err != nil {
			return err
		}
		return finish(sink, sum)
	}}
	c.Flags().BoolVar(&purge, "purge", false, "delete the sealed credentials instead of asking")
	c.Flags().BoolVar(&due, "due", false, "ask only about credentials that are due: 1h, 6h, 24h, 7d or 30d after the last outcome")
	return c
}
