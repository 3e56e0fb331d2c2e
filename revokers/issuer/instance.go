// Package issuer describes the issuers of a run and sends requests to them. A secret goes to a
// host that the provider's file pins or that the operator named, and nowhere else.
package issuer

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Instance is one issuer installation: a host that a provider's file pins, or one that the
// operator named.
type Instance struct {
	Provider string
	URL      *url.URL
	Operator bool // named by the operator: private addresses are allowed
	Own      bool // the operator owns everything that it issues
	// Public is set if the provider's file pins the host, so that other people use it too.
	// HasPublic is set if the provider has any such host.
	Public, HasPublic bool
	// Sole is the operator's statement that no other server of theirs issues credentials of
	// this form (elsewhere = false).
	Sole     bool
	Cookie   string // the session cookie's name, if it is not the family's
	Settings map[string]string
	// Headers go with the probes and the logout of a web application; {origin}
	// and {csrf} in them are filled in.
	Headers map[string]string
	Settle  time.Duration // replaces the rule's settle time; zero: the rule's

	Admin credential.Secret // the operator's credential at the issuer
	// SessionsDB is the address of the database that keeps the sessions of a web
	// application, with the login to it.
	SessionsDB   credential.Secret
	ClientID     string // the operator's OAuth client
	ClientSecret credential.Secret
	// Controls are live credentials of the operator's own. A control's answer
	// shows that probes reach the issuer and that it still accepts something.
	Controls []Control
	Rotate   *Rotation
	// Rotations are for credentials of one rule each; Rotate is for all others.
	Rotations []*Rotation
	Login     *Login   // how quell signs in to a Vault; nil: with Admin
	Managed   *Managed // a Vault: where leaked secrets are looked for

	Network Network
	// Further are secrets of Network: the client certificate's key and the proxy's password.
	Further []credential.Secret
	fresh   bool
}

// Control is a credential of the operator's own. An empty Rule means every rule of the provider
// whose form the secret has.
type Control struct {
	Rule   string
	Secret credential.Secret
	Parts  map[string]credential.Secret
}

// Host returns the instance's host, with its port unless that is the scheme's default.
func (i *Instance) Host() string { return i.URL.Host }

// SettingRevocation is the id of the revocation that the operator prefers where a
// rule has it.
const SettingRevocation = "revocation"

// identity are the settings that distinguish instances of one URL.
var identity = []string{"probe_path", "user", "namespace"}

// Key names the instance within a run: two instances with one key are one. It
// contains no secret.
func (i *Instance) Key() string {
	k := i.Provider + "\x00" + i.URL.String() + "\x00" + i.Cookie
	for _, name := range identity {
		k += "\x00" + i.Settings[name]
	}
	return k
}

// Origin returns scheme, host and port.
func (i *Instance) Origin() string { return i.URL.Scheme + "://" + i.URL.Host }

// Fresh returns a copy of i that uses a new connection for every request, so that a load
// balancer can send each to another replica.
func (i *Instance) Fresh() *Instance {
	c := *i
	c.fresh = true
	return &c
}

// Control returns the control for credentials of rule r, if there is one.
func (i *Instance) Control(r *rules.Rule) (Control, bool) {
	for _, c := range i.Controls {
		if c.Rule == r.ID {
			return c, true
		}
	}
	for _, c := range i.Controls {
		if c.Rule == "" && fits(r, c.Secret) {
			return c, true
		}
	}
	return Control{}, false
}

// fits reports whether a control without a rule can be a credential of r. A cookie's value and
// a fallback rule's token have no form of their own.
func fits(r *rules.Rule, s credential.Secret) bool {
	return r.Cookie != nil || r.Fallback || r.Regex == nil || r.Kind == credential.KindPassword || r.IsForm(s) || r.InContext(s)
}

// CheckURL returns an error unless secrets may be sent to u: an https or postgres URL, or http
// to loopback, with a host and without a password.
func CheckURL(u *url.URL) error {
	switch {
	case u.Scheme == "" || u.Host == "" && u.Opaque != "":
		return errors.New("a URL without a scheme (hint: begin it with https://)")
	case u.Host == "" || u.Hostname() == "":
		return fmt.Errorf("%s names no host (hint: https://HOST)", u.Redacted())
	case u.User != nil:
		return fmt.Errorf("the URL of %s contains a password; give it as a credential", u.Host)
	case u.Scheme == "https" || u.Scheme == "postgres":
		return nil
	case u.Scheme == "http" && Loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%s://%s: only https is allowed, or http to loopback (hint: https://%s)", u.Scheme, u.Host, u.Host)
}

// Loopback reports whether host names this machine's loopback, without resolving it.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// dotSegment matches path segments that a server or a proxy resolves.
var dotSegment = regexp.MustCompile(`(?:^|/)(?:\.|%2[eE]){1,2}(?:/|$)`)

// HasDotSegment reports whether an escaped path contains "." or "..".
func HasDotSegment(path string) bool { return dotSegment.MatchString(path) }

// Instances are all issuers of a run.
type Instances []*Instance

// Of returns the instances of one provider. The operator's entry for a public host replaces the
// provider file's.
func (list Instances) Of(provider string) Instances {
	var all Instances
	for _, i := range list {
		if i.Provider != provider {
			continue
		}
		k := slices.IndexFunc(all, func(o *Instance) bool {
			return o.Key() == i.Key()
		})
		if k < 0 {
			k = slices.IndexFunc(all, func(o *Instance) bool { return !o.Operator && o.URL.String() == i.URL.String() })
		}
		switch {
		case k < 0:
			all = append(all, i)
		case i.Operator:
			all[k] = i
		}
	}
	return all
}
