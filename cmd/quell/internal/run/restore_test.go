package run

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules/credential"
)

// acmeRules is the file of a made-up provider whose kill is reversible.
const acmeRules = `
[provider]
id = "acme"
name = "Acme"
docs = "https://docs.acme.example/tokens"
owner = "account"

[[rules]]
id = "acme-token"
description = "Acme token"
regex = '''\b(acme_[0-9a-zA-Z]{32})\b'''
keywords = ["acme_"]
examples = ["ACME_TOKEN=acme_{base62:32}"]
lookalikes = ["acme_short"]

[rules.probe]
request = { method = "GET", path = "/v1/me", header = { Authorization = "Bearer {token}" } }
[[rules.probe.when]]
status = [200]
json = { account = { present = true } }
then = "live"
keep = { account = "account" }
[[rules.probe.when]]
status = [401]
json = { error = "token_disabled" }
then = "dead"
reason = "revoked"
source = "https://docs.acme.example/errors"

[[rules.revoke]]
id = "disable"
tier = "self"
scope = "this_session"
grade = "P"
source = "https://docs.acme.example/tokens#disable"
settle = "100ms"
reversible = true
request = { method = "POST", path = "/v1/disable", header = { Authorization = "Bearer {token}" } }
accept = [200]
[rules.revoke.restore]
request = { method = "POST", path = "/v1/enable", header = { Authorization = "Bearer {admin}" }, json = { token = "{token}" } }
accept = [200]
window = "WINDOW"

[[rules.case]]
name = "live, disabled"
replies = [
  { on = "GET /v1/me", status = 200, json = { account = 7 } },
  { on = "POST /v1/disable", status = 200 },
  { on = "GET /v1/me", status = 401, json = { error = "token_disabled" } },
]
`

// acme is the made-up issuer.
type acme struct {
	live    map[string]bool
	enabled int
	deaf    bool // accepts to enable, and does nothing
}

func (a *acme) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case r.URL.Path == "/v1/enable" && bearer == "made-up-admin":
		var b struct{ Token string }
		if json.NewDecoder(r.Body).Decode(&b) == nil && !a.deaf {
			a.live[b.Token] = true
		}
		a.enabled++
		fmt.Fprint(w, `{}`)
	case !a.live[bearer]:
		word := "unknown_token"
		if _, known := a.live[bearer]; known {
			word = "token_disabled"
		}
		w.WriteHeader(401)
		fmt.Fprintf(w, `{"error":%q}`, word)
	case r.URL.Path == "/v1/me":
		fmt.Fprint(w, `{"account":7}`)
	case r.URL.Path == "/v1/disable":
		a.live[bearer] = false
		fmt.Fprint(w, `{}`)
	}
}

// killed is an installation that has killed a credential of the made-up issuer.
func killed(t *testing.T, window string) (r *Runtime, a *acme, c credential.Credential, env map[string]string) {
	t.Helper()
	a = &acme{live: map[string]bool{}}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	dir := t.TempDir()
	env = map[string]string{"HOME": dir, "XDG_STATE_HOME": dir, "XDG_CONFIG_HOME": dir, "XDG_CACHE_HOME": dir, "ADMIN": "made-up-admin"}
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r, err := New(Options{
		Getenv: func(k string) string { return env[k] },
		Rules:  []string{file("acme.toml", strings.Replace(acmeRules, "WINDOW", window, 1))},
		Policy: file("policy.toml", fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"acme\"\nurl = %q\nown = true\nadmin = \"env:ADMIN\"\n", s.URL)),
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := credential.NewSecretString("acme_" + strings.Repeat("Zz7", 10) + "Qx")
	a.live[secret.Reveal()] = true
	c = credential.Credential{Secret: secret, Ref: credential.Ref{Fingerprint: r.Keys.Fingerprint.Fingerprint(secret), Rule: "acme-token", Provider: "acme", Confidence: credential.High, Offline: credential.Offline{State: credential.OfflineUnknown}}}
	checked, err := r.Checker().Check(t.Context(), []credential.Credential{c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := r.Contain(t.Context(), checked, "", discard{}, report.Summary{}, Tally{})
	if err != nil || sum.Outcomes[prove.Confirmed] != 1 {
		t.Fatalf("%+v %v", sum, err)
	}
	return r, a, c, env
}

// discard is a sink without a reader.
type discard struct{}

func (discard) Emit(report.Event) error { return nil }
func (discard) Close() error            { return nil }

func typesOf(t *testing.T, r *Runtime, incident string) (types []ledger.Type, last ledger.Restore) {
	t.Helper()
	l, err := r.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	entries, err := l.Incident(t.Context(), incident)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		types = append(types, e.Type())
		if b, ok := e.Body.(ledger.Restore); ok {
			last = b
		}
	}
	return types, last
}

func TestAReversibleKillIsTakenBack(t *testing.T) {
	r, a, c, _ := killed(t, "1h")
	before, _ := typesOf(t, r, c.Fingerprint)
	sum, err := r.Restore(t.Context(), c.Fingerprint[:8], discard{})
	if err != nil || sum.ExitCode != ExitClean || sum.Live != 1 || !a.live[c.Secret.Reveal()] {
		t.Fatalf("%+v %v", sum, err)
	}
	types, last := typesOf(t, r, c.Fingerprint)
	if got := fmt.Sprint(types[len(before):]); got != "[intent receipt verdict restore]" || last.Outcome != ledger.Restored {
		t.Errorf("%s %+v", got, last)
	}
	// A second time there is nothing to take back, and another kill is possible.
	if _, err := r.Restore(t.Context(), c.Fingerprint, discard{}); err == nil || !strings.Contains(err.Error(), "no kill") {
		t.Error(err)
	}
	checked, err := r.Checker().Check(t.Context(), []credential.Credential{c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := r.Contain(t.Context(), checked, "", discard{}, report.Summary{}, Tally{}); err != nil || sum.Outcomes[prove.Confirmed] != 1 || a.live[c.Secret.Reveal()] {
		t.Errorf("%+v %v", sum, err)
	}
}

// The issuer's acceptance is only a claim: quell asks whether the credential is live.
func TestARestoreThatDoesNothingIsReported(t *testing.T) {
	r, a, c, _ := killed(t, "1h")
	a.deaf = true
	sum, err := r.Restore(t.Context(), c.Fingerprint, discard{})
	if err != nil || sum.ExitCode != ExitLeft {
		t.Errorf("%+v %v", sum, err)
	}
	if _, last := typesOf(t, r, c.Fingerprint); last.Outcome != ledger.NotRestored || last.Detail == "" {
		t.Errorf("%+v", last)
	}
}

func TestWhatStopsARestore(t *testing.T) {
	for _, c := range []struct {
		name, window, err string
		change            func(r *Runtime, a *acme, c credential.Credential, env map[string]string)
	}{
		{"the issuer's window has passed", "1ms", "within 1ms", nil},
		{"the kill switch", "1h", "kill switch", func(_ *Runtime, _ *acme, _ credential.Credential, env map[string]string) { env["QUELL_NO_KILL"] = "1" }},
		{"no network", "1h", "--offline", func(r *Runtime, _ *acme, _ credential.Credential, _ map[string]string) { r.options.Offline = true }},
		{"it is live", "1h", "nothing to take back", func(_ *Runtime, a *acme, c credential.Credential, _ map[string]string) {
			a.live[c.Secret.Reveal()] = true
		}},
		{"the rules file names no request", "1h", "no request", func(r *Runtime, _ *acme, _ credential.Credential, _ map[string]string) {
			r.Rules.Rule("acme-token").Revokes[0].Reversible = false
		}},
		{"the admin's credential is missing", "1h", "admin", func(r *Runtime, _ *acme, _ credential.Credential, _ map[string]string) {
			r.Instances.Of("acme")[0].Admin = credential.Secret{}
		}},
		{"it became a canary", "1h", "canary", func(r *Runtime, _ *acme, c credential.Credential, _ map[string]string) {
			r.Policy.Canaries = []string{c.Fingerprint}
		}},
		{"the sealed credential was purged", "1h", "purged", func(r *Runtime, _ *acme, _ credential.Credential, _ map[string]string) {
			_, _ = r.Forget(t.Context())
		}},
		{"another quell works on it", "1h", "another quell", func(r *Runtime, _ *acme, c credential.Credential, _ map[string]string) {
			l, err := r.Ledger(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			if _, err := l.Acquire(t.Context(), ledger.MaxLease, c.Fingerprint); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, a, cred, env := killed(t, c.window)
			if c.change != nil {
				c.change(r, a, cred, env)
			}
			if _, err := r.Restore(t.Context(), cred.Fingerprint, discard{}); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v", err)
			}
			if a.enabled != 0 {
				t.Error("a request was sent")
			}
		})
	}
}
