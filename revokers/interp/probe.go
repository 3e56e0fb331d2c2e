package interp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

// Probe is the Verifier of rules whose probe is a request in the rules file.
type Probe struct{ Doer issuer.Doer }

// Endpoints implements revokers.Verifier.
func (p Probe) Endpoints(t revokers.Target) []string {
	if t.Rule.Probe == nil || t.Rule.Probe.Request == nil {
		return nil
	}
	if missing, ok := Has(t, t.Rule.Probe.Needs); !ok && missing != "" {
		return nil
	}
	s := &scope{t: t, show: true}
	q := t.Rule.Probe.Request
	path, err := s.expand(q.Path, s.get)
	if err != nil {
		path = q.Path
	}
	return []string{q.Method + " " + path}
}

// Verify implements revokers.Verifier.
func (p Probe) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	s := &scope{t: t}
	r, err := s.fill(t.Rule.Probe.Request, true)
	if err != nil {
		return revokers.Answer{}, err
	}
	resp, err := p.Doer.Do(ctx, t.Instance, r)
	if err != nil {
		return NoAnswer(ctx, endpoint, err)
	}
	a := s.read(t.Rule.Probe, resp)
	a.Endpoint, a.At = endpoint, time.Now().UTC()
	a.SentBasic = strings.HasPrefix(r.Header.Get("Authorization"), "Basic ")
	return a, nil
}

// NoAnswer turns an error of a request into an answer that says nothing. It is
// an error if the run itself ended, or forbids requests.
func NoAnswer(ctx context.Context, endpoint string, err error) (revokers.Answer, error) {
	if ctx.Err() != nil {
		return revokers.Answer{}, ctx.Err()
	}
	if errors.Is(err, guard.ErrOffline) {
		return revokers.Answer{}, err
	}
	a := revokers.Answer{Class: revokers.Silent, Endpoint: endpoint, Reason: revokers.Unreachable, Detail: err.Error(), At: time.Now().UTC(), TimedOut: issuer.ErrTimeout(err)}
	if errors.Is(err, guard.ErrWait) || errors.Is(err, guard.ErrOpen) {
		a.Reason = revokers.Throttled
	}
	return a, nil
}

// read classifies a response by the probe's arms.
func (s *scope) read(p *rules.Probe, r issuer.Response) revokers.Answer {
	a := revokers.Answer{Status: r.Status, Detail: fmt.Sprintf("the issuer answered %d", r.Status), Challenge: revokers.Schemes(r.Header.Values("WWW-Authenticate"))}
	say := func(c revokers.Class, reason revokers.Reason, detail string) revokers.Answer {
		a.Class, a.Reason = c, reason
		if detail != "" {
			a.Detail = detail
		}
		return a
	}
	a.RetryAfter, _ = guard.RetryAfter(r.Header, time.Now())
	switch {
	case guard.IsThrottle(r):
		return say(revokers.Silent, revokers.Throttled, "")
	case r.Status == http.StatusRequestTimeout || r.Status >= 500:
		return say(revokers.Silent, revokers.Unreachable, "")
	case !p.HTML && isHTML(r):
		return say(revokers.Other, revokers.Unexpected, fmt.Sprintf("a page (%d) instead of data: a proxy or a captive portal", r.Status))
	case stepUp(r.Header):
		return say(revokers.Other, revokers.Restricted, "the issuer asks for a stronger sign-in (RFC 9470) or for proof of possession (RFC 9449)")
	}
	location, here := s.redirect(r)
	if !here {
		return say(revokers.Other, revokers.Unexpected, fmt.Sprintf("a redirect (%d) to another host", r.Status))
	}
	doc := decode(r.Body)
	a.Raw = revokers.NewRefusal(r.Status, location, a.Challenge+"|"+realm(r.Header), r.Body, s.sent())
	if m := s.t.Instance.Settings["dead_marker"]; m != "" && r.Status < 500 && (bytes.Contains(r.Body, []byte(m)) || strings.Contains(location, m)) {
		a.Documented = "dead_marker in the policy"
		return say(revokers.Refuses, revokers.SignedOut, "")
	}
	for _, arm := range p.When {
		if !s.holds(arm, r, doc) {
			continue
		}
		a.Reason = revokers.Reason(strings.ReplaceAll(arm.Reason, " ", "_"))
		switch arm.Then {
		case "live":
			if len(bytes.TrimSpace(r.Body)) == 0 && !arm.Condition() && r.Status != http.StatusNoContent {
				return say(revokers.Other, revokers.Unexpected, fmt.Sprintf("the issuer answered %d without a body", r.Status))
			}
			a.Class = revokers.Accepts
		case "dead":
			a.Class = revokers.Refuses
			if arm.Condition() && arm.Source != "" {
				a.Documented, a.Also = arm.Source, arm.Also
			}
		default:
			a.Class = revokers.Other
			if a.Reason == revokers.Throttled {
				a.Class = revokers.Silent
			}
		}
		s.keep(&a, arm.Keep, r, doc)
		return a
	}
	switch {
	case r.Status >= 300:
		// What no arm knows may still be the refusal that never-issued
		// credentials get.
		return say(revokers.Refuses, "", "")
	case p.HTML && len(bytes.TrimSpace(r.Body)) > 0 && s.t.Instance.Settings["live_marker"] != "":
		return say(revokers.Refuses, "", fmt.Sprintf("the page (%d) does not have the live marker", r.Status))
	}
	return say(revokers.Other, revokers.Unexpected, fmt.Sprintf("the issuer answered %d, which says nothing", r.Status))
}

// realm is the part of the challenges that names who asks for a password.
func realm(h http.Header) string { return strings.Join(h.Values("WWW-Authenticate"), ",") }

func stepUp(h http.Header) bool {
	v := strings.Join(h.Values("WWW-Authenticate"), ",")
	return strings.Contains(v, "insufficient_user_authentication") || strings.Contains(v, "use_dpop_nonce") || strings.Contains(v, "invalid_dpop_proof")
}

func isHTML(r issuer.Response) bool {
	if strings.Contains(strings.ToLower(r.Header.Get("Content-Type")), "html") {
		return true
	}
	b := bytes.ToLower(bytes.TrimSpace(r.Body[:min(len(r.Body), 512)]))
	return bytes.HasPrefix(b, []byte("<!doctype html")) || bytes.HasPrefix(b, []byte("<html"))
}

// decode reads a JSON document. Numbers keep their digits.
func decode(b []byte) any {
	var doc any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&doc) != nil {
		return nil
	}
	return doc
}

// redirect returns host, path and query of a redirect on the instance's own
// origin; here is false for one that leads elsewhere.
func (s *scope) redirect(r issuer.Response) (location string, here bool) {
	if r.Status < 300 || r.Status > 399 || r.Header.Get("Location") == "" {
		return "", true
	}
	to, err := url.Parse(r.Header.Get("Location"))
	if err != nil {
		return "", false
	}
	base := *s.t.Instance.URL
	if q, err := url.Parse(s.probePath()); err == nil {
		base.Path = strings.TrimRight(base.Path, "/") + q.Path
	}
	to = base.ResolveReference(to)
	if to.Host != base.Host || to.Scheme != base.Scheme {
		return to.Host + to.Path, false
	}
	return to.Host + to.Path, true
}

func (s *scope) probePath() string {
	if s.t.Rule.Probe == nil || s.t.Rule.Probe.Request == nil {
		return "/"
	}
	p, err := s.expand(s.t.Rule.Probe.Request.Path, s.get)
	if err != nil {
		return "/"
	}
	return p
}

func (s *scope) holds(arm rules.Arm, r issuer.Response, doc any) bool {
	if len(arm.Status) > 0 && !slices.Contains(arm.Status, r.Status) {
		return false
	}
	if arm.Body != "" {
		want, ok := rules.Expand(arm.Body, s.get)
		if !ok || !bytes.Contains(r.Body, []byte(want)) {
			return false
		}
	}
	if arm.Location != "" {
		want, ok := rules.Expand(arm.Location, s.get)
		if !ok || !s.redirects(r, want) {
			return false
		}
	}
	for k, v := range arm.Header {
		if r.Header.Get(k) != v {
			return false
		}
	}
	return matchJSON(arm.JSON, doc)
}

// redirects reports whether the response leads to a path on the same origin,
// or below it.
func (s *scope) redirects(r issuer.Response, path string) bool {
	location, here := s.redirect(r)
	if location == "" || !here {
		return false
	}
	got := strings.TrimPrefix(location, s.t.Instance.Host())
	base := strings.TrimRight(s.t.Instance.URL.Path, "/")
	for _, want := range []string{path, base + path} {
		if got == want || strings.HasPrefix(got, strings.TrimRight(want, "/")+"/") {
			return true
		}
	}
	return false
}

// maxKept bounds one value that is kept of a response, in bytes.
const maxKept = 256

// keep takes the values that an arm names out of the response.
func (s *scope) keep(a *revokers.Answer, keep map[string]string, r issuer.Response, doc any) {
	for name, from := range keep {
		var v string
		if h, ok := strings.CutPrefix(from, "header:"); ok {
			v = r.Header.Get(h)
		} else if got, ok := lookup(doc, from); ok {
			v = text(got)
		}
		if v == "" || len(v) > maxKept && name != "scopes" {
			continue
		}
		v = v[:min(len(v), maxKept)]
		for _, secret := range s.sent() {
			if len(secret) > 3 {
				v = strings.ReplaceAll(v, secret, rules.Redacted)
			}
		}
		if name == "expires" {
			a.Expires = parseTime(v)
		}
		if a.Identity == nil {
			a.Identity, a.Captures = map[string]string{}, map[string]string{}
		}
		a.Identity[name], a.Captures[name] = v, v
	}
}
