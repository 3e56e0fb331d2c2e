package revokers

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/regex"
)

// A remedy names a setting of the policy or a command of quell that, once
// applied, can change the verdict. A test in cmd/quell/internal/cli holds that
// each name exists.

// entry names the policy's entry of t's instance.
func entry(t Target) string {
	s := fmt.Sprintf("[[instance]] provider = %q, url = %q", t.Instance.Provider, t.URL())
	if u := t.Instance.Settings["user"]; u != "" {
		s += fmt.Sprintf(", user = %q", u)
	}
	return s + " in the policy"
}

// controlRemedy names the setting that adds a control.
func controlRemedy(t Target) string {
	if _, has := t.Instance.Control(t.Rule); !has && len(t.Instance.Controls) > 0 {
		return "rule and parts of [[instance.controls]] of " + entry(t) + ", naming " + t.Rule.ID + " and a live credential of your own: the present controls are of other rules"
	}
	return `control = "env:NAME" of ` + entry(t) + ", naming a live credential of your own"
}

// markerRemedy names the setting that documents an instance's refusal.
func markerRemedy(t Target) string {
	if p := t.Rule.Probe; p != nil && !p.TakesMarker() {
		return "url of " + entry(t) + ", if another server issued it: this refusal has other causes than a death"
	}
	return `dead_marker = "TEXT" of ` + entry(t) + ", naming what only an ended credential gets"
}

// pageRemedy is for a page that is perhaps not there: no text on it shows an end.
func pageRemedy(t Target, status int) string {
	return fmt.Sprintf("check probe_path of %s: the address answers %d; it has to name a page that a signed-in user gets", entry(t), status)
}

// gatewayRemedy is for a refusal by what asks for a password in front of the
// issuer: no setting makes it the issuer's.
func gatewayRemedy(t Target) string {
	if t.Kind == credential.KindSessionCookie {
		return "probe_path of " + entry(t) + ", naming a page that is reached without the password that this answer asks for"
	}
	return "url of " + entry(t) + ", naming an address that is reached without the password that this answer asks for"
}

// soleRemedy names the settings that declare who issues credentials of this form.
func soleRemedy(t Target) string {
	whose := "no other server"
	if t.Instance.Settings["user"] != "" {
		whose = "no other server and no other user there"
	}
	if t.Instance.Operator {
		return "elsewhere = false of " + entry(t) + ", if " + whose + " of yours has credentials of this form"
	}
	return fmt.Sprintf("--no-self-hosted %s, or elsewhere = false of the [[instance]] in the policy, if you have no server of your own that issues this form", t.Instance.Provider)
}

// elsewhereRemedy names the command that adds the instance which the text
// names. The name is untrusted text and is quoted.
func elsewhereRemedy(t Target, what, name string) string {
	at := t.Instance.Provider + "=https://HOST"
	switch {
	case t.Instance.URL.Scheme == "postgres" && what == "host":
		at = "postgres=postgres://HOST/DATABASE,user=USER"
	case t.Instance.URL.Scheme == "postgres":
		at = fmt.Sprintf("postgres=postgres://%s/DATABASE,user=USER", t.Host())
	case t.Kind == credential.KindSessionCookie:
		at += ",probe_path=/PATH"
	}
	return fmt.Sprintf("quell policy add --instance %s, if the %s %q is yours", at, what, name)
}

func remedyFor(r Reason, t Target) string {
	switch r {
	case AcceptsAll:
		if t.Kind == credential.KindSessionCookie {
			return "probe_path of " + entry(t) + ", naming a page that only a signed-in user gets"
		}
		return "url of " + entry(t) + ", naming the server itself: what answers there accepts everything"
	case Unexpected:
		if t.Kind == credential.KindSessionCookie {
			return "probe_path, live_marker or dead_marker of " + entry(t)
		}
		return "url of " + entry(t) + ", or proxy, if something between it and this machine answered"
	case Unsupported:
		return PageRemedy(t.Instance.Provider)
	}
	return generalRemedy(r)
}

// generalRemedy is the remedy of a reason that needs no target.
func generalRemedy(r Reason) string {
	switch r {
	case Throttled:
		return "quell check REPORT, or quell recheck, when the issuer's limit has passed"
	case Unreachable:
		return "quell check REPORT, or quell recheck, when the issuer answers; for a network of your own: ca, client_cert and proxy of the [[instance]]"
	case Restricted:
		return "quell check REPORT from an address that the issuer allows; the credential may be live"
	case Unsupported:
		return "--rules FILE, naming the rules file that has it; quell rules list shows those that are loaded"
	case NoHost:
		return "quell policy add --instance PROVIDER=URL, for the issuer of yours"
	case Canary:
		return "canaries = [\"FINGERPRINT\"] in the policy, if it is there by mistake"
	case Malformed, Partial:
		return wholeRemedy(anyRule)
	case Offline:
		return "quell check REPORT, without --offline"
	}
	return ""
}

// anyRule is the place of a rule's id in a remedy.
const anyRule = "RULE"

// wholeRemedy is for a value that may be cut or mistyped.
func wholeRemedy(rule string) string {
	return "quell check --rule " + rule + " with the whole value on standard input, if this copy of it is damaged"
}

// SettingRemedy names the settings of an instance that a probe or a revocation
// needs, by the name that the rules file gives them.
func SettingRemedy(need string) string {
	switch need {
	case "admin", "admin.user", "admin.password", "admin.basic":
		return `admin = "env:NAME" of the [[instance]] in the policy`
	case "client", "client.id", "client.basic":
		return `client_id = "ID" and client_secret = "env:NAME" of the [[instance]] in the policy`
	case "client.secret":
		return `client_secret = "env:NAME" of the [[instance]] in the policy`
	}
	if part, ok := strings.CutPrefix(need, "part."); ok {
		return "none: the " + part + " that it works with was not found near it; end it at the issuer"
	}
	return need + ` = "…" of the [[instance]] in the policy`
}

// PageRemedy names what explains a provider's credentials.
func PageRemedy(provider string) string {
	return "quell providers " + provider + ", which explains what can be asked and how it is ended"
}

// plainHost is a host that a command line can hold as it is.
var plainHost = regex.Lazy(`^[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?(?::[0-9]{1,5})?$`)

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
	if len(c.Claims.Hosts) == 1 && plainHost().MatchString(c.Claims.Hosts[0]) {
		host = c.Claims.Hosts[0]
	}
	scheme := "https"
	if u, err := url.Parse("http://" + host); err == nil && host != "HOST" && issuer.Loopback(u.Hostname()) {
		scheme = "http"
	}
	return fmt.Sprintf("quell policy add --instance '%s=%s://%s,cookie=%s,probe_path=/PAGE-OF-A-SIGNED-IN-USER,logout_path=/LOGOUT'", provider, scheme, host, c.Cookie)
}
