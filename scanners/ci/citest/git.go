package citest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
)

// Git serves repositories with git's own server to clients that have the token.
type Git struct {
	// MultiACK refuses clients without the capability multi_ack, and those that name what they
	// have, as Azure DevOps does.
	MultiACK bool

	t           testing.TB
	dir         string
	user, token string
	backend     http.Handler
}

// NewGit makes a server without repositories.
func NewGit(t testing.TB, user, token string) *Git {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Skip("git is not installed")
	}
	g := &Git{t: t, dir: t.TempDir(), user: user, token: token}
	g.backend = &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"), Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + g.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
	return g
}

// Commit adds a file to the repository at a path, on a ref such as refs/heads/main, and makes the
// repository if there is none.
func (g *Git) Commit(path, ref, file, text string) {
	g.t.Helper()
	bare := filepath.Join(g.dir, filepath.FromSlash(path))
	if _, err := os.Stat(filepath.Join(bare, "HEAD")); err != nil {
		g.git(g.dir, "init", "-q", "--bare", bare)
	}
	work := g.t.TempDir()
	g.git(work, "init", "-q")
	if err := os.WriteFile(filepath.Join(work, file), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.git(work, "add", ".")
	g.git(work, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "add")
	g.git(work, "push", "-q", bare, "+HEAD:"+ref)
}

func (g *Git) git(dir string, args ...string) {
	g.t.Helper()
	c := exec.Command("git", args...)
	c.Dir, c.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := c.CombinedOutput(); err != nil {
		g.t.Fatalf("git %v: %v %s", args, err, out)
	}
}

// Asks reports whether a request is git's.
func (g *Git) Asks(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/git-upload-pack") || r.URL.Query().Get("service") == "git-upload-pack"
}

// ServeHTTP implements http.Handler.
func (g *Git) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, token, ok := r.BasicAuth(); !ok || user != g.user || token != g.token {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if g.MultiACK && r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		plain := body
		if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			plain, _ = io.ReadAll(z)
		}
		if !bytes.Contains(plain, []byte("multi_ack")) || bytes.Contains(plain, []byte("have ")) {
			w.WriteHeader(http.StatusOK) // an empty answer
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	g.backend.ServeHTTP(w, r)
}

// Repositories reads the repositories of a source of a CI system, as a scan does after its runs. It
// gives the paths of the findings, and what is not read.
func Repositories(t testing.TB, d scanners.Detector, src scanners.Source) (found, gaps []string) {
	t.Helper()
	outer, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	for repo, err := range outer.Sources(t.Context()) {
		if err != nil {
			gaps = append(gaps, err.Error())
			continue
		}
		s, err := repo.Open(t.Context())
		if err != nil {
			gaps = append(gaps, err.Error())
			continue
		}
		var mu sync.Mutex
		var list []*rules.Finding
		p := scanners.Pool{Detector: d, Workers: 2, Unpacker: archive.New(archive.DefaultLimits)}
		_, err = p.Read(t.Context(), s, func(f rules.Finding) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, &f)
		}, func(g scanners.Gap) {
			mu.Lock()
			defer mu.Unlock()
			gaps = append(gaps, g.Error())
		})
		if err == nil {
			err = s.Attribute(t.Context(), list)
		}
		if err != nil {
			t.Error(err)
		}
		for _, f := range list {
			if !slices.Contains(found, f.Location.Path) {
				found = append(found, f.Location.Path)
			}
		}
		s.Close()
	}
	slices.Sort(found)
	slices.Sort(gaps)
	return found, gaps
}
