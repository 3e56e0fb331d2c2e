package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named finds the paths that the architecture page names.
var named = regexp.MustCompile("`((?:rules|scanners|revokers|cmd)(?:/[a-z0-9_.]+)*)`")

// The page names only what exists, and every package.
func TestArchitectureNamesThePackages(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(top, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range named.FindAllStringSubmatch(string(page), -1) {
		found[m[1]] = true
		if _, err := os.Stat(filepath.Join(top, filepath.FromSlash(m[1]))); err != nil {
			t.Errorf("docs/architecture.md names %s: %v", m[1], err)
		}
	}
	// Parts of tests, and packages that their parent's row describes.
	silent := []string{"cmd", "cmd/quell", "cmd/quell/internal", "cmd/quell/internal/demo", "cmd/quell/internal/notify", "cmd/quell/internal/realtest", "scanners/contracttest", "rules/testenv", "scanners/detect/carriers", "scanners/github/githubtest", "scanners/ci/citest"}
	for _, root := range []string{"rules", "scanners", "revokers", "cmd"} {
		err := filepath.WalkDir(filepath.Join(top, root), func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if d.Name() == "testdata" {
				return filepath.SkipDir
			}
			rel, err := filepath.Rel(top, p)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			if !found[rel] && !strings.Contains(" "+strings.Join(silent, " ")+" ", " "+rel+" ") {
				t.Errorf("docs/architecture.md does not name %s", rel)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
