package token

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules/regex"
)

// expiry reads when a value ends from the value itself.
type expiry struct {
	name   string
	cookie bool // its form is unmistakable: it is tried on each session cookie
	read   func(value string) time.Time
}

// expiries are the formats that a rules file names in `expiry`. None of them verifies a signature,
// so a time can be wrong if the value is forged.
var expiries = []expiry{
	{"wordpress", true, wordPress},
	{"forward_auth", true, forwardAuth},
	{"proxmox", true, proxmox},
	{"remember_me", true, rememberMe},
	{"rails_message", true, railsMessage},
	{"koa", true, koa},
	{"auth0_session", true, auth0},
	{"iron", true, iron},
	{"jwe_aad", true, jweAAD},
	{"signature_v4", false, signatureV4},
	{"azure_sas", false, azureSAS},
	{"exp_field", false, expField},
	{"saml", false, saml},
}

// Expiries lists the names of the formats.
func Expiries() []string {
	out := make([]string, len(expiries))
	for i, e := range expiries {
		out[i] = e.name
	}
	return out
}

// Expiry returns the expiry of a value by the first of the named formats that fits; zero: none
// fits.
func Expiry(value string, names []string) time.Time {
	return firstExpiry(value, func(e expiry) bool { return slices.Contains(names, e.name) })
}

// CookieExpiry does so for a cookie without a named format, percent-encoded or not.
func CookieExpiry(value string) time.Time {
	return firstExpiry(value, func(e expiry) bool { return e.cookie })
}

func firstExpiry(value string, wanted func(expiry) bool) time.Time {
	plain := value
	if s, err := url.PathUnescape(value); err == nil {
		plain = s
	}
	for _, e := range expiries {
		if !wanted(e) {
			continue
		}
		v := value
		if e.cookie {
			v = plain
		}
		if t := e.read(v); Plausible(t) {
			return t
		}
	}
	return time.Time{}
}

// Plausible reports whether a time can be an expiry: other fields may have ten digits too.
func Plausible(t time.Time) bool { return t.Year() >= 2005 && t.Year() < 2100 }

// Unix reads seconds (10 digits) or milliseconds (13 digits) since 1970; zero: it is neither.
func Unix(digits string) time.Time {
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil || n <= 0:
		return time.Time{}
	case len(digits) == 13:
		return time.UnixMilli(n).UTC()
	case len(digits) == 10:
		return time.Unix(n, 0).UTC()
	}
	return time.Time{}
}

// Date reads a time by RFC 3339, one without seconds, or a day, percent-encoded or not.
func Date(s string) time.Time {
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// Unbase64 decodes base64 of either alphabet, padded or not; empty: it is none.
func Unbase64(v string) string {
	v = strings.TrimRight(v, "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(v); err == nil {
			return string(b)
		}
	}
	return ""
}

// wordPress is user|expiry|token|hmac (wp_generate_auth_cookie).
func wordPress(v string) time.Time {
	if f := strings.Split(v, "|"); len(f) == 4 && len(f[3]) == 64 {
		return Unix(f[1])
	}
	return time.Time{}
}

// forwardAuth is hmac|expiry|mail (thomseddon/traefik-forward-auth).
func forwardAuth(v string) time.Time {
	if f := strings.Split(v, "|"); len(f) == 3 && strings.Contains(f[2], "@") {
		return Unix(f[1])
	}
	return time.Time{}
}

// ticketLife is the lifetime of a ticket of Proxmox (PVE::Ticket).
const ticketLife = 2 * time.Hour

// proxmox is PVE:user@realm:issued::signature, the time in hex.
func proxmox(v string) time.Time {
	f := strings.Split(v, ":")
	if len(f) != 5 || f[3] != "" || !strings.HasPrefix(f[0], "P") {
		return time.Time{}
	}
	n, err := strconv.ParseInt(f[2], 16, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC().Add(ticketLife)
}

// rememberMe is base64 of fields separated by colons: Spring Security's user:expiry:signature,
// with an algorithm in newer versions, the time in milliseconds; Symfony's class:user:expiry:hash.
func rememberMe(v string) time.Time {
	f := strings.Split(Unbase64(v), ":")
	if len(f) < 3 || len(f) > 5 {
		return time.Time{}
	}
	for _, x := range f[1 : len(f)-1] {
		if t := Unix(x); Plausible(t) {
			return t
		}
	}
	return time.Time{}
}

// railsMessage is the envelope of a signed message of Rails, such as Devise's remember-me cookie.
func railsMessage(v string) time.Time {
	body, _, ok := strings.Cut(v, "--")
	if !ok {
		return time.Time{}
	}
	var m struct {
		Rails struct {
			Exp time.Time `json:"exp"`
		} `json:"_rails"`
	}
	if json.Unmarshal([]byte(Unbase64(body)), &m) != nil {
		return time.Time{}
	}
	return m.Rails.Exp.UTC()
}

// koa is base64 of JSON with _expire in milliseconds.
func koa(v string) time.Time {
	var m struct {
		Expire json.Number `json:"_expire"`
	}
	if json.Unmarshal([]byte(Unbase64(v)), &m) != nil {
		return time.Time{}
	}
	return Unix(m.Expire.String())
}

// iron is Fe26.2 with eight fields, of which the sixth is the expiry, or empty.
func iron(v string) time.Time {
	if f := strings.Split(v, "*"); len(f) == 8 && strings.HasPrefix(f[0], "Fe26.") {
		return Unix(f[5])
	}
	return time.Time{}
}

// jweAAD is a JWE as JSON whose additional authenticated data has an exp, as Kubernetes'
// dashboard makes it.
func jweAAD(v string) time.Time {
	var o struct {
		AAD string `json:"aad"`
	}
	var end struct {
		Exp time.Time `json:"exp"`
	}
	if !strings.HasPrefix(v, "{") || json.Unmarshal([]byte(v), &o) != nil || json.Unmarshal([]byte(Unbase64(o.AAD)), &end) != nil {
		return time.Time{}
	}
	return end.Exp.UTC()
}

// auth0 is a signed cookie of v1.MessagePack, whose session has an `expires` of the timestamp
// extension type.
func auth0(v string) time.Time {
	body, ok := strings.CutPrefix(v, "s:v1.")
	if !ok {
		return time.Time{}
	}
	body, _, _ = strings.Cut(body, ".")
	_, after, ok := strings.Cut(Unbase64(body), "\xa7expires")
	switch {
	case ok && len(after) >= 6 && after[:2] == "\xd6\xff":
		return time.Unix(int64(binary.BigEndian.Uint32([]byte(after[2:6]))), 0).UTC()
	case ok && len(after) >= 10 && after[:2] == "\xd7\xff": // nanoseconds in 30 bits, seconds in 34
		return time.Unix(int64(binary.BigEndian.Uint64([]byte(after[2:10]))&(1<<34-1)), 0).UTC()
	}
	return time.Time{}
}

var (
	signedRE     = regex.Lazy(`X-(?:Amz|Goog)-Date=([0-9]{8}T[0-9]{6}Z)`)
	signedLifeRE = regex.Lazy(`X-(?:Amz|Goog)-Expires=([0-9]{1,7})`)
	sasRE        = regex.Lazy(`(?:^|&)se=([^&]+)`)
	expFieldRE   = regex.Lazy(`;exp=([0-9]{10});`)
	samlRE       = regex.Lazy(`NotOnOrAfter="([^"]{10,40})"`)
)

// signatureV4 is a URL with the query of AWS Signature Version 4, or Google's version of it:
// when it was signed, and for how many seconds.
func signatureV4(v string) time.Time {
	from, life := signedRE().FindStringSubmatch(v), signedLifeRE().FindStringSubmatch(v)
	if from == nil || life == nil {
		return time.Time{}
	}
	n, err := strconv.Atoi(life[1])
	at, atErr := time.Parse("20060102T150405Z", from[1])
	if err != nil || atErr != nil {
		return time.Time{}
	}
	return at.Add(time.Duration(n) * time.Second)
}

// azureSAS is a query with se, the end of a shared access signature.
func azureSAS(v string) time.Time {
	if m := sasRE().FindStringSubmatch(v); m != nil {
		return Date(m[1])
	}
	return time.Time{}
}

// expField is a list of fields between semicolons with exp, as a token of Copilot.
func expField(v string) time.Time {
	if m := expFieldRE().FindStringSubmatch(v); m != nil {
		return Unix(m[1])
	}
	return time.Time{}
}

// saml is a response in base64, percent-encoded or not. The assertion's conditions count, of
// which the first ends first.
func saml(v string) time.Time {
	if plain, err := url.QueryUnescape(strings.ReplaceAll(v, "+", "%2B")); err == nil {
		v = plain
	}
	if m := samlRE().FindStringSubmatch(Unbase64(v)); m != nil {
		return Date(m[1])
	}
	return time.Time{}
}
