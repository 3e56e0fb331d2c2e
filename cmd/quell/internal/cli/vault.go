package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/run"
)

func (a *app) vault() *cobra.Command {
	c := &cobra.Command{Use: "vault", Short: "Work with the Vaults that the policy names", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("vault what? policy") }}
	p := &cobra.Command{Use: "policy [URL]", Short: "Print the smallest Vault policy that quell's token needs", Args: cobra.MaximumNArgs(1),
		Long: `Print the smallest Vault policy that quell's token needs.

It allows the paths of the logins, rotations and references that the policy file
names for the Vault at URL (or for its only one), and nothing else:

  quell vault policy > quell.hcl
  vault policy write quell quell.hcl

Paths that need sudo are in it only if the policy file has a setting that uses
them: revoke_orphan, or tokens of a rotation. quell never uses revoke-prefix and
revoke-force.`,
		RunE: func(_ *cobra.Command, args []string) error {
			rt, err := a.runtimeWithout()
			if err != nil {
				return err
			}
			text, err := rt.VaultPolicy(strings.Join(args, ""))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.out, text)
			return err
		}}
	c.AddCommand(p)
	return c
}

// runtimeWithout sets a run up that sends nothing and needs no secret.
func (a *app) runtimeWithout() (*run.Runtime, error) {
	was := a.offline
	a.offline = true
	defer func() { a.offline = was }()
	return a.runtime(mayLackSecrets)
}
