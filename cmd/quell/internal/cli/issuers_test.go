package cli

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// gitlabServer is a fake GitLab with one token. It sends what echo makes of the token in
// one field of its answer about the token, and in its refusals.
type gitlabServer struct {
	mu    sync.Mutex
	token string
	live  bool
	asked int // requests with the token
	kills int
	field string
	echo  any
}

func (g *gitlabServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known := r.Header.Get("PRIVATE-TOKEN") == g.token
	if known {
		g.asked++
	}
	answer := func(status int, doc map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(doc)
	}
	switch {
	case !known || !g.live:
		doc := map[string]any{"message": "401 Unauthorized"}
		if known && g.field != "" {
			doc["error"], doc["error_description"] = g.echo, g.echo
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q", r.Header.Get("PRIVATE-TOKEN")))
		}
		answer(http.StatusUnauthorized, doc)
	case r.Method == http.MethodDelete:
		g.kills++
		g.live = false
		w.WriteHeader(http.StatusNoContent)
	default:
		doc := map[string]any{"active": true, "user_id": 7, "name": "ci", "scopes": []string{"api"}}
		if g.field != "" {
			doc[g.field] = g.echo
		}
		answer(http.StatusOK, doc)
	}
}

func (g *gitlabServer) counts() (asked, kills int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked, g.kills
}

func (g *gitlabServer) start(t *testing.T) string {
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	return srv.URL
}

// madeUpPAT has the form of a personal access token.
func madeUpPAT() string { return "glpat-" + strings.Join([]string{"aB3xK9qLm", "Z7wErTyUiOp"}, "") }

// A line of a report that names another rule than the one that matched does not decide
// where the sealed value goes: not to the other rule's instance, and to no other place.
func TestAReportThatNamesAnotherRuleSendsNothing(t *testing.T) {
	token := madeUpPAT()
	g := &gitlabServer{token: token, live: true}
	mine := g.start(t)
	var mu sync.Mutex
	var other []string // what the instance of the other rule was sent
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		other = append(other, fmt.Sprint(r.URL, r.Header))
		fmt.Fprint(w, "hi")
	}))
	defer app.Close()
	dir, env := t.TempDir(), folders(t)
	policy, report, changed := filepath.Join(dir, "p.toml"), filepath.Join(dir, "r.jsonl"), filepath.Join(dir, "changed.jsonl")
	write(t, policy, fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"gitlab\"\nurl = %q\nown = true\nsettle = \"1ms\"\n[[instance]]\nprovider = \"webapp\"\nurl = %q\nown = true\ncookie = \"session\"\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\n", mine, app.URL))
	write(t, filepath.Join(dir, "in", "job.log"), "GITLAB_TOKEN="+token+"\n# "+mine+"\n")
	installed(t, env, "scan", "path", filepath.Join(dir, "in"), "--offline", "--policy", policy, "--format", "jsonl", "--output", report)
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for name, fields := range map[string]map[string]any{
		"a session of an application": {"rule": "webapp-session", "provider": "webapp", "kind": "session cookie", "cookie": "session"},
		"a rule of the same provider": {"rule": "gitlab-pat-routable"},
		"a cookie of the same rule":   {"cookie": "session"},
	} {
		var lines []string
		n := 0
		for line := range strings.Lines(string(b)) {
			var e map[string]any
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			kind := e["type"]
			delete(e, "type")
			if kind == "credential" {
				n++
				for k, v := range fields {
					e[k] = v
				}
			}
			out, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf(`{"type":%q,%s`, kind, out[1:])) // a report's lines begin with their type
		}
		if n != 1 {
			t.Fatalf("the report has %d credentials", n)
		}
		write(t, changed, strings.Join(lines, "\n")+"\n")
		for _, args := range [][]string{
			{"check", changed, "--policy", policy},
			{"plan", changed, "--policy", policy, "--output", filepath.Join(dir, "x.json")},
			{"plan", changed, "--policy", policy, "--output", filepath.Join(dir, "x.json"), "--break-glass", "incident 7"},
		} {
			code, text := installed(t, env, args...)
			if code != exitFailed || !strings.Contains(text, "another rule or cookie") || strings.Contains(text, token) {
				t.Errorf("%s, %s: exit code %d, %s", name, args[0], code, text)
			}
		}
		mu.Lock()
		if asked, _ := g.counts(); len(other) > 0 || asked > 0 {
			t.Errorf("%s: sent to the application: %q; %d requests to GitLab", name, other, asked)
		}
		mu.Unlock()
	}
	code, text := installed(t, env, "check", report, "--policy", policy)
	if asked, _ := g.counts(); asked == 0 {
		t.Errorf("the report as it was: exit code %d, no request with the token, %s", code, text)
	}
}

// An issuer that repeats the token in a field that quell keeps, or in its refusals, puts
// it into no output and no file.
func TestAnIssuerThatEchoesTheToken(t *testing.T) {
	token := madeUpPAT()
	for field, echo := range map[string]any{"user_id": token, "name": "token " + token, "scopes": []string{"api", token}, "message": map[string]any{"said": token}} {
		g := &gitlabServer{token: token, live: true, field: field, echo: echo}
		mine := g.start(t)
		dir, env := t.TempDir(), folders(t)
		policy, out := filepath.Join(dir, "p.toml"), filepath.Join(dir, "out")
		write(t, policy, fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"gitlab\"\nurl = %q\nown = true\nsettle = \"1ms\"\n", mine))
		in := filepath.Join(dir, "in")
		write(t, filepath.Join(in, "job.log"), "GITLAB_TOKEN="+token+"\n# "+mine+"\n")
		at := func(name string) string { return filepath.Join(out, name) }
		write(t, at("empty"), "")
		var scanned, ended []string
		for _, f := range report.Formats() {
			scanned, ended = append(scanned, "--report", f+"="+at("scan."+f)), append(ended, "--report", f+"="+at("apply."+f))
		}
		for _, args := range [][]string{
			append([]string{"scan", "path", in, "--policy", policy, "--format", "jsonl", "--output", at("r.jsonl")}, scanned...),
			{"scan", "path", in, "--policy", policy, "--show", "all"},
			{"check", at("r.jsonl"), "--policy", policy},
			{"plan", at("r.jsonl"), "--policy", policy, "--output", at("plan.json")},
			append([]string{"apply", at("plan.json"), "--policy", policy, "--format", "jsonl"}, ended...),
			{"recheck", "--policy", policy}, {"recheck", "--policy", policy, "--format", "jsonl"},
			{"ledger", "--policy", policy, "--format", "jsonl"}, {"ledger", "--policy", policy, "--export", at("ledger.jsonl")},
		} {
			code, text := installed(t, env, args...)
			if strings.Contains(text, token) {
				t.Errorf("%s: %s shows it (exit code %d): %s", field, args[0], code, text)
			}
		}
		if _, kills := g.counts(); kills != 1 {
			t.Errorf("%s: %d revocations", field, kills)
		}
		for _, root := range []string{out, env["HOME"]} {
			if err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				b, err := os.ReadFile(p)
				if strings.Contains(string(b), token) {
					t.Errorf("%s: %s has it", field, p)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
