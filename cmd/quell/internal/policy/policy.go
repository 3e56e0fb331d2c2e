// Package policy decides what may be probed, revoked and rotated. For what is not allowed it
// gives the reason, and the setting that would allow it.
package policy

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/notify"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/rows"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Policy is the operator's file.
type Policy struct {
	Version    int        `toml:"version"`
	Kill       Kill       `toml:"kill,omitempty"`
	Own        []Own      `toml:"own,omitempty"`
	Instance   []Instance `toml:"instance,omitempty"`
	Canaries   []string   `toml:"canaries,omitempty"`   // fingerprints that are never contacted
	Recipients []string   `toml:"recipients,omitempty"` // age public keys that plans are sealed to
	Rules      []string   `toml:"rules,omitempty"`      // further rules files
	Notify     []string   `toml:"notify,omitempty"`     // webhooks: their URLs, or env:NAME or file:PATH of one
	Evidence   string     `toml:"evidence,omitempty"`   // folder for sealed copies
	LegalHold  bool       `toml:"legal_hold,omitempty"` // nothing is deleted
	Approvals  int        `toml:"approvals,omitempty"`  // people who must approve a plan in serve
}

// Kill limits what may be ended. A key that is not set means its default; zero means zero.
type Kill struct {
	Disabled bool            `toml:"disabled,omitempty"` // the switch: nothing is killed or deleted
	Tiers    *[]rules.Tier   `toml:"tiers,omitempty"`    // default self and admin
	Max      *int            `toml:"max,omitempty"`      // kills of one plan, default 25
	MaxAge   *rules.Duration `toml:"max_age,omitempty"`  // age of a plan, default 15 minutes
	// MaxReplicaRisk is the highest chance of a missed stale replica that still
	// counts as Confirmed; not set: it is shown and decides nothing.
	MaxReplicaRisk *float64        `toml:"max_replica_risk,omitempty"`
	Delay          *rules.Duration `toml:"delay,omitempty"` // from notice to a kill of tier collateral
}

// Own is the operator's identity at an issuer that has other customers.
type Own struct {
	Provider string `toml:"provider"`
	// URL is the instance at which the identity counts. Without one it counts only at the
	// provider's public hosts.
	URL string `toml:"url,omitempty"`
	// Identity are values of the field that decides ownership: unique at the
	// issuer, and not chosen by users.
	Identity []string `toml:"identity"`
	Name     string   `toml:"name,omitempty"` // for people; decides nothing
}

// Instance is an issuer that the operator configures.
type Instance struct {
	Provider string `toml:"provider"`
	URL      string `toml:"url"`
	Own      bool   `toml:"own,omitempty"` // the operator owns all credentials that it issues
	// Elsewhere is false if no other server of the operator's issues
	// credentials of this form.
	Elsewhere    *bool             `toml:"elsewhere,omitempty"`
	Cookie       string            `toml:"cookie,omitempty"`
	ProbePath    string            `toml:"probe_path,omitempty"`
	LogoutPath   string            `toml:"logout_path,omitempty"`
	LoginPath    string            `toml:"login_path,omitempty"`
	LiveMarker   string            `toml:"live_marker,omitempty"`
	DeadMarker   string            `toml:"dead_marker,omitempty"`
	LogoutMethod string            `toml:"logout_method,omitempty"`
	CSRF         string            `toml:"csrf,omitempty"`      // where the logout's token is read: form, link, input:NAME, meta:NAME, cookie:NAME, json:PATH, header:NAME, double:NAME
	CSRFPath     string            `toml:"csrf_path,omitempty"` // the page that has it; default probe_path
	CSRFTo       string            `toml:"csrf_to,omitempty"`   // form:NAME, header:NAME, json:NAME or query:NAME
	Headers      map[string]string `toml:"headers,omitempty"`
	// SessionsDB names the secret with the address of the session store:
	// postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH. SessionsTable is
	// TABLE.COLUMN, the framework's unless given.
	SessionsDB    string         `toml:"sessions_db,omitempty"`
	SessionsTable string         `toml:"sessions_table,omitempty"`
	User          string         `toml:"user,omitempty"`
	Namespace     string         `toml:"namespace,omitempty"`
	Settle        rules.Duration `toml:"settle,omitempty"`
	Admin         string         `toml:"admin,omitempty"` // env:NAME or file:PATH, like the other secrets
	ClientID      string         `toml:"client_id,omitempty"`
	ClientSecret  string         `toml:"client_secret,omitempty"`
	Control       string         `toml:"control,omitempty"`
	Controls      []Control      `toml:"controls,omitempty"`
	CA            string         `toml:"ca,omitempty"`          // file of PEM certificates
	ClientCert    string         `toml:"client_cert,omitempty"` // file with a certificate and its key, PEM
	Proxy         string         `toml:"proxy,omitempty"`
	Rotate        *Rotate        `toml:"rotate,omitempty"`
	Rotations     []Rotate       `toml:"rotations,omitempty"` // for one rule each
	// RevokeOrphan allows the one sudo path of tokens: auth/token/revoke-orphan.
	RevokeOrphan bool `toml:"revoke_orphan,omitempty"`
	// Revocation is the id of the revocation that is used where a rule has it.
	Revocation string   `toml:"revocation,omitempty"`
	Login      *Login   `toml:"login,omitempty"`   // a Vault: how quell signs in
	Managed    *Managed `toml:"managed,omitempty"` // a Vault: where leaked secrets are looked for
}

// Control is a live credential of the operator's own for one rule.
type Control struct {
	Rule string `toml:"rule"`
	// Parts are references to the secrets by the part's name; "" or "token" is
	// the credential itself.
	Parts map[string]string `toml:"parts"`
}

// Load reads a policy file. A missing file is an error only if it was named.
func Load(path string, named bool) (*Policy, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !named {
		return &Policy{Version: 1}, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("policy: there is no file %s (hint: quell policy init --policy %s makes it)", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return Parse(path, b)
}

// Parse reads a policy. An error never contains a value that may be a secret.
func Parse(name string, b []byte) (*Policy, error) {
	p := &Policy{}
	if err := config.ReadTOML(name, b, p); err != nil {
		return nil, err
	}
	if p.Version == 0 {
		return nil, fmt.Errorf("%s: the version is missing (hint: begin the file with version = 1)", name)
	}
	if p.Version != 1 {
		return nil, fmt.Errorf("%s: version %d is not 1, the only one that this quell reads (hint: update quell, or write version = 1)", name, p.Version)
	}
	if err := p.Kill.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, c := range p.Canaries {
		if _, err := Fingerprint(c); err != nil {
			return nil, fmt.Errorf("%s: canaries: %w", name, err)
		}
	}
	for n, r := range p.Recipients {
		if _, err := age.ParseX25519Recipient(strings.TrimSpace(r)); err != nil {
			return nil, fmt.Errorf("%s: recipients: entry %d is no age public key (hint: a public key begins with age1; a secret key does not belong here)", name, n+1)
		}
	}
	for _, entry := range p.Notify {
		if strings.HasPrefix(entry, "env:") || strings.HasPrefix(entry, "file:") || strings.HasPrefix(entry, "vault:") {
			continue // read when a message is sent
		}
		if _, err := notify.Parse(entry); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for n, i := range p.Instance {
		if err := i.validate(); err != nil {
			return nil, fmt.Errorf("%s: instance %d: %w", name, n+1, err)
		}
	}
	return p, nil
}

func (k Kill) validate() error {
	if k.Tiers != nil {
		for _, t := range *k.Tiers {
			if !slices.Contains([]rules.Tier{rules.TierSelf, rules.TierAdmin, rules.TierCollateral}, t) {
				return errors.New("kill.tiers: an entry is not self, admin or collateral")
			}
		}
	}
	switch {
	case k.Max != nil && *k.Max < 0:
		return errors.New("kill.max is negative")
	case k.MaxAge != nil && *k.MaxAge < 0:
		return errors.New("kill.max_age is negative")
	case k.Delay != nil && *k.Delay < 0:
		return errors.New("kill.delay is negative")
	case k.MaxReplicaRisk != nil && (*k.MaxReplicaRisk < 0 || *k.MaxReplicaRisk > 1):
		return errors.New("kill.max_replica_risk is not between 0 and 1")
	}
	return nil
}

// reference reports an error unless ref names a secret. The value itself is
// never printed: it may be the secret.
func reference(key, ref string) error {
	if ref == "" || strings.HasPrefix(ref, "env:") || strings.HasPrefix(ref, "file:") || strings.HasPrefix(ref, "vault:") {
		if k, v, _ := strings.Cut(ref, ":"); k == "env" && !plainName(v) {
			return fmt.Errorf("%s: what follows env: is no name of a variable", key)
		}
		return nil
	}
	return fmt.Errorf("%s: a secret is named as env:NAME, file:PATH or vault:mount/path#field, never written out", key)
}

func plainName(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// headerName is a token of RFC 9110, 5.6.2.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")

func (i Instance) validate() error {
	u, err := url.Parse(i.URL)
	if err != nil || i.Provider == "" {
		return errors.New("it needs a provider and a URL (hint: provider = \"webapp\" and url = \"https://app.example.com\"; quell providers lists the providers)")
	}
	refs := map[string]string{"admin": i.Admin, "client_secret": i.ClientSecret, "control": i.Control, "sessions_db": i.SessionsDB}
	for n, r := range i.rotates() {
		if err := r.validate(n > 0 || i.Rotate == nil); err != nil {
			return err
		}
		refs[fmt.Sprintf("rotate.value %d", n+1)] = r.Value
	}
	if i.Login != nil {
		if err := i.Login.validate(i.Provider); err != nil {
			return err
		}
		refs["login.secret_id"], refs["login.jwt"], refs["login.aws_key"] = i.Login.SecretID, i.Login.JWT, i.Login.AWSKey
	}
	if m := i.Managed; m != nil && m.AuditLog != "" && m.Audit == "" {
		return errors.New("managed.audit_log needs managed.audit, the path of the audit device")
	}
	for _, c := range i.Controls {
		if c.Rule == "" || len(c.Parts) == 0 {
			return errors.New("controls: each needs a rule and parts")
		}
		for name, ref := range c.Parts {
			refs["controls.parts."+name] = ref
		}
	}
	for key, ref := range refs {
		if err := reference(key, ref); err != nil {
			return err
		}
	}
	if i.Cookie != "" {
		if err := rules.CheckCookieName(i.Cookie); err != nil {
			return err
		}
	}
	if i.Settle < 0 {
		return errors.New("settle is negative")
	}
	for key, p := range map[string]string{"probe_path": i.ProbePath, "logout_path": i.LogoutPath, "login_path": i.LoginPath, "csrf_path": i.CSRFPath} {
		switch {
		case issuer.HasDotSegment(p):
			return errors.New("a path contains a dot segment")
		case p != "" && !strings.HasPrefix(p, "/"):
			return fmt.Errorf("%s does not begin with / (hint: paths follow the path of the url)", key)
		}
	}
	if i.SessionsTable != "" {
		if err := rows.CheckTable(i.SessionsTable); err != nil {
			return err
		}
	}
	if err := interp.CheckCSRF(i.CSRF, i.CSRFTo); err != nil {
		return err
	}
	for name, v := range i.Headers {
		if slices.Contains([]string{"authorization", "proxy-authorization", "cookie"}, strings.ToLower(name)) {
			return fmt.Errorf("headers: %s holds a credential, and the policy names secrets without their values (hint: remove it; a header can't name a secret yet)", name)
		}
		if !headerName.MatchString(name) || slices.Contains([]string{"cookie", "host", "content-length", "content-type", "transfer-encoding", "connection"}, strings.ToLower(name)) || strings.ContainsAny(v, "\r\n\x00") {
			return errors.New("headers: an entry is no header that an application can ask for")
		}
	}
	if err := i.validateProxy(u); err != nil {
		return err
	}
	return issuer.CheckURL(u)
}

func (i Instance) validateProxy(u *url.URL) error {
	switch {
	case i.Proxy == "":
		return nil
	case u.Scheme == "postgres":
		return errors.New("proxy: a connection to PostgreSQL uses none")
	case strings.HasPrefix(i.Proxy, "env:"), strings.HasPrefix(i.Proxy, "file:"), strings.HasPrefix(i.Proxy, "vault:"):
		return reference("proxy", i.Proxy)
	}
	p, _, err := issuer.ParseProxy(credential.NewSecretString(i.Proxy))
	switch {
	case err != nil:
		return err
	case p.User != nil:
		return errors.New("proxy contains a password (quell: hint: name the whole URL as env:NAME or file:PATH)")
	case u.Scheme == "http" && !issuer.Loopback(p.Hostname()):
		return errors.New("proxy: a request without TLS never goes through one (quell: hint: an https url, or no proxy)")
	}
	return nil
}

// MaxAge is how old a plan may be.
func (p *Policy) MaxAge() time.Duration {
	if p.Kill.MaxAge != nil {
		return time.Duration(*p.Kill.MaxAge)
	}
	return 15 * time.Minute
}

// Max is how many kills one plan may make.
func (p *Policy) Max() int {
	if p.Kill.Max != nil {
		return *p.Kill.Max
	}
	return 25
}

// MaxReplicaRisk is the highest replica risk that counts as Confirmed; zero if
// the risk decides nothing.
func (p *Policy) MaxReplicaRisk() float64 {
	if p.Kill.MaxReplicaRisk != nil {
		// A risk of exactly zero can't be reached; the smallest positive value
		// makes every confirmation exceed it.
		return max(*p.Kill.MaxReplicaRisk, 1e-300)
	}
	return 0
}

// Delay is how long a kill of tier collateral waits after its notice.
func (p *Policy) Delay() time.Duration {
	if p.Kill.Delay != nil {
		return time.Duration(*p.Kill.Delay)
	}
	return 0
}

// Disabled reports whether the switch that stops all killing is on.
func (p *Policy) Disabled() bool { return p.Kill.Disabled }

// Allows reports whether kills of a tier are allowed.
func (p *Policy) Allows(t rules.Tier) bool {
	if p.Kill.Tiers == nil {
		return t == rules.TierSelf || t == rules.TierAdmin
	}
	return slices.Contains(*p.Kill.Tiers, t)
}

// Fingerprint normalises a fingerprint: 32 hex digits in any case, with or
// without spaces, colons, hyphens, quotes or a leading "sha256:" or "0x".
func Fingerprint(s string) (string, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	for _, p := range []string{"fingerprint:", "sha256:", "0x"} {
		t = strings.TrimPrefix(t, p)
	}
	t = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" :-_\"'", r) {
			return -1
		}
		return r
	}, t)
	if len(t) != 32 || strings.Trim(t, "0123456789abcdef") != "" {
		return "", fmt.Errorf("an entry of %d characters is no fingerprint: 32 hex digits, as quell scan prints them", len(s))
	}
	return t, nil
}

// Canary returns a function that reports whether a fingerprint is on the
// operator's list.
func (p *Policy) Canary() func(fingerprint string) bool {
	list := map[string]bool{}
	for _, c := range p.Canaries {
		if f, err := Fingerprint(c); err == nil {
			list[f] = true
		}
	}
	return func(f string) bool { return list[f] }
}
