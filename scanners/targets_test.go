package scanners_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/cilog"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/files"
	"github.com/quellhq/quell/scanners/git"
	"github.com/quellhq/quell/scanners/oci"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

func tarred(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b))}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Once the containers of a target have expanded to as many bytes as its size justifies, further
// ones are reported, wherever they are. Other files are read, and archives that are not
// compressed.
func TestContainersOfATargetShareItsBounds(t *testing.T) {
	const value = "b7Rk2mXv9QpL4sTz8WcY"
	cookie := []byte("Cookie: sessionid=" + value + "\n")
	zeros := make([]byte, 8<<20)
	bomb := gzipped(zeros)
	folder := func(t *testing.T) string {
		dir := t.TempDir()
		for name, b := range map[string][]byte{"bomb.gz": bomb, "plain.txt": cookie} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	targets := map[string]func(t *testing.T) scanners.Source{
		"a folder": func(t *testing.T) scanners.Source {
			return files.Source{Name: "path", Targets: []string{folder(t)}}
		},
		"an archive that is not compressed": func(t *testing.T) scanners.Source {
			dir := t.TempDir()
			for name, b := range map[string][]byte{"bomb.gz": bomb, "stored.tar": tarred(t, "f", cookie)} {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			return files.Source{Name: "path", Targets: []string{dir}}
		},
		"a history": func(t *testing.T) scanners.Source {
			dir := folder(t)
			r, err := gogit.PlainInit(dir, false)
			if err != nil {
				t.Fatal(err)
			}
			w, err := r.Worktree()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Add("."); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit("c", &gogit.CommitOptions{Author: &object.Signature{Name: "a", When: time.Unix(1, 0)}}); err != nil {
				t.Fatal(err)
			}
			if err := r.RepackObjects(&gogit.RepackConfig{}); err != nil {
				t.Fatal(err)
			}
			return &git.Source{Dir: dir}
		},
		"layers of an image": func(t *testing.T) scanners.Source {
			return imageOf(t, gzipped(tarred(t, "f", cookie)), gzipped(tarred(t, "zeros", zeros)))
		},
		"files of an image": func(t *testing.T) scanners.Source {
			return imageOf(t, tarred(t, "f", cookie), tarred(t, "bomb.gz", bomb))
		},
		"logs of a run": func(t *testing.T) scanners.Source {
			var out bytes.Buffer
			z := zip.NewWriter(&out)
			for _, m := range []struct {
				name string
				b    []byte
			}{{"build/1_first.txt", cookie}, {"build/2_second.txt", zeros}} {
				w, err := z.Create(m.name)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = w.Write(m.b)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "logs.zip")
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			return cilog.Source{Targets: []string{file}}
		},
	}
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	e := detect.New(set)
	for name, target := range targets {
		for _, used := range []bool{false, true} {
			bounds := scanners.NewBounds(scanners.DefaultPatience)
			for used && bounds.Expand(1<<20) == nil {
			}
			p := scanners.Pool{Detector: e, Unpacker: archive.New(archive.DefaultLimits), Bounds: bounds}
			var mu sync.Mutex
			found := false
			var kinds []string
			_, err := p.Run(t.Context(), target(t), func(f rules.Finding) {
				mu.Lock()
				defer mu.Unlock()
				found = found || f.Secret.Reveal() == value
			}, func(g scanners.Gap) {
				mu.Lock()
				defer mu.Unlock()
				kinds = append(kinds, g.Kind)
			})
			if err != nil {
				t.Fatal(err)
			}
			if !found {
				t.Errorf("%s: the plain file is not read, %v", name, kinds)
			}
			if slices.Contains(kinds, scanners.GapLimitBytes) != used || len(kinds) > 0 != used {
				t.Errorf("%s, used up %v: %v", name, used, kinds)
			}
		}
	}
}

// imageOf is an image with layers of these bytes.
func imageOf(t *testing.T, layers ...[]byte) scanners.Source {
	t.Helper()
	img := empty.Image
	for _, b := range layers {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
		t.Fatal(err)
	}
	return &oci.Source{Targets: []string{dir}}
}
