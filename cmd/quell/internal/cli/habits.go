package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Commands and flags that users of gitleaks and TruffleHog type by habit. They are
// hidden, and print quell's own form once.

// habitFlags are the flags of other scanners.
type habitFlags struct {
	json, verbose bool
	format, file  string
}

// habits translates a command of another scanner, and reports whether it was one.
func habits(args []string) (out []string, translated bool) {
	if len(args) == 0 {
		return args, false
	}
	rest := args[1:]
	switch args[0] {
	case "dir", "directory", "filesystem":
		out = append([]string{"scan", "path"}, rest...)
	case "stdin":
		out = append([]string{"scan", "log", "-"}, rest...)
	case "git":
		out = append([]string{"scan", "git"}, rest...)
	default:
		return args, false
	}
	return out, true
}

func (a *app) habitFlags(f *pflag.FlagSet) {
	f.BoolVar(&a.habit.json, "json", false, "")
	f.BoolVarP(&a.habit.verbose, "verbose", "v", false, "")
	f.StringVarP(&a.habit.format, "report-format", "f", "", "")
	f.StringVarP(&a.habit.file, "report-path", "r", "", "")
	for _, n := range []string{"json", "verbose", "report-format", "report-path"} {
		f.Lookup(n).Hidden = true
	}
}

// translate applies the flags of other scanners, and prints their names in quell.
func (a *app) translate(c *cobra.Command, args []string) {
	var own []string
	h := a.habit
	if h.json {
		a.format = "jsonl"
		own = append(own, "--format jsonl")
	}
	if h.verbose {
		a.show = append(a.show, "all")
		own = append(own, "--show all")
	}
	switch {
	case h.file != "":
		r := cmp.Or(h.format, "json") + "=" + h.file
		a.reports = append(a.reports, r)
		own = append(own, "--report "+r)
	case h.format != "":
		a.format = h.format
		own = append(own, "--format "+h.format)
	}
	if a.translated || len(own) > 0 {
		a.printf("quell's own form: %s", strings.Join(slices.Concat([]string{c.CommandPath()}, args, own), " "))
	}
}
