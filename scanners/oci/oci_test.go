package oci_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/oci"
)

func secret(n int) string {
	return strings.Map(func(c rune) rune {
		const a = "0123456789abcdefghijklmnopqrstuvwxyz"
		return rune(a[(strings.IndexRune(a, c)*7+n*11+5)%36])
	}, "0123456789abcdefghijklmnopqrstuv")
}

func cookie(n int) string { return "Cookie: sessionid=" + secret(n) }

func layer(t *testing.T, files ...string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// image has secrets in its config, its history and its layers, and in files that a later layer
// deletes or overwrites.
func image(t *testing.T) v1.Image {
	t.Helper()
	img := v1.Image(empty.Image)
	for i, l := range []v1.Layer{
		layer(t, "app/deleted.txt", cookie(0)+"\n", "app/over.txt", cookie(1)+"\n", "etc/dir/a", cookie(2)+"\n", "app/stays.txt", "\n"+cookie(3)+"\n"),
		layer(t, "app/.wh.deleted.txt", "", "app/over.txt", "clean\n", "etc/dir/.wh..wh..opq", ""),
	} {
		var err error
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: fmt.Sprintf("step %d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Config.Env = []string{"HEADERS=" + cookie(4)}
	cfg.Config.Labels = map[string]string{"note": cookie(5)}
	cfg.Config.Cmd = []string{"curl", "-H", cookie(6)}
	cfg.History = append(cfg.History, v1.History{CreatedBy: "|1 HEADERS=" + cookie(7) + " /bin/sh -c make", EmptyLayer: true})
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(img, map[string]string{"note": cookie(8)}).(v1.Image)
}

func scan(t *testing.T, targets ...string) (map[string]rules.Finding, []scanners.Gap) {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	src := opened(t, &oci.Source{Targets: targets})
	defer src.Close()
	var mu sync.Mutex
	var found []*rules.Finding
	var gaps []scanners.Gap
	p := scanners.Pool{Detector: detect.New(set)}
	if _, err := p.Read(t.Context(), src, func(f rules.Finding) { mu.Lock(); found = append(found, &f); mu.Unlock() }, func(g scanners.Gap) { mu.Lock(); gaps = append(gaps, g); mu.Unlock() }); err != nil {
		t.Fatal(err)
	}
	if err := src.Attribute(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	out := map[string]rules.Finding{}
	for _, f := range found {
		out[f.Secret.Reveal()] = *f
	}
	return out, gaps
}

// Layers that images share are read once.
func TestSharedLayersAreReadOnce(t *testing.T) {
	base := image(t)
	other, err := mutate.AppendLayers(base, layer(t, "more.txt", cookie(20)+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: base, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}}, mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})); err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for a, err := range opened(t, &oci.Source{Targets: []string{dir}}).Artifacts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if a.Parts != nil {
			n[a.Location.Layer]++
		}
	}
	for l, k := range n {
		if k != 1 {
			t.Errorf("%s is read %d times", l, k)
		}
	}
	if len(n) != 3 {
		t.Errorf("%d layers", len(n))
	}
	found, _ := scan(t, dir)
	if got := found[secret(3)].Location.Notes["images"]; got != "2" {
		t.Errorf("it is in %q images", got)
	}
}

func TestDamagedImages(t *testing.T) {
	dir := t.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t)})); err != nil {
		t.Fatal(err)
	}
	blobs, _ := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	cut := 0
	for _, b := range blobs {
		head, _ := os.ReadFile(b)
		if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
			if err := os.WriteFile(b, head[:len(head)/2], 0o644); err != nil {
				t.Fatal(err)
			}
			cut++
		}
	}
	found, gaps := scan(t, dir)
	if len(gaps) < cut || cut == 0 {
		t.Errorf("%d layers are cut, %d gaps", cut, len(gaps))
	}
	if _, ok := found[secret(4)]; !ok {
		t.Error("the config was not scanned")
	}
	if _, gaps := scan(t, filepath.Join(t.TempDir(), "none.tar")); len(gaps) != 1 {
		t.Errorf("%v", gaps)
	}
}

// opened opens a session of src.
func opened(t testing.TB, src scanners.Source) scanners.Session {
	t.Helper()
	s, err := src.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
