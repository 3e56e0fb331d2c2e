package allow

import (
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

func TestFingerprintsOfGitleaks(t *testing.T) {
	const commit = "0123456789012345678901234567890123456789"
	find := func(path, rule, commit string, line int) rules.Finding {
		return rules.Finding{Ref: rules.Ref{Rule: rule}, Location: rules.Location{Path: path, Line: line, Commit: commit}}
	}
	for text, c := range map[string]struct {
		f    rules.Finding
		want bool
	}{
		"a/b.txt:jwt:3":                     {find("a/b.txt", "jwt", "", 3), true},
		"./a/b.txt:jwt:3":                   {find("a/b.txt", "jwt", "", 3), true},
		"a/b.txt:jwt:3 ":                    {find("a/b.txt", "jwt", commit, 3), true},
		commit + ":a/b.txt:jwt:3":           {find("a/b.txt", "jwt", commit, 3), true},
		"1" + commit[1:] + ":a/b.txt:jwt:3": {find("a/b.txt", "jwt", commit, 3), false},
		"C:/a:jwt:1":                        {find("C:/a", "jwt", "", 1), true},
		"a/b.txt:jwt:4":                     {find("a/b.txt", "jwt", "", 3), false},
		"a/b.txt:github-pat:3":              {find("a/b.txt", "jwt", "", 3), false},
		"# a/b.txt:jwt:3\nx:y:1":            {find("a/b.txt", "jwt", "", 3), false},
		"x.zip!a/b.txt:jwt:3":               {find("x.zip!a/b.txt", "jwt", "", 3), true},
	} {
		l, err := Parse(".gitleaksignore", []byte(text+"\n"))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := l.Accepts(c.f, "", time.Time{}); got != c.want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Reading any file ends, and no error quotes its content.
func FuzzParse(f *testing.F) {
	for _, s := range []string{file, "a:b:1\n", `[{"RuleID":"x","File":"y","Secret":"z"}]`, `{"results":{"a":[{"hashed_secret":"x"}]}}`, "[", "{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse("f", b)
		if (l == nil) == (err == nil) {
			t.Error("a list and an error, or none")
		}
	})
}
