package issuer

import (
	"net/url"
	"time"

	"github.com/quellhq/quell/rules/credential"
)

// Rotation describes how Vault replaces a leaked credential of an instance, and where consumers
// read the replacement. Paths are mount/name unless noted.
type Rotation struct {
	Vault string // the URL of a Vault instance
	Rule  string // empty: credentials of every rule

	// Engine is the kind of StaticRole and Root: database (the default), ldap, aws,
	// gcp, azure or terraform.
	Engine     string
	StaticRole string // the role whose credential leaked
	// Other is a second static role of the same rights, whose user OtherUser takes turns
	// with that of StaticRole: it is rotated and written to KV before StaticRole ends.
	// UserField is the field of KV's secret that has the user's name, if any.
	Other, OtherUser, UserField string

	Root  string // the connection whose own credential leaked; the mount, if the engine has one
	Lease string // the id of the lease whose credential leaked

	AppRole  string   // the role whose secret id leaked
	Reissue  bool     // replace the leaked token by one with its rights
	Token    string   // the token role that issues the replacement; empty: create-orphan
	Policies []string // the policies of the replacement of Reissue; empty: those of the leaked token
	UserPass string   // the user whose password leaked
	PKI      string   // mount/serial number of the certificate whose key leaked
	Transit  string   // the key that signed or encrypted what leaked
	Entity   string   // the id of the identity entity to disable
	Accessor []string // further tokens to revoke, by accessor
	// Tokens also revokes the tokens that AppRole or UserPass issued before. It needs sudo on
	// the list of accessors.
	Tokens bool

	KV       string            // mount/path#field of a KV v2 secret
	Value    credential.Secret // the new value for KV
	Generate string            // a Vault password policy that makes it; "default": 40 letters and digits
	Destroy  bool              // destroy older versions of KV once the old value is dead

	Stores []string // further places that builds read, as KIND:PLACE
	// Sessions ends the database sessions that the old password opened.
	Sessions bool
	Reload   Reload
}

// Reload describes how quell detects that consumers have reloaded, before it ends the old
// value. The zero value means that it does not wait.
type Reload struct {
	URL    *url.URL // a health check, polled until it answers 200
	Marker string   // required text in its body; {version} is KV's new version
	// Audit is an audit device, and AuditLog the file that it writes: another than quell
	// has to have read or used the new value.
	Audit, AuditLog string
	Wait            time.Duration // at least this long
	Timeout         time.Duration // at most this long; zero: two minutes
}

// Zero reports whether there is nothing to wait for.
func (r Reload) Zero() bool { return r.URL == nil && r.Wait == 0 && r.AuditLog == "" }

// For returns i with the rotation for credentials of a rule.
func (i *Instance) For(rule string) *Instance {
	for _, r := range i.Rotations {
		if r.Rule == rule {
			c := *i
			c.Rotate = r
			return &c
		}
	}
	return i
}

// Managed names where a Vault is searched for leaked secrets.
type Managed struct {
	KV          []string // mount/path, or all below mount/path/
	StaticRoles []string // mount/role
	AppRoles    []string // mount/role
	Audit       string   // an audit device, by whose digest a secret is found in its log
	AuditLog    string   // the file that the device writes, where quell can read it
}
