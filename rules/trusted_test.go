package rules

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/zricethezav/gitleaks/v8/config"
)

// The built-in set is loaded without the checks of a file of somebody else's: with them, it
// loads too, and is the same.
func TestBuiltinFilesPassTheChecksThatLoadingLeavesOut(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	checked, err := fromGitleaks("gitleaks.toml", []byte(moreEnds(config.DefaultConfig)), false)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		own, err := Load(n, all[n])
		if err != nil {
			t.Fatal(err)
		}
		if err := checked.Merge(own); err != nil {
			t.Fatal(err)
		}
	}
	if len(set.Rules) != len(checked.Rules) || len(set.Rules) < 300 {
		t.Fatalf("%d rules, not %d", len(set.Rules), len(checked.Rules))
	}
	for i, r := range set.Rules {
		c := checked.Rules[i]
		if r.ID != c.ID || r.Line != c.Line || !slices.Equal(r.Names(), c.Names()) {
			t.Errorf("%s:%d %v, not %s:%d %v", r.ID, r.Line, r.Names(), c.ID, c.Line, c.Names())
		}
		if r.Regex != nil && (r.Regex.Groups() != c.Regex.Groups() || r.SecretGroup > r.Regex.Groups() || !slices.Equal(r.Regex.Names(), c.Regex.Names())) {
			t.Errorf("%s: %d groups %v, not %d %v", r.ID, r.Regex.Groups(), r.Regex.Names(), c.Regex.Groups(), c.Regex.Names())
		}
		sameLists(t, r.ID, r.Allowlists, c.Allowlists)
	}
	sameLists(t, "all rules", set.Allowlists, checked.Allowlists)
	if set.Digest() != checked.Digest() {
		t.Error("the digests differ")
	}
}

func sameLists(t *testing.T, what string, a, b []*Allowlist) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d allow-lists, not %d", what, len(a), len(b))
	}
	type fields struct {
		description, target            string
		condition                      config.AllowlistMatchCondition
		commits, paths, regexes, words []string
	}
	plain := func(l *Allowlist) fields {
		words := slices.Compact(slices.Sorted(slices.Values(l.StopWords)))
		return fields{l.Description, l.RegexTarget, l.MatchCondition, slices.Concat(l.Commits), slices.Concat(l.Paths), slices.Concat(l.Regexes), slices.Concat(words)}
	}
	for i := range a {
		if x, y := plain(a[i]), plain(b[i]); !reflect.DeepEqual(x, y) {
			t.Errorf("%s: allow-list %d differs", what, i+1)
		}
		if a[i].compiled() == nil {
			t.Errorf("%s: an allow-list does not compile", what)
		}
		// Both ways to search for stop words have the same result.
		for _, w := range a[i].StopWords {
			for _, secret := range []string{"x9" + strings.ToUpper(w) + "q7", w[:len(w)-1] + "7" + w, "q" + w[1:]} {
				a[i].asked.Store(0)
				search := a[i].HasStopWord(secret)
				a[i].asked.Store(mostSearches)
				if trie := a[i].HasStopWord(secret); search != trie {
					t.Errorf("%s: %q has a stop word: %v, not %v", what, secret, search, trie)
				}
			}
		}
	}
}

// A header is found on its line whatever its layout, and one inside of a text is none.
func TestHeadersAreFoundOnTheirLines(t *testing.T) {
	for text, want := range map[string][]int{
		"[[rules]]\nid = \"a\"\n\n[[rules]] \nid = \"b\"\n":                {1, 4},
		"\n[[ rules ]]\nid = \"a\"\n[[rules]] # b\n":                       {2, 4},
		"[[rules]]\nnote = '''\n[[rules]]\n'''\n  [[rules]]\nid = \"b\"\n": {1, 5},
		"[[other]]\n[[rules.revoke]]\n":                                    nil,
	} {
		if got := headerLines([]byte(text), "rules", len(want)); !slices.Equal(got, want) {
			t.Errorf("%q: %v, not %v", text, got, want)
		}
	}
}
