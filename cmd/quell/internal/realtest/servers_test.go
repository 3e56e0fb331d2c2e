// Package realtest drives quell's command line against real servers on
// loopback. testdata/servers/install.sh installs them; a test whose server is
// missing is skipped, unless QUELL_REAL=1 requires all of them.
package realtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/cli"
	"github.com/quellhq/quell/rules/testenv"
)

const servers = "../../../../testdata/servers"

// need skips or fails the test without a program or file.
func need(t *testing.T, what string) string {
	t.Helper()
	path := what
	if !strings.Contains(what, "/") {
		path, _ = exec.LookPath(what)
	}
	if _, err := os.Stat(path); path == "" || err != nil {
		testenv.Missing(t, what)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func tools(t *testing.T, rel string) string {
	dir := os.Getenv("QUELL_TOOLS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "quell-tools")
	}
	return need(t, filepath.Join(dir, rel))
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// run runs a server until the test ends. log is what it printed, to be read once
// ended is closed.
func run(t *testing.T, env []string, dir string, args ...string) (ended <-chan error, log *bytes.Buffer) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir = dir
	c.Env = append(os.Environ(), env...)
	log = &bytes.Buffer{}
	c.Stdout, c.Stderr = log, log
	grouped(c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	over, done := make(chan error, 1), make(chan struct{})
	go func() { over <- c.Wait(); close(done) }()
	t.Cleanup(func() {
		stop(c)
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			kill(c)
			<-done
		}
	})
	return over, log
}

// listens reports whether something on this machine takes connections at a port.
func listens(port string) bool {
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// start runs a server until the test ends and waits until ready answers.
func start(t *testing.T, ready string, env []string, dir string, args ...string) {
	t.Helper()
	ended, log := run(t, env, dir, args...)
	for deadline := time.Now().Add(120 * time.Second); ; {
		r, err := http.Get(ready)
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode < 500 {
				return
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("%s ended: %v\n%s", args[0], err, tail(log.String()))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer\n%s", args[0], tail(log.String()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

func command(t *testing.T, env []string, dir string, args ...string) string {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, tail(string(out)))
	}
	return string(out)
}

// operator is an installation of quell with a policy of its own.
type operator struct {
	t   *testing.T
	dir string
	env map[string]string
	// secrets must never show up in anything that quell writes.
	secrets []string
	dialled int    // connections that quell began
	exe     string // quell as a process; empty: this program is it
}

func newOperator(t *testing.T) *operator {
	d := t.TempDir()
	return &operator{t: t, dir: d, env: map[string]string{"XDG_STATE_HOME": filepath.Join(d, "state"), "XDG_CONFIG_HOME": filepath.Join(d, "config")}}
}

func (o *operator) file(name, text string) string {
	o.t.Helper()
	p := filepath.Join(o.dir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return p
}

// policy writes the policy where quell looks for it.
func (o *operator) policy(text string) {
	o.t.Helper()
	p := filepath.Join(o.dir, "config", "quell")
	if err := os.MkdirAll(p, 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p, "policy.toml"), []byte("version = 1\n"+text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// quell runs a command and checks its exit code and that no secret is in what
// it writes.
func (o *operator) quell(want int, args ...string) string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 3*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	dialled := &recorder{}
	code := cli.Run(dialled.watch(ctx), args, strings.NewReader(""), &out, &errs, func(k string) string { return o.env[k] })
	for _, host := range dialled.unnamed(o.named(args)) {
		o.t.Errorf("quell %s connected to %s, which the operator did not name", args[0], host)
	}
	o.dialled += dialled.count()
	if code != want {
		o.t.Fatalf("quell %s ended with %d, not %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	o.clean(out.String() + errs.String())
	return out.String()
}

func (o *operator) clean(text string) {
	o.t.Helper()
	for _, s := range o.secrets {
		if strings.Contains(text, s) {
			o.t.Errorf("a secret was written in clear")
		}
	}
}

// files checks everything that quell left on the disk.
func (o *operator) files(except ...string) {
	o.t.Helper()
	_ = filepath.WalkDir(o.dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		for _, e := range except {
			if strings.HasPrefix(p, e) {
				return nil
			}
		}
		b, _ := os.ReadFile(p)
		o.clean(string(b))
		return nil
	})
}

// action is a record of the JSON lines of apply.
type action struct {
	Rule, Outcome, Detail, Held, Control string
	Scope                                string
	Remedy                               string
	Kind                                 string
	Seconds                              float64
	Derived                              []struct{ Kind, Liveness, Reason string }
	Receipt                              *struct {
		Accepted bool
		Status   int
		Detail   string
	}
	Rotation *struct{ Where, Detail, Replacement string }
	Proof    []struct {
		Control *struct{ Liveness string }
	}
}

// kill scans, plans and applies, and gives the actions.
func (o *operator) kill(scanCode, applyCode int, scan ...string) []action {
	o.t.Helper()
	report, plan := filepath.Join(o.dir, "report.jsonl"), filepath.Join(o.dir, "plan.json")
	o.quell(scanCode, append(append([]string{"scan"}, scan...), "--format", "jsonl", "--output", report)...)
	o.quell(0, "plan", report, "--output", plan)
	return actions(o.t, o.quell(applyCode, "apply", plan, "--format", "jsonl"))
}

func actions(t *testing.T, jsonl string) []action {
	t.Helper()
	var out []action
	for _, line := range strings.Split(strings.TrimSpace(jsonl), "\n") {
		var head struct{ Type string }
		if err := json.Unmarshal([]byte(line), &head); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if head.Type == "action" {
			var a action
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				t.Fatal(err)
			}
			out = append(out, a)
		}
	}
	return out
}

// one expects a single action with this outcome.
func one(t *testing.T, list []action, rule, outcome string) action {
	t.Helper()
	var got []string
	for _, a := range list {
		if a.Rule == rule && a.Outcome == outcome {
			if outcome == "Confirmed" {
				t.Logf("%s: %.1f s from the kill to Confirmed, positive control: %s", rule, a.Seconds, a.Control)
			}
			return a
		}
		got = append(got, fmt.Sprintf("%s %s %s%s", a.Rule, a.Outcome, a.Detail, a.Held))
	}
	t.Fatalf("no %s of %s, but %v", outcome, rule, got)
	return action{}
}

// browser is an HTTP client with cookies that follows no redirect.
type browser struct {
	t *testing.T
	c *http.Client
	j *cookiejar.Jar
}

func newBrowser(t *testing.T) *browser {
	j, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, &http.Client{Jar: j, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, j}
}

type reply struct {
	status   int
	body     string
	location string
}

func (b *browser) do(method, u string, form url.Values, header ...string) reply {
	b.t.Helper()
	if form != nil {
		header = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)
	}
	return b.send(method, u, form.Encode(), header...)
}

func (b *browser) send(method, u, body string, header ...string) reply {
	b.t.Helper()
	r, err := http.NewRequest(method, u, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{resp.StatusCode, string(text), resp.Header.Get("Location")}
}

func (b *browser) cookie(u, name string) string {
	b.t.Helper()
	v := b.maybe(u, name)
	if v == "" {
		b.t.Fatalf("no cookie %s", name)
	}
	return v
}

// maybe is a cookie for an address, empty if there is none.
func (b *browser) maybe(u, name string) string {
	b.t.Helper()
	p, err := url.Parse(u)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.j.Cookies(p) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func find(t *testing.T, expr, text string) string {
	t.Helper()
	m := regexp.MustCompile(expr).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s is not in %.300s", expr, text)
	}
	return m[1]
}

const stamp = "2026-05-03T01:16:34.3352086Z "
