package cli

import "github.com/spf13/cobra"

func (a *app) policy() *cobra.Command { return &cobra.Command{Use: "policy"} }
