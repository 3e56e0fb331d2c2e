package run

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
)

// Options is what a caller chooses about a Runtime. The zero value of every
// field but Getenv selects the installation's default.
type Options struct {
	// Getenv reads the environment; it is never read in another way.
	Getenv func(name string) string
	// Policy is the policy file. An absent file is an error only if it is named
	// here.
	Policy string
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
	// Offline forbids every request to an issuer.
	Offline bool
	// Redactor is the one that the caller's sinks use.
	Redactor *report.Redactor
	// Progress gets messages for a person who waits.
	Progress func(message string)
	// Now is the clock.
	Now func() time.Time
}

// errOffline is returned by whatever needs an issuer's answer.
var errOffline = errors.New("--offline forbids to ask issuers (quell: hint: leave it out)")

// Runtime is everything that a run is set up from. Commands, the Action and
// other callers make one and call its methods.
type Runtime struct {
	Dirs      config.Dirs
	Keys      *config.Keys
	Rules     *rules.Set
	Policy    *policy.Policy
	Prober    *revokers.Prober
	Redactor  *report.Redactor
	Instances revokers.Instances

	// Recipients are who values are sealed to, RecipientNames their public keys.
	Recipients     []age.Recipient
	RecipientNames []string

	options Options
	notices []report.Notice
}

// New sets a run up: folders, keys, policy, rules, instances, recipients.
func New(o Options) (*Runtime, error) {
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
	path, named := o.Policy, true
	if path == "" {
		path, named = r.Dirs.PolicyFile(), false
	}
	if r.Policy, err = policy.Load(path, named); err != nil {
		return nil, err
	}
	if err := r.loadRules(); err != nil {
		return nil, err
	}
	r.Instances, err = r.Policy.Instances(r.Rules, o.Getenv, func(err error) error {
		if o.NeedsSecrets {
			return err
		}
		r.Notice(err.Error())
		return nil
	})
	if err != nil {
		return nil, err
	}
	recipients := o.Recipients
	if len(recipients) == 0 {
		recipients = r.Policy.Recipients
	}
	if r.Recipients, r.RecipientNames, err = r.Keys.Recipients(recipients); err != nil {
		return nil, err
	}
	canaries := map[string]bool{}
	for _, c := range r.Policy.Canaries {
		canaries[c] = true
	}
	r.Prober = &revokers.Prober{
		Set:       r.Rules,
		Natives:   natives.Table(),
		Instances: r.Instances,
		Client:    &revokers.Client{},
		IsCanary:  func(c rules.Credential) bool { return canaries[c.Fingerprint] },
	}
	return r, nil
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

// TakeNotices returns the notices since the last call.
func (r *Runtime) TakeNotices() []report.Notice {
	out := r.notices
	r.notices = nil
	return out
}

// Ledger opens the ledger of the options, of QUELL_STATE, or of the state
// folder. The caller closes it.
func (r *Runtime) Ledger() (*store.Ledger, error) {
	path := r.options.State
	if path == "" {
		path = r.options.Getenv("QUELL_STATE")
	}
	if path == "" {
		path = r.Dirs.LedgerFile()
	}
	return store.Open(path)
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
