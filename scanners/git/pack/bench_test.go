//go:build unix

package pack

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	gogit "github.com/go-git/go-git/v5"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
)

// repository is the object store that QUELL_REPO names.
func repository(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("QUELL_REPO")
	if dir == "" {
		tb.Skip("QUELL_REPO names no repository's store")
	}
	return dir
}

// walk reads all blobs of the packs.
func walk(tb testing.TB, dir string) (n, size int64) {
	tb.Helper()
	packs, _ := filepath.Glob(filepath.Join(dir, "objects/pack/*.pack"))
	root, err := os.OpenRoot(filepath.Join(dir, "objects/pack"))
	if err != nil {
		tb.Fatal(err)
	}
	defer root.Close()
	for _, name := range packs {
		p, err := Open(root, filepath.Base(name), 20)
		if err != nil {
			tb.Fatal(err)
		}
		w := p.NewWalk(Visitor{Kinds: []Kind{Blob}, Bad: func(id []byte, err error) { tb.Errorf("%x: %v", id, err) }})
		if err := w.Run(tb.Context(), func(o Object) error { n++; size += o.Size; return nil }); err != nil {
			tb.Fatal(err)
		}
		p.Close()
	}
	return n, size
}

func BenchmarkWalk(b *testing.B) {
	dir := repository(b)
	for b.Loop() {
		n, size := walk(b, dir)
		b.SetBytes(size)
		b.ReportMetric(float64(n), "blobs")
	}
}

// BenchmarkPairs reads all blobs with git's cat-file, with go-git and with the walk,
// alternating five times on one core. It reports the median CPU time of the walk as a fraction
// of the others'.
func BenchmarkPairs(b *testing.B) {
	dir := repository(b)
	list, err := exec.Command("sh", "-c", `git -C "$0" cat-file --batch-all-objects --unordered --batch-check='%(objecttype) %(objectname)' | sed -n 's/^blob //p'`, dir).Output()
	if err != nil {
		b.Fatal(err)
	}
	names := filepath.Join(b.TempDir(), "names")
	if err := os.WriteFile(names, list, 0o644); err != nil {
		b.Fatal(err)
	}
	var git, gogo []float64
	for b.Loop() {
		for range 5 {
			ours := cpu(syscall.RUSAGE_SELF, func() { walk(b, dir) })
			git = append(git, ours/cpu(syscall.RUSAGE_CHILDREN, func() {
				in, err := os.Open(names)
				if err != nil {
					b.Fatal(err)
				}
				defer in.Close()
				c := exec.Command("git", "-C", dir, "cat-file", "--batch", "--buffer")
				c.Stdin = in
				if err := c.Run(); err != nil {
					b.Fatal(err)
				}
			}))
			if os.Getenv("QUELL_GOGIT") != "" {
				gogo = append(gogo, ours/cpu(syscall.RUSAGE_SELF, func() { iterate(b, dir) }))
			}
		}
	}
	median := func(x []float64) float64 { slices.Sort(x); return x[len(x)/2] }
	fmt.Printf("walk: %.2f of git cat-file's CPU (%.2f to %.2f)\n", median(git), git[0], git[len(git)-1])
	if len(gogo) > 0 {
		fmt.Printf("walk: %.2f of go-git's CPU (%.2f to %.2f)\n", median(gogo), gogo[0], gogo[len(gogo)-1])
	}
}

// iterate reads all blobs with go-git.
func iterate(tb testing.TB, dir string) {
	r, err := gogit.PlainOpen(dir)
	if err != nil {
		tb.Fatal(err)
	}
	blobs, err := r.BlobObjects()
	if err != nil {
		tb.Fatal(err)
	}
	if err := blobs.ForEach(func(b *gitobject.Blob) error {
		rd, err := b.Reader()
		if err != nil {
			return err
		}
		defer rd.Close()
		_, err = io.Copy(io.Discard, rd)
		return err
	}); err != nil {
		tb.Fatal(err)
	}
}

// cpu returns the CPU time of f in seconds.
func cpu(who int, f func()) float64 {
	used := func() float64 {
		var u syscall.Rusage
		_ = syscall.Getrusage(who, &u)
		return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
	}
	at := used()
	f()
	return used() - at
}
