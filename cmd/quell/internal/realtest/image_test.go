package realtest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/oci"
)

// session makes the nth cookie of a session.
func session(n int) string {
	return strings.Map(func(c rune) rune {
		const a = "0123456789abcdefghijklmnopqrstuvwxyz"
		return rune(a[(strings.IndexRune(a, c)*7+n*11+5)%36])
	}, "0123456789abcdefghijklmnopqrstuv")
}

// layered makes an image with umoci: a file that a whiteout deletes, one in a folder
// that is emptied, one that stays, and one in the environment.
func layered(t *testing.T) (dir string) {
	need(t, "umoci")
	need(t, "skopeo")
	dir = mkdir(t)
	for name, n := range map[string]int{"a/.env": 0, "a/stays": 1, "a/dir/x": 2} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("Cookie: sessionid="+session(n)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "--layout", "oci"}, {"new", "--image", "oci:app"},
		{"insert", "--rootless", "--image", "oci:app", "a", "/app"},
		{"insert", "--rootless", "--image", "oci:app", "--whiteout", "/app/.env"},
		{"insert", "--rootless", "--image", "oci:app", "--opaque", "empty", "/app/dir"},
		{"config", "--image", "oci:app", "--config.env", "HEADERS=Cookie: sessionid=" + session(3)},
	} {
		command(t, nil, dir, append([]string{"umoci"}, args...)...)
	}
	return dir
}

func scanImage(t *testing.T, target string) (map[string]rules.Location, []scanners.Gap) {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	src, err := (&oci.Source{Targets: []string{target}}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var found []*rules.Finding
	var gaps []scanners.Gap
	p := scanners.Pool{Detector: detect.New(set), Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
	var mu sync.Mutex // a source reports gaps while a worker does
	if _, err := p.Read(t.Context(), src, func(f rules.Finding) { found = append(found, &f) }, func(g scanners.Gap) { mu.Lock(); gaps = append(gaps, g); mu.Unlock() }); err != nil {
		t.Fatal(err)
	}
	if err := src.Attribute(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	out := map[string]rules.Location{}
	for _, f := range found {
		out[f.Secret.Reveal()] = f.Location
	}
	return out, gaps
}

// An image as umoci makes it, in each form that skopeo knows, and through Docker's
// registry.
func TestImagesOfRealTools(t *testing.T) {
	dir := layered(t)
	port := freePort(t)
	need(t, "docker-registry")
	conf := filepath.Join(dir, "registry.yml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:%s}\n", filepath.Join(dir, "registry"), port), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, "http://127.0.0.1:"+port+"/v2/", nil, dir, "docker-registry", "serve", conf)
	copyTo := func(args ...string) {
		t.Helper()
		command(t, nil, dir, append([]string{"skopeo", "--insecure-policy", "copy", "-q"}, args...)...)
	}
	copyTo("oci:oci:app", "docker-archive:docker.tar:team/app:1")
	copyTo("oci:oci:app", "oci-archive:oci.tar")
	copyTo("oci:oci:app", "dir:flat")
	copyTo("--dest-compress-format", "zstd", "--dest-compress", "oci:oci:app", "oci:zstd:app")
	copyTo("--dest-tls-verify=false", "oci:oci:app", "docker://127.0.0.1:"+port+"/team/app:1")
	copyTo("--dest-tls-verify=false", "-f", "v2s2", "oci:oci:app", "docker://127.0.0.1:"+port+"/team/app:v2s2")
	command(t, nil, dir, "openssl", "genrsa", "-out", "k.pem", "2048")
	command(t, nil, dir, "openssl", "rsa", "-in", "k.pem", "-pubout", "-out", "p.pem")
	copyTo("--encryption-key", "jwe:p.pem", "oci:oci:app", "oci:enc:app")

	for name, target := range map[string]string{
		"umoci's layout": "oci", "docker archive": "docker.tar", "OCI archive": "oci.tar", "skopeo's folder": "flat", "zstd": "zstd",
		"registry": "127.0.0.1:" + port + "/team/app:1", "registry, Docker's manifest": "127.0.0.1:" + port + "/team/app:v2s2",
	} {
		if !strings.Contains(target, ":") {
			target = filepath.Join(dir, target)
		}
		found, gaps := scanImage(t, target)
		if len(gaps) > 0 {
			t.Errorf("%s: %v", name, gaps)
		}
		for n, path := range map[int]string{0: "app/.env", 1: "app/stays", 2: "app/dir/x", 3: ""} {
			l, ok := found[session(n)]
			if !ok || l.Path != path || (path != "") != (l.Layer != "") {
				t.Errorf("%s: secret %d: found %v at %q, layer %q", name, n, ok, l.Path, l.Layer)
			}
			if (n == 0 || n == 2) && !strings.HasPrefix(l.Notes["deleted"], "by layer sha256:") {
				t.Errorf("%s: secret %d: %v", name, n, l.Notes)
			}
			if n == 1 && (l.Notes["deleted"] != "" || l.Notes["overwritten"] != "") {
				t.Errorf("%s: what stays is said to be gone: %v", name, l.Notes)
			}
		}
	}
	// All of the registry by its name, and what can't be read.
	if found, gaps := scanImage(t, "127.0.0.1:"+port+"/team/*"); len(gaps) > 0 || found[session(1)].Path == "" {
		t.Errorf("by a pattern: %v", gaps)
	}
	found, gaps := scanImage(t, filepath.Join(dir, "enc"))
	if len(gaps) == 0 || found[session(3)].Artifact == "" || !strings.Contains(gaps[0].Error(), "encrypted") {
		t.Errorf("encrypted: %v", gaps)
	}
}

// multi makes an image for two platforms with buildah, and gives its layout: a nested
// index, as buildah writes it.
func multi(t *testing.T) string {
	need(t, "buildah")
	dir := mkdir(t)
	env := []string{"STORAGE_DRIVER=vfs"}
	b := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(command(t, env, dir, append([]string{"buildah", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run")}, args...)...))
	}
	b("manifest", "create", "app")
	for n, arch := range []string{"amd64", "arm64"} {
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte("Cookie: sessionid="+session(10+n)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		c := b("from", "--arch", arch, "scratch")
		b("copy", "-q", c, "f", "/etc/session")
		b("config", "--arch", arch, "--os", "linux", "--env", "HEADERS=Cookie: sessionid="+session(20+n), "--history-comment", "Cookie: sessionid="+session(30+n), c)
		b("commit", "-q", c, "app-"+arch)
		b("manifest", "add", "app", "localhost/app-"+arch)
	}
	b("manifest", "push", "-q", "--all", "app", "oci:"+filepath.Join(dir, "oci")+":app")
	return filepath.Join(dir, "oci")
}

// Each platform of an image that buildah made, or the one that is asked for.
func TestAnImageForTwoPlatforms(t *testing.T) {
	dir := multi(t)
	found, gaps := scanImage(t, dir)
	if len(gaps) > 0 {
		t.Error(gaps)
	}
	for n, platform := range []string{"linux/amd64", "linux/arm64"} {
		file, env := found[session(10+n)], found[session(20+n)]
		if file.Path != "etc/session" || file.Layer == "" || file.Notes["platform"] != platform || !strings.HasPrefix(env.Artifact, "image config ") || env.Notes["platform"] != platform {
			t.Errorf("%s: %+v, %+v", platform, file, env)
		}
	}
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var only []string
	p := scanners.Pool{Detector: detect.New(set), Workers: 1}
	if _, err := p.Run(t.Context(), &oci.Source{Targets: []string{dir}, Platform: "linux/arm64"}, func(f rules.Finding) { only = append(only, f.Secret.Reveal()) }, func(g scanners.Gap) { t.Error(g) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(only, session(11)) || slices.Contains(only, session(10)) || slices.Contains(only, session(20)) {
		t.Errorf("one platform alone: %d findings", len(only))
	}
}

// A forge's own registry: Gitea's, by its catalog, and by its list of packages where a
// registry has no catalog for us.
func TestRegistryOfGitea(t *testing.T) {
	need(t, "skopeo")
	dir := layered(t)
	u := gitea(t)
	host := strings.TrimPrefix(u, "http://")
	for _, repo := range []string{"app", "tool"} {
		command(t, nil, dir, "skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", "root1:"+giteaPassword, "oci:oci:app", "docker://"+host+"/root1/"+repo+":1")
	}
	login := func(host string) {
		t.Helper()
		conf := t.TempDir()
		text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("root1:"+giteaPassword)))
		if err := os.WriteFile(filepath.Join(conf, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("DOCKER_CONFIG", conf)
	}
	to, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	// A registry that lists nothing, as GitHub's: the forge's API is asked.
	pass := httputil.NewSingleHostReverseProxy(to)
	var listed atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/_catalog":
			w.WriteHeader(http.StatusForbidden)
			return
		case "/api/v1/packages/root1":
			listed.Store(true)
		}
		pass.ServeHTTP(w, r)
	}))
	defer front.Close()
	for name, at := range map[string]string{"by its catalog": host, "by its packages": strings.TrimPrefix(front.URL, "http://")} {
		login(at)
		found, gaps := scanImage(t, at+"/root1/*")
		if l := found[session(0)]; len(gaps) > 0 || l.Path != "app/.env" || !strings.HasPrefix(l.Notes["deleted"], "by layer sha256:") {
			t.Errorf("%s: %v, %+v", name, gaps, l)
		}
	}
	if !listed.Load() {
		t.Error("the forge was not asked for its packages")
	}
}
