package revokers

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/token"
)

// Instance is one issuer: a host pinned in a provider's file, or one that the
// operator named.
type Instance struct {
	Provider string
	URL      *url.URL
	Operator bool   // named by the operator: private addresses are allowed
	Own      bool   // everything that it issues is the operator's
	Cookie   string // the session cookie's name, where it is not the family's
	Settings map[string]string
	Settle   time.Duration // replaces the rule's, where set

	Admin        rules.Secret // an operator's credential at the issuer
	ClientID     string       // the operator's OAuth client
	ClientSecret rules.Secret
	Control      rules.Secret // a live credential of the operator's own, which proves that probes get through
	Rotate       *RotateWith
}

// RotateWith says where Vault keeps the replacement of what this instance
// issues.
type RotateWith struct {
	Vault      string       // the URL of a Vault instance
	StaticRole string       // mount/role of the database engine
	KV         string       // mount/path#field of a KV v2 secret
	Value      rules.Secret // the new value for KV
}

// Host is the instance's host, with the port where it is not the scheme's.
func (i *Instance) Host() string { return i.URL.Host }

// Origin is scheme, host and port.
func (i *Instance) Origin() string { return i.URL.Scheme + "://" + i.URL.Host }

// CheckURL tells whether secrets may be sent to u: HTTPS, or anything to
// loopback.
func CheckURL(u *url.URL) error {
	switch {
	case u.Host == "" || u.Hostname() == "":
		return fmt.Errorf("%s names no host", u.Redacted())
	case u.User != nil:
		return fmt.Errorf("the URL of %s carries a password; give it as a credential", u.Host)
	case u.Scheme == "https" || u.Scheme == "postgres":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%s://%s: only https is allowed, or http to loopback", u.Scheme, u.Host)
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Instances are all issuers of a run.
type Instances []*Instance

// Candidates are the issuers that c may be of, the likeliest first: those that
// the text around it names, then the operator's, then the public one. Claims
// only order what the operator or the provider's file named.
func (list Instances) Candidates(r *rules.Rule, c rules.Credential) (Instances, error) {
	if r.Provider == nil {
		return nil, fmt.Errorf("the issuer of a %s is not known", r.ID)
	}
	var all Instances
	for _, i := range list {
		if i.Provider != r.Provider.ID || (r.Cookie != nil && i.Cookie != "" && i.Cookie != c.Cookie) {
			continue
		}
		if r.Kind == rules.KindJWT && !issued(i, c) {
			continue
		}
		// The operator's word about a public host stands in for the file's.
		if k := slices.IndexFunc(all, func(o *Instance) bool { return o.URL.String() == i.URL.String() }); k >= 0 {
			if i.Operator {
				all[k] = i
			}
			continue
		}
		all = append(all, i)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no instance of %s is named that could have issued it", r.Provider.ID)
	}
	rank := func(i *Instance) int {
		switch {
		case slices.ContainsFunc(c.Claims.Hosts, func(h string) bool { return sameHost(h, i.URL) }):
			return 0
		case i.Operator:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b *Instance) int { return rank(a) - rank(b) })
	return all, nil
}

func issued(i *Instance, c rules.Credential) bool {
	j, err := token.ParseJWT(c.Secret.Reveal())
	return err == nil && strings.TrimRight(j.Issuer, "/") == strings.TrimRight(i.URL.String(), "/")
}

func sameHost(claim string, u *url.URL) bool {
	if strings.EqualFold(claim, u.Host) {
		return true
	}
	// A claim with a port is of that port only.
	_, _, err := net.SplitHostPort(claim)
	return err != nil && strings.EqualFold(claim, u.Hostname())
}

func basic(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}
