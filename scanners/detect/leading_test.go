package detect

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/regex"
)

// leadingExprs are expressions whose matches begin with a run.
var leadingExprs = []string{
	`(?i)\b(\d{15,16}(\||%)[0-9a-z\-_]{27,40})(?:[\x60'"\s;,:)\]}|<>&?!*\\]|\.(?:$|\W)|$)`,
	`\b([0-9A-Fa-f]{40})\b`,
	`(?m)^([0-9]{8,9})[^0-9]{0,3}$`,
	`([0-9_]{8})(?:\.[a-z]{1,5})?(?:$|\W)`,
	`([a-f|]{9,12}).?`,
}

// plainMatches are what the expression finds in all of the text, but for keywords.
func plainMatches(expr string, b []byte) (out []string) {
	for _, m := range regex.Lazy(expr)().FindAllSubmatchIndex(b, -1) {
		out = append(out, fmt.Sprint(m[0], " ", m[2], "-", m[3]))
	}
	return out
}

func matchesAroundRuns(e *Engine, s *scratch, b []byte) (out []string) {
	e.find(s, b, []span{{0, len(b)}}, func(m raw) {
		out = append(out, fmt.Sprint(m.start, " ", m.secret.start, "-", m.secret.end))
	})
	return out
}

func engineOf(tb testing.TB, expr string) *Engine {
	tb.Helper()
	x, err := rules.NewExpression(expr)
	if err != nil {
		tb.Fatal(err)
	}
	e := New(&rules.Set{Rules: []*rules.Rule{{ID: "x", Regex: x}}})
	if !e.rules[0].slow || e.rules[0].run() == nil {
		tb.Fatalf("%s: no run is looked for", expr)
	}
	return e
}

func TestRunsFindWhatWholeTextFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 6))
	pieces := []string{"123456789012345", "1234567890123456", "12345678901234567", "12345678", "_", "7", "|", "%", "0123456789abcdef0123456789abcdef01234567", "abcdefabc", "ab|cdefab",
		strings.Repeat("a1-_", 7), strings.Repeat("Zk", 20), "ſſſſſ", "\u212a", "é", "\xff", "\n", " ", ".", "'", "a.b", "$", "facebook "}
	for _, expr := range leadingExprs {
		e, s := engineOf(t, expr), &scratch{}
		found := 0
		for range 40_000 / fewer {
			var b []byte
			for range r.IntN(14) {
				b = append(b, pieces[r.IntN(len(pieces))]...)
				if r.IntN(3) == 0 { // a token of the first expression, or almost
					b = append(b, []string{"123456789012345|", "_1234567890123456%", " 123456789012345%"}[r.IntN(3)]...)
					b = append(b, strings.Repeat("a1-_"[r.IntN(4):], 50)[:25+r.IntN(18)]...)
				}
			}
			want, got := plainMatches(expr, b), matchesAroundRuns(e, s, b)
			if !slices.Equal(got, want) {
				t.Fatalf("%s in %q\n got %q\nwant %q", expr, b, got, want)
			}
			found += len(want)
		}
		if found < 100/fewer {
			t.Errorf("%s: only %d matches", expr, found)
		}
	}
}

func TestRunsFindWhatWholeFilesFind(t *testing.T) {
	root := filepath.Join("..", "..")
	files, found := 0, 0
	engines := make([]*Engine, len(leadingExprs))
	for i, expr := range leadingExprs {
		engines[i] = engineOf(t, expr)
	}
	s := make([]scratch, len(engines))
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (name == ".git" || name == "node_modules"):
			return filepath.SkipDir
		case !d.Type().IsRegular() || files%fewer != 0 && files > 100:
			files++
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		b = b[:min(len(b), 64<<10)]
		for i, expr := range leadingExprs {
			want, got := plainMatches(expr, b), matchesAroundRuns(engines[i], &s[i], b)
			if !slices.Equal(got, want) {
				t.Errorf("%s in %s\n got %q\nwant %q", expr, path, got, want)
			}
			found += len(want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 500 || found < 100 {
		t.Errorf("only %d matches in %d files", found, files)
	}
}

// Where the length or the beginning of a match is not known, the expression runs over all of the
// text.
func TestExpressionsWithoutARunHaveNone(t *testing.T) {
	for _, expr := range []string{`[0-9]{15}.*`, `[0-9]{3}\|`, `[a-z]{1,20}`, `(?i)[a-z]{20}`, `[0-9]{15}|[a-f]{15}`, `(?:[0-9]{15}|x)y?`, `é{20}`, `.{20}`, `(?:[0-9][a-f]){9}`} {
		if leadingRunOf(expr) != nil {
			t.Errorf("%s has a run", expr)
		}
	}
}

// With a keyword anywhere in reach the digits are found, and without one they are not.
func TestRunsNeedTheirKeyword(t *testing.T) {
	e, s := New(builtin(t)), &scratch{}
	token := "123456789012345|" + "q8Zk2mXw71Lp0vB3nT5rQ9yH-_d"
	for text, want := range map[string]bool{
		"facebook " + token + "\n":                                        true,
		token + strings.Repeat(" x\n", 1000) + "facebook":                 true,
		token + strings.Repeat(" x\n", 2000) + "facebook":                 false,
		"FACEBOOK_KEY=\"" + token + "\"\n":                                true,
		token + "\n":                                                      false,
		"facebook" + strings.Repeat("7", 3*gateNear) + " " + token + "\n": false,
	} {
		found := false
		e.find(s, []byte(text), []span{{0, len(text)}}, func(m raw) { found = found || m.rule.ID == "facebook-access-token" })
		if found != want {
			t.Errorf("found %v in %.60q", found, text)
		}
	}
}

// The built-in rules that have no literal are searched for by their runs.
func TestNoBuiltinRuleRunsOverAllText(t *testing.T) {
	e := New(builtin(t))
	if slow := e.Slow(); len(slow) > 0 {
		t.Errorf("%q run over all text", slow)
	}
	facebook := slices.IndexFunc(e.rules, func(c *compiled) bool { return c.ID == "facebook-access-token" })
	if facebook < 0 || e.rules[facebook].run() == nil || e.rules[facebook].run().least != 15 {
		t.Error("the digits of facebook-access-token are not looked for")
	}
}
