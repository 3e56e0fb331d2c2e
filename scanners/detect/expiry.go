package detect

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
)

// ticketExpiry reads the end of its life off a cookie's value, where the value
// says it: the signature behind it is not checked, so that a time can be told
// wrongly only by who made the cookie up.
func ticketExpiry(value string) rules.Offline {
	if plain, err := url.PathUnescape(value); err == nil {
		value = plain
	}
	for _, read := range []func(string) time.Time{wordPress, forwardAuth, proxmox, rememberMe, railsMessage, koa, auth0, iron, dashboard} {
		if t := read(value); sane(t) {
			return until(t)
		}
	}
	return rules.Offline{State: rules.OfflineUnknown}
}

// sane reports whether a time can be meant: other fields may be ten digits too.
func sane(t time.Time) bool { return t.Year() >= 2005 && t.Year() < 2100 }

func unix(digits string) time.Time {
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

// wordPress is user|expiry|token|hmac (wp_generate_auth_cookie).
func wordPress(v string) time.Time {
	if f := strings.Split(v, "|"); len(f) == 4 && len(f[3]) == 64 {
		return unix(f[1])
	}
	return time.Time{}
}

// forwardAuth is hmac|expiry|mail (thomseddon/traefik-forward-auth).
func forwardAuth(v string) time.Time {
	if f := strings.Split(v, "|"); len(f) == 3 && strings.Contains(f[2], "@") {
		return unix(f[1])
	}
	return time.Time{}
}

// ticketLife is how long a ticket of Proxmox is good for.
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

func unbase64(v string) string {
	v = strings.TrimRight(v, "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := e.DecodeString(v); err == nil {
			return string(b)
		}
	}
	return ""
}

// rememberMe is base64 of fields with colons between: Spring Security's
// user:expiry:signature, with an algorithm in newer versions, the time in
// milliseconds; Symfony's class:user:expiry:hash.
func rememberMe(v string) time.Time {
	f := strings.Split(unbase64(v), ":")
	if len(f) < 3 || len(f) > 5 {
		return time.Time{}
	}
	for _, x := range f[1 : len(f)-1] {
		if t := unix(x); sane(t) {
			return t
		}
	}
	return time.Time{}
}

// railsMessage is the envelope of a signed message of Rails, which Devise's
// remember-me cookie is too.
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
	if json.Unmarshal([]byte(unbase64(body)), &m) != nil {
		return time.Time{}
	}
	return m.Rails.Exp.UTC()
}

// koa is base64 of JSON with _expire in milliseconds.
func koa(v string) time.Time {
	var m struct {
		Expire json.Number `json:"_expire"`
	}
	if json.Unmarshal([]byte(unbase64(v)), &m) != nil {
		return time.Time{}
	}
	return unix(m.Expire.String())
}

// iron is Fe26.2 with eight fields, the sixth of them when it ends, or empty.
func iron(v string) time.Time {
	if f := strings.Split(v, "*"); len(f) == 8 && strings.HasPrefix(f[0], "Fe26.") {
		return unix(f[5])
	}
	return time.Time{}
}

// dashboard is the JWE of Kubernetes' dashboard, as JSON; what is authenticated
// beside it says when it ends.
func dashboard(v string) time.Time {
	var o struct {
		AAD string `json:"aad"`
	}
	var end struct {
		Exp time.Time `json:"exp"`
	}
	if !strings.HasPrefix(v, "{") || json.Unmarshal([]byte(v), &o) != nil || json.Unmarshal([]byte(unbase64(o.AAD)), &end) != nil {
		return time.Time{}
	}
	return end.Exp.UTC()
}

// auth0 is a signed cookie of v1.MessagePack; its session has an expires of the
// extension type that the format has for times.
func auth0(v string) time.Time {
	body, ok := strings.CutPrefix(v, "s:v1.")
	if !ok {
		return time.Time{}
	}
	body, _, _ = strings.Cut(body, ".")
	_, after, ok := strings.Cut(unbase64(body), "\xa7expires")
	switch {
	case ok && len(after) >= 6 && after[:2] == "\xd6\xff":
		return time.Unix(int64(binary.BigEndian.Uint32([]byte(after[2:6]))), 0).UTC()
	case ok && len(after) >= 10 && after[:2] == "\xd7\xff": // nanoseconds in 30 bits, seconds in 34
		return time.Unix(int64(binary.BigEndian.Uint64([]byte(after[2:10]))&(1<<34-1)), 0).UTC()
	}
	return time.Time{}
}

var (
	amzRE       = regexp.MustCompile(`X-(?:Amz|Goog)-Date=([0-9]{8}T[0-9]{6}Z)`)
	amzLifeRE   = regexp.MustCompile(`X-(?:Amz|Goog)-Expires=([0-9]{1,7})`)
	sasRE       = regexp.MustCompile(`(?:^|&)se=([^&]+)`)
	copilotRE   = regexp.MustCompile(`;exp=([0-9]{10});`)
	samlRE      = regexp.MustCompile(`NotOnOrAfter="([^"]{10,40})"`)
	neighbourRE = regexp.MustCompile(`(?i)["'](?:access_?token_?)?(?:expires_?at|expiry_?date|expiry|expires_?on|expiration)["'][ ]{0,3}:[ ]{0,3}["']?([0-9]{10}(?:[0-9]{3})?|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}(?:Z|[+-][0-9]{2}:?[0-9]{2}))\b`)
)

// signedExpiry reads the end of what is good for a time only: signed URLs, SAML
// responses, Copilot's tokens.
func signedExpiry(rule, value string) rules.Offline {
	var t time.Time
	switch rule {
	case "aws-presigned-url", "gcs-signed-url":
		from, life := amzRE.FindStringSubmatch(value), amzLifeRE.FindStringSubmatch(value)
		if from == nil || life == nil {
			break
		}
		n, err := strconv.Atoi(life[1])
		if at, e := time.Parse("20060102T150405Z", from[1]); err == nil && e == nil {
			t = at.Add(time.Duration(n) * time.Second)
		}
	case "azure-sas":
		if m := sasRE.FindStringSubmatch(value); m != nil {
			t = date(m[1])
		}
	case "copilot-token":
		if m := copilotRE.FindStringSubmatch(value); m != nil {
			t = unix(m[1])
		}
	case "saml-response":
		if plain, err := url.QueryUnescape(strings.ReplaceAll(value, "+", "%2B")); err == nil {
			value = plain
		}
		// The assertion's conditions count, the first that stands there ends first.
		if m := samlRE.FindStringSubmatch(unbase64(value)); m != nil {
			t = date(m[1])
		}
	}
	if !sane(t) {
		return rules.Offline{State: rules.OfflineUnknown}
	}
	return until(t)
}

func date(s string) time.Time {
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

// neighbourExpiry reads the member beside an access token that says when it ends:
// in the token stores of command-line tools and agents. It looks no further than
// the object's braces.
func neighbourExpiry(b []byte, start, end int) rules.Offline {
	from, to := max(0, start-maxCookies), min(len(b), end+maxCookies)
	from += bytes.LastIndexByte(b[from:start], '{') + 1
	if i := bytes.IndexByte(b[end:to], '}'); i >= 0 {
		to = end + i
	}
	// All that it may be called has these letters. Most objects have none.
	var m [][]byte
	for at := from; m == nil; {
		i := bytes.Index(b[at:to], []byte("xpir"))
		if i < 0 {
			return rules.Offline{State: rules.OfflineUnknown}
		}
		at += i
		m = neighbourRE.FindSubmatch(b[max(from, at-24):min(to, at+64)])
		at += len("xpir")
	}
	t := unix(string(m[1]))
	if t.IsZero() {
		t = date(string(m[1]))
	}
	if !sane(t) {
		return rules.Offline{State: rules.OfflineUnknown}
	}
	return until(t)
}

var (
	maxAgeRE  = regexp.MustCompile(`(?i);\s*max-age=(-?[0-9]{1,12})`)
	expiresRE = regexp.MustCompile(`(?i);\s*expires=([A-Za-z]{3,9}, [^;"']{10,30})`)
	// curl's cookie engine, and the storage dumps of browsers and their drivers.
	curlRE    = regexp.MustCompile(`(?:Added|Replaced) cookie .+ expire ([0-9]{1,12})\b`)
	storageRE = regexp.MustCompile(`["'](?:expires|expiry|expirationDate)["']: ?([0-9]{10})(?:\.[0-9]+)?\b`)
	harRE     = regexp.MustCompile(`["']expires["']: ?["']([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(?:Z|[+-][0-9]{2}:[0-9]{2}))["']`)
)

// cookieExpiry reads the attributes of Set-Cookie and the columns of a
// Netscape jar. Max-Age counts from when the line was written, which nobody
// knows: only one that is over at once tells anything.
func cookieExpiry(line []byte) rules.Offline {
	// Most lines have none of it: what each expression needs is looked for first.
	if bytes.IndexByte(line, '\t') < 0 {
	} else if j := jarRE.FindSubmatch(line); j != nil {
		if n, err := strconv.ParseInt(string(j[2]), 10, 64); err == nil && n > 0 && n < 253402300800 {
			return until(time.Unix(n, 0).UTC())
		}
	}
	if !bytes.Contains(line, []byte("xpir")) && !bytes.Contains(line, []byte("XPIR")) && !bytes.Contains(line, []byte("ge=")) && !bytes.Contains(line, []byte("GE=")) {
		return rules.Offline{State: rules.OfflineUnknown}
	}
	if a := maxAgeRE.FindSubmatch(line); a != nil && (a[1][0] == '-' || string(a[1]) == "0") {
		t := time.Unix(0, 0).UTC()
		return rules.Offline{State: rules.OfflineExpired, Expires: &t}
	}
	if x := expiresRE.FindSubmatch(line); x != nil {
		for _, layout := range []string{time.RFC1123, "Mon, 02-Jan-2006 15:04:05 MST", "Monday, 02-Jan-06 15:04:05 MST"} {
			if t, err := time.Parse(layout, strings.TrimSpace(string(x[1]))); err == nil {
				return until(t.UTC())
			}
		}
	}
	for _, re := range []*regexp.Regexp{curlRE, storageRE} {
		if x := re.FindSubmatch(line); x != nil {
			if t := unix(string(x[1])); sane(t) {
				return until(t)
			}
		}
	}
	if x := harRE.FindSubmatch(line); x != nil {
		if t, err := time.Parse(time.RFC3339Nano, string(x[1])); err == nil {
			return until(t.UTC())
		}
	}
	return rules.Offline{State: rules.OfflineUnknown}
}
