package detect

import (
	"bytes"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// corpus is real text that is present on every machine with Go: the standard library's sources,
// or the files in the directory QUELL_CORPUS.
func corpus(tb testing.TB, limit int) []byte {
	tb.Helper()
	dir := os.Getenv("QUELL_CORPUS")
	if dir == "" {
		dir = filepath.Join(build.Default.GOROOT, "src", "net")
	}
	var all bytes.Buffer
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || all.Len() > limit || strings.HasSuffix(p, ".zip") {
			return nil
		}
		b, _ := os.ReadFile(p)
		all.Write(b)
		return nil
	})
	b := all.Bytes()
	return b[:min(len(b), limit)]
}

func BenchmarkDetect(b *testing.B) {
	set, err := rules.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	e := New(set)
	text := corpus(b, 64<<20)
	b.SetBytes(int64(len(text)))
	a := &scanners.Artifact{}
	for b.Loop() {
		k := scanners.NewChunker(e.MaxLen())
		_, err := k.Each(bytes.NewReader(text), a, func(c scanners.Chunk) error {
			for range e.Detect(c) {
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// This measures the engine alone with gitleaks' rules: raw matches, without views, decoding and
// judgement.
func BenchmarkFind(b *testing.B) {
	e := New(theirs(b))
	text := corpus(b, 64<<20)
	b.SetBytes(int64(len(text)))
	s := &scratch{}
	for b.Loop() {
		for from := 0; from < len(text); from += 512 << 10 {
			part := text[from:min(len(text), from+512<<10)]
			e.find(s, part, []span{{0, len(part)}}, func(raw) {})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	set, err := rules.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		New(set)
	}
}
