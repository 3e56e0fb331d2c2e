package run

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/removal"
)

// After an accepted deletion, only the server's own statement that the log is gone is one: not a
// page to sign in at, an empty page or another log, each of which has no credential in it.
func TestALogIsGoneOnlyIfTheServerStatesIt(t *testing.T) {
	b := setup(t, 1)
	log := "export GITHUB_TOKEN=" + b.creds[0].Secret.Reveal() + "\n"
	for _, c := range []struct {
		name   string
		status int
		body   string
		gone   bool
	}{
		{"404 while the job can be read", 404, "", true},
		{"the log", 200, log, false},
		{"a page to sign in at", 200, "<html><form action=/login>Sign in</form></html>", false},
		{"an empty page", 200, "", false},
		{"the log of a later build", 200, "nothing\n", false},
		{"no access", 403, "", false},
		{"an outage", 502, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/job/main/api/json":
					_, _ = io.WriteString(w, "{}")
				case strings.HasSuffix(r.URL.Path, "/consoleText"):
					asked.Add(1)
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			}))
			defer fake.Close()
			base, err := ci.ParseBase(fake.URL)
			if err != nil {
				t.Fatal(err)
			}
			s := &removal.Server{System: "jenkins", Client: &ci.Client{Base: base, Backoff: time.Millisecond}}
			r, err := s.Of("jenkins:" + fake.URL + "/job/main/2")
			if err != nil {
				t.Fatal(err)
			}
			x := &closing{Runtime: &Runtime{Rules: b.set, Keys: &config.Keys{}, Redactor: report.NewRedactor()}, settle: time.Millisecond}
			why := x.look(t.Context(), s, r, true)
			if (why == "") != c.gone || asked.Load() == 0 {
				t.Errorf("gone: %v, %q after %d requests", why == "", why, asked.Load())
			}
			if strings.Contains(why, b.creds[0].Secret.Reveal()) {
				t.Error("the reason has the token")
			}
		})
	}
}

// The request is made anew of the origin. One that differs from the plan's, or of a server that
// was not named, is not sent.
func TestADeletionIsThatOfThePlan(t *testing.T) {
	base, err := ci.ParseBase("https://ci.example/")
	if err != nil {
		t.Fatal(err)
	}
	s := &removal.Server{System: "jenkins", Client: &ci.Client{Base: base}}
	r, err := s.Of("jenkins:https://ci.example/job/main/2")
	if err != nil {
		t.Fatal(err)
	}
	good := plan.Deletion{System: "jenkins", Kind: r.Kind, Origin: r.Origin, Method: r.Method, URL: r.URL}
	x := &closing{servers: func(string) (*removal.Server, error) { return s, nil }}
	if _, got, err := x.removal(good); err != nil || got.URL != r.URL {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, change := range map[string]func(d *plan.Deletion){
		"another address": func(d *plan.Deletion) { d.URL = "https://ci.example/job/main/3/doDelete" },
		"another origin":  func(d *plan.Deletion) { d.Origin = "jenkins:https://ci.example/job/main/3" },
		"another method":  func(d *plan.Deletion) { d.Method = "DELETE" },
		"another kind":    func(d *plan.Deletion) { d.Kind = removal.Artifacts },
		"another server":  func(d *plan.Deletion) { d.Origin = "jenkins:https://other.example/job/main/2" },
	} {
		d := good
		change(&d)
		if _, got, err := x.removal(d); err == nil {
			t.Errorf("%s: %s %s", name, got.Method, got.URL)
		}
	}
	x.servers = nil
	if _, _, err := x.removal(good); err == nil {
		t.Error("no server is named")
	}
}

// Logs are deleted once each of their credentials is proven dead: by this apply, or by the last
// record of the ledger. Every other outcome keeps them.
func TestWhichCredentialsAreProvenDead(t *testing.T) {
	fp := setup(t, 1).creds[0].Fingerprint
	word := func(o prove.Outcome) ledger.Outcome { return ledger.Outcome{Outcome: ledger.Word(o)} }
	for _, c := range []struct {
		name   string
		ended  *report.Action
		bodies []ledger.Body
		dead   bool
	}{
		{"Confirmed", &report.Action{Outcome: prove.Confirmed}, nil, true},
		{"AlreadyDead", &report.Action{Outcome: prove.AlreadyDead}, nil, true},
		{"dead in the plan", &report.Action{Action: plan.ActNone}, nil, true},
		{"StillAlive", &report.Action{Outcome: prove.StillAlive}, nil, false},
		{"Unconfirmed", &report.Action{Outcome: prove.Unconfirmed}, nil, false},
		{"UntilExpiry", &report.Action{Outcome: prove.UntilExpiry}, nil, false},
		{"Held", &report.Action{Outcome: prove.Held}, nil, false},
		{"StillAlive without an action", &report.Action{Outcome: prove.StillAlive, Action: plan.ActNone}, nil, false},
		{"not applied", &report.Action{Action: plan.ActRevoke}, nil, false},
		{"nothing is recorded", nil, nil, false},
		{"recorded as Confirmed", nil, []ledger.Body{word(prove.Confirmed)}, true},
		{"recorded as Unconfirmed", nil, []ledger.Body{word(prove.Unconfirmed)}, false},
		{"recorded as UntilExpiry", nil, []ledger.Body{word(prove.UntilExpiry)}, false},
		{"StillAlive after Confirmed", nil, []ledger.Body{word(prove.Confirmed), word(prove.StillAlive)}, false},
		{"Live after Confirmed", nil, []ledger.Body{word(prove.Confirmed), ledger.Verdict{Verdict: revokers.Verdict{Liveness: revokers.Live}}}, false},
		{"dead after Confirmed", nil, []ledger.Body{word(prove.Confirmed), ledger.Verdict{Verdict: revokers.Verdict{Liveness: revokers.Dead}}}, true},
		{"Dead without an outcome", nil, []ledger.Body{ledger.Verdict{Verdict: revokers.Verdict{Liveness: revokers.Dead}}}, false},
		{"restored after Confirmed", nil, []ledger.Body{word(prove.Confirmed), ledger.Restore{Outcome: ledger.Restored}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, 1)
			x := &closing{applier: b.applier, ended: map[string]report.Action{}}
			if c.ended != nil {
				x.ended[fp] = *c.ended
			}
			for _, body := range c.bodies {
				if err := b.applier.Ledger.Append(t.Context(), ledger.Entry{Incident: fp, Actor: "test", Run: "r", Body: body}); err != nil {
					t.Fatal(err)
				}
			}
			why, err := x.unproven(t.Context(), fp)
			if err != nil || (why == "") != c.dead {
				t.Errorf("%q %v", why, err)
			}
		})
	}
}
