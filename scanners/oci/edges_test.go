package oci_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/oci"
)

// written is a layout that a test writes by hand.
type written struct {
	t   *testing.T
	dir string
}

func (w written) blob(text string, more map[string]any) map[string]any {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	w.file("blobs/sha256/"+sum, text)
	d := map[string]any{"digest": "sha256:" + sum, "size": len(text)}
	for k, v := range more {
		d[k] = v
	}
	return d
}

func (w written) file(name, text string) {
	w.t.Helper()
	p := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w written) index(config map[string]any, layers ...any) {
	manifest := w.blob(doc(map[string]any{"schemaVersion": 2, "config": config, "layers": layers}), nil)
	w.file("index.json", doc(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}}))
	w.file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
}

func doc(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// foundOrReported checks that the nth cookie is found or a gap is reported, never neither.
func foundOrReported(t *testing.T, target string, n int, gaps int) {
	t.Helper()
	found, said, _ := scanWith(t, &oci.Source{Targets: []string{target}})
	for _, f := range found {
		if f.Secret.Reveal() == secret(n) && len(said) == gaps {
			return
		}
	}
	if gaps == 0 || len(said) != gaps {
		t.Errorf("%d findings, %v", len(found), said)
	}
}

func TestConfigsAreComparedWithTheirDigests(t *testing.T) {
	config := doc(map[string]any{"config": map[string]any{"Env": []string{"A=" + cookie(0)}}})
	for _, c := range []struct {
		name, data string
		gaps       int
	}{{"without data", "", 0}, {"with its own", config, 0}, {"with other data", "{}", 1}} {
		t.Run(c.name, func(t *testing.T) {
			w := written{t, t.TempDir()}
			more := map[string]any{}
			if c.data != "" {
				more["data"] = base64.StdEncoding.EncodeToString([]byte(c.data))
			}
			w.index(w.blob(config, more))
			foundOrReported(t, w.dir, 0, c.gaps)
		})
	}
	t.Run("with other bytes", func(t *testing.T) {
		w := written{t, t.TempDir()}
		d := w.blob(strings.ReplaceAll(config, "A=", "B="), nil)
		w.index(d)
		w.file("blobs/sha256/"+strings.TrimPrefix(d["digest"].(string), "sha256:"), config)
		foundOrReported(t, w.dir, 0, 1)
	})
}

func TestFilesThatNoManifestNamesAreRead(t *testing.T) {
	for _, name := range []string{"notes.txt", "sub/notes.txt", "blobs/notes.txt", "blobs/sha256/tmp123", "manifest.json"} {
		w := written{t, t.TempDir()}
		w.index(w.blob("{}", nil))
		w.file(name, cookie(0)+"\n")
		foundOrReported(t, w.dir, 0, 0)
		// The same as an archive.
		file := filepath.Join(t.TempDir(), "a.tar")
		tarFolder(t, w.dir, file)
		foundOrReported(t, file, 0, 0)
	}
}

func TestLayersOfAnArchiveAreIdentifiedByTheirBytes(t *testing.T) {
	claimed := doc(map[string]any{"rootfs": map[string]any{"diff_ids": []string{"sha256:" + strings.Repeat("a", 64), "sha256:" + strings.Repeat("a", 64)}}})
	plain, leak := string(tarOf(t, "a", "x\n")), string(tarOf(t, "f", cookie(0)+"\n"))
	list := func(layers ...string) string {
		return doc([]any{map[string]any{"Config": "c.json", "RepoTags": []string{"x:1"}, "Layers": layers}})
	}
	for _, c := range []struct {
		name  string
		files []any
		after string
	}{
		{"two layers that claim one id", []any{"c.json", claimed, "l1.tar", plain, "l2.tar", leak, "manifest.json", list("l1.tar", "l2.tar")}, ""},
		{"a layer that nothing names", []any{"other/layer.tar", leak, "c.json", claimed, "l1.tar", plain, "manifest.json", list("l1.tar")}, ""},
		{"a file that nothing names", []any{"notes.txt", cookie(0) + "\n", "c.json", claimed, "l1.tar", plain, "manifest.json", list("l1.tar")}, ""},
		{"one name twice", []any{"l1.tar", leak, "c.json", claimed, "l1.tar", plain, "manifest.json", list("l1.tar")}, ""},
		{"after the archive", []any{"c.json", claimed, "l1.tar", plain, "manifest.json", list("l1.tar")}, cookie(0) + "\n"},
	} {
		b := append(tarOf(t, c.files...), c.after...)
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.tar")
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
			foundOrReported(t, file, 0, 0)
		})
		t.Run(c.name+", in its own order", func(t *testing.T) {
			found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{"-"}, Stdin: bytes.NewReader(b)})
			if len(found) != 1 || len(gaps) != 0 {
				t.Errorf("%d findings, %v", len(found), gaps)
			}
		})
	}
}

func push(t *testing.T, to string, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
}

func TestARegistryThatRefusesListsIsReported(t *testing.T) {
	for status, gaps := range map[int]int{200: 0, 404: 0, 400: 1, 403: 1, 429: 1} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inner := registry.New(registry.WithReferrersSupport(true))
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/referrers/") && status != 200 {
					w.WriteHeader(status)
					return
				}
				inner.ServeHTTP(w, r)
			}))
			defer s.Close()
			host := strings.TrimPrefix(s.URL, "http://")
			push(t, host+"/a/b:1", image(t))
			_, said, _ := scanWith(t, &oci.Source{Targets: []string{host + "/a/b:1"}})
			if len(said) != gaps {
				t.Errorf("%v", said)
			}
		})
	}
}

func TestARegistryThatSendsMoreThanItAnnounced(t *testing.T) {
	inner := registry.New()
	img := image(t)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := layers[0].Digest()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, digest.String()) {
			inner.ServeHTTP(w, r)
			return
		}
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	push(t, host+"/a/b:1", img)
	_, gaps, _ := scanWith(t, &oci.Source{Targets: []string{host + "/a/b:1"}})
	if len(gaps) != 1 || scanners.KindOf(gaps[0].Err) != scanners.GapLimitBytes {
		t.Errorf("%v", gaps)
	}
}
