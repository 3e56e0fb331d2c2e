package house

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Tests that the race detector skips or shortens run in full somewhere: make test runs their
// packages without it too.
func TestNoTestRunsUnderTheRaceDetectorAlone(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var full []string
	for _, line := range regexp.MustCompile(`(?m)^\t +go test -timeout \$\(LIMIT\) (\./.*) && \\$`).FindAllSubmatch(makefile, -1) {
		full = append(full, strings.Fields(string(line[1]))...)
	}
	less := regexp.MustCompile(`testenv\.(Fewer|Sequential)\b`)
	found := 0
	err = filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(p, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil || !less.Match(b) {
			return err
		}
		found++
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		if dir := "./" + path.Dir(filepath.ToSlash(rel)); !slices.Contains(full, dir) && dir != "./cmd/quell/internal/house" {
			t.Errorf("%s uses %s, and make test runs %s under the race detector alone", rel, less.Find(b), dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Fatal("no test uses testenv.Fewer or testenv.Sequential")
	}
}
