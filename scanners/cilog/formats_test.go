package cilog

import (
	"flag"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

var update = flag.Bool("update", false, "rewrite the generated table")

// TestFormatsAreListed checks that formats.go has every Format of the package, and writes it
// with -update: to add a format, add one file and run go generate.
func TestFormatsAreListed(t *testing.T) {
	testenv.FormatsAreListed(t, "scanners/cilog", *update)
}

func TestFormatsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	first := map[byte]bool{}
	for _, f := range formats {
		if f.About == "" {
			t.Errorf("%+v: a format says in About what writes such logs", f)
		}
		if f.Name != "" && seen[f.Name] {
			t.Errorf("two formats have the name %s", f.Name)
		}
		seen[f.Name] = true
		for _, c := range []byte(f.First) {
			if !digit(c) {
				first[c] = true
			}
		}
		if f.Name == "" && (f.Detect != nil || f.Mark != nil || f.Control != nil) {
			t.Errorf("%s: marks and Detect belong to a system, which has a name", f.About)
		}
	}
	// The survey's tables have one bit for each; see stampBit of scanners/detect.
	if len(first) > 7 {
		t.Errorf("lines may begin with 7 bytes that are no digit, not with %d", len(first))
	}
}
