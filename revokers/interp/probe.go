package interp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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
	probe := t.Rule.Probe
	if probe == nil || probe.Request == nil {
		return nil
	}
	if missing, ok := Has(t, probe.Needs); !ok && missing != "" {
		return nil
	}
	s := &scope{t: t, show: true}
	var all []string
	for _, one := range append([]*rules.Probe{probe}, probe.Also...) {
		q := one.Request
		path, err := s.path(q.Path)
		if err != nil {
			path = q.Path
		}
		if i, err := s.at(q); err == nil && i.Host() != t.Host() {
			path = i.Host() + path
		}
		all = append(all, q.Method+" "+path)
	}
	return []string{strings.Join(all, ", ")}
}

// Verify implements revokers.Verifier. If the probe has further surfaces, the
// answer is a refusal only if all refuse.
func (p Probe) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	s := &scope{t: t}
	a, err := p.ask(ctx, s, t.Rule.Probe, endpoint)
	if err != nil {
		return a, err
	}
	for _, surface := range t.Rule.Probe.Also {
		if a.Class != revokers.Refuses {
			break
		}
		b, err := p.ask(ctx, s, surface, endpoint)
		if err != nil {
			return b, err
		}
		if b.Class != revokers.Refuses {
			return b, nil
		}
		if b.Documented == "" {
			a.Documented = ""
		}
		a.Also = moreCauses(a.Also, b.Also)
	}
	if a.Class == revokers.Accepts && len(t.Rule.Probe.Identity) > 0 {
		p.identify(ctx, t, &a)
	}
	return a, nil
}

// moreCauses is the cause that leaves more room for doubt.
func moreCauses(a, b string) string {
	if a == revokers.AlsoCredential || b == "" {
		return a
	}
	return b
}

// ask sends one probe's request.
func (p Probe) ask(ctx context.Context, s *scope, probe *rules.Probe, endpoint string) (revokers.Answer, error) {
	i, err := s.at(probe.Request)
	if err != nil {
		return revokers.Answer{}, err
	}
	r, err := s.fill(probe.Request, true)
	if err != nil {
		return revokers.Answer{}, err
	}
	if probe.HTML {
		static(i, r.Header)
	}
	resp, err := p.Doer.Do(ctx, i, r)
	if err != nil {
		return NoAnswer(ctx, endpoint, err)
	}
	a := s.read(probe, resp)
	a.Endpoint, a.At = endpoint, time.Now().UTC()
	a.SentBasic = strings.HasPrefix(r.Header.Get("Authorization"), "Basic ")
	return a, nil
}

// identify completes the identity of a live credential. Without an answer the
// identity lacks those fields, and the policy can't decide by them.
func (p Probe) identify(ctx context.Context, t revokers.Target, a *revokers.Answer) {
	s := &scope{t: t, late: map[string]string{}}
	maps.Copy(s.late, a.Captures)
	for _, step := range t.Rule.Probe.Identity {
		before := maps.Clone(s.late)
		if err := s.step(ctx, p.Doer, step); err != nil {
			return
		}
		for name, v := range s.late {
			if _, had := before[name]; !had {
				s.note(a, name, v)
			}
		}
	}
}

// NoAnswer converts an error of a request to an answer that decides nothing. It is
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

// read classifies a response. A refusal that was not read to its end decides nothing:
// the missing part can be what distinguishes it.
func (s *scope) read(p *rules.Probe, r issuer.Response) revokers.Answer {
	a := s.classify(p, r)
	if r.Cut && a.Class == revokers.Refuses {
		a.Class, a.Reason, a.Raw, a.Documented = revokers.Other, revokers.Unexpected, nil, ""
		a.Detail = fmt.Sprintf("the issuer answered %d with more than is read of an answer (1 MiB)", r.Status)
	}
	return a
}

// classify evaluates the probe's arms for a response.
func (s *scope) classify(p *rules.Probe, r issuer.Response) revokers.Answer {
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
	}
	if d := revokers.Demand(r.Status, r.Header, r.Body); d != "" {
		return say(revokers.Other, revokers.Restricted, fmt.Sprintf("the issuer answered %d and asks for %s", r.Status, d))
	}
	location, here := s.redirect(r)
	if !here {
		return say(revokers.Other, revokers.Unexpected, fmt.Sprintf("a redirect (%d) to another host", r.Status))
	}
	doc := decode(r.Body)
	if u, err := url.Parse(r.Header.Get("Location")); location != "" && err == nil {
		location += "?" + u.RawQuery
	}
	a.Raw = revokers.NewRefusal(r.Status, location, a.Challenge+"|"+realm(r.Header), r.Body, s.sent())
	if m := s.t.Instance.Settings["dead_marker"]; m != "" && r.Status < 500 && (bytes.Contains(r.Body, []byte(m)) || strings.Contains(location, m) || location != "" && strings.Contains(query(r), m)) {
		a.Documented = revokers.MarkerSource
		return say(revokers.Refuses, revokers.SignedOut, "")
	}
	for _, arm := range p.When {
		if !s.holds(arm, r, doc) {
			continue
		}
		a.Reason = revokers.Reason(strings.ReplaceAll(arm.Reason, " ", "_"))
		switch arm.Then {
		case "live":
			if len(bytes.TrimSpace(r.Body)) == 0 && !s.conditioned(arm) && r.Status != http.StatusNoContent {
				return say(revokers.Other, revokers.Unexpected, fmt.Sprintf("the issuer answered %d without a body", r.Status))
			}
			a.Class = revokers.Accepts
			if p.HTML && s.t.Instance.Settings["live_marker"] == "" {
				page := revokers.ReadPage(r.Header, r.Body, s.t.Cookie, s.t.Instance.Settings["logout_path"], time.Now())
				a.Page = &page
				if page.Anonymous() {
					return say(revokers.Refuses, "", fmt.Sprintf("the page (%d) looks like the one of a user who is not signed in", r.Status))
				}
			}
		case "dead":
			a.Class = revokers.Refuses
			if s.conditioned(arm) && arm.Source != "" {
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
		// A response that no arm matches may still be the refusal that never-issued
		// credentials get.
		return say(revokers.Refuses, "", "")
	case p.HTML && len(bytes.TrimSpace(r.Body)) > 0 && s.t.Instance.Settings["live_marker"] != "":
		return say(revokers.Refuses, "", fmt.Sprintf("the page (%d) does not have the live marker", r.Status))
	}
	return say(revokers.Other, revokers.Unexpected, fmt.Sprintf("the issuer answered %d, which proves nothing", r.Status))
}

// Means returns the meaning of the first arm that matches a response: live, dead
// or unknown; empty if none matches.
func Means(t revokers.Target, r issuer.Response) string {
	s := &scope{t: t}
	doc := decode(r.Body)
	for _, arm := range t.Rule.Probe.When {
		if s.holds(arm, r, doc) {
			return arm.Then
		}
	}
	return ""
}

// realm is the part of the challenges that names who asks for a password.
func realm(h http.Header) string { return strings.Join(h.Values("WWW-Authenticate"), ",") }

func isHTML(r issuer.Response) bool {
	if strings.Contains(strings.ToLower(r.Header.Get("Content-Type")), "html") {
		return true
	}
	b := bytes.ToLower(bytes.TrimSpace(r.Body[:min(len(r.Body), 512)]))
	return bytes.HasPrefix(b, []byte("<!doctype html")) || bytes.HasPrefix(b, []byte("<html"))
}

// query is the query of a redirect, as sent and decoded.
func query(r issuer.Response) string {
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil {
		return ""
	}
	decoded, err := url.QueryUnescape(u.RawQuery)
	if err != nil {
		return u.RawQuery
	}
	return u.RawQuery + "\n" + decoded
}

// redirect returns host and path of a redirect on the instance's own origin;
// here is false for one that leads elsewhere.
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
	p, err := s.path(s.t.Rule.Probe.Request.Path)
	if err != nil {
		return "/"
	}
	return p
}

// conditioned reports whether an arm that holds required something of the answer
// besides its status. The text of a marker that the operator did not set does not.
func (s *scope) conditioned(arm rules.Arm) bool {
	if want, ok := rules.Expand(arm.Body, s.get); arm.Body != "" && ok && want == "" {
		arm.Body = ""
	}
	return arm.Condition()
}

// holds reports whether an arm's conditions hold for a response.
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
	return matchHeader(arm.Header, r.Header) && matchJSON(arm.JSON, doc)
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
		if v, err := extract(from, r, doc); err == nil {
			s.note(a, name, v)
		}
	}
}

// note adds a value to an answer's identity and captures, without secrets that
// the issuer echoes.
func (s *scope) note(a *revokers.Answer, name, v string) {
	if v == "" || len(v) > maxKept && name != "scopes" {
		return
	}
	v = s.redact(v)
	v = v[:min(len(v), maxKept)]
	if name == "expires" {
		a.Expires = parseTime(v)
	}
	if a.Identity == nil {
		a.Identity, a.Captures = map[string]string{}, map[string]string{}
	}
	a.Identity[name], a.Captures[name] = v, v
}
