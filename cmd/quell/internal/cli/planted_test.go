package cli

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules/testenv"
)

// tokens are made-up ones that need no words next to them.
type tokens struct {
	*rand.Rand
	all []string
}

func (p *tokens) next() string {
	const a = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	b, n, letters := []byte("glpat"+"-"), 20, a
	if p.IntN(3) == 0 {
		b, n, letters = []byte("dop_"+"v1_"), 64, "0123456789abcdef"
	}
	for range n {
		b = append(b, letters[p.IntN(len(letters))])
	}
	p.all = append(p.all, string(b))
	return string(b)
}

// text is a line with a token.
func (p *tokens) text() string { return "some words and " + p.next() + " and more\n" }

// shapes are the forms that no output may hold.
func shapes(token string) map[string]string {
	j, _ := json.Marshal(token)
	out := map[string]string{"as it is": token, "its first half": token[:len(token)/2], "its second half": token[len(token)/2:],
		"hex": hex.EncodeToString([]byte(token)), "HEX": fmt.Sprintf("%X", token), "percent": url.QueryEscape(token), "JSON": string(j[1 : len(j)-1])}
	var all strings.Builder
	for _, c := range []byte(token) {
		fmt.Fprintf(&all, "%%%02x", c)
	}
	out["all of it in percent"] = all.String()
	for k := range 3 {
		s := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", k) + token))
		out[fmt.Sprintf("base64 after %d", k)] = s[(k*8+5)/6 : (k+len(token))*8/6]
	}
	return out
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tarOf(t *testing.T, names map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(text))
	}
	_ = w.Close()
	return b.String()
}

func zipOf(t *testing.T, names map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range names {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte(text))
	}
	_ = w.Close()
	return b.String()
}

// repository makes one with secrets in every name that it can have.
func repository(t *testing.T, p *tokens, dir string) {
	t.Helper()
	testenv.Need(t, "git")
	git := func(who string, args ...string) {
		c := exec.Command("git", args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME="+who, "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=a@example.com")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	git("x", "init", "-q", "-b", "main")
	write(t, filepath.Join(dir, p.next(), p.next()+".txt"), p.text())
	git("x", "add", "-A")
	git(p.next(), "commit", "-q", "-m", "a subject with "+p.next())
	write(t, filepath.Join(dir, "b.txt"), p.text())
	git("x", "add", "-A")
	git("x", "commit", "-q", "-m", strings.Repeat("a", 200-10)+" "+p.next()) // cut in a report
	git("x", "branch", p.next())
	git("x", "tag", p.next())
	git("x", "tag", "-a", "-m", p.next(), "v1")
	git("x", "remote", "add", p.next(), "https://user:"+p.next()+"@example.com/x.git")
	write(t, filepath.Join(dir, p.next()+".env"), p.text()) // not committed
}

// image makes an OCI layout with secrets in names and in its history.
func image(t *testing.T, p *tokens, dir string) {
	t.Helper()
	blob := func(text string) map[string]any {
		sum := sha(text)
		write(t, filepath.Join(dir, "blobs/sha256", sum), text)
		return map[string]any{"digest": "sha256:" + sum, "size": len(text)}
	}
	doc := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	layer := blob(tarOf(t, map[string]string{p.next() + "/" + p.next() + ".txt": p.text()}))
	coded := base64.StdEncoding.EncodeToString([]byte(p.next()))
	config := blob(doc(map[string]any{"history": []any{map[string]any{"created_by": "RUN echo " + coded + " | base64 -d > " + p.next()}}}))
	manifest := blob(doc(map[string]any{"schemaVersion": 2, "config": config, "layers": []any{layer}}))
	manifest["annotations"] = map[string]string{"org.opencontainers.image.ref.name": p.next()}
	write(t, filepath.Join(dir, "index.json"), doc(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}}))
	write(t, filepath.Join(dir, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
	write(t, filepath.Join(dir, p.next()), p.text())
}

// No output of a run without --reveal holds a secret that a name, a title or a message
// has, in any form: standard output and error, reports of all formats, and the folders of
// quell's own.
func TestPlantedSecretsAreInNoOutput(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for n, c := range []struct {
		kind string
		args []string
		make func(t *testing.T, p *tokens, dir string)
		also func(t *testing.T, p *tokens) []string // arguments instead of the folder
	}{
		{"path", nil, func(t *testing.T, p *tokens, dir string) {
			write(t, filepath.Join(dir, p.next(), p.next()+".txt"), p.text())
			write(t, filepath.Join(dir, p.next()+"\xff.txt"), p.text())
			write(t, filepath.Join(dir, hex.EncodeToString([]byte(p.next()))), p.text())
			write(t, filepath.Join(dir, "a.zip"), zipOf(t, map[string]string{p.next() + "/" + p.next(): p.text()}))
			write(t, filepath.Join(dir, "b.tar"), tarOf(t, map[string]string{p.next() + ".log": p.text()}))
			write(t, filepath.Join(dir, p.next()+".zip"), "PK\x03\x04"+strings.Repeat("\x00", 40))
			write(t, filepath.Join(dir, "marked.txt"), p.next()+" # quell:allow\n")
		}, nil},
		{"path", nil, names, nil},
		{"log", nil, func(t *testing.T, p *tokens, dir string) {
			write(t, filepath.Join(dir, "logs.zip"), zipOf(t, map[string]string{p.next() + "/1_" + p.next() + ".txt": p.text(), "0_" + p.next() + ".txt": p.text()}))
			write(t, filepath.Join(dir, p.next()+".log"), "##[group]"+p.next()+"\n"+p.text())
		}, nil},
		{"log", nil, names, nil},
		{"git", []string{"--worktree"}, repository, nil},
		{"git", []string{"--range", "HEAD~1..HEAD"}, repository, nil},
		{"image", nil, image, nil},
		{"image", nil, nil, savedImage},
		{"image", nil, nil, registryImage},
		{"github", nil, nil, githubRuns},
	} {
		for _, confidence := range []string{"low", "high"} {
			t.Run(fmt.Sprint(n, " ", strings.Join(append([]string{c.kind, confidence}, c.args...), " ")), func(t *testing.T) {
				p := &tokens{Rand: rand.New(rand.NewPCG(seed, 1))}
				dir, home, out := t.TempDir(), t.TempDir(), t.TempDir()
				targets := []string{filepath.Join(dir, "in")}
				if c.make != nil {
					c.make(t, p, targets[0])
				} else {
					targets = c.also(t, p)
				}
				getenv := func(name string) string {
					return map[string]string{"HOME": home, "XDG_STATE_HOME": home + "/state", "XDG_CONFIG_HOME": home + "/config", "XDG_CACHE_HOME": home + "/cache", "GITHUB_TOKEN": "the-token-of-the-test"}[name]
				}
				wrote := map[string]string{}
				for _, format := range report.Formats() {
					for _, again := range []string{"", ", again"} {
						report := filepath.Join(out, format)
						args := slices.Concat([]string{"scan", c.kind}, targets, []string{"--offline", "--confidence", confidence, "--format", format, "--report", format + "=" + report}, c.args)
						if again != "" {
							args = append(args, "--show", "all,incomplete")
						}
						var stdout, stderr bytes.Buffer
						if code := Run(t.Context(), args, strings.NewReader(""), &stdout, &stderr, getenv); code == exitFailed {
							t.Fatalf("exit %d: %s", code, stderr.String())
						}
						wrote[format+" on standard output"+again], wrote[format+" on standard error"+again] = stdout.String(), stderr.String()
						b, err := os.ReadFile(report)
						if err != nil {
							t.Fatal(err)
						}
						wrote["the report in "+format+again] = string(b)
					}
				}
				if err := filepath.WalkDir(home, func(p string, d fs.DirEntry, err error) error {
					if err == nil && d.Type().IsRegular() {
						b, err := os.ReadFile(p)
						wrote["the file "+d.Name()] = string(b)
						return err
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(wrote["jsonl on standard output"], `"type":"finding"`) {
					t.Errorf("nothing is found, so nothing is shown: %.2000s", wrote["jsonl on standard output"])
				}
				for n, token := range p.all {
					for form, text := range shapes(token) {
						for where, b := range wrote {
							if strings.Contains(b, text) {
								t.Errorf("token %d, %s, is in %s", n, form, where)
							}
						}
					}
				}
			})
		}
	}
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
