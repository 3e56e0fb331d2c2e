package git_test

import (
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners/git"
)

// forge serves the repositories below a folder with git's own server, to clients that have the
// token.
func forge(t *testing.T, dir, user, token string) *url.URL {
	t.Helper()
	backend := filepath.Join(strings.TrimSpace(output(t, "git", "--exec-path")), "git-http-backend")
	h := &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		// Forges serve what their refs reach, and filter.
		"GIT_CONFIG_KEY_1=uploadpack.allowReachableSHA1InWant", "GIT_CONFIG_VALUE_1=true", "GIT_CONFIG_KEY_2=uploadpack.allowFilter", "GIT_CONFIG_VALUE_2=true"}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); token != "" && (!ok || u != user || p != token) {
			w.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestRemoteIsFetchedWithAllItsNames(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("on main")
	r.git("checkout", "-q", "-b", "gone")
	r.write("pull.txt", line(1))
	r.git("update-ref", "refs/pull/7/head", r.commit("from a pull request"))
	r.git("checkout", "-q", "main")
	r.git("branch", "-q", "-D", "gone")
	r.git("notes", "add", "-m", cookie(2))
	const token = "the-token-of-the-forge"
	home, cache := t.TempDir(), t.TempDir()
	u := forge(t, filepath.Dir(r.dir), "x-access-token", token)
	u.Path = "/" + filepath.Base(r.dir) + "/.git"
	env := map[string]string{}
	src := func() *git.Source {
		m := shelf{}
		return &git.Source{Dir: u.String(), Memory: m, Remote: &git.Remote{URL: u, Cache: cache, Home: home, Getenv: func(k string) string { return env[k] }}}
	}
	if found, gaps := run(t, src()); len(found) != 0 || len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "QUELL_GIT_TOKEN") {
		t.Fatalf("without a token: %d findings, %v", len(found), gaps)
	}
	env["QUELL_GIT_TOKEN"] = token
	found, gaps := run(t, src())
	if len(gaps) > 0 {
		t.Fatal(gaps)
	}
	for n, w := range map[int]expectation{0: {path: "a.txt", notes: map[string]string{"refs": "refs/heads/main"}}, 1: {path: "pull.txt", notes: map[string]string{"refs": "refs/pull/7/head"}}, 2: {notes: map[string]string{"refs": "refs/notes/commits"}}} {
		if why := missing(found, n, w); why != "" {
			t.Errorf("%d: %s", n, why)
		}
	}
	// Commits that a force push removed are kept, and new ones are fetched.
	r.git("commit", "-q", "--amend", "-m", "amended "+cookie(3))
	found, _ = run(t, src())
	for _, n := range []int{0, 1, 2, 3} {
		if why := missing(found, n, expectation{}); why != "" {
			t.Errorf("after a forced push, %d: %s", n, why)
		}
	}
	_ = filepath.Walk(cache, func(p string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), token) {
				t.Errorf("%s holds the token", p)
			}
		}
		return nil
	})
	// QUELL_GIT_HOST keeps the token from other hosts, and from other ports of this one.
	for hosts, sent := range map[string]bool{"git.example": false, u.Hostname(): false, u.Hostname() + ":1": false, "x." + u.Host: false, u.Host + ".example": false, u.Host: true, "git.example, " + u.Host: true} {
		env["QUELL_GIT_HOST"] = hosts
		if _, gaps := run(t, src()); (len(gaps) == 0) != sent {
			t.Errorf("for %q: %v", hosts, gaps)
		}
	}
	// The files of git's helpers.
	delete(env, "QUELL_GIT_TOKEN")
	for _, f := range []struct{ name, text string }{
		{".git-credentials", "http://x-access-token:" + token + "@" + u.Host + "\n"},
		{".netrc", "machine other.example login a password b\nmachine " + u.Hostname() + "\n login x-access-token\n password " + token + "\n"},
	} {
		p := filepath.Join(home, f.name)
		if err := os.WriteFile(p, []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, gaps := run(t, src()); len(gaps) > 0 {
			t.Errorf("%s: %v", f.name, gaps)
		}
		_ = os.Remove(p)
	}
	// A token for another host is not sent here.
	env["GITHUB_TOKEN"] = token
	if _, gaps := run(t, src()); len(gaps) != 1 {
		t.Errorf("GitHub's token was sent elsewhere: %v", gaps)
	}
	env["GITHUB_SERVER_URL"] = u.Scheme + "://" + u.Host
	if _, gaps := run(t, src()); len(gaps) != 0 {
		t.Errorf("an own GitHub: %v", gaps)
	}
}

func TestAddresses(t *testing.T) {
	for target, want := range map[string]string{
		"https://git.example/a/b.git": "https://git.example/a/b.git", "git@git.example:a/b.git": "ssh://git@git.example/a/b.git", "ssh://git@git.example/a": "ssh://git@git.example/a",
		"file:///srv/a.git": "file:///srv/a.git", "http://127.0.0.1:8080/a": "http://127.0.0.1:8080/a",
		"./a": "", "a:b": "", "C:\\repo": "",
	} {
		u, ok, err := git.ParseRemote(target)
		if err != nil || ok != (want != "") || ok && u.String() != want {
			t.Errorf("%s: %v %v %v", target, u, ok, err)
		}
	}
	for _, target := range []string{"http://git.example/a", "https://user:token@git.example/a", "https://token@git.example/a", "ftp://git.example/a", "ext::sh -c x://"} {
		if _, ok, err := git.ParseRemote(target); ok && err == nil {
			t.Errorf("%s is taken", target)
		} else if err != nil && strings.Contains(err.Error(), "token@") {
			t.Errorf("%s: the error quotes it: %v", target, err)
		}
	}
}

// A file URL is read in place: git's own program is never started.
func TestFileAddress(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("x")
	u, _, err := git.ParseRemote("file://" + filepath.ToSlash(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	found, gaps := run(t, &git.Source{Dir: u.String(), Remote: &git.Remote{URL: u}})
	if len(gaps) > 0 || missing(found, 0, expectation{path: "a.txt"}) != "" {
		t.Errorf("%d findings, %v", len(found), gaps)
	}
}

// A credential is only for the named host, whatever host that one redirects to.
func TestRedirectsDontTakeTheTokenElsewhere(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("x")
	const token = "the-token-of-the-forge"
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	forge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusFound)
	}))
	defer forge.Close()
	u, err := url.Parse(forge.URL + "/a.git")
	if err != nil {
		t.Fatal(err)
	}
	_, gaps := run(t, &git.Source{Dir: u.String(), Remote: &git.Remote{URL: u, Cache: t.TempDir(), Getenv: func(string) string { return token }}})
	if asked > 0 || len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "redirects to another host") {
		t.Errorf("the other host was asked %d times, %v", asked, gaps)
	}
}
