package run

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/revokers/vault"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/scanners/ci"
)

// Options is what a caller chooses about a Runtime. The zero value of every
// field but Getenv selects the installation's default.
type Options struct {
	// Getenv reads the environment; it is never read in another way.
	Getenv func(name string) string
	// Policy is the policy file. An absent file is an error only if it is named
	// here.
	Policy string
	// PolicyNow reads the policy again when the kill switch is checked. Nil reads
	// the policy file.
	PolicyNow func(ctx context.Context) (*policy.Policy, error)
	// State is the ledger: a file, or a postgres:// address.
	State string
	// Rules are files of further rules, in quell's or gitleaks' form.
	Rules []string
	// Recipients are the age public keys that values are sealed to.
	Recipients []string
	// Identity is a file of further age identities that open sealed values.
	Identity string
	// NeedsSecrets makes a secret that the policy names and that can't be read
	// an error. Otherwise it is a notice.
	NeedsSecrets bool
	// SparePolicy goes on without a policy that can't be read: for what sends
	// nothing and decides nothing.
	SparePolicy bool
	// Offline sends nothing to any issuer, store or notification address.
	Offline bool
	// NoSelfHosted names providers of which the operator has no server of their
	// own: a refusal by the public host is about the credential then.
	NoSelfHosted []string
	// ProbeTime bounds the asking; zero means ten minutes.
	ProbeTime time.Duration
	// Redactor is the one that the caller's sinks use.
	Redactor *report.Redactor
	// Own are credentials that the caller works with, besides those that the policy and the
	// environment name: they are never ended.
	Own []credential.Secret
	// Watch counts what the run does while it does it; may be nil.
	Watch *Watch
	// Progress gets messages for a person who waits.
	Progress func(message string)
	// Doer sends requests to issuers, for callers that set several runs up and have them honour
	// the hosts' limits together; see NewDoer. Nil: a new one. Offline sends nothing all the same.
	Doer issuer.Doer
	// Now is the clock.
	Now func() time.Time

	noPolicy bool // read none
}

// errOffline is returned by whatever needs an issuer's answer.
var errOffline = errors.New("--offline forbids to ask issuers (hint: leave it out)")

// Runtime is everything that a run is set up from. Commands, the Action and
// other callers make one and call its methods.
type Runtime struct {
	Dirs      config.Dirs
	Keys      *config.Keys
	Rules     *rules.Set
	Policy    *policy.Policy
	Redactor  *report.Redactor
	Instances issuer.Instances
	Registry  *natives.Registry
	// Doer sends requests within the limits of their hosts.
	Doer  issuer.Doer
	Asker *guard.Asker
	Own   guard.Own // credentials that quell works with
	// Stop is a switch besides those of the policy and the environment: it returns a hold while
	// nothing may be killed. Nil: there is none.
	Stop func(context.Context) *policy.Hold

	// Sealer seals the values of this run; RecipientNames are the public keys that it seals to.
	Sealer         *config.Sealer
	RecipientNames []string

	options    Options
	notices    []report.Notice
	broken     error
	sessions   []*vault.Session
	unsearched int // Vaults in which a search was not complete
	memory     sync.Once
	knows      map[string]known // by fingerprint
}

// New sets a run up: folders, keys, policy, rules, instances, recipients.
func New(o Options) (*Runtime, error) {
	r, err := newRuntime(o)
	if err == nil || !o.SparePolicy {
		return r, err
	}
	// If it works without the policy, the policy is what is wrong.
	o.noPolicy = true
	r, err2 := newRuntime(o)
	if err2 != nil {
		return nil, err
	}
	r.broken = err
	return r, nil
}

func newRuntime(o Options) (*Runtime, error) {
	if o.Redactor == nil {
		o.Redactor = report.NewRedactor()
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Runtime{options: o, Redactor: o.Redactor}
	var err error
	if r.Dirs, err = config.Find(o.Getenv); err != nil {
		return nil, err
	}
	if r.Keys, err = config.LoadKeys(r.Dirs, o.Getenv); err != nil {
		return nil, err
	}
	if r.Keys.Temporary != nil {
		r.Notice("state can't be written, so fingerprints and seals end with this run: " + r.Keys.Temporary.Error())
	}
	if r.Policy, err = r.loadPolicy(); err != nil {
		return nil, err
	}
	if err := r.loadRules(); err != nil {
		return nil, err
	}
	for _, id := range o.NoSelfHosted {
		if r.Rules.Providers[id] == nil {
			return nil, fmt.Errorf("--no-self-hosted: no provider %q (hint: quell providers lists them)", id)
		}
	}
	missing := func(err error) error {
		if o.NeedsSecrets {
			return err
		}
		r.Notice(err.Error())
		return nil
	}
	if r.Doer = o.Doer; r.Doer == nil {
		r.Doer = newDoer(0)
	}
	if o.Offline {
		r.Doer = guard.Offline{}
	}
	if err = r.instances(missing); err != nil {
		return nil, errors.Join(err, r.Close(context.Background()))
	}
	recipients := o.Recipients
	if len(recipients) == 0 {
		recipients = r.Policy.Recipients
	}
	to, names, err := r.Keys.Recipients(recipients)
	if err != nil {
		return nil, errors.Join(err, r.Close(context.Background()))
	}
	r.Sealer, r.RecipientNames = config.NewSealer(to), names
	r.Registry = natives.New(natives.Config{Doer: r.Doer, Offline: o.Offline, Key: r.Keys.Fingerprint[:]})
	r.Asker = &guard.Asker{}
	for _, s := range instanceSecrets(r.Instances) {
		r.Redactor.Add(s)
	}
	own := OwnSecrets(r.Rules, r.Instances, o.Getenv, ci.Variables()...)
	r.Own = guard.NewOwn(append(own, ownForms(append(append(o.Own, r.referred(ci.Variables())...), credential.NewSecretString(passwordOf(o.State)))...)...))
	return r, nil
}

// Doer sends requests within the limits of their hosts.
type Doer struct {
	issuer.Doer
	// Across has several processes keep these limits together, once it is given what they share.
	Across *guard.Across
}

// giveUp is how long a process that does not end leaves an issuer alone that it gave up.
const giveUp = 30 * time.Second

// NewDoer makes one for a process that does not end, with limits of its own.
func NewDoer() *Doer { return newDoer(giveUp) }

// newDoer makes one that leaves an issuer alone that it gave up: for a time, or if it is zero to the
// end.
func newDoer(again time.Duration) *Doer {
	across := &guard.Across{Next: &issuer.Client{}}
	return &Doer{&guard.Retry{Next: &guard.Breaker{Next: &guard.Limit{Next: across}, Again: again, Across: across}}, across}
}

// HasPolicy reports whether there is a policy file.
func (r *Runtime) HasPolicy() bool {
	file, _ := r.policyFile()
	_, err := os.Stat(file)
	return err == nil
}

// loadPolicy reads the policy. Without one nothing may be killed.
func (r *Runtime) loadPolicy() (*policy.Policy, error) {
	if r.options.noPolicy {
		return &policy.Policy{Version: 1, Kill: policy.Kill{Disabled: true}}, nil
	}
	return policy.Load(r.policyFile())
}

// Broken is why the policy was left out; nil if it was not. Its cookie names and
// rules files are missing then.
func (r *Runtime) Broken() error { return r.broken }

// instances builds the policy's instances and signs in at Vaults.
func (r *Runtime) instances(missing func(error) error) (err error) {
	o := r.options
	if r.Instances, err = r.Policy.Instances(r.Rules, o.NoSelfHosted, o.Getenv, r.fromVault, missing); err != nil {
		return err
	}
	for _, i := range r.Instances {
		if err := r.signIn(i); err != nil {
			if err := missing(err); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadRules reads the built-in rules, the files that the options name, and the
// cookie names that the policy gives to its instances.
func (r *Runtime) loadRules() error {
	builtin, err := rules.Builtin()
	if err != nil {
		return err
	}
	r.Rules = builtin.Clone()
	for _, file := range r.options.Rules {
		if err := r.addRules(file); err != nil {
			return err
		}
	}
	file, _ := r.policyFile()
	for _, f := range r.Policy.Rules {
		if !filepath.IsAbs(f) {
			f = filepath.Join(filepath.Dir(file), f)
		}
		if err := r.addRules(f); err != nil {
			return fmt.Errorf("policy: %w", err)
		}
	}
	for _, i := range r.Policy.Instance {
		if i.Cookie == "" {
			continue
		}
		if err := r.Rules.NameCookie(i.Provider, i.Cookie); err != nil {
			return fmt.Errorf("policy: %w", err)
		}
	}
	for _, n := range r.Rules.Notices {
		r.Notice(n)
	}
	return nil
}

// addRules merges a file of quell's form, or else of gitleaks'.
func (r *Runtime) addRules(file string) error {
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
	return r.Rules.Merge(set)
}

// Notice adds a message to the notices that the next result begins or ends with.
func (r *Runtime) Notice(message string) {
	r.notices = append(r.notices, report.Notice{Message: message})
}

// Unread adds a notice of something that was asked for and not read.
func (r *Runtime) Unread(n report.Notice) {
	n.Incomplete = true
	r.notices = append(r.notices, n)
}

// TakeNotices returns the notices since the last call.
func (r *Runtime) TakeNotices() []report.Notice {
	out := r.notices
	r.notices = nil
	return out
}

// Warnings are what the operator should know about the policy, and the notices
// since the last call of TakeNotices.
func (r *Runtime) Warnings() []string {
	out := policy.Warnings(r.Instances)
	for _, n := range r.TakeNotices() {
		out = append(out, n.Message)
	}
	return out
}

// State is where the ledger is: a file, or an address that may contain a password.
func (r *Runtime) State() string {
	return cmp.Or(r.options.State, r.options.Getenv("QUELL_STATE"), r.Dirs.LedgerFile())
}

// Ledger opens the ledger of the options, of QUELL_STATE, or of the state
// folder. The caller closes it.
func (r *Runtime) Ledger(ctx context.Context) (*ledger.Ledger, error) {
	return ledger.Open(ctx, r.State(), ledger.Options{Key: r.Keys.Sign, State: r.Dirs.State})
}

// Checker asks issuers.
func (r *Runtime) Checker() *Checker {
	canary := r.Policy.Canary()
	return &Checker{
		Set:       r.Rules,
		Instances: r.Instances,
		Verifier:  r.Registry,
		Asker:     r.Asker,
		Canary: func(c credential.Credential) bool {
			return canary(c.Fingerprint) || slices.ContainsFunc(c.Secret.Spellings(), func(s credential.Secret) bool { return canary(r.Keys.Fingerprint.Fingerprint(s)) })
		},
		Known:   r.remembered,
		Time:    r.options.ProbeTime,
		Watch:   r.options.Watch,
		Offline: r.options.Offline,
	}
}

// Planner decides. reason, if given, overrides ownership and is recorded.
func (r *Runtime) Planner(reason string) *Planner {
	return &Planner{
		Managed: r.managed,
		Set:     r.Rules, Registry: r.Registry, Policy: r.Policy, Own: r.Own, BreakGlass: reason,
		Sealer: r.Sealer, Names: r.RecipientNames, Redactor: r.Redactor,
		NoKill: r.noKill(),
	}
}

// Applier carries out plans, and records it in led.
func (r *Runtime) Applier(led *ledger.Ledger, breakGlass string) (*Applier, error) {
	if r.options.Offline {
		return nil, errOffline
	}
	ids, err := r.Identities()
	if err != nil {
		return nil, err
	}
	hooks, err := r.hooks()
	if err != nil {
		return nil, err
	}
	return &Applier{
		Notify:     sender(hooks),
		Planner:    r.Planner(r.Typed(breakGlass)),
		Checker:    r.Checker(),
		Prover:     &prove.Prover{Asker: r.Asker, Verifier: r.Registry, Controls: &prove.Controls{}},
		Policy:     r.Policy,
		Ledger:     led,
		Identities: ids,
		Sealer:     r.Sealer,
		Key:        r.Keys.Fingerprint,
		Actor:      r.Actor(),
		NoKill:     r.noKill(),
		Switch:     r.Switch,
		Watch:      r.options.Watch,
		Progress:   func(s string) { r.options.Progress(report.Clean(s)) },
	}, nil
}

// Identities open what was sealed to this installation, or to the file of
// identities that the options name.
func (r *Runtime) Identities() ([]age.Identity, error) {
	out := []age.Identity{r.Keys.Identity}
	if r.options.Identity == "" {
		return out, nil
	}
	f, err := os.Open(r.options.Identity)
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

// PublicKey verifies the plans that this installation signs.
func (r *Runtime) PublicKey() ed25519.PublicKey {
	return r.Keys.Sign.Public().(ed25519.PublicKey)
}
