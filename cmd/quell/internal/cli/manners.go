package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// exitCodes is the table of exit codes for help texts.
const exitCodes = `Exit codes, the first of 130, 2, 3, 1, 4 that applies:
  0    clean
  1    findings at or above --fail-on
  2    usage, configuration or internal error: no result
  3    a kill left something StillAlive, Unconfirmed, UntilExpiry, or Held although
       it is live
  4    incomplete: part of what was asked for could not be read, or a question could
       not be answered
  130  interrupted
`

const rootLong = `Find leaked tokens and sessions, ask whether they are alive, kill them, prove that
they are dead.

The environment can set each flag except those that decide a single act: QUELL_PROBE_TIME
sets --probe-time. quell config show prints each value and where it comes from.

` + exitCodes

// usageTemplate lists the flags of all commands with the root alone.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

quell --help lists the flags of all commands{{if .HasParent}} and the exit codes{{end}}.{{end}}
`

// oneAct are the flags that decide one act: a variable that stays set would decide
// each later one too.
var oneAct = []string{"accept", "admit", "break-glass", "check", "dry-run", "export", "force", "help", "only", "prove", "purge", "reason", "reveal", "revoke-first", "verify", "version"}

// variable is the environment variable of a flag; empty if it has none.
func variable(flag *pflag.Flag) string {
	if flag.Hidden || slices.Contains(oneAct, flag.Name) {
		return ""
	}
	return "QUELL_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
}

// manners are what all commands have in common: hints for what is misspelt or
// missing, flags from the environment, examples, completion.
func (a *app) manners(root *cobra.Command) {
	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return flagError(c, err) })
	root.PersistentPreRunE = func(c *cobra.Command, args []string) error {
		if err := a.fromEnvironment(c); err != nil {
			return err
		}
		a.translate(c, args)
		if f := c.Flag("report"); f != nil && f.Changed && !a.fromEnv["report"] && !writesReports(c) {
			return fmt.Errorf("%s writes no report (hint: leave --report out)", c.CommandPath())
		}
		return nil
	}
	a.completions(root)
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		if c.Example == "" {
			c.Example = examples[strings.TrimPrefix(c.CommandPath(), "quell ")]
			if p := c.Parent(); c.Example == "" && p != nil && (p.Name() == "scan" || p.Name() == "contain") {
				c.Example = "  " + p.CommandPath() + " " + strings.TrimRight(strings.ReplaceAll(strings.ReplaceAll(c.Use, "[", ""), "]", ""), "…") + " --since 30d"
			}
		}
		check := c.Args
		switch path := strings.TrimPrefix(c.CommandPath(), "quell "); path {
		case "rules explain":
			c.ValidArgsFunction = a.complete(ruleNames)
		case "ledger", "restore":
			c.ValidArgsFunction = a.incidents
		case "check":
			_ = c.RegisterFlagCompletionFunc("rule", a.complete(ruleNames))
		}
		switch {
		case c.HasSubCommands():
			c.Args = wrongCommand
		case check != nil:
			c.Args = func(c *cobra.Command, args []string) error { return wrongArgs(c, args, check(c, args)) }
		}
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each(root)
	root.InitDefaultHelpCmd()
	if i := slices.IndexFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == "help" }); i >= 0 {
		help := root.Commands()[i]
		help.Run = nil
		help.RunE = func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if err := wrongCommand(c, rest); err != nil {
				return err
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		}
	}
}

// writesReports reports a command that writes the files of --report.
func writesReports(c *cobra.Command) bool {
	words := append(strings.Fields(c.CommandPath()), "")
	return slices.Contains([]string{"scan", "check", "plan", "apply", "contain", "restore", "recheck", "hook"}, words[1])
}

// wrongCommand is about a word that is no command of c.
func wrongCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() {
			names = append(names, s.Name())
		}
	}
	hint := c.CommandPath() + " --help lists the commands"
	if len(names) == 0 {
		hint = c.CommandPath() + " --help"
	}
	if n := config.Nearest(args[0], names); n != "" {
		hint = fmt.Sprintf("did you mean %q?", c.CommandPath()+" "+n)
	} else if _, err := os.Lstat(args[0]); err == nil && !c.HasParent() {
		hint = "quell scan path " + args[0]
	}
	return fmt.Errorf("unknown command %q for %q (hint: %s)", args[0], c.CommandPath(), hint)
}

// oneHint writes the hints of a message that was wrapped several times as one, at its
// end.
func oneHint(s string) string {
	const mark = " (hint: "
	if strings.Count(s, mark) < 2 {
		return s
	}
	var hints []string
	for {
		at := strings.Index(s, mark)
		if at < 0 {
			break
		}
		rest, depth, end := s[at+len(mark):], 1, -1
		for i, r := range rest {
			switch r {
			case '(':
				depth++
			case ')':
				depth--
			}
			if depth == 0 {
				end = i
				break
			}
		}
		if end < 0 {
			return s
		}
		if h := rest[:end]; !slices.Contains(hints, h) {
			hints = append(hints, h)
		}
		s = s[:at] + rest[end+1:]
	}
	return s + mark + strings.Join(hints, "; ") + ")"
}

// wrongArgs adds to an error about the number of arguments what they are.
func wrongArgs(c *cobra.Command, args []string, err error) error {
	if err == nil {
		return nil
	}
	if len(args) == 0 {
		err = fmt.Errorf("%s needs %s", strings.TrimPrefix(c.CommandPath(), "quell "), strings.TrimPrefix(c.Use, c.Name()+" "))
	}
	return fmt.Errorf("%w (hint: %s --help)", err, c.CommandPath())
}

// flagError names the flag that an unknown one resembles.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w (hint: %s --help)", err, c.CommandPath())
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if n := config.Nearest(unknown.GetSpecifiedName(), names); n != "" && unknown.GetSpecifiedShortnames() == "" {
		return fmt.Errorf("%w (hint: did you mean --%s?)", err, n)
	}
	return fmt.Errorf("%w (hint: %s --help lists the flags)", err, c.CommandPath())
}

// fromEnvironment sets the flags that the command line does not. Of a list that may
// contain commas each line is a value.
func (a *app) fromEnvironment(c *cobra.Command) (err error) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		name := variable(f)
		// The ledger's address may contain a password, and is read where it is used.
		if name == "" || name == "QUELL_STATE" || f.Changed || err != nil {
			return
		}
		v := a.getenv(name)
		if v == "" {
			return
		}
		values := []string{v}
		if f.Value.Type() == "stringArray" {
			values = strings.FieldsFunc(v, func(r rune) bool { return r == '\n' })
		}
		for _, v := range values {
			if e := c.Flags().Set(f.Name, v); e != nil {
				err = fmt.Errorf("%s: %w (hint: it sets --%s)", name, e, f.Name)
				return
			}
		}
		if a.fromEnv == nil {
			a.fromEnv = map[string]bool{}
		}
		a.fromEnv[f.Name] = true
	})
	return err
}

// completions complete the values of flags and arguments.
func (a *app) completions(root *cobra.Command) {
	root.CompletionOptions.HiddenDefaultCmd = false
	fixed := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	for flag, f := range map[string]cobra.CompletionFunc{
		"format":         fixed(report.Formats()...),
		"confidence":     fixed("low", "medium", "high"),
		"fail-on":        fixed("never", "live", "suspect", "found"),
		"show":           fixed("live", "suspect", "all", "incomplete"),
		"no-self-hosted": a.complete(providerNames),
		"report":         fixed(formatsOf(report.Formats())...),
		"probe-time":     fixed("1m", "10m", "1h"),
	} {
		_ = root.RegisterFlagCompletionFunc(flag, f) // fails only for a flag that is missing
	}
}

func formatsOf(names []string) (out []string) {
	for _, n := range names {
		out = append(out, n+"=")
	}
	return out
}
