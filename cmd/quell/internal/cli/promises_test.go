package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// installed runs quell with an environment of its own, and returns the exit code and what it
// wrote.
func installed(t *testing.T, env map[string]string, args ...string) (int, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := Run(t.Context(), args, strings.NewReader(""), &out, &errs, func(name string) string { return env[name] })
	return code, out.String() + errs.String()
}

func folders(t *testing.T) map[string]string {
	t.Helper()
	home := t.TempDir()
	return map[string]string{"HOME": home, "XDG_STATE_HOME": home + "/state", "XDG_CONFIG_HOME": home + "/config", "XDG_CACHE_HOME": home + "/cache"}
}

// With --offline no command sends anything to an issuer that the policy names.
func TestOfflineIsNoRequestOfAnyCommand(t *testing.T) {
	var requests atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusOK)
	}))
	defer srv.Close()
	dir, env := t.TempDir(), folders(t)
	session := "s%3A" + strings.Repeat("aB3xK9qLmZ", 4)[:32] + "." + strings.Repeat("Q7wErTyUiOpAs", 4)[:43]
	write(t, filepath.Join(dir, "in", "app.log"), "GET /me\nCookie: connect.sid="+session+"\n")
	policy, report := filepath.Join(dir, "p.toml"), filepath.Join(dir, "r.jsonl")
	write(t, policy, "version = 1\nnotify = ['"+srv.URL+"/hook']\n[[instance]]\nprovider = 'express'\nurl = '"+srv.URL+"'\nown = true\ncookie = 'connect.sid'\nprobe_path = '/me'\nlogout_path = '/logout'\ncontrol = 'env:MINE'\n")
	env["MINE"] = "s%3A" + strings.Repeat("z", 32) + "." + strings.Repeat("y", 43)
	for _, args := range [][]string{
		{"scan", "path", filepath.Join(dir, "in"), "--format", "jsonl", "--output", report},
		{"check", report},
		{"plan", report, "--output", filepath.Join(dir, "plan.json")},
		{"apply", filepath.Join(dir, "plan.json")},
		{"contain", "path", filepath.Join(dir, "in")},
		{"recheck"},
		{"policy", "check"},
		{"policy", "check", "--ask"},
		{"policy", "init", "--force", "--instance", "express=" + srv.URL + ",probe_path=/me,logout_path=/logout"},
	} {
		all := append(args, "--offline", "--policy", policy)
		if args[0] == "policy" && args[1] == "init" {
			all = append(args, "--offline", "--policy", filepath.Join(dir, "new.toml"))
		}
		code, text := installed(t, env, all...)
		if n := requests.Swap(0); n != 0 {
			t.Errorf("%q sent %d requests", args[:2], n)
		}
		if strings.Contains(text, "unknown command") || code == 130 {
			t.Errorf("%q: exit code %d, %s", args[:2], code, text)
		}
	}
	if b, err := os.ReadFile(report); err != nil || !strings.Contains(string(b), `"connect.sid"`) {
		t.Errorf("the scan found nothing to ask about: %v", err)
	}
	// The same plan without --offline asks, so the counter counts.
	installed(t, env, "plan", report, "--policy", policy, "--output", filepath.Join(dir, "plan2.json"))
	if requests.Load() == 0 {
		t.Error("the instance is never asked")
	}
}

// Without HOME, nothing is read from or written to the working folder: quell stops, unless its
// folders are absolute paths.
func TestWithoutAHomeTheScannedFolderIsNotQuells(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{".config/quell/policy.toml", "quell/policy.toml", ".quell/policy.toml"} {
		write(t, filepath.Join(dir, p), "version = 1\nmade_up_key = true\n")
	}
	write(t, filepath.Join(dir, "a.txt"), "text\n")
	t.Chdir(dir)
	abs := t.TempDir()
	for name, c := range map[string]struct {
		env  map[string]string
		code int
	}{
		"nothing":        {map[string]string{}, exitFailed},
		"relative paths": {map[string]string{"XDG_CONFIG_HOME": ".", "XDG_STATE_HOME": ".", "XDG_CACHE_HOME": "."}, exitFailed},
		"absolute paths": {map[string]string{"XDG_CONFIG_HOME": abs + "/c", "XDG_STATE_HOME": abs + "/s", "XDG_CACHE_HOME": abs + "/k"}, 0},
	} {
		code, text := installed(t, c.env, "scan", "path", ".", "--offline")
		if code != c.code || strings.Contains(text, "made_up_key") {
			t.Errorf("%s: exit code %d, %s", name, code, text)
		}
		if names, err := filepath.Glob("*"); err != nil || len(names) != 4 {
			t.Errorf("%s: the folder now has %q", name, names)
		}
	}
}

// A secret key in the place of a public one is an error that does not contain it.
func TestASecretKeyIsNoRecipient(t *testing.T) {
	const key = "AGE-SECRET-KEY-1MADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUP"
	env := folders(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.txt"), "text\n")
	for _, args := range [][]string{{"scan", "path", dir, "--offline", "--recipient", key}, {"scan", "path", dir, "--offline", "--recipient", strings.ToLower(key)}} {
		code, text := installed(t, env, args...)
		if code != exitFailed || strings.Contains(strings.ToUpper(text), "MADEUP") || !strings.Contains(text, "public key") {
			t.Errorf("exit code %d, %s", code, strings.ReplaceAll(text, "MADEUP", "…"))
		}
	}
}

// A service that strangers use too is not the operator's own, with or without a control.
func TestInitDoesNotTakeAPublicService(t *testing.T) {
	env := folders(t)
	env["MINE"] = "made-up-token"
	dir := t.TempDir()
	for n, instance := range []string{"gitlab=https://gitlab.com", "gitlab=https://gitlab.com,control=env:MINE", "github=https://api.github.com,admin=env:MINE"} {
		file := filepath.Join(dir, strings.Repeat("p", n+1)+".toml")
		code, text := installed(t, env, "policy", "init", "--offline", "--policy", file, "--instance", instance)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s: exit code %d, %s", instance, code, text)
			continue
		}
		if strings.Contains(string(b), "own = true") {
			t.Errorf("%s:\n%s", instance, b)
		}
	}
	// A server of their own is.
	file := filepath.Join(dir, "own.toml")
	installed(t, env, "policy", "init", "--offline", "--policy", file, "--instance", "gitlab=https://git.corp.example")
	if b, _ := os.ReadFile(file); !strings.Contains(string(b), "own = true") {
		t.Errorf("a server of the operator's is not their own:\n%s", b)
	}
}
