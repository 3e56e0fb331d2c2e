package revokers

import (
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Target is a credential bound to its rule and to one instance. It is a value: each
// instance has a target of its own.
type Target struct {
	credential.Credential
	Rule     *rules.Rule
	Instance *issuer.Instance
	// Related are further instances by the role that the rules file or the
	// policy names, such as "vault".
	Related map[string]*issuer.Instance
	// Captures are values that an earlier answer contained, by the name that
	// the rules file gives them.
	Captures map[string]string
	// Seen is set if the credential was Live at this instance.
	Seen *Sighting
	// Named is set if the operator's setting binds the credential to exactly
	// this instance: it is a value under the cookie name of one instance alone.
	Named bool
}

// Sighting is where and when a credential was Live.
type Sighting struct {
	Endpoint string    `json:"endpoint"`
	At       time.Time `json:"at"`
	// Learned is the digest of the refusal that never-issued credentials got
	// then.
	Learned string `json:"learned,omitempty"`
}

// Host is the instance's host.
func (t Target) Host() string { return t.Instance.Host() }

// URL is the instance's address, which names it in plans and in the ledger.
func (t Target) URL() string { return t.Instance.URL.String() }

// Fresh is t at an instance whose every request has a connection of its own.
func (t Target) Fresh() Target {
	t.Instance = t.Instance.Fresh()
	return t
}

// Contradicted returns a host, user or database that the text names for the
// credential and that is not the one that is asked. One is enough, even if the
// text names what is asked too: a credential of the other one is refused here in
// the same words. what is "host", "user" or "database".
func (t Target) Contradicted() (what, name string, ok bool) {
	for _, h := range slices.Concat(t.Claims.Hosts, t.Claims.Near) {
		if !Claims(h, t.Instance.URL) && (t.Instance.Operator || t.Rule.Provider == nil || !t.Rule.Provider.Has(h)) {
			return "host", h, true
		}
	}
	other := func(list []string, asked string) (string, bool) {
		i := slices.IndexFunc(list, func(s string) bool { return s != asked })
		if asked == "" || i < 0 {
			return "", false
		}
		return list[i], true
	}
	if u, ok := other(t.Claims.Accounts(), t.Instance.Settings["user"]); ok {
		return "user", u, true
	}
	if d, ok := other(t.Claims.Bases(), database(t.Instance)); ok {
		return "database", d, true
	}
	if t.Claims.Full() {
		return "host", "(one of more than are kept)", true
	}
	return "", "", false
}

// database is the database that a connection to i names; by default that of the
// user's name, as libpq has it. It is empty for what is no database.
func database(i *issuer.Instance) string {
	if i.URL.Scheme != "postgres" {
		return ""
	}
	if d := strings.Trim(i.URL.Path, "/"); d != "" {
		return d
	}
	return i.Settings["user"]
}

// SameInstance reports whether two targets are bound to one instance.
func SameInstance(a, b *issuer.Instance) bool {
	return a != nil && b != nil && a.Key() == b.Key()
}
