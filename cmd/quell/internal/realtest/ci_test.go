package realtest

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// giteaRunner speaks the protocol of Gitea's runners (code.gitea.io/actions-proto-go), in its
// JSON form.
type giteaRunner struct {
	t           *testing.T
	url         string
	uuid, token string
}

func (r *giteaRunner) call(method string, in any, out any) {
	r.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, r.url+"/api/actions/runner.v1.RunnerService/"+method, bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.uuid != "" {
		req.Header.Set("x-runner-uuid", r.uuid)
		req.Header.Set("x-runner-token", r.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %d %s", method, res.StatusCode, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		r.t.Fatalf("%s: %v", method, err)
	}
}

// A job of a real Gitea writes a token to its log, and a commit and a wiki page hold others.
func TestScanGitea(t *testing.T) {
	t.Parallel()
	u := gitea(t)
	token := giteaToken(t, u, "operator")
	logged, committed := giteaToken(t, u, "logged"), giteaToken(t, u, "committed")
	b := newBrowser(t)
	api := func(method, path string, in any) string {
		t.Helper()
		text, _ := json.Marshal(in)
		r := b.send(method, u+"/api/v1"+path, string(text), "Authorization", "token "+token, "Content-Type", "application/json")
		if r.status >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
		}
		return r.body
	}
	api("POST", "/user/repos", map[string]any{"name": "app", "auto_init": true, "default_branch": "main"})
	runner := &giteaRunner{t: t, url: u}
	var reg struct{ Token string }
	if err := json.Unmarshal([]byte(api("POST", "/repos/root1/app/actions/runners/registration-token", nil)), &reg); err != nil || reg.Token == "" {
		t.Fatalf("no registration token: %v", err)
	}
	var registered struct{ Runner struct{ UUID, Token string } }
	runner.call("Register", map[string]any{"name": "r", "token": reg.Token, "version": "1", "labels": []string{"linux"}}, &registered)
	runner.uuid, runner.token = registered.Runner.UUID, registered.Runner.Token
	workflow := "on: push\njobs:\n  build:\n    runs-on: linux\n    steps:\n      - run: env\n"
	file := func(path, text string) {
		api("POST", "/repos/root1/app/contents/"+path, map[string]any{"content": base64.StdEncoding.EncodeToString([]byte(text)), "message": "add", "branch": "main"})
	}
	file("deploy.sh", "export GITEA_TOKEN="+committed+"\n")
	file(".gitea/workflows/build.yml", workflow)
	api("POST", "/repos/root1/app/wiki/new", map[string]any{"title": "Home", "content_base64": base64.StdEncoding.EncodeToString([]byte("export GITEA_TOKEN=" + committed + "\n"))})
	var task struct {
		Task struct {
			ID json.Number
		}
	}
	for end := time.Now().Add(20 * time.Second); task.Task.ID == ""; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the runner gets no task")
		}
		runner.call("FetchTask", map[string]any{"tasksVersion": "0"}, &task)
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	var ack map[string]any
	runner.call("UpdateLog", map[string]any{"taskId": task.Task.ID, "index": "0", "noMore": true, "rows": []any{
		map[string]any{"time": now, "content": "##[group]Run env"}, map[string]any{"time": now, "content": "##[endgroup]"},
		map[string]any{"time": now, "content": "GITEA_TOKEN=" + logged}}}, &ack)
	runner.call("UpdateTask", map[string]any{"state": map[string]any{"id": task.Task.ID, "result": "RESULT_SUCCESS", "startedAt": now, "stoppedAt": now}}, &ack)
	o := newOperator(t)
	o.secrets = []string{token, logged, committed, giteaPassword}
	o.env["GITEA_TOKEN"] = token
	report := o.quell(1, "scan", "gitea", "root1/app", "--url", u, "--offline", "--fail-on", "found", "--logs", "--git", "--format", "jsonl")
	for _, want := range []string{`"system":"gitea"`, `"path":"root1/app/actions-run/`, `"job":"build"`, `"path":"root1/app/deploy.sh"`, `"repository":"root1/app.wiki"`} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(report)
	}
	// Packages: files by the API, and an image of the registry on the same host.
	stored := giteaToken(t, u, "stored")
	put := func(path, text string) {
		t.Helper()
		if r := b.send("PUT", u+path, text, "Authorization", "token "+token); r.status >= 300 {
			t.Fatalf("PUT %s: %d %s", path, r.status, r.body)
		}
	}
	put("/api/packages/root1/generic/tool/1.0/env.sh", "export GITEA_TOKEN="+stored+"\n")
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		var buf bytes.Buffer
		text := "export GITEA_TOKEN=" + stored + "\n"
		w := tar.NewWriter(&buf)
		_ = w.WriteHeader(&tar.Header{Name: "app/.env", Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg})
		_, _ = io.WriteString(w, text)
		return io.NopCloser(&buf), w.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(u, "http://") + "/root1/web:1")
	if err == nil {
		err = remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: "root1", Password: token}))
	}
	if err != nil {
		t.Fatal(err)
	}
	o.secrets = append(o.secrets, stored)
	report = o.quell(1, "scan", "gitea", "root1", "--url", u, "--offline", "--fail-on", "found", "--packages", "--format", "jsonl")
	for _, want := range []string{`"path":"root1/packages/generic/tool/1.0/env.sh"`, `/root1/web:1`, `app/.env`} {
		if !strings.Contains(report, want) {
			t.Errorf("the report of packages lacks %s: %s", want, report)
		}
	}
	// The token is ended, and the leak closed: Gitea deletes the run.
	o.env["CONTROL"], o.env["ADMIN"] = token, "root1:"+giteaPassword
	o.policy(fmt.Sprintf("[[own]]\nprovider = \"gitea\"\nurl = %q\nidentity = [%q]\n[[instance]]\nprovider = \"gitea\"\nurl = %q\nadmin = \"env:ADMIN\"\ncontrol = \"env:CONTROL\"\nsettle = \"1s\"\n", u, giteaID(t, u, token), u))
	o.quell(1, "scan", "gitea", "root1/app", "--url", u, "--logs", "--format", "jsonl", "--output", o.dir+"/report.jsonl")
	runs := func() (ids []int) {
		var doc struct {
			Runs []struct{ ID int } `json:"workflow_runs"`
		}
		if err := json.Unmarshal([]byte(b.send("GET", u+"/api/v1/repos/root1/app/actions/runs", "", "Authorization", "token "+token).body), &doc); err != nil {
			t.Fatal(err)
		}
		for _, r := range doc.Runs {
			ids = append(ids, r.ID)
		}
		return ids
	}
	if got := runs(); !slices.Equal(got, []int{2, 1}) { // the second one waits for a runner
		t.Fatal(got)
	}
	o.quell(0, "plan", o.dir+"/report.jsonl", "--delete", "logs", "--url", "gitea="+u, "--output", o.dir+"/plan.json")
	said := o.quell(0, "apply", o.dir+"/plan.json", "--url", "gitea="+u)
	if !strings.Contains(said, "CONFIRMED") || !strings.Contains(said, "deleted: run ") || !slices.Equal(runs(), []int{2}) {
		t.Errorf("%s\n%v", said, runs())
	}
	o.files()
}
