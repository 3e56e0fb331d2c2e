package revokers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

const fileText = `
[provider]
id = "made-up"
[[rules]]
id = "made-up"
regex = '''\b(mku_[a-z]{20})\b'''
keywords = ["mku_"]
examples = ["mku_{lower:20}"]
[rules.probe]
request = { method = "GET", path = "/me", header = { X-Token = "{token}" } }
[[rules.probe.when]]
status = [200]
json = { ok = true }
then = "live"
[[rules.probe.when]]
status = [401]
then = "dead"
[[rules.revoke]]
id = "end"
tier = "self"
scope = "this session"
grade = "P"
settle = "1s"
accept = [204]
request = { method = "POST", path = "/end", json = { list = ["{token}"] } }
`

func prober(t *testing.T, to string, operator bool) *Prober {
	t.Helper()
	set, err := rules.Load("made-up.toml", []byte(fileText))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return &Prober{Set: set, Instances: Instances{{Provider: "made-up", URL: u, Operator: operator}}, Client: &Client{Timeout: 2 * time.Second, PerSecond: 1000}}
}

func leaked() rules.Credential {
	return rules.Credential{Ref: rules.Ref{Fingerprint: "f", Rule: "made-up"}, Secret: rules.NewSecretString("mku_" + strings.Repeat("abcdefghij", 2))}
}

// What is not an issuer's own word is never dead.
func TestAnswersThatAreNeverDead(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for name, c := range map[string]struct {
		h      http.HandlerFunc
		reason string
	}{
		"403": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, Unexpected},
		"429": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, Throttled},
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, Unreachable},
		"503": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, Unreachable},
		"a page with 401": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(401)
			_, _ = w.Write([]byte("<html>wifi"))
		}, Unexpected},
		"a page without type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			w.WriteHeader(401)
			_, _ = w.Write([]byte("\n<!DOCTYPE html>"))
		}, Unexpected},
		"a redirect": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL+"/me")
			w.WriteHeader(307)
		}, Unexpected},
		"a broken body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(401)
			_, _ = w.Write([]byte("x"))
		}, Unreachable},
		"a hang-up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Unreachable},
		"a step-up": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_user_authentication"`)
			w.WriteHeader(401)
		}, Restricted},
		"200 without ok": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"ok":false}`)) }, Unexpected},
		"no answer in time": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}, Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(c.h)
			t.Cleanup(srv.Close)
			v, err := prober(t, srv.URL, true).Verify(t.Context(), leaked())
			if err != nil || v.Liveness != Unknown || v.Reason != c.reason {
				t.Errorf("%s (%s): %s %v", v.Liveness, v.Reason, v.Detail, err)
			}
			if strings.Contains(v.Detail, "mku_") {
				t.Error("the detail quotes the token")
			}
		})
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed with the token")
	}
}

func TestUnreachableIssuerIsUnknown(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	v, err := prober(t, srv.URL, true).Verify(t.Context(), leaked())
	if err != nil || v.Liveness != Unknown || v.Reason != Unreachable {
		t.Errorf("%+v %v", v, err)
	}
}

// A pinned public host whose name leads to a private address is not contacted:
// only an instance that the operator named may be private.
func TestPrivateAddressesNeedTheOperator(t *testing.T) {
	asked := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked = true; w.WriteHeader(401) }))
	defer srv.Close()
	v, err := prober(t, srv.URL, false).Verify(t.Context(), leaked())
	if err != nil || v.Liveness != Unknown || asked || !strings.Contains(v.Detail, "private address") {
		t.Errorf("%+v %v", v, err)
	}
	for a, want := range map[string]bool{"8.8.8.8": true, "2606:4700::1111": true, "10.1.2.3": false, "127.0.0.1": false, "169.254.169.254": false, "192.168.1.1": false, "100.64.0.1": false, "::1": false, "fe80::1": false, "fd00::1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "0.0.0.0": false, "224.0.0.1": false} {
		if public(netip.MustParseAddr(a)) != want {
			t.Errorf("%s: public is %v", a, !want)
		}
	}
}

func TestOnlyHTTPSLeavesTheMachine(t *testing.T) {
	for u, ok := range map[string]bool{"https://x.example": true, "http://127.0.0.1:1": true, "http://localhost": true, "http://[::1]:1": true, "http://x.example": false, "http://10.0.0.1": false, "ftp://x": false, "https://u:p@x": false, "https:///x": false} {
		p, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckURL(p); (err == nil) != ok {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// The client refuses any other origin than the instance's, also for libraries
// that bring their own requests.
func TestClientIsPinned(t *testing.T) {
	u, _ := url.Parse("http://127.0.0.1:9")
	h := (&Client{}).HTTP(&Instance{URL: u, Operator: true})
	for _, to := range []string{"http://127.0.0.1:10/", "https://127.0.0.1:9/", "http://localhost:9/"} {
		r, _ := http.NewRequestWithContext(context.Background(), "GET", to, nil)
		if _, err := h.Do(r); err == nil || !strings.Contains(err.Error(), "pinned host") {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// The host of an instance comes from the rules file or the operator; what the
// text around a token says only orders those.
func TestClaimsNeverBecomeHosts(t *testing.T) {
	set, err := rules.Load("made-up.toml", []byte(fileText))
	if err != nil {
		t.Fatal(err)
	}
	r := set.Rules[0]
	parse := func(s string) *url.URL { u, _ := url.Parse(s); return u }
	file, a, b := &Instance{Provider: "made-up", URL: parse("https://public.example")}, &Instance{Provider: "made-up", URL: parse("https://a.example"), Operator: true}, &Instance{Provider: "made-up", URL: parse("https://b.example:8443"), Operator: true}
	c := leaked()
	c.Claims.Hosts = []string{"evil.example", "b.example:8443"}
	if got, err := (Instances{file, a, b}).Candidates(r, c); err != nil || len(got) != 3 || got[0] != b || got[1] != a || got[2] != file {
		t.Errorf("%v %v", got, err)
	}
	if _, err := (Instances{}).Candidates(r, c); err == nil {
		t.Error("nobody named a host")
	}
	named := &Instance{Provider: "made-up", URL: parse("https://public.example"), Operator: true}
	if got, _ := (Instances{file, named}).Candidates(r, c); len(got) != 1 || got[0] != named {
		t.Error("the operator's word about a public host stands beside the file's")
	}
}

// An instance that never issued a token says 401 to it: that is no death while
// another instance may have.
func TestDeadOnlyIfEveryCandidateSaysSo(t *testing.T) {
	answer := func(status *atomic.Int32) *url.URL {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := int(status.Load())
			if r.Header.Get("X-Token") != leaked().Secret.Reveal() {
				s = 401
			}
			w.WriteHeader(s)
			_, _ = w.Write([]byte(`{"ok":true}`))
		}))
		t.Cleanup(srv.Close)
		u, _ := url.Parse(srv.URL)
		return u
	}
	for _, c := range []struct {
		first, second int32
		want          Liveness
	}{{401, 200, Live}, {200, 401, Live}, {401, 401, Dead}, {401, 503, Unknown}, {503, 401, Unknown}} {
		var x, y atomic.Int32
		x.Store(c.first)
		y.Store(c.second)
		p := prober(t, "http://127.0.0.1:1", true)
		p.Instances = Instances{{Provider: "made-up", URL: answer(&x), Operator: true}, {Provider: "made-up", URL: answer(&y), Operator: true}}
		v, err := p.Verify(t.Context(), leaked())
		if err != nil || v.Liveness != c.want {
			t.Errorf("%d and %d: %s (%s) %v", c.first, c.second, v.Liveness, v.Reason, err)
		}
		if c.want != Live {
			continue
		}
		// From now on only its issuer is asked: its death counts at once.
		live, other := &x, &y
		if c.second == 200 {
			live, other = &y, &x
		}
		live.Store(401)
		other.Store(503)
		if v, _ := p.Verify(t.Context(), leaked()); v.Liveness != Dead {
			t.Errorf("after its death it is %s (%s)", v.Liveness, v.Reason)
		}
	}
}

func TestBodiesCannotBeBrokenOutOf(t *testing.T) {
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1000)
		n, _ := r.Body.Read(b)
		got = string(b[:n])
		w.WriteHeader(204)
	}))
	defer srv.Close()
	p := prober(t, srv.URL, true)
	c := leaked()
	c.Secret = rules.NewSecretString("x\"],\"all\":[\"y\r\nX-Injected: 1")
	x, err := p.Exchange(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Revoke(t.Context(), &p.Set.Rules[0].Revokes[0]); err != nil {
		t.Fatal(err)
	}
	if got != `{"list":["x\"],\"all\":[\"y\r\nX-Injected: 1"]}` {
		t.Errorf("the body is %s", got)
	}
	if v := x.Probe(t.Context()); v.Liveness != Unknown || strings.Contains(v.Detail, "Injected") {
		t.Errorf("a header can't hold it: %+v", v)
	}
	if pre := x.Preview(p.Set.Rules[0].Revokes[0].Request); string(pre.Body) != `{"list":["{token}"]}` {
		t.Errorf("the preview is %s", pre.Body)
	}
}
