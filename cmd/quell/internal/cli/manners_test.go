package cli

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
)

func newApp() *app {
	return &app{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }, red: report.NewRedactor(), ctx: context.Background(), watch: &run.Watch{}}
}

// Every command has an example, and every example names a command and flags that
// exist.
func TestExamplesAreCommandsThatExist(t *testing.T) {
	n := 0
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		path := c.CommandPath()
		if c.Runnable() && !strings.HasPrefix(path, "quell completion") && c.Name() != "help" && c.Example == "" {
			t.Errorf("%s has no example", path)
		}
		for _, line := range strings.Split(c.Example, "\n") {
			_, command, ok := strings.Cut(line, "quell ")
			if !ok {
				if line != "" && !strings.HasPrefix(path, "quell completion") {
					t.Errorf("%s: %q runs no quell", path, line)
				}
				continue
			}
			command, _, _ = strings.Cut(command, " < ")
			root := newApp().root()
			sub, args, err := root.Find(strings.Fields(command))
			if err == nil {
				err = sub.ParseFlags(args)
			}
			if err == nil && sub.Args != nil {
				err = sub.Args(sub, sub.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: %q: %v", path, line, err)
			}
			n++
		}
		for _, s := range c.Commands() {
			each(s)
		}
	}
	each(newApp().root())
	if n < 30 {
		t.Errorf("only %d examples", n)
	}
}

// Two flags never have one variable, and no flag that decides an act has one.
func TestVariablesOfFlags(t *testing.T) {
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		seen := map[string]string{}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			v := variable(f)
			if v == "" {
				return
			}
			if seen[v] != "" {
				t.Errorf("%s: %s sets --%s and --%s", c.CommandPath(), v, seen[v], f.Name)
			}
			seen[v] = f.Name
			switch f.Name {
			case "break-glass", "reveal", "only", "force", "purge", "accept":
				t.Errorf("%s has %s", f.Name, v)
			}
		})
		for _, s := range c.Commands() {
			each(s)
		}
	}
	each(newApp().root())
}

func TestHintsOfAMessageAreOne(t *testing.T) {
	for s, want := range map[string]string{
		"a":                                 "a",
		"a (hint: b)":                       "a (hint: b)",
		"x: a (hint: b) (hint: c)":          "x: a (hint: b; c)",
		"a (hint: b (as in c)) (hint: b)":   "a (hint: b (as in c); b)",
		"a (hint: b); d (hint: b)":          "a; d (hint: b)",
		"a (hint: b (hint: c":               "a (hint: b (hint: c",
		"two (hint: one (hint: inner) end)": "two (hint: one (hint: inner) end)",
	} {
		if got := oneHint(s); got != want {
			t.Errorf("%q: %q", s, got)
		}
	}
}
