package detect

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

var update = flag.Bool("update", false, "write the files of places anew")

// The embedded files must match the analysis of the built-in rules: outdated ones are not used,
// and quell would start slowly.
func TestPlacesAreCurrent(t *testing.T) {
	byFile := map[string][]*rules.Rule{}
	for _, r := range builtin(t).Rules {
		if r.Regex != nil && !r.SkipReport {
			byFile[r.File] = append(byFile[r.File], r)
		}
	}
	want := map[string][]byte{}
	for file, list := range byFile {
		slices.SortFunc(list, func(a, b *rules.Rule) int { return strings.Compare(a.ID, b.ID) })
		want[strings.TrimSuffix(file, ".toml")+".places"] = writePlaces(file, list)
	}
	have, err := filepath.Glob("places/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range have {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(name)
		switch w, ok := want[base]; {
		case !ok && *update:
			os.Remove(name)
		case !ok:
			t.Errorf("%s is of no rules file: run go generate ./scanners/detect", name)
		case bytes.Equal(b, w):
			delete(want, base)
		}
	}
	for name, b := range want {
		if !*update {
			t.Errorf("places/%s is not current: run go generate ./scanners/detect", name)
		} else if err := os.WriteFile(filepath.Join("places", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Reading the files must give the same result as the analysis.
func TestPlacesAreReadAsTheyAre(t *testing.T) {
	known, err := builtinPlaces()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range builtin(t).Rules {
		if r.Regex == nil || r.SkipReport {
			continue
		}
		n++
		got, want := known[keyOf(r)], analysisOf(r)
		if got.slow != want.slow || len(got.anchors) != len(want.anchors) {
			t.Errorf("%s: %+v, not %+v", r.ID, got, want)
			continue
		}
		for i := range want.anchors {
			g, w := got.anchors[i], want.anchors[i]
			if !slices.Equal(g.grams, w.grams) {
				t.Errorf("%s, anchor %d: grams %v, not %v", r.ID, i, g.grams, w.grams)
			}
			g.grams, w.grams = nil, nil
			if len(w.literals) == 0 {
				w.literals = nil
			}
			if !reflect.DeepEqual(g, w) {
				t.Errorf("%s, anchor %d: %+v, not %+v", r.ID, i, g, w)
			}
		}
	}
	if n < 500 {
		t.Errorf("%d rules only", n)
	}
}

// A damaged file is an error, never a panic or a rule without its anchors.
func FuzzPlaces(f *testing.F) {
	b, err := placesFiles.ReadFile("places/github.places")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:min(len(b), 4000)])
	f.Add([]byte("rule a 000102030405060708090a0b0c0d0e0f slow\nanchor least=1 elem=0 before=3[a-z][\\x00-\\xff] known\nliterals a\\x20b\ngrams abcd-1 bcde0\n"))
	f.Add([]byte("anchor\n"))
	f.Add([]byte("rule a 000102030405060708090a0b0c0d0e0f\nliterals a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := placesParser{out: map[key]analysis{}, sets: map[string]*[256]bool{}}
		_ = p.file(b)
	})
}
