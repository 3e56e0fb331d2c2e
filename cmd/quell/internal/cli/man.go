package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// man writes the manual pages for packages. The date is SOURCE_DATE_EPOCH's, so that
// two builds are equal.
func (a *app) man() *cobra.Command {
	return &cobra.Command{Use: "man DIR", Short: "Write the manual pages to a folder", Args: cobra.ExactArgs(1), Hidden: true, RunE: func(c *cobra.Command, args []string) error {
		if err := os.MkdirAll(args[0], 0o755); err != nil {
			return fmt.Errorf("man: %w", err)
		}
		var seconds int64
		_, _ = fmt.Sscan(a.getenv("SOURCE_DATE_EPOCH"), &seconds)
		at := time.Unix(seconds, 0).UTC()
		root := c.Root()
		root.DisableAutoGenTag = true
		if err := doc.GenManTree(root, &doc.GenManHeader{Title: "QUELL", Section: "1", Date: &at, Source: "quell " + Version(), Manual: "quell"}, args[0]); err != nil {
			return fmt.Errorf("man: %w", err)
		}
		return nil
	}}
}
