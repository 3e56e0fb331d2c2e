package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// skips are the reasons for which a test may skip itself although everything is installed, by
// file. A test that lacks a program or a right calls testenv.Missing, which fails in CI.
var skips = map[string][]string{
	// Other systems than CI's.
	"cmd/quell/documents_test.go":                {"the documents have lines of a POSIX shell"},
	"cmd/quell/internal/run/limit_other_test.go": {"no limit of the size of files"},
	"scanners/files/files_test.go":               {"links need a privilege there"},
	// Rights that root's container may lack, or that only root has.
	"cmd/quell/internal/output/output_test.go":    {"changing owners needs root", "devices can't be opened here", "devices need root"},
	"cmd/quell/internal/run/limit_linux_test.go":  {"a file system can't be mounted here: %v"},
	"cmd/quell/internal/realtest/vault_test.go":   {"buildah's chroot isolation wants root here"},
	"cmd/quell/internal/serve/full_linux_test.go": {"a file system can't be mounted here: %v"},
	"scanners/bounds_test.go":                     {"the system does not report CPU time"},
	// Campaigns: make test runs a short form of each, except of what only measures.
	"cmd/quell/ci_test.go":                               {"make campaign-ci; scanners/ci/github has a short form"},
	"cmd/quell/hostile_test.go":                          {"make campaign-archives; TestHostileInputsEndInTime of scanners/archive has a short form"},
	"cmd/quell/internal/realtest/hydra_test.go":          {"make campaign-hydra"},
	"cmd/quell/internal/realtest/serve_campaign_test.go": {"make campaign-serve", "make campaign-serve; TestServeOnPostgres is its short form"},
	"cmd/quell/internal/run/campaign_test.go":            {"a campaign starts it"},
	"cmd/quell/internal/serve/calls_test.go":             {"QUELL_REAL=1 runs it"},
	"scanners/git/pack/bench_test.go":                    {"QUELL_REPO names no repository's store"},
	// Inputs of a fuzz test.
	"cmd/quell/internal/ledger/types_test.go":  {"a number or a text that JSON can't carry"},
	"cmd/quell/internal/redact/redact_test.go": {""},
}

// No test skips itself in CI for a reason that is not listed.
func TestSkipsAreListed(t *testing.T) {
	call := regexp.MustCompile(`\.(?:Skip|Skipf|SkipNow)\((?:"((?:[^"\\]|\\.)*)")?`)
	found := map[string]bool{}
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(p, "_test.go") || d.Name() == "skip_test.go" {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		for _, m := range call.FindAllStringSubmatch(string(b), -1) {
			found[rel+": "+m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for file, reasons := range skips {
		for _, r := range reasons {
			if !found[file+": "+r] {
				t.Errorf("%s no longer skips a test because %q", file, r)
			}
			delete(found, file+": "+r)
		}
	}
	for s := range found {
		t.Errorf("%s: use testenv.Missing, or list why it may be skipped in CI", s)
	}
}
