package run

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
)

// collected keeps the events of a run.
type collected struct{ events []report.Event }

func (c *collected) Emit(e report.Event) error { c.events = append(c.events, e); return nil }
func (c *collected) Close() error              { return nil }

// application is a web application that accepts one session, and counts what it
// is sent.
func application(t *testing.T, session string) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("connect.sid")
		if err == nil {
			asked.Add(1)
		}
		if err != nil || c.Value != session {
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "hello")
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

// runtime sets a run up with a policy of its own.
func runtime(t *testing.T, policy string) *Runtime {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.toml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Policy: file, Getenv: func(name string) string { return map[string]string{"HOME": dir}[name] }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A kill at the second of two instances is rechecked there. The first instance
// gets no request: the session is not its own.
func TestRecheckAsksTheInstanceOfTheLedger(t *testing.T) {
	session := "s%3A" + strings.Repeat("a1B2", 8) + "." + strings.Repeat("c3D4", 11)
	first, askedFirst := application(t, "another")
	second, askedSecond := application(t, session)
	r := runtime(t, fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\n", first, second))
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := rules.Credential{Ref: rules.Ref{Rule: "express-session", Provider: "express", Kind: rules.KindSessionCookie, Cookie: "connect.sid"}, Secret: rules.NewSecretString(session)}
	c.Fingerprint = r.Keys.Fingerprint.Fingerprint(c.Secret)
	sealed, err := SealCredential(c, r.Sealer)
	if err != nil {
		t.Fatal(err)
	}
	row := ledger.Sealed{Incident: c.Fingerprint, Value: sealed, Ref: ledger.Ref{Ref: c.Ref, Instance: second, Page: "/me", Endpoint: "GET /me"}}
	if err := led.Keep(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := led.Close(); err != nil {
		t.Fatal(err)
	}
	var out collected
	sum, err := r.Recheck(t.Context(), &out, false)
	if err != nil {
		t.Fatal(err)
	}
	if askedFirst.Load() != 0 || askedSecond.Load() == 0 {
		t.Errorf("the first instance got %d sessions, the second %d", askedFirst.Load(), askedSecond.Load())
	}
	if sum.Live != 1 || sum.ExitCode != ExitFindings {
		t.Errorf("live %d, exit code %d: a session that is still accepted is a finding", sum.Live, sum.ExitCode)
	}
	for _, e := range out.events {
		if v, ok := e.(report.Verdict); ok && v.Instance != second {
			t.Errorf("the verdict is about %s", v.Instance)
		}
	}
}

// Without the instance in today's policy nothing is asked, and the question
// stays open.
func TestRecheckWithoutTheInstanceIsIncomplete(t *testing.T) {
	url, asked := application(t, "any")
	r := runtime(t, fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\n", url))
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	c := rules.Credential{Ref: rules.Ref{Rule: "express-session", Provider: "express", Kind: rules.KindSessionCookie, Cookie: "connect.sid"}, Secret: rules.NewSecretString("s%3A" + strings.Repeat("a1B2", 8) + "." + strings.Repeat("c3D4", 11))}
	sealed, err := SealCredential(c, r.Sealer)
	if err != nil {
		t.Fatal(err)
	}
	if err := led.Keep(t.Context(), ledger.Sealed{Incident: "abc", Value: sealed, Ref: ledger.Ref{Ref: c.Ref, Instance: "https://gone.example", Endpoint: "GET /me"}}); err != nil {
		t.Fatal(err)
	}
	sum, err := r.Recheck(t.Context(), &collected{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if asked.Load() != 0 || sum.ExitCode != ExitIncomplete {
		t.Errorf("%d requests, exit code %d", asked.Load(), sum.ExitCode)
	}
}

// The summary of a recheck reports that its answers were not recorded.
func TestTheSummaryOfARecheckReportsWhatWasNotRecorded(t *testing.T) {
	session := "s%3A" + strings.Repeat("a1B2", 8) + "." + strings.Repeat("c3D4", 11)
	url, asked := application(t, session)
	home := t.TempDir()
	policy := fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\n", url)
	r := again(t, home, policy, nil)
	led, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := rules.Credential{Ref: rules.Ref{Rule: "express-session", Provider: "express", Kind: rules.KindSessionCookie, Cookie: "connect.sid"}, Secret: rules.NewSecretString(session)}
	sealed, err := SealCredential(c, r.Sealer)
	if err != nil {
		t.Fatal(err)
	}
	if err := led.Keep(t.Context(), ledger.Sealed{Incident: "abc", Value: sealed, Ref: ledger.Ref{Ref: c.Ref, Instance: url, Page: "/me", Endpoint: "GET /me"}}); err != nil {
		t.Fatal(err)
	}
	if err := led.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(home, ".local", "state", "quell", "*.db"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no ledger: %v", err)
	}
	for _, path := range found {
		b := &bench{t: t, path: path}
		defer b.unwritable()()
	}
	var out collected
	sum, err := again(t, home, policy, nil).Recheck(t.Context(), &out, false)
	if !errors.Is(err, ErrUnrecorded) || sum.Unrecorded != 1 || sum.Credentials != 1 || sum.Live != 1 || sum.ExitCode != ExitFailed || asked.Load() == 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	var text bytes.Buffer
	shown, shownErr := report.New("text", &text, r.Rules, report.Style{})
	if shownErr != nil {
		t.Fatal(shownErr)
	}
	if err := errors.Join(shown.Emit(sum), shown.Close()); err != nil || !strings.Contains(text.String(), "UNRECORDED") {
		t.Errorf("%v: %s", err, text.String())
	}
	text.Reset()
	if shown, shownErr = report.New("text", &text, r.Rules, report.Style{}); shownErr != nil {
		t.Fatal(shownErr)
	}
	if err := errors.Join(shown.Emit(report.Summary{}), shown.Close()); err != nil || strings.Contains(text.String(), "place") {
		t.Errorf("a recheck looks at no places: %s", text.String())
	}
}
