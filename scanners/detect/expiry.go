package detect

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/regex"
	"github.com/quellhq/quell/rules/token"
)

var neighbourRE = regex.Lazy(`(?i)["'](?:access_?token_?)?(?:expires_?at|expiry_?date|expiry|expires_?on|expiration)["'][ ]{0,3}:[ ]{0,3}["']?([0-9]{10}(?:[0-9]{3})?|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}(?:Z|[+-][0-9]{2}:?[0-9]{2}))\b`)

// neighbourExpiry reads the member next to an access token that gives its expiry, in the token
// stores of command-line tools and agents. It reads only up to the object's braces.
func neighbourExpiry(b []byte, start, end int) rules.Offline {
	from, to := max(0, start-maxCookies), min(len(b), end+maxCookies)
	from += bytes.LastIndexByte(b[from:start], '{') + 1
	if i := bytes.IndexByte(b[end:to], '}'); i >= 0 {
		to = end + i
	}
	// All names of that member contain these letters. Most objects have no such member.
	var m [][]byte
	for at := from; m == nil; {
		i := bytes.Index(b[at:to], []byte("xpir"))
		if i < 0 {
			return rules.Offline{State: rules.OfflineUnknown}
		}
		at += i
		m = neighbourRE().FindSubmatch(b[max(from, at-24):min(to, at+64)])
		at += len("xpir")
	}
	t := token.Unix(string(m[1]))
	if t.IsZero() {
		t = token.Date(string(m[1]))
	}
	if !token.Plausible(t) {
		return rules.Offline{State: rules.OfflineUnknown}
	}
	return until(t)
}

var (
	maxAgeRE  = regex.Lazy(`(?i);\s*max-age=(-?[0-9]{1,12})`)
	expiresRE = regex.Lazy(`(?i);\s*expires=([A-Za-z]{3,9}, [^;"']{10,30})`)
	// The log of curl's cookie engine, and the storage dumps of browsers and their drivers.
	curlRE    = regex.Lazy(`(?:Added|Replaced) cookie .+ expire ([0-9]{1,12})\b`)
	storageRE = regex.Lazy(`["'](?:expires|expiry|expirationDate)["']: ?([0-9]{10})(?:\.[0-9]+)?\b`)
	harRE     = regex.Lazy(`["']expires["']: ?["']([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(?:Z|[+-][0-9]{2}:[0-9]{2}))["']`)
)

// cookieExpiry reads the attributes of Set-Cookie and the columns of a Netscape cookie jar.
// Max-Age counts from when the line was written, which is unknown: only a value that expires at
// once is informative.
func cookieExpiry(line []byte) rules.Offline {
	// Most lines have none of these: the bytes that each expression needs are searched for
	// first.
	if bytes.IndexByte(line, '\t') < 0 {
	} else if j := jarRE().FindSubmatch(line); j != nil {
		if n, err := strconv.ParseInt(string(j[2]), 10, 64); err == nil && n > 0 && n < 253402300800 {
			return until(time.Unix(n, 0).UTC())
		}
	}
	if !bytes.Contains(line, []byte("xpir")) && !bytes.Contains(line, []byte("XPIR")) && !bytes.Contains(line, []byte("ge=")) && !bytes.Contains(line, []byte("GE=")) {
		return rules.Offline{State: rules.OfflineUnknown}
	}
	if a := maxAgeRE().FindSubmatch(line); a != nil && (a[1][0] == '-' || string(a[1]) == "0") {
		t := time.Unix(0, 0).UTC()
		return rules.Offline{State: rules.OfflineExpired, Expires: &t}
	}
	if x := expiresRE().FindSubmatch(line); x != nil {
		for _, layout := range []string{time.RFC1123, "Mon, 02-Jan-2006 15:04:05 MST", "Monday, 02-Jan-06 15:04:05 MST"} {
			if t, err := time.Parse(layout, strings.TrimSpace(string(x[1]))); err == nil {
				return until(t.UTC())
			}
		}
	}
	for _, re := range []func() *regexp.Regexp{curlRE, storageRE} {
		if x := re().FindSubmatch(line); x != nil {
			if t := token.Unix(string(x[1])); token.Plausible(t) {
				return until(t)
			}
		}
	}
	if x := harRE().FindSubmatch(line); x != nil {
		if t, err := time.Parse(time.RFC3339Nano, string(x[1])); err == nil {
			return until(t.UTC())
		}
	}
	return rules.Offline{State: rules.OfflineUnknown}
}
