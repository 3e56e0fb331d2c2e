package detect

import (
	"encoding/base64"
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
	for _, read := range []func(string) time.Time{wordPress, forwardAuth, proxmox, rememberMe, railsMessage, koa} {
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
	if j := jarRE.FindSubmatch(line); j != nil {
		if n, err := strconv.ParseInt(string(j[2]), 10, 64); err == nil && n > 0 && n < 253402300800 {
			return until(time.Unix(n, 0).UTC())
		}
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
