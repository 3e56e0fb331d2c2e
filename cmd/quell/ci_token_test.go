//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// The variables of CI systems name a token in a file or in a Vault of the policy. It is sent to the
// system and printed nowhere, not even where the system or the log shows it.
func TestTokenOfAFileOrVault(t *testing.T) {
	const vaultToken = "hvs.made-up-for-this-test"
	var fail atomic.Bool
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case fail.Load() || r.Header.Get("X-Vault-Token") != vaultToken:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors":["permission denied"]}`)
		case r.URL.Path == "/v1/sys/internal/ui/mounts/secret" || r.URL.Path == "/v1/sys/internal/ui/mounts/secret/ci":
			fmt.Fprint(w, `{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}`)
		case r.URL.Path == "/v1/secret/data/ci":
			fmt.Fprintf(w, `{"data":{"data":{"token":%q},"metadata":{"version":1}}}`, ciToken)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errors":[]}`)
		}
	}))
	t.Cleanup(vault.Close)
	fake := citest.NewGitHub(t, "o", ciToken)
	fake.Repos = []*citest.Repo{{Name: "r", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Unix(1_790_000_000, 0), Logs: func(int) map[string]string {
		return map[string]string{"0_build.txt": "2026-11-01T10:00:00.0000000Z GITHUB_TOKEN=" + ciToken + "\n" + citest.Cookie(1)}
	}}}}}
	for name, x := range map[string]struct {
		ref  string
		fail bool
		code int
		say  string
	}{
		"a file":               {"file:token.txt", false, 1, ""},
		"a file that is gone":  {"file:none.txt", false, 2, "GITHUB_TOKEN"},
		"a Vault":              {"vault:secret/ci#token", false, 1, ""},
		"a field that is none": {"vault:secret/ci#other", false, 2, "GITHUB_TOKEN"},
		"a Vault that refuses": {"vault:secret/ci#token", true, 2, "GITHUB_TOKEN"},
	} {
		fail.Store(x.fail)
		before := len(fake.Seen())
		s := newScanner(t, "GITHUB_TOKEN="+x.ref, "VAULT="+vaultToken)
		for file, text := range map[string]string{"token.txt": ciToken + "\n", "policy.toml": fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\nadmin = \"env:VAULT\"\n", vault.URL)} {
			if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, out, errs := s.command("scan", "github", "o/r", "--url", fake.Address(), "--policy", "policy.toml", "--logs", "--format", "jsonl", "--output", "report.jsonl", "--state", "state.db", "--fail-on", "found")
		_ = c.Run()
		if code := c.ProcessState.ExitCode(); code != x.code || !strings.Contains(errs.String(), x.say) {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errs)
		}
		if asked := len(fake.Seen()) > before; asked != (x.code == 1) {
			t.Errorf("%s: the system was asked: %v", name, asked)
		}
		shown := out.String() + errs.String()
		_ = filepath.Walk(s.dir, func(p string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() && filepath.Base(p) != "token.txt" {
				b, _ := os.ReadFile(p)
				shown += string(b)
			}
			return nil
		})
		if strings.Contains(shown, ciToken) || strings.Contains(shown, vaultToken) {
			t.Errorf("%s: a token is shown or kept", name)
		}
	}
}

// QUELL_GIT_TOKEN is sent to one host: where a target and its upstream are at two, nothing is sent
// until QUELL_GIT_HOST names the one.
func TestGitTokenOfTwoHosts(t *testing.T) {
	type host struct {
		*httptest.Server
		asked, got atomic.Int64
	}
	hosts := [2]*host{{}, {}}
	for _, h := range hosts {
		h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.asked.Add(1)
			if _, p, _ := r.BasicAuth(); p == ciToken {
				h.got.Add(1)
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		t.Cleanup(h.Close)
	}
	address := func(n int) string { return strings.TrimPrefix(hosts[n].URL, "http://") }
	two := []string{"scan", "git", hosts[0].URL + "/a.git", "--upstream", hosts[1].URL + "/a.git", "--range", "A..B", "--offline", "--format", "jsonl"}
	for name, x := range map[string]struct {
		env  string
		args []string
		say  string
		got  [2]bool
	}{
		"two hosts":        {"X=", two, "set QUELL_GIT_HOST", [2]bool{}},
		"the first":        {"QUELL_GIT_HOST=" + address(0), two, "", [2]bool{true, false}},
		"another":          {"QUELL_GIT_HOST=git.example", two, "", [2]bool{}},
		"one host":         {"X=", []string{"scan", "git", hosts[1].URL + "/a.git", "--offline", "--format", "jsonl"}, "", [2]bool{false, true}},
		"one host, listed": {"QUELL_GIT_HOST=" + address(0), []string{"scan", "git", hosts[1].URL + "/a.git", "--offline", "--format", "jsonl"}, "", [2]bool{}},
	} {
		for _, h := range hosts {
			h.asked.Store(0)
			h.got.Store(0)
		}
		s := newScanner(t, "QUELL_GIT_TOKEN="+ciToken, x.env)
		c, out, errs := s.command(x.args...)
		_ = c.Run()
		if !strings.Contains(errs.String(), x.say) || strings.Contains(out.String()+errs.String(), ciToken) || c.ProcessState.ExitCode() == 0 {
			t.Errorf("%s: exit %d: %s%s", name, c.ProcessState.ExitCode(), out, errs)
		}
		if x.say != "" && (c.ProcessState.ExitCode() != 2 || hosts[0].asked.Load()+hosts[1].asked.Load() != 0) {
			t.Errorf("%s: exit %d after %d and %d requests", name, c.ProcessState.ExitCode(), hosts[0].asked.Load(), hosts[1].asked.Load())
		}
		for n, h := range hosts {
			if (h.got.Load() > 0) != x.got[n] {
				t.Errorf("%s: the token at host %d: %d", name, n, h.got.Load())
			}
		}
	}
}
