package realtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	src := &oci.Source{Targets: []string{target}}
	var found []*rules.Finding
	var gaps []scanners.Gap
	p := scanners.Pool{Detector: detect.New(set), Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
	if _, err := p.Run(t.Context(), src, func(f rules.Finding) { found = append(found, &f) }, func(g scanners.Gap) { gaps = append(gaps, g) }); err != nil {
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
