package oci_test

import (
	"bytes"
	"go/build"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/oci"
)

// BenchmarkLayer decompresses and scans a layer: the tar that QUELL_LAYER names, or the Go
// sources. With GOMAXPROCS=1 it compares CPU time.
func BenchmarkLayer(b *testing.B) {
	var plain []byte
	if file := os.Getenv("QUELL_LAYER"); file != "" {
		var err error
		if plain, err = os.ReadFile(file); err != nil {
			b.Fatal(err)
		}
	} else {
		var parts []any
		files, _ := filepath.Glob(filepath.Join(build.Default.GOROOT, "src/net/*/*.go"))
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				b.Fatal(err)
			}
			parts = append(parts, f, string(text))
		}
		plain = tarOf(b, parts...)
	}
	set, err := rules.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range []struct {
		name  string
		layer []byte
		media types.MediaType
		open  func(io.Reader) io.Reader
	}{
		{"gzip", gz(plain), types.OCILayer, func(r io.Reader) io.Reader { return must(gzip.NewReader(r)) }},
		{"zstd", zst(plain), types.OCILayerZStd, func(r io.Reader) io.Reader { return must(zstd.NewReader(r, zstd.WithDecoderConcurrency(1))) }},
	} {
		inflate := func(b *testing.B) {
			if _, err := io.Copy(io.Discard, f.open(bytes.NewReader(f.layer))); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(f.name+"/inflate", func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				inflate(b)
			}
		})
		dir := b.TempDir()
		img := must(mutate.AppendLayers(mutate.MediaType(v1.Image(empty.Image), types.OCIManifestSchema1), static.NewLayer(f.layer, f.media)))
		if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
			b.Fatal(err)
		}
		p := scanners.Pool{Detector: detect.New(set), Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
		scan := func(b *testing.B) {
			if _, err := p.Run(b.Context(), &oci.Source{Targets: []string{dir}}, func(rules.Finding) {}, func(scanners.Gap) {}); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(f.name+"/scan", func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				scan(b)
			}
		})
		// Alternate the two, so that other load on the machine affects both.
		b.Run(f.name+"/pairs", func(b *testing.B) {
			var ratios []float64
			lowest := [2]time.Duration{time.Hour, time.Hour}
			for b.Loop() {
				start := time.Now()
				inflate(b)
				between := time.Now()
				scan(b)
				a, c := between.Sub(start), time.Since(between)
				lowest = [2]time.Duration{min(lowest[0], a), min(lowest[1], c)}
				ratios = append(ratios, float64(c)/float64(a))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "median-ratio")
			b.ReportMetric(float64(lowest[1])/float64(lowest[0]), "ratio-of-lowest")
		})
	}
}
