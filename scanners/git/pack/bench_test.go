package pack

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// BenchmarkWalk reads all blobs of the packs in QUELL_REPO, a store's folder.
func BenchmarkWalk(b *testing.B) {
	dir := os.Getenv("QUELL_REPO")
	if dir == "" {
		b.Skip("QUELL_REPO names no repository")
	}
	packs, _ := filepath.Glob(filepath.Join(dir, "objects/pack/*.pack"))
	root, err := os.OpenRoot(filepath.Join(dir, "objects/pack"))
	if err != nil {
		b.Fatal(err)
	}
	var n, size atomic.Int64
	for b.Loop() {
		for _, name := range packs {
			p, err := Open(root, filepath.Base(name), 20)
			if err != nil {
				b.Fatal(err)
			}
			w := p.NewWalk(Visitor{Kinds: []Kind{Blob}, Bad: func(id []byte, err error) { b.Errorf("%x: %v", id, err) }})
			if err := w.Run(b.Context(), func(o Object) error { n.Add(1); size.Add(o.Size); return nil }); err != nil {
				b.Fatal(err)
			}
			p.Close()
		}
	}
	b.SetBytes(size.Load() / int64(b.N))
	b.ReportMetric(float64(n.Load())/float64(b.N), "blobs/op")
}
