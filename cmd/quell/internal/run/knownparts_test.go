package run

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

const (
	signedValue  = "H3kPz90sQmWe7TbV2xRn5LdA"
	ownSignature = "q8Zk2mXw71Lp0vB3nT5rU4yCq8A"
	otherUsers   = "q8Zk2mXw71Lp0vB3nT5rU4yCq8B"
)

// signing is an application that accepts a session with its own signature alone.
// Signing out ends nothing.
func signing(t *testing.T) (policy string, ended *atomic.Bool) {
	t.Helper()
	ended = &atomic.Bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/logout" {
			return
		}
		c, err := r.Cookie("sess")
		sig, errSig := r.Cookie("sess.sig")
		pair := ""
		if err == nil && errSig == nil {
			pair = c.Value + " " + sig.Value
		}
		if pair == signedValue+" "+ownSignature && !ended.Load() || pair == "control-of-the-operator 7sQ2mXw71Lp0vB3nT5rU4yCq8Zk" {
			fmt.Fprint(w, "hello")
			return
		}
		http.Error(w, "sign in", http.StatusUnauthorized)
	}))
	t.Cleanup(srv.Close)
	return fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"webapp\"\nurl = %q\nown = true\ncookie = \"sess\"\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\ncontrol = \"env:CTL\"\n", srv.URL), ended
}

func pairOf(r *Runtime, sig string) rules.Credential {
	c := rules.Credential{Ref: rules.Ref{Rule: "webapp-session-named", Provider: "webapp", Kind: rules.KindSessionCookie, Cookie: "sess", Confidence: rules.High}, Secret: rules.NewSecretString(signedValue)}
	c.Fingerprint = r.Keys.Fingerprint.Fingerprint(c.Secret)
	if sig != "" {
		c.Parts = map[string]rules.Secret{rules.SignaturePart: rules.NewSecretString(sig)}
	}
	return c
}

// A session that was Live with its signature is refused without it, or with that of
// another user, in the words of an ended one. The ledger's sighting is about the
// pair, whatever fingerprints the report has next to the parts.
func TestASightingIsOfTheSameParts(t *testing.T) {
	env := map[string]string{"CTL": "control-of-the-operator; sess.sig=7sQ2mXw71Lp0vB3nT5rU4yCq8Zk"}
	text, ended := signing(t)
	home := t.TempDir()
	r := again(t, home, text, env)
	if a := end(t, r, pairOf(r, ownSignature), "p1"); a.Outcome != prove.StillAlive {
		t.Fatalf("%s: %s", a.Outcome, a.Detail)
	}
	verdict := func(c rules.Credential) revokers.Verdict {
		t.Helper()
		return again(t, home, text, env).Checker().One(t.Context(), c).Verdict()
	}
	labelled := pairOf(r, otherUsers)
	labelled.PartFingerprints = map[string]string{rules.SignaturePart: r.Keys.Fingerprint.Fingerprint(rules.NewSecretString(ownSignature))}
	for name, c := range map[string]rules.Credential{"alone": pairOf(r, ""), "another user's signature": pairOf(r, otherUsers), "the same in an edited report": labelled} {
		if v := verdict(c); v.Liveness != revokers.Unknown || v.Reason != revokers.Refused || v.Remedy == "" || v.Control != "live" {
			t.Errorf("%s: %s %s (%s), control %s", name, v.Liveness, v.Reason, v.Detail, v.Control)
		}
	}
	if v := verdict(pairOf(r, ownSignature)); v.Liveness != revokers.Live {
		t.Errorf("the pair: %s %s (%s)", v.Liveness, v.Reason, v.Detail)
	}
	ended.Store(true)
	if v := verdict(pairOf(r, ownSignature)); v.Liveness != revokers.Dead {
		t.Errorf("the pair after its end: %s %s (%s)", v.Liveness, v.Reason, v.Detail)
	}
}

// A revocation that was sent with other parts proves nothing about a credential: it
// is neither the kill of a later scan nor continued by an apply.
func TestAKillIsOfTheSameParts(t *testing.T) {
	one, other := map[string]string{"sig": "1"}, map[string]string{"sig": "2"}
	found := func(run string, parts map[string]string) ledger.Entry {
		return ledger.Entry{Run: run, Body: ledger.Found{Credential: &rules.Ref{PartFingerprints: parts}}}
	}
	live := ledger.Verdict{Verdict: revokers.Verdict{Liveness: revokers.Live, Endpoint: "GET /me"}}
	intent := func(run string, before *ledger.Verdict) ledger.Entry {
		return ledger.Entry{Run: run, Body: ledger.Intent{Action: "revoke", Instance: "https://app.example", Before: before}}
	}
	receipt := ledger.Entry{Run: "a", Body: ledger.Receipt{Accepted: true}}
	for name, c := range map[string]struct {
		entries []ledger.Entry
		of      map[string]string // the parts of the kill, if there is one
		kill    bool
		about   map[string]string // the parts that an apply goes on with
		goes    bool
	}{
		"one part":                    {[]ledger.Entry{found("a", one), intent("a", &live), receipt}, one, true, one, true},
		"no parts":                    {[]ledger.Entry{found("a", nil), intent("a", &live), receipt}, nil, true, nil, true},
		"found with others meanwhile": {[]ledger.Entry{found("a", one), found("scan", other), intent("a", &live), found("scan", other), receipt}, one, true, one, true},
		"sent again with others":      {[]ledger.Entry{found("a", one), intent("a", &live), found("b", other), intent("b", nil), receipt}, nil, false, nil, false},
	} {
		k, h := killOf(c.entries), historyOf(c.entries, "a")
		for _, parts := range []map[string]string{nil, one, other} {
			if got, want := k.with(parts) != nil, c.kill && fmt.Sprint(parts) == fmt.Sprint(c.of); got != want {
				t.Errorf("%s: a kill of %v: %t", name, parts, got)
			}
			if got, want := h.about(parts), c.goes && fmt.Sprint(parts) == fmt.Sprint(c.about); got != want {
				t.Errorf("%s: an apply of %v goes on: %t", name, parts, got)
			}
		}
	}
}

// recheck asks about the pair that was Live: an apply of a pair that was never
// Live does not replace it.
func TestAnUnseenPairDoesNotReplaceTheSeenOne(t *testing.T) {
	env := map[string]string{"CTL": "control-of-the-operator; sess.sig=7sQ2mXw71Lp0vB3nT5rU4yCq8Zk"}
	text, _ := signing(t)
	home := t.TempDir()
	r := again(t, home, text, env)
	end(t, r, pairOf(r, ownSignature), "p1")
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	a, err := r.Applier(led, "")
	if err != nil {
		t.Fatal(err)
	}
	c := pairOf(r, otherUsers)
	w := &item{cred: c}
	w.it.Ref = c.Ref
	if err := (&applying{Applier: a, id: "p2"}).keep(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	kept, err := led.Kept(t.Context(), c.Fingerprint)
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d kept, %v", len(kept), err)
	}
	if want := partPrints(r.Keys.Fingerprint, pairOf(r, ownSignature).Parts); kept[0].Ref.Endpoint == "" || fmt.Sprint(kept[0].Ref.PartFingerprints) != fmt.Sprint(want) {
		t.Errorf("kept %+v", kept[0].Ref)
	}
	if none, err := led.Kept(t.Context(), "another"); err != nil || len(none) != 0 {
		t.Errorf("%d of another incident, %v", len(none), err)
	}
}

// An apply that runs while recheck waits for an answer: the answer is from before
// the revocation, and must not be recorded after the outcome, which it would undo.
func TestAnAnswerOfRecheckDoesNotUndoAnApply(t *testing.T) {
	s, home := newSite(t, sessionText), t.TempDir()
	s.deaf = true
	var slow atomic.Bool
	asked, answer := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("connect.sid"); err == nil && c.Value == sessionText && slow.CompareAndSwap(true, false) {
			close(asked)
			<-answer
			fmt.Fprint(w, "hello") // the session was live when the question arrived
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	r := again(t, home, s.policy(""), nil)
	c := sessionOf(r, sessionText)
	if a := end(t, r, c, "p1"); a.Outcome != prove.StillAlive { // the ledger keeps it
		t.Fatalf("%s: %s", a.Outcome, a.Detail)
	}
	s.set(func(s *site) { s.deaf = false })
	slow.Store(true)
	rechecked := make(chan error, 1)
	go func() {
		_, err := again(t, home, s.policy(""), nil).Recheck(t.Context(), &collected{}, false)
		rechecked <- err
	}()
	<-asked
	applied := make(chan report.Action, 1)
	go func() { applied <- end(t, again(t, home, s.policy(""), nil), c, "p2") }()
	var a report.Action
	select {
	case a = <-applied:
		t.Error("apply did not wait for the recheck that holds the incident")
		close(answer)
	case <-time.After(time.Second):
		close(answer)
		a = <-applied
	}
	if err := <-rechecked; err != nil {
		t.Fatal(err)
	}
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	entries, err := led.Incident(t.Context(), c.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if h := historyOf(entries, "p2"); a.Outcome != prove.Confirmed || h.final == nil || killOf(entries) == nil || !stateOf(entries).dead {
		t.Errorf("%s: %s; final %v, kill %v", a.Outcome, a.Detail, h.final, killOf(entries))
	}
	// A held incident is left out, with a notice.
	if _, err := led.Acquire(t.Context(), time.Minute, c.Fingerprint); err != nil {
		t.Fatal(err)
	}
	var out collected
	sum, err := again(t, home, s.policy(""), nil).Recheck(t.Context(), &out, false)
	if err != nil || sum.Credentials != 0 || len(out.events) != 1 {
		t.Errorf("%d asked, events %v, %v", sum.Credentials, out.events, err)
	}
	after, err := led.Incident(t.Context(), c.Fingerprint)
	if err != nil || len(after) != len(entries) {
		t.Errorf("%d entries became %d, %v", len(entries), len(after), err)
	}
}
