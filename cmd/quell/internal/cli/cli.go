// Package cli is the command line, one file a command. Data goes to standard
// output, talk to standard error.
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
	"runtime/debug"
	"strings"
	"syscall"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
)

// Exit codes. Where several apply, the first of interrupted, failed, left
// alive, findings, incomplete is used.
const (
	exitClean       = 0
	exitFindings    = 1
	exitFailed      = 2
	exitLeft        = 3
	exitIncomplete  = 4
	exitInterrupted = 130
)

// exit is an error that carries a code and needs no words.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// app is what commands share.
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
	allow      string
	noMarkers  bool
	failOn     string
	reveal     bool
	recipients []string
	identity   string
	quiet      bool
	stateByEnv bool // state came by the environment

	red      *report.Redactor // of all that leaves the process
	ignore   func(rules.Finding) bool
	git      gitFlags
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
	a := &app{in: in, out: out, err: errw, getenv: getenv, red: report.NewRedactor()}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	var code exit
	switch {
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil:
		fmt.Fprintln(errw, "quell: interrupted")
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(errw, "quell: "+report.Clean(a.red.Quoted(strings.ReplaceAll(err.Error(), "\n", "; "))))
		return exitFailed
	}
	return exitClean
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:           "quell",
		Short:         "Find leaked tokens and sessions, ask whether they are alive, kill them, prove that they are dead",
		SilenceErrors: true, SilenceUsage: true,
		Version: Version(),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SetVersionTemplate("quell {{.Version}}\n")
	c.CompletionOptions.HiddenDefaultCmd = true
	f := c.PersistentFlags()
	f.StringVar(&a.policyFile, "policy", "", "policy `FILE` (default "+"$XDG_CONFIG_HOME/quell/policy.toml)")
	f.StringVar(&a.state, "state", "", "ledger and scan state: a `FILE` or postgres:// address (default $QUELL_STATE, or below $XDG_STATE_HOME/quell)")
	f.StringVar(&a.format, "format", "text", "format of standard output: "+strings.Join(report.Formats(), "|"))
	f.StringVar(&a.output, "output", "-", "write the result to `FILE` instead of standard output")
	f.StringArrayVar(&a.reports, "report", nil, "also write a report, `FORMAT=FILE` (repeatable)")
	f.StringArrayVar(&a.ruleFiles, "rules", nil, "more rules, a `FILE` of quell's, gitleaks' or betterleaks' form (repeatable)")
	f.BoolVar(&a.offline, "offline", false, "send nothing to anybody")
	f.StringVar(&a.confidence, "confidence", "medium", "the least confidence that is shown: low|medium|high")
	f.StringVar(&a.failOn, "fail-on", "suspect", "what makes exit code 1: never|live|suspect|found")
	f.StringVar(&a.allow, "allow", "", "a reviewed `FILE` of findings and gaps that are accepted, each with a reason and a last day")
	f.BoolVar(&a.noMarkers, "no-markers", false, "report what quell:allow and gitleaks:allow in the text suppress")
	f.BoolVar(&a.reveal, "reveal", false, "print secrets to standard output or --output")
	f.StringArrayVar(&a.recipients, "recipient", nil, "age public `KEY` that values are sealed to (default this installation's)")
	f.StringVar(&a.identity, "identity", "", "age identity `FILE` that opens sealed values")
	f.BoolVar(&a.quiet, "quiet", false, "no talk on standard error")
	c.AddCommand(a.scan(), a.check(), a.plan(), a.apply(), a.contain(), a.recheck(), a.ledger(), a.policy(), a.rules(), a.action(), a.hook(), a.demo())
	return c
}

// version is a release's, which the linker writes here.
var version string

// Version is the release's, or the module's as the build recorded it.
func Version() string {
	if version != "" {
		return version
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "(devel)"
}

func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprint(a.err, a.red.Quoted(fmt.Sprintf("quell: "+format+"\n", args...)))
	}
}

// kit is what a run is set up from.
type kit struct {
	dirs       config.Dirs
	keys       *config.Keys
	set        *rules.Set
	policy     *policy.Policy
	prober     *revokers.Prober
	recipients []age.Recipient
	names      []string
	notices    []report.Notice
}

// Whether a run goes on without a secret that the policy names.
const (
	needsSecrets   = true
	mayLackSecrets = false
)

func (a *app) kit(strict bool) (*kit, error) {
	k := &kit{}
	var err error
	if k.dirs, err = config.Find(a.getenv); err != nil {
		return nil, err
	}
	if k.keys, err = config.LoadKeys(k.dirs, a.getenv); err != nil {
		return nil, err
	}
	if k.keys.Temporary != nil {
		k.notices = append(k.notices, report.Notice{Message: "state can't be written, so fingerprints and seals end with this run: " + k.keys.Temporary.Error()})
	}
	path, named := a.policyFile, true
	if path == "" {
		path, named = k.dirs.PolicyFile(), false
	}
	if k.policy, err = policy.Load(path, named); err != nil {
		return nil, err
	}
	builtin, err := rules.Builtin()
	if err != nil {
		return nil, err
	}
	k.set = builtin.Clone()
	for _, f := range a.ruleFiles {
		if err := k.addRules(f); err != nil {
			return nil, err
		}
	}
	for _, i := range k.policy.Instance {
		if i.Cookie != "" {
			if err := k.set.NameCookie(i.Provider, i.Cookie); err != nil {
				return nil, fmt.Errorf("policy: %w", err)
			}
		}
	}
	for _, n := range k.set.Notices {
		k.notices = append(k.notices, report.Notice{Message: n})
	}
	instances, err := k.policy.Instances(k.set, a.getenv, func(err error) error {
		if strict {
			return err
		}
		k.notices = append(k.notices, report.Notice{Message: err.Error()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	names := a.recipients
	if len(names) == 0 {
		names = k.policy.Recipients
	}
	if k.recipients, k.names, err = k.keys.Recipients(names); err != nil {
		return nil, err
	}
	canaries := map[string]bool{}
	for _, c := range k.policy.Canaries {
		canaries[c] = true
	}
	k.prober = &revokers.Prober{Set: k.set, Natives: natives.Table(), Instances: instances, Client: &revokers.Client{},
		IsCanary: func(c rules.Credential) bool { return canaries[c.Fingerprint] }}
	return k, nil
}

// addRules reads a file of quell's form, or else of gitleaks'.
func (k *kit) addRules(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	load := rules.FromGitleaks
	if strings.Contains("\n"+string(b), "\n[provider]") {
		load = rules.Load
	}
	set, err := load(file, b)
	if err != nil {
		return err
	}
	return k.set.Merge(set)
}

func (a *app) ledgerAt(k *kit) (*store.Ledger, error) {
	path := a.state
	if u, err := url.Parse(path); path != "" && !a.stateByEnv && err == nil && store.Remote(path) {
		if _, has := u.User.Password(); has {
			return nil, errors.New("--state: a password in an argument would stand in the list of processes (quell: hint: QUELL_STATE, PGPASSWORD or ~/.pgpass)")
		}
	}
	if path == "" {
		path = a.getenv("QUELL_STATE")
	}
	if path == "" {
		path = k.dirs.LedgerFile()
	}
	return store.Open(path)
}

// identities open what was sealed to this installation, or to --identity.
func (a *app) identities(k *kit) ([]age.Identity, error) {
	out := []age.Identity{k.keys.Identity}
	if a.identity == "" {
		return out, nil
	}
	f, err := os.Open(a.identity)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	defer f.Close()
	more, err := age.ParseIdentities(f)
	if err != nil {
		return nil, errors.New("identity: the file holds no age identity")
	}
	return append(out, more...), nil
}

func (k *kit) trusted(names []string) ([]ed25519.PublicKey, error) {
	out := []ed25519.PublicKey{k.keys.Sign.Public().(ed25519.PublicKey)}
	for _, n := range names {
		b, err := decodePublic(n)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
