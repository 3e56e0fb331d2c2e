package run

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

func TestTheScheduleOfLooks(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	entry := func(after time.Duration, b ledger.Body) ledger.Entry { return ledger.Entry{At: t0.Add(after), Body: b} }
	answer := func(after time.Duration, l revokers.Liveness, r revokers.Reason) ledger.Entry {
		return entry(after, ledger.Verdict{Verdict: revokers.Verdict{Liveness: l, Reason: r}})
	}
	confirmed := entry(0, ledger.Outcome{Outcome: ledger.Word(prove.Confirmed)})
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		entries []ledger.Entry
		now     time.Duration
		due     bool
		next    time.Duration // 0: none
		dead    bool
	}{
		"before the first":                 {[]ledger.Entry{confirmed}, 59 * time.Minute, false, time.Hour, true},
		"at the first":                     {[]ledger.Entry{confirmed}, time.Hour, true, 6 * time.Hour, true},
		"answered":                         {[]ledger.Entry{confirmed, answer(time.Hour, revokers.Dead, revokers.Revoked)}, 2 * time.Hour, false, 6 * time.Hour, true},
		"answered too early for the next":  {[]ledger.Entry{confirmed, answer(5*time.Hour, revokers.Dead, revokers.Revoked)}, 6 * time.Hour, true, day, true},
		"not answered":                     {[]ledger.Entry{confirmed, answer(time.Hour, revokers.Unknown, revokers.Unreachable)}, 2 * time.Hour, true, 6 * time.Hour, true},
		"not run for a week":               {[]ledger.Entry{confirmed}, 8 * day, true, 30 * day, true},
		"after the last":                   {[]ledger.Entry{confirmed, answer(31*day, revokers.Dead, revokers.Revoked)}, 400 * day, false, 0, true},
		"the last is missing":              {[]ledger.Entry{confirmed, answer(8*day, revokers.Dead, revokers.Revoked)}, 400 * day, true, 0, true},
		"it came back, which begins again": {[]ledger.Entry{confirmed, answer(day, revokers.Live, revokers.Authenticated), entry(day, ledger.Outcome{Outcome: ledger.Word(prove.StillAlive)})}, day + time.Hour, true, day + 6*time.Hour, false},
		"held":                             {[]ledger.Entry{answer(-time.Minute, revokers.Unknown, revokers.Refused), entry(0, ledger.Held{Reason: "x"})}, time.Hour, true, 6 * time.Hour, false},
		"still alive":                      {[]ledger.Entry{entry(0, ledger.Outcome{Outcome: ledger.Word(prove.StillAlive)})}, 6 * time.Hour, true, day, false},
		"an apply without an outcome":      {[]ledger.Entry{entry(0, ledger.Found{}), answer(time.Second, revokers.Live, revokers.Authenticated)}, time.Hour, true, 6 * time.Hour, false},
		"restored by its operator":         {[]ledger.Entry{confirmed, entry(day, ledger.Restore{Outcome: ledger.Restored})}, day + time.Minute, false, day + time.Hour, false},
	} {
		s := stateOf(c.entries)
		due, next := s.due(t0.Add(c.now))
		want := time.Time{}
		if c.next != 0 {
			want = t0.Add(c.next)
		}
		if due != c.due || !next.Equal(want) || s.dead != c.dead {
			t.Errorf("%s: due %v, next %s, dead %v", name, due, next, s.dead)
		}
	}
}

// A Confirmed session is asked about at each look of the schedule, with its
// control. A look that gets no answer is due again. When the application accepts
// it again, that is raised once, and ends the earlier outcome.
func TestRecheckRaisesWhatCameBack(t *testing.T) {
	session, control := "s%3A"+strings.Repeat("a1B2", 8)+"."+strings.Repeat("c3D4", 11), "s%3A"+strings.Repeat("e5F6", 8)+"."+strings.Repeat("g7H8", 11)
	var alive, down, controls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("connect.sid")
		switch {
		case down.Load() == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case err == nil && (c.Value == control || c.Value == session && alive.Load() == 1):
			if c.Value == control {
				controls.Add(1)
			}
			fmt.Fprint(w, "hello")
		default:
			http.Error(w, "sign in", http.StatusUnauthorized)
		}
	}))
	t.Cleanup(srv.Close)
	r := runtime(t, fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\ncontrol = \"env:CONTROL\"\n", srv.URL))
	getenv := r.options.Getenv
	r, err := New(Options{Policy: r.options.Policy, Getenv: func(k string) string {
		if k == "CONTROL" {
			return control
		}
		return getenv(k)
	}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r.options.Now = func() time.Time { return now }
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	c := rules.Credential{Ref: rules.Ref{Rule: "express-session", Provider: "express", Kind: rules.KindSessionCookie, Cookie: "connect.sid"}, Secret: rules.NewSecretString(session)}
	c.Fingerprint = r.Keys.Fingerprint.Fingerprint(c.Secret)
	sealed, err := SealCredential(c, r.Sealer)
	if err != nil {
		t.Fatal(err)
	}
	alive.Store(1)
	endpoint, learned := "GET /me", ""
	{
		target := c
		v := r.Checker().One(t.Context(), target).Verdict()
		if v.Liveness != revokers.Live {
			t.Fatalf("%+v", v)
		}
		endpoint, learned = v.Endpoint, v.Learned
	}
	alive.Store(0)
	if err := led.Keep(t.Context(), ledger.Sealed{Incident: c.Fingerprint, Value: sealed, Ref: ledger.Ref{Ref: c.Ref, Instance: srv.URL, Page: "/me", Endpoint: endpoint, Learned: learned}}); err != nil {
		t.Fatal(err)
	}
	if err := led.Append(t.Context(), ledger.Entry{At: now, Incident: c.Fingerprint, Run: "plan", Body: ledger.Outcome{Outcome: ledger.Word(prove.Confirmed)}}); err != nil {
		t.Fatal(err)
	}
	look := func(after time.Duration) (report.Summary, *collected) {
		t.Helper()
		now = now.Add(after)
		out := &collected{}
		sum, err := r.Recheck(t.Context(), out, true)
		if err != nil {
			t.Fatal(err)
		}
		return sum, out
	}
	if sum, _ := look(30 * time.Minute); sum.Credentials != 0 || sum.ExitCode != ExitClean {
		t.Errorf("nothing is due, but %+v", sum)
	}
	before := controls.Load()
	if sum, _ := look(31 * time.Minute); sum.Dead != 1 || sum.ExitCode != ExitClean || controls.Load() == before {
		t.Errorf("after an hour: %+v, %d controls", sum, controls.Load()-before)
	}
	if sum, _ := look(time.Minute); sum.Credentials != 0 {
		t.Errorf("answered, but asked again: %+v", sum)
	}
	down.Store(1)
	for range 2 { // it stays due
		r = nextRun(t, r)
		if sum, _ := look(5 * time.Hour); sum.Unknown != 1 || sum.ExitCode != ExitIncomplete {
			t.Errorf("the application is down: %+v", sum)
		}
	}
	down.Store(0)
	alive.Store(1)
	r = nextRun(t, r)
	sum, out := look(time.Hour)
	if sum.Live != 1 || sum.ExitCode != ExitFindings || sum.Outcomes[prove.StillAlive] != 1 {
		t.Errorf("it came back: %+v", sum)
	}
	raised := 0
	for _, e := range out.events {
		switch e := e.(type) {
		case report.Action:
			if raised++; e.Outcome != prove.StillAlive || !strings.Contains(e.Detail, "came back to life: it was Confirmed") || e.Remedy == "" || e.Control != "live" {
				t.Errorf("%+v", e)
			}
		case report.Credential:
			if e.Sealed == "" {
				t.Error("plan can't read what recheck reports")
			}
		}
	}
	if raised != 1 {
		t.Errorf("it was raised %d times", raised)
	}
	entries, err := led.Incident(t.Context(), c.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if h := historyOf(entries, "plan"); h.final != nil {
		t.Error("apply of the old plan would print Confirmed again")
	}
	if s := stateOf(entries); s.dead || s.outcome != prove.StillAlive {
		t.Errorf("%+v", s)
	}
	r = nextRun(t, r)
	if _, out := look(time.Hour); len(out.events) == 0 {
		t.Error("what came back is looked at again after an hour")
	} else {
		for _, e := range out.events {
			if _, ok := e.(report.Action); ok {
				t.Error("it is raised a second time")
			}
		}
	}
	if _, err := led.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
}

// nextRun is the next run of the same installation at the same time.
func nextRun(t *testing.T, r *Runtime) *Runtime {
	t.Helper()
	n, err := New(Options{Policy: r.options.Policy, Getenv: r.options.Getenv, Now: r.options.Now})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
