package revokers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
)

// Probe sends the rule's probe and reads the answer by its arms.
func (x *Exchange) Probe(ctx context.Context) Verdict {
	a, err := x.send(ctx, x.Rule.Probe.Request)
	if err != nil {
		return x.at(unknown(Unreachable, "%v", err))
	}
	return x.at(x.read(a))
}

func (x *Exchange) at(v Verdict) Verdict {
	v.Host = x.Instance.Host()
	return v
}

func (x *Exchange) read(a Answer) Verdict {
	p := x.Rule.Probe
	switch {
	case a.Status == http.StatusTooManyRequests:
		return unknown(Throttled, "the issuer answered 429")
	case a.Status >= 500:
		return unknown(Unreachable, "the issuer answered %d", a.Status)
	case !p.HTML && isHTML(a):
		return unknown(Unexpected, "a page (%d) where the API answers data: a proxy or a captive portal", a.Status)
	case a.Header.Get("WWW-Authenticate") != "" && strings.Contains(a.Header.Get("WWW-Authenticate"), "insufficient_user_authentication"):
		return unknown(Restricted, "the issuer asks for a stronger sign-in (RFC 9470)")
	}
	var doc any
	_ = json.Unmarshal(a.Body, &doc)
	for _, arm := range p.When {
		if !x.holds(arm, a, doc) {
			continue
		}
		v := Verdict{Reason: arm.Reason, At: time.Now().UTC(), Detail: fmt.Sprintf("the issuer answered %d", a.Status)}
		switch arm.Then {
		case "live":
			v.Liveness = Live
			if v.Reason == "" {
				v.Reason = Authenticated
			}
		case "dead":
			v.Liveness = Dead
			if v.Reason == "" {
				v.Reason = Revoked
			}
		}
		if v.Reason == "" {
			v.Reason = Unexpected
		}
		x.keep(&v, arm.Keep, a, doc)
		return v
	}
	return unknown(Unexpected, "the issuer answered %d, which says nothing", a.Status)
}

func isHTML(a Answer) bool {
	if strings.Contains(strings.ToLower(a.Header.Get("Content-Type")), "html") {
		return true
	}
	b := bytes.ToLower(bytes.TrimSpace(a.Body[:min(len(a.Body), 512)]))
	return bytes.HasPrefix(b, []byte("<!doctype html")) || bytes.HasPrefix(b, []byte("<html"))
}

func (x *Exchange) holds(arm rules.Arm, a Answer, doc any) bool {
	if !slices.Contains(arm.Status, a.Status) || arm.After == "live" && !x.SeenLive {
		return false
	}
	if arm.Body != "" {
		want, ok := rules.Expand(arm.Body, x.get)
		if !ok || !bytes.Contains(a.Body, []byte(want)) {
			return false
		}
	}
	if arm.Location != "" {
		want, ok := rules.Expand(arm.Location, x.get)
		if !ok || !x.redirects(a, want) {
			return false
		}
	}
	for k, v := range arm.Header {
		if a.Header.Get(k) != v {
			return false
		}
	}
	return matchJSON(arm.JSON, doc)
}

// redirects tells whether the answer sends to a path on the same origin.
func (x *Exchange) redirects(a Answer, path string) bool {
	to, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		return false
	}
	to = x.Instance.URL.ResolveReference(to)
	if to.Host != x.Instance.URL.Host || to.Scheme != x.Instance.URL.Scheme {
		return false
	}
	return to.Path == path || strings.HasPrefix(to.Path, strings.TrimRight(path, "/")+"/")
}

func matchJSON(want map[string]any, doc any) bool {
	for path, w := range want {
		got, ok := lookup(doc, path)
		if !ok {
			return false
		}
		if list, isList := w.([]any); isList {
			if !slices.ContainsFunc(list, func(e any) bool { return text(e) == text(got) }) {
				return false
			}
		} else if text(w) != text(got) {
			return false
		}
	}
	return true
}

// lookup follows a dotted path through objects and, by number, lists.
func lookup(doc any, path string) (any, bool) {
	for _, k := range strings.Split(path, ".") {
		switch d := doc.(type) {
		case map[string]any:
			v, ok := d[k]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			n, err := strconv.Atoi(k)
			if err != nil || n < 0 || n >= len(d) {
				return nil, false
			}
			doc = d[n]
		default:
			return nil, false
		}
	}
	return doc, true
}

// text writes a JSON value so that TOML's integers and JSON's numbers agree.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		return ""
	}
	return fmt.Sprint(v)
}

// maxKept bounds what is kept of an answer, which a stranger wrote.
const maxKept = 256

func (x *Exchange) keep(v *Verdict, keep map[string]string, a Answer, doc any) {
	for name, from := range keep {
		var s string
		if h, ok := strings.CutPrefix(from, "header:"); ok {
			s = a.Header.Get(h)
		} else if got, ok := lookup(doc, from); ok {
			s = text(got)
		}
		if s == "" {
			continue
		}
		s = s[:min(len(s), maxKept)]
		if name == "expires" {
			v.Expires = parseTime(s)
		}
		if v.Identity == nil {
			v.Identity = map[string]string{}
		}
		v.Identity[name] = s
		if x.Kept == nil {
			x.Kept = map[string]string{}
		}
		x.Kept[name] = s
	}
}

func parseTime(s string) *time.Time {
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			t = t.UTC()
			return &t
		}
	}
	return nil
}

// Fields collects what a dotted path leads to in a JSON document, or in each
// element where the document is a list.
func Fields(doc any, path string) []string {
	list, ok := doc.([]any)
	if !ok {
		list = []any{doc}
	}
	var out []string
	for _, e := range list {
		if v, ok := lookup(e, path); ok {
			out = append(out, text(v))
		}
	}
	return out
}
