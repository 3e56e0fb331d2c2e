package git_test

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git"
)

// noMatch is a detector that finds nothing.
type noMatch struct{}

func (noMatch) MaxLen() int { return 1 << 10 }
func (noMatch) Detect(scanners.Chunk) iter.Seq[scanners.Match] {
	return func(func(scanners.Match) bool) {}
}

// Names are scanned in batches, whose number depends on the order of reading: they do not count
// as artifacts.
func TestBatchesOfNamesAreNoArtifacts(t *testing.T) {
	r := newRepo(t)
	r.write("a", "a\n")
	head := r.commit("one")
	count := func() scanners.Stats {
		p := scanners.Pool{Detector: noMatch{}, Workers: 2}
		s, err := p.Run(t.Context(), &git.Source{Dir: r.dir}, func(rules.Finding) {}, func(g scanners.Gap) { t.Error(g) })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tags := func(n int) {
		var refs strings.Builder
		for i := range n {
			fmt.Fprintf(&refs, "%s refs/tags/a-tag-with-a-name-of-some-sixty-bytes-so-that-there-are-batches-%d\n", head, i)
		}
		if err := os.WriteFile(filepath.Join(r.dir, ".git", "packed-refs"), []byte(refs.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tags(1) // the file itself is an artifact
	before := count()
	tags(3000)
	after := count()
	if after.Artifacts != before.Artifacts || before.Artifacts == 0 {
		t.Errorf("%d artifacts before, %d after the refs were added", before.Artifacts, after.Artifacts)
	}
	if after.Bytes < before.Bytes+2*64<<10 {
		t.Errorf("the names are not read: %d bytes before, %d after", before.Bytes, after.Bytes)
	}
}
