package scanners_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"go/build"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	"github.com/quellhq/quell/scanners/cilog"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/files"
	"github.com/quellhq/quell/scanners/git"
	"github.com/quellhq/quell/scanners/oci"
)

// text reads the standard library's net package: about 4 MB in 300 files.
func text(b *testing.B, f func(name string, text []byte)) {
	b.Helper()
	root := filepath.Join(build.Default.GOROOT, "src", "net")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		t, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		f(rel, t)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// measure scans src repeatedly with one worker.
func measure(b *testing.B, src func() scanners.Source) {
	set, err := rules.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	p := scanners.Pool{Detector: detect.New(set), Workers: 1}
	for b.Loop() {
		st, err := p.Run(b.Context(), src(), func(rules.Finding) {}, func(g scanners.Gap) { b.Error(g) })
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(st.Bytes)
	}
}

func BenchmarkPath(b *testing.B) {
	dir := filepath.Join(build.Default.GOROOT, "src", "net")
	measure(b, func() scanners.Source { return files.Source{Name: "path", Targets: []string{dir}} })
}

func BenchmarkLog(b *testing.B) {
	var log bytes.Buffer
	text(b, func(_ string, t []byte) {
		for line := range bytes.Lines(t) {
			log.WriteString("2026-05-03T01:16:34.3352086Z ")
			log.Write(line)
		}
	})
	file := filepath.Join(b.TempDir(), "job.log")
	if err := os.WriteFile(file, log.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	measure(b, func() scanners.Source { return cilog.Source{Targets: []string{file}} })
}

func BenchmarkGit(b *testing.B) {
	dir := b.TempDir()
	r, err := gogit.PlainInit(dir, false)
	if err != nil {
		b.Fatal(err)
	}
	w, err := r.Worktree()
	if err != nil {
		b.Fatal(err)
	}
	for n := range 3 {
		text(b, func(name string, t []byte) {
			p := filepath.Join(dir, name)
			_ = os.MkdirAll(filepath.Dir(p), 0o755)
			if err := os.WriteFile(p, fmt.Appendf(t, "// %d\n", n), 0o600); err != nil {
				b.Fatal(err)
			}
		})
		if _, err := w.Add("."); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Commit("c", &gogit.CommitOptions{Author: &object.Signature{Name: "b", When: time.Unix(int64(n), 0)}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.RepackObjects(&gogit.RepackConfig{}); err != nil {
		b.Fatal(err)
	}
	measure(b, func() scanners.Source { return &git.Source{Dir: dir} })
}

func BenchmarkImage(b *testing.B) {
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	t := tar.NewWriter(z)
	text(b, func(name string, body []byte) {
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
			b.Fatal(err)
		}
		_, _ = t.Write(body)
	})
	_, _ = t.Close(), z.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		b.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
		b.Fatal(err)
	}
	measure(b, func() scanners.Source { return &oci.Source{Targets: []string{dir}} })
}
