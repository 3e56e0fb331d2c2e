// Package cli is the command line, with one file for each command. Data goes to standard output,
// diagnostics to standard error.
package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
)

// Exit codes, as package run documents them.
const (
	exitClean       = run.ExitClean
	exitFindings    = run.ExitFindings
	exitFailed      = run.ExitFailed
	exitIncomplete  = run.ExitIncomplete
	exitInterrupted = run.ExitInterrupted
)

// exit is an exit code as an error. Its message has been printed already, or none is needed.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// app is the state that all commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string

	// Flags of all commands.
	policyFile string
	state      string
	format     string
	output     string
	reports    []string
	ruleFiles  []string
	offline    bool
	confidence string
	allow      []string
	noMarkers  bool
	failOn     string
	reveal     bool
	recipients []string
	identity   string
	quiet      bool
	stateByEnv bool // state came by the environment

	policyNow func(context.Context) (*policy.Policy, error) // reads the policy again; nil: from its file

	show         []string
	ctx          context.Context // of the command
	watch        *run.Watch
	meter        *meter
	fromEnv      map[string]bool // flags that the environment set
	habit        habitFlags
	unread       int  // entries of reports that were left out
	translated   bool // the command is another scanner's
	silent       bool // no meter, in a hook
	sparePolicy  bool // go on without a policy that can't be read
	runtimes     []*run.Runtime
	noSelfHosted []string
	probeTime    time.Duration

	red      *report.Redactor // of all that leaves the process
	ignore   func(rules.Finding) bool
	git      gitFlags
	ci       ciFlags
	platform string
	mirrors  map[string]string
}

// Main runs quell and returns its exit code.
func Main(args []string, in io.Reader, out, errw io.Writer, getenv func(string) string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, args, in, out, errw, getenv)
}

// Run is Main with a context of the caller's.
func Run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer, getenv func(string) string) int {
	a := &app{in: in, out: out, err: errw, getenv: getenv, red: report.NewRedactor(), ctx: ctx, watch: &run.Watch{}}
	root := a.root()
	args, a.translated = habits(args)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	a.meter.end()
	a.close(ctx)
	var code exit
	switch {
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil:
		fmt.Fprintln(errw, "quell: interrupted")
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(errw, a.style(errw, report.Show{}).Wrap(0, 7, "quell: "+report.Clean(a.red.Quoted(oneHint(strings.ReplaceAll(err.Error(), "\n", "; "))))))
		return exitFailed
	}
	return exitClean
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:           "quell",
		Short:         "Find leaked tokens and sessions, ask whether they are alive, kill them, prove that they are dead",
		Long:          rootLong,
		SilenceErrors: true, SilenceUsage: true,
		Version: Version(),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SetVersionTemplate("quell {{.Version}}\n")
	f := c.PersistentFlags()
	f.StringVarP(&a.policyFile, "policy", "p", "", "policy `FILE` (default "+"$XDG_CONFIG_HOME/quell/policy.toml)")
	f.StringVar(&a.state, "state", "", "ledger and scan state: a `FILE` or postgres:// address (default $QUELL_STATE, or below $XDG_STATE_HOME/quell)")
	f.StringVar(&a.format, "format", "text", "format of standard output: "+strings.Join(report.Formats(), "|"))
	f.StringVarP(&a.output, "output", "o", "-", "write the result to `FILE` instead of standard output")
	f.StringArrayVar(&a.reports, "report", nil, "also write a report, `FORMAT=FILE` (repeatable)")
	f.StringArrayVar(&a.ruleFiles, "rules", nil, "further rules, a `FILE` in the format of quell, gitleaks or betterleaks (repeatable)")
	f.StringSliceVar(&a.noSelfHosted, "no-self-hosted", nil, "`PROVIDERS`, as github,gitlab, of which you run no server of your own: a token that the public host refuses is then dead")
	f.DurationVar(&a.probeTime, "probe-time", 10*time.Minute, "time limit for all questions to issuers")
	f.BoolVar(&a.offline, "offline", false, "send nothing to any issuer")
	f.StringVar(&a.confidence, "confidence", "medium", "the minimum confidence that is shown: low|medium|high")
	f.StringSliceVar(&a.show, "show", nil, "`WHAT` the text output lists one by one: live|suspect|all|incomplete (default live and suspect ones, and others while they are few; in a file, all)")
	f.StringVar(&a.failOn, "fail-on", "suspect", "which findings cause exit code 1: never|live|suspect|found")
	f.StringArrayVar(&a.allow, "allow", nil, "a reviewed `FILE` of accepted findings and gaps: in quell's format, each with a reason and an expiry; a .gitleaksignore; or a baseline of gitleaks or detect-secrets (repeatable)")
	f.BoolVar(&a.noMarkers, "no-markers", false, "also report findings that quell:allow and gitleaks:allow in the text suppress")
	f.BoolVar(&a.reveal, "reveal", false, "print secrets to standard output or --output")
	f.StringArrayVar(&a.recipients, "recipient", nil, "age public `KEY` that values are sealed to (default this installation's)")
	f.StringVar(&a.identity, "identity", "", "age identity `FILE` that opens sealed values")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print only errors on standard error")
	c.AddCommand(a.scan(), a.check(), a.plan(), a.apply(), a.contain(), a.restore(), a.recheck(), a.ledger(), a.serve(), a.policy(), a.vault(), a.rules(), a.action(), a.hook(), a.demo(), a.providers(), a.config(), a.version(), a.man())
	a.habitFlags(f)
	a.manners(c)
	return c
}

func (a *app) printf(format string, args ...any) {
	if !a.quiet {
		text := a.style(a.err, report.Show{}).Wrap(0, 7, a.red.Quoted(oneHint(fmt.Sprintf("quell: "+format, args...))))
		fmt.Fprint(a.meter.over(a.err), text+"\n")
	}
}

// Whether a run goes on without a secret that the policy names.
const (
	needsSecrets   = true
	mayLackSecrets = false
)

// reader sets up a command that only reads. It works with a policy that can't be read, and
// prints a warning.
func (a *app) reader() (*run.Runtime, error) {
	a.sparePolicy = true
	rt, err := a.runtimeWithout()
	if err == nil && rt.Broken() != nil {
		a.printf("the policy is left out: %v", rt.Broken())
	}
	return rt, err
}

// runtime creates the Runtime that the flags describe.
func (a *app) runtime(strict bool) (*run.Runtime, error) {
	if u, err := url.Parse(a.state); a.state != "" && !a.stateByEnv && err == nil && ledger.Remote(a.state) {
		if _, has := u.User.Password(); has {
			return nil, errors.New("--state: other users can read a password in an argument in the list of processes (hint: QUELL_STATE, PGPASSWORD or ~/.pgpass)")
		}
	}
	rt, err := run.New(run.Options{
		Getenv:       a.getenv,
		Policy:       a.policyFile,
		PolicyNow:    a.policyNow,
		State:        a.state,
		Rules:        a.ruleFiles,
		Recipients:   a.recipients,
		Identity:     a.identity,
		NeedsSecrets: strict,
		SparePolicy:  a.sparePolicy,
		Offline:      a.offline,
		NoSelfHosted: a.noSelfHosted,
		ProbeTime:    a.probeTime,
		Redactor:     a.red,
		Watch:        a.watch,
		Progress:     func(message string) { a.printf("%s", message) },
	})
	if err == nil {
		a.runtimes = append(a.runtimes, rt)
	}
	return rt, err
}

// sessionTime bounds the end of quell's own sessions.
const sessionTime = 10 * time.Second

// close ends the sessions that quell opened for itself, interrupted or not.
func (a *app) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTime)
	defer cancel()
	for _, rt := range a.runtimes {
		if err := rt.Close(ctx); err != nil {
			a.printf("%v", err)
		}
	}
}

// trusted are the keys that may have signed a plan: this installation's, and
// those of --trust-key.
func trusted(rt *run.Runtime, names []string) ([]ed25519.PublicKey, error) {
	out := []ed25519.PublicKey{rt.PublicKey()}
	for _, n := range names {
		b, err := decodePublic(n)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
