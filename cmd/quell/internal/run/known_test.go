package run

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// site is a web application without a control: its refusal of an ended session is
// that of one which it never issued.
type site struct {
	mu     sync.Mutex
	url    string
	live   map[string]bool
	closed bool // refuses everybody, as to an address that is not allowed
	deaf   bool // signing out ends nothing
}

func newSite(t *testing.T, sessions ...string) *site {
	t.Helper()
	s := &site{live: map[string]bool{}}
	for _, x := range sessions {
		s.live[x] = true
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _ := r.Cookie("connect.sid")
	if r.URL.Path == "/logout" {
		if c != nil && !s.deaf {
			delete(s.live, c.Value)
		}
		return // 200 to everybody
	}
	if c == nil || !s.live[c.Value] || s.closed {
		http.Error(w, "sign in", http.StatusUnauthorized)
		return
	}
	fmt.Fprint(w, "hello")
}

func (s *site) set(change func(*site)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *site) policy(more string) string {
	return fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\n%s", s.url, more)
}

// again sets another run up in the same home.
func again(t *testing.T, home, policy string, env map[string]string) *Runtime {
	t.Helper()
	file := filepath.Join(home, "policy.toml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Policy: file, Getenv: func(name string) string {
		if name == "HOME" {
			return home
		}
		return env[name]
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sessionOf(r *Runtime, value string) rules.Credential {
	c := rules.Credential{Ref: rules.Ref{Rule: "express-session", Provider: "express", Kind: rules.KindSessionCookie, Cookie: "connect.sid", Confidence: rules.High}, Secret: rules.NewSecretString(value)}
	c.Fingerprint = r.Keys.Fingerprint.Fingerprint(c.Secret)
	return c
}

// end plans and applies, and returns the outcome.
func end(t *testing.T, r *Runtime, c rules.Credential, id string) report.Action {
	t.Helper()
	checked, err := r.Checker().Check(t.Context(), []rules.Credential{c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Planner("").Plan(t.Context(), checked)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Items[0].Kills() {
		t.Fatalf("held: %+v", p.Items[0].Hold)
	}
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	a, err := r.Applier(led, "")
	if err != nil {
		t.Fatal(err)
	}
	var out report.Action
	if err := a.Apply(t.Context(), p, id, func(x report.Action) error { out = x; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

const sessionText = "s%3A" + "a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2" + "." + "c3D4c3D4c3D4c3D4c3D4c3D4c3D4c3D4c3D4c3D4c3D"

func (s *site) found(t *testing.T, r *Runtime) (scan, recheck revokers.Verdict) {
	t.Helper()
	scan = r.Checker().One(t.Context(), sessionOf(r, sessionText)).Verdict()
	var out collected
	if _, err := r.Recheck(t.Context(), &out, false); err != nil {
		t.Fatal(err)
	}
	for _, e := range out.events {
		if v, ok := e.(report.Verdict); ok {
			recheck = v.Verdict
		}
	}
	return scan, recheck
}

// After a kill that was Confirmed without a control, the ledger has all that Dead
// needs: where the session was Live, what a refusal looks like, the last answer
// before the revocation, and that the issuer accepted it.
func TestAConfirmedKillStaysDead(t *testing.T) {
	s, home := newSite(t, sessionText), t.TempDir()
	r := again(t, home, s.policy(""), nil)
	if a := end(t, r, sessionOf(r, sessionText), "p1"); a.Outcome != prove.Confirmed || a.Control != prove.NoControl {
		t.Fatalf("%s: %s (control %s)", a.Outcome, a.Detail, a.Control)
	}
	later := again(t, home, s.policy(""), nil)
	if scan, recheck := s.found(t, later); scan.Liveness != revokers.Dead || recheck.Liveness != revokers.Dead {
		t.Errorf("scan: %s %s (%s); recheck: %s %s (%s)", scan.Liveness, scan.Reason, scan.Detail, recheck.Liveness, recheck.Reason, recheck.Detail)
	}
	// Another installation knows nothing.
	other := again(t, t.TempDir(), s.policy(""), nil)
	if v := other.Checker().One(t.Context(), sessionOf(other, sessionText)).Verdict(); v.Reason != revokers.Refused || v.Remedy == "" {
		t.Errorf("without the ledger: %s %s, remedy %q", v.Liveness, v.Reason, v.Remedy)
	}
	// The same value under another cookie's name, or at another page, was never Live.
	moved := again(t, home, strings.Replace(s.policy(""), `"/me"`, `"/account"`, 1), nil)
	if v := moved.Checker().One(t.Context(), sessionOf(moved, sessionText)).Verdict(); v.Liveness != revokers.Unknown {
		t.Errorf("at another page: %s %s", v.Liveness, v.Reason)
	}
	// A session that is accepted again is Live, and dead no more by that kill.
	s.set(func(s *site) { s.live[sessionText] = true })
	back := again(t, home, s.policy(""), nil)
	if scan, recheck := s.found(t, back); scan.Liveness != revokers.Live || recheck.Liveness != revokers.Live {
		t.Errorf("accepted again: scan %s, recheck %s", scan.Liveness, recheck.Liveness)
	}
}

// A kill that ended nothing gives later refusals no meaning: they can be about who
// asks.
func TestAKillThatEndedNothingProvesNothingLater(t *testing.T) {
	s, home := newSite(t, sessionText), t.TempDir()
	s.deaf = true
	r := again(t, home, s.policy(""), nil)
	if a := end(t, r, sessionOf(r, sessionText), "p1"); a.Outcome != prove.StillAlive {
		t.Fatalf("%s: %s", a.Outcome, a.Detail)
	}
	s.set(func(s *site) { s.closed = true })
	later := again(t, home, s.policy(""), nil)
	if scan, recheck := s.found(t, later); scan.Liveness != revokers.Unknown || recheck.Liveness != revokers.Unknown || scan.Remedy == "" || recheck.Remedy == "" {
		t.Errorf("scan: %s (%q); recheck: %s (%q)", scan.Liveness, scan.Remedy, recheck.Liveness, recheck.Remedy)
	}
}

// With a control that is refused too, the ledger does not help.
func TestTheLedgerDoesNotReplaceAControl(t *testing.T) {
	s, home := newSite(t, sessionText, "s%3Acontrol"), t.TempDir()
	env := map[string]string{"CTL": "s%3Acontrol"}
	with := s.policy("control = \"env:CTL\"\n")
	r := again(t, home, with, env)
	if a := end(t, r, sessionOf(r, sessionText), "p1"); a.Outcome != prove.Confirmed || a.Control != "live" {
		t.Fatalf("%s: %s (control %s)", a.Outcome, a.Detail, a.Control)
	}
	s.set(func(s *site) { s.closed = true })
	later := again(t, home, with, env)
	if scan, recheck := s.found(t, later); scan.Reason != revokers.ControlFailed || recheck.Reason != revokers.ControlFailed {
		t.Errorf("scan %s, recheck %s", scan.Reason, recheck.Reason)
	}
}

// An acceptance by one instance proves nothing about another one, even if both are asked
// in the same way.
func TestAKillAtAnotherInstanceDoesNotCount(t *testing.T) {
	a, b, home := newSite(t, sessionText), newSite(t, sessionText), t.TempDir()
	r := again(t, home, a.policy(""), nil)
	c := sessionOf(r, sessionText)
	if x := end(t, r, c, "p1"); x.Outcome != prove.Confirmed {
		t.Fatalf("%s: %s", x.Outcome, x.Detail)
	}
	r = again(t, home, b.policy(""), nil)
	checked := r.Checker().One(t.Context(), c)
	if checked.Verdict().Liveness != revokers.Live {
		t.Fatalf("%+v", checked.Verdict())
	}
	sealed, err := SealCredential(c, r.Sealer)
	if err != nil {
		t.Fatal(err)
	}
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := checked.Target.Seen
	if err := led.Keep(t.Context(), ledger.Sealed{Incident: c.Fingerprint, Value: sealed, Ref: ledger.Ref{Ref: c.Ref, Instance: b.url, Page: "/me", Endpoint: seen.Endpoint, Learned: seen.Learned}}); err != nil {
		t.Fatal(err)
	}
	_ = led.Close()
	b.set(func(s *site) { s.closed = true })
	later := again(t, home, b.policy(""), nil)
	if scan, recheck := b.found(t, later); scan.Liveness != revokers.Unknown || recheck.Liveness != revokers.Unknown {
		t.Errorf("scan %s, recheck %s", scan.Liveness, recheck.Liveness)
	}
}

// A canary is one by every spelling of its fingerprint and of its value, and gets
// no request: neither when it is asked about nor when a plan ends it.
func TestACanaryInAnotherSpelling(t *testing.T) {
	s, home := newSite(t, sessionText), t.TempDir()
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("connect.sid"); err == nil {
			asked++
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	r := again(t, home, s.policy(""), nil)
	plain := strings.Replace(sessionText, "%3A", ":", 1)
	print := r.Keys.Fingerprint.Fingerprint(rules.NewSecretString(plain))
	checked, err := r.Checker().Check(t.Context(), []rules.Credential{sessionOf(r, sessionText)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Planner("").Plan(t.Context(), checked)
	if err != nil || !p.Items[0].Kills() {
		t.Fatalf("%v, %+v", err, p.Items[0].Hold)
	}
	for _, spelling := range []string{print, strings.ToUpper(print), "sha256:" + print, print[:16] + " " + print[16:], "0x" + print} {
		asked = 0
		list := "canaries = [\"" + spelling + "\"]\n"
		r := again(t, home, strings.Replace(s.policy(""), "version = 1\n", "version = 1\n"+list, 1), nil)
		// The log has the encoded form, and the list has the fingerprint of the plain one.
		if v := r.Checker().One(t.Context(), sessionOf(r, sessionText)).Verdict(); v.Reason != revokers.Canary {
			t.Errorf("%s: %s %s", spelling, v.Liveness, v.Reason)
		}
		led, err := r.Ledger(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Applier(led, "")
		if err != nil {
			t.Fatal(err)
		}
		var got report.Action
		if err := a.Apply(t.Context(), p, "p-"+spelling, func(x report.Action) error { got = x; return nil }); err != nil {
			t.Fatal(err)
		}
		_ = led.Close()
		if got.Outcome != prove.Held || !strings.Contains(got.Held, "canary") || asked != 0 {
			t.Errorf("%s: %s, %q, %d requests", spelling, got.Outcome, got.Held, asked)
		}
	}
	if _, err := policyOf(t, "version = 1\ncanaries = [\""+print[:31]+"\"]\n"); err == nil {
		t.Error("a fingerprint that is too short is no error")
	}
}

func policyOf(t *testing.T, text string) (*policy.Policy, error) {
	t.Helper()
	return policy.Parse("policy.toml", []byte(text))
}
