package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Scene is the prepared demo: where things leaked, and the policy of an operator who owns both
// servers.
type Scene struct {
	Dir    string // the folder with all of it
	Log    string
	Repo   string
	Image  string
	Policy string
	Leaked time.Time
	// Env holds the operator's secrets for the policy's env: references.
	Env map[string]string
}

// Prepare starts the servers, which end with ctx, and leaks sessions of both.
func Prepare(ctx context.Context, dir string) (*Scene, error) {
	issuer, err := provider(ctx)
	if err != nil {
		return nil, err
	}
	web, err := app(ctx)
	if err != nil {
		return nil, err
	}
	s := &Scene{Dir: dir, Log: filepath.Join(dir, "build.log"), Repo: filepath.Join(dir, "repository"), Image: filepath.Join(dir, "image"), Policy: filepath.Join(dir, "policy.toml"), Env: map[string]string{"DEMO_CLIENT_SECRET": clientSecret}}
	tokens, err := signIn(ctx, issuer)
	if err != nil {
		return nil, err
	}
	operator, err := signIn(ctx, issuer)
	if err != nil {
		return nil, err
	}
	s.Env["DEMO_OPERATOR_TOKEN"] = operator.Access
	var cookies [3]string
	for i, user := range []string{"alice", "bob", "operator"} {
		if cookies[i], err = session(ctx, web, user); err != nil {
			return nil, err
		}
	}
	s.Env["DEMO_OPERATOR_SESSION"] = cookies[2]
	s.Leaked = time.Now()
	policy := fmt.Sprintf(policyText, issuer, web)
	return s, errors.Join(
		os.WriteFile(s.Log, []byte(buildLog(issuer, tokens)), 0o600),
		repository(s.Repo, web, cookies[0]),
		image(s.Image, web, cookies[1]),
		os.WriteFile(s.Policy, []byte(policy), 0o600),
	)
}

const policyText = `version = 1

[[instance]]
provider = "oauth"
url = "%s"
own = true
client_id = "web"
client_secret = "env:DEMO_CLIENT_SECRET"
control = "env:DEMO_OPERATOR_TOKEN"
settle = "2s"

[[instance]]
provider = "webapp"
url = "%s"
own = true
probe_path = "/account"
logout_path = "/logout"
login_path = "/login"
control = "env:DEMO_OPERATOR_SESSION"
settle = "2s"
`

func buildLog(issuer string, g grant) string {
	t := time.Now().UTC()
	line := func(s string) string {
		t = t.Add(137 * time.Millisecond)
		return t.Format("2006-01-02T15:04:05.0000000Z ") + s + "\n"
	}
	return "\xef\xbb\xbf" + line("##[group]Run ./deploy.sh") + line("shell: /usr/bin/bash -e {0}") + line("##[endgroup]") +
		line("\x1b[36;1m+ curl -s "+issuer+"oauth/token\x1b[0m") +
		line(`{"access_token":"`+g.Access+`","token_type":"Bearer","expires_in":299}`) +
		line("deployed")
}

// repository commits a cookie jar and removes it in the next commit.
func repository(dir, web, cookie string) error {
	r, err := git.PlainInit(dir, false)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	w, err := r.Worktree()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	who := &object.Signature{Name: "Demo", Email: "demo@localhost", When: time.Now()}
	commit := func(name, text, message string) error {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
		if _, err := w.Add(name); err != nil {
			return err
		}
		_, err := w.Commit(message, &git.CommitOptions{Author: who})
		return err
	}
	return errors.Join(
		commit("smoke.sh", "#!/bin/sh\ncurl -b 'session="+cookie+"' "+web+"/account\n", "add a smoke test"),
		commit("smoke.sh", "#!/bin/sh\ncurl -b \"session=$SESSION\" "+web+"/account\n", "take the session from the environment"),
	)
}

// image makes an image whose second layer removes the leaking file.
func image(dir, web, cookie string) error {
	layers := []struct{ name, text string }{{"root/.config/cookies.txt", "# Netscape HTTP Cookie File\n#HttpOnly_localhost\tFALSE\t/\tFALSE\t0\tsession\t" + cookie + "\n"}, {"root/.config/.wh.cookies.txt", ""}}
	img := v1.Image(empty.Image)
	for _, l := range layers {
		var b bytes.Buffer
		t := tar.NewWriter(&b)
		if err := t.WriteHeader(&tar.Header{Name: l.name, Mode: 0o600, Size: int64(len(l.text)), ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
		if _, err := t.Write([]byte(l.text)); err != nil {
			return err
		}
		if err := t.Close(); err != nil {
			return err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "COPY " + filepath.Base(l.name)}}); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	img, err := mutate.Config(img, v1.Config{Env: []string{"WEB=" + web}})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	_, err = layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img}))
	return err
}
