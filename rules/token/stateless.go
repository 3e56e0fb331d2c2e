package token

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

// Stateless is a form of cookie that contains the whole session, signed or encrypted. The
// application stores nothing that a logout could delete.
type Stateless struct {
	Form string // the framework
	// Remedy names what ends such sessions, and for whom.
	Remedy string
}

const password = "change the user's password, which ends that user's sessions"

// forms are recognised by structure alone. Sources: itsdangerous and Django's signing module,
// ActiveSupport::MessageEncryptor and MessageVerifier, hapi's iron, ASP.NET Core's data
// protection, Fernet's specification, Plug.Crypto, Tornado's web.py, Mojolicious' sessions, oauth2-proxy's pkg/encryption.
var forms = []struct {
	re func() *regexp.Regexp
	Stateless
}{
	{regex.Lazy(`^\.?[\w-]{8,}\.[\w-]{6}\.(?:[\w-]{27}|[\w-]{43}|[\w-]{86})$`), Stateless{"Flask", "change what get_id of flask-login returns, which ends that user's sessions; or SECRET_KEY, which ends everyone's"}},
	{regex.Lazy(`^\.?[\w-]{8,}:[0-9A-Za-z]{6}:(?:[\w-]{27}|[\w-]{43})$`), Stateless{"Django (signed_cookies)", password + "; or SECRET_KEY, which ends everyone's"}},
	{regex.Lazy(`^[A-Za-z0-9+/]{16,}={0,2}--[A-Za-z0-9+/]{16}={0,2}--[A-Za-z0-9+/]{22}={0,2}$`), Stateless{"Rails or Rack (encrypted cookie)", "change secret_key_base, or the secret of the sessions, which ends everyone's"}},
	{regex.Lazy(`^[A-Za-z0-9+/]{20,}={0,2}\n?--(?:[0-9a-f]{40}|[0-9a-f]{64})$`), Stateless{"Rack or Rails (signed cookie)", "change the secret of the sessions, which ends everyone's"}},
	{regex.Lazy(`^eyJ[A-Za-z0-9+/]{20,}-{1,2}--[0-9a-f]{40,64}$`), Stateless{"Mojolicious", "change the application's secrets, which ends everyone's"}},
	{regex.Lazy(`^Fe26\.2\*`), Stateless{"iron", "change the password of the sealed cookies, which ends everyone's"}},
	{regex.Lazy(`^CfDJ8[\w-]{60,}$`), Stateless{"ASP.NET Core", "update the user's security stamp, which ends that user's sessions within 30 minutes; or revoke the data protection keys, which ends everyone's"}},
	{regex.Lazy(`^gAAAAA[\w-]{60,}={0,2}$`), Stateless{"Fernet", "change the Fernet key, which ends everyone's"}},
	{regex.Lazy(`^(?:SFMyNTY|QTEyOEdDTQ)\.[\w-]{20,}\.[\w-]{20,}`), Stateless{"Phoenix", "delete the user's tokens, which ends that user's sessions; or change secret_key_base, which ends everyone's"}},
	{regex.Lazy(`^"?2\|1:[0-9]\|10:[0-9]{10}\|[0-9]+:[^|]+\|[0-9]+:[A-Za-z0-9+/]*={0,2}\|[0-9a-f]{64}"?$`), Stateless{"Tornado", "change cookie_secret, which ends everyone's"}},
	{regex.Lazy(`^[\w-]{200,}={0,2}\|1[0-9]{9}\|[\w-]{27,43}={0,2}$`), Stateless{"oauth2-proxy (cookie store)", "change cookie-secret, which ends everyone's"}},
}

// albCookie names the cookies of a load balancer's authentication, which are encrypted and have no
// structure.
var albCookie = regex.Lazy(`^(?:__Host-|__Secure-)?AWSELBAuthSessionCookie(?:-[0-9]{1,2})?$`)

// StatelessCookie is StatelessForm for a value of a cookie, whose name can identify the form too.
func StatelessCookie(name, value string) (Stateless, bool) {
	if albCookie().MatchString(name) {
		return Stateless{"AWS load balancer", "shorten the session timeout of the load balancer's authenticate action, or change its client at the identity provider, which ends everyone's"}, true
	}
	return StatelessForm(value)
}

// StatelessForm reports whether a cookie's value, as sent, has the form of a session that the
// cookie itself contains.
func StatelessForm(value string) (Stateless, bool) {
	if plain, err := url.PathUnescape(value); err == nil {
		value = plain
	}
	for _, f := range forms {
		if f.re().MatchString(value) {
			return f.Stateless, true
		}
	}
	if _, ok := ParseJWE(value); ok {
		return Stateless{"an encrypted token (Auth.js and others)", "change the secret of the application (AUTH_SECRET of Auth.js), which ends everyone's"}, true
	}
	if _, err := ParseJWT(value); err == nil {
		return Stateless{"a signed token", "change the key that signs it, which ends everyone's"}, true
	}
	if carried(value) {
		return Stateless{"cookie-session", "change the keys of the cookie session, which ends everyone's"}, true
	}
	return Stateless{}, false
}

// Unsigned reports whether a cookie's value, as sent, is a session without a signature: that is
// then sent in a cookie of its own.
func Unsigned(value string) bool {
	if plain, err := url.PathUnescape(value); err == nil {
		value = plain
	}
	return carried(value)
}

// carried reports whether a value is a JSON object in base64.
func carried(value string) bool {
	value = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(value), "=")
	b, err := base64.RawStdEncoding.DecodeString(value)
	var o map[string]any
	if err != nil || json.Unmarshal(b, &o) != nil || len(o) == 0 {
		return false
	}
	for _, pointer := range []string{"sessionid", "session_id", "sid"} {
		if o[pointer] != nil {
			return false // the application stores the rest
		}
	}
	return true
}
