package revokers

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// controlRemedy names the setting that adds a control.
func controlRemedy(t Target) string {
	return fmt.Sprintf(`control = "env:NAME" of [[instance]] provider = %q, url = %q in the policy, naming a live credential of your own`, t.Instance.Provider, t.URL())
}

// markerRemedy names the setting that documents an instance's refusal.
func markerRemedy(t Target) string {
	return fmt.Sprintf(`dead_marker = "TEXT" of [[instance]] provider = %q, url = %q in the policy, naming what only an ended credential gets`, t.Instance.Provider, t.URL())
}

// soleRemedy names the settings that say whose credentials have this form.
func soleRemedy(t Target) string {
	if t.Instance.Operator {
		return fmt.Sprintf(`elsewhere = false of [[instance]] provider = %q, url = %q in the policy, if no other server of yours issues this form`, t.Instance.Provider, t.URL())
	}
	return fmt.Sprintf("--no-self-hosted %s, or elsewhere = false of the [[instance]] in the policy, if you have no server of your own that issues this form", t.Instance.Provider)
}

// elsewhereRemedy names the setting that adds the instance which the text
// claims. The host is untrusted text and is quoted.
func elsewhereRemedy(t Target, host string) string {
	return fmt.Sprintf("quell policy add --instance %s=https://HOST, if %q is yours", t.Instance.Provider, host)
}

func remedyFor(r Reason, t Target) string {
	switch r {
	case Throttled:
		return "ask again when the issuer's limit has passed"
	case Unreachable:
		return "ask again when the issuer answers; for a network of your own: ca, client_cert and proxy of the [[instance]]"
	case Restricted:
		return "ask from an allowed address or with the step that the issuer demands; the credential may be live"
	case AcceptsAnything:
		return fmt.Sprintf(`probe_path of [[instance]] provider = %q, url = %q in the policy, naming a page that only a signed-in user gets`, t.Instance.Provider, t.URL())
	case Unexpected:
		if t.Kind == credential.KindSessionCookie {
			return "check probe_path, live_marker and dead_marker of the [[instance]]: quell policy check --ask"
		}
		return "check the address of the [[instance]], and what stands between it and this machine"
	case Unsupported:
		return "look at the provider's page: docs/providers/" + t.Instance.Provider
	}
	return ""
}

// plainHost is a host that a command line can hold as it is.
var plainHost = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?(?::[0-9]{1,5})?$`)

// AddCommand is the command that names the instance of a session cookie which
// no named instance can have issued; empty if the credential is no cookie of a
// self-hosted application. Host and name are untrusted text: a host that is not
// plain, or one of several, is left to the operator.
func AddCommand(set *rules.Set, c credential.Credential) string {
	r := set.Rule(c.Rule)
	if c.Cookie == "" || r == nil || r.Provider != nil && len(r.Provider.Hosts) > 0 || rules.CheckCookieName(c.Cookie) != nil || strings.Contains(c.Cookie, "'") {
		return ""
	}
	provider := "webapp"
	if r.Provider != nil && r.Cookie != nil && r.Probe != nil {
		provider = r.Provider.ID
	}
	host := "HOST"
	if len(c.Claims.Hosts) == 1 && plainHost.MatchString(c.Claims.Hosts[0]) {
		host = c.Claims.Hosts[0]
	}
	scheme := "https"
	if u, err := url.Parse("http://" + host); err == nil && host != "HOST" && issuer.Loopback(u.Hostname()) {
		scheme = "http"
	}
	return fmt.Sprintf("quell policy add --instance '%s=%s://%s,cookie=%s,probe_path=/PAGE-OF-A-SIGNED-IN-USER,logout_path=/LOGOUT'", provider, scheme, host, c.Cookie)
}
