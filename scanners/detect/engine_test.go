package detect

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zricethezav/gitleaks/v8/config"
	gitleaks "github.com/zricethezav/gitleaks/v8/detect"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
)

func builtin(tb testing.TB) *rules.Set {
	tb.Helper()
	set, err := rules.Builtin()
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// theirs is gitleaks' own set, read by our reader.
func theirs(tb testing.TB) *rules.Set {
	tb.Helper()
	set, err := rules.FromGitleaks("gitleaks.toml", []byte(config.DefaultConfig))
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// windows returns all raw matches, rule and position, as the engine finds them.
func windows(e *Engine, b []byte) []string {
	var out []string
	e.find(&scratch{}, b, []span{{0, len(b)}}, func(m raw) { out = append(out, fmt.Sprint(m.rule.ID, m.start, m.end, m.secret)) })
	slices.Sort(out)
	return out
}

// everywhere returns them from a run of every expression over all of the text.
func everywhere(e *Engine, b []byte) []string {
	var out []string
	low := bytes.ToLower(b)
	for _, r := range e.rules {
		if len(r.Keywords) > 0 && !slices.ContainsFunc(r.Keywords, func(k string) bool { return bytes.Contains(low, []byte(k)) }) {
			continue // none of its matches would meet the keyword condition
		}
		for _, m := range r.Regex.Regexp().FindAllSubmatchIndex(b, -1) {
			if e.gated(r, b, m[0], m[1]) {
				x := r.match(string(b), m, 0)
				out = append(out, fmt.Sprint(r.ID, x.start, x.end, x.secret))
			}
		}
	}
	slices.Sort(out)
	return out
}

// noise makes text in which the rules' own literals, their examples and neighbours of both
// occur often, with the runes that fold into ASCII.
func noise(e *Engine, r *rand.Rand, n int) []byte {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+= :\"'\\\t\n"
	var b bytes.Buffer
	src := rand.NewChaCha8([32]byte{byte(r.Uint32()), byte(r.Uint32())})
	for b.Len() < n {
		c := e.rules[r.IntN(len(e.rules))]
		switch r.IntN(8) {
		case 0:
			if l := anchorOf(e, r); len(l) > 0 {
				s := l[r.IntN(len(l))]
				if r.IntN(3) == 0 {
					s = strings.ToUpper(s)
				}
				b.WriteString(s + separators[r.IntN(len(separators))])
			}
		case 1:
			if len(c.Examples) > 0 {
				s, _ := rules.Generate(c.Examples[r.IntN(len(c.Examples))], src)
				b.WriteString(s)
			}
		case 2:
			if len(c.Keywords) > 0 {
				k := c.Keywords[r.IntN(len(c.Keywords))]
				if r.IntN(4) == 0 {
					k = strings.NewReplacer("s", "ſ", "k", "\u212a").Replace(k)
				}
				b.WriteString(k + []string{"=", ": ", " => ", "_token = '", "\": \""}[r.IntN(5)])
			}
		case 3:
			b.WriteString("\xff\x00é€")
		default:
			fold := r.IntN(20) == 0
			for range r.IntN(60) {
				b.WriteByte(alphabet[r.IntN(len(alphabet))])
				if fold && r.IntN(20) == 0 {
					b.WriteString([]string{"ſ", "\u212a"}[r.IntN(2)])
				}
			}
		}
	}
	return b.Bytes()
}

// separators occur between a name and its value.
var separators = []string{"", "", "' => '", "=", ": ", " = ", "': '", `": "`, `" : "`, `' = "`, "'] = '", `" value="`, ";", "\n", "\\\n", "“", "***", "&quot;"}

func anchorOf(e *Engine, r *rand.Rand) []string {
	if len(e.anchors) == 0 {
		return nil
	}
	return e.anchors[r.IntN(len(e.anchors))].literals
}

// Where the text before a literal may belong to the preceding match, the next match begins
// after that one; a rune that folds may be in any class of letters.
func TestMatchesSideBySide(t *testing.T) {
	for expr, texts := range map[string][]string{
		`[\w=]{0,10}?key=[0-9]{2}`:            {"xkey=12key=34", "key=12=key=34key=5", "akey=1bkey=23", "ékey=12=key=34"},
		`(?i)[\w=]{0,10}?key=[a-z]{2,9};`:     {"xkey=ab;key=cſd;", "xKey=\u212ab; ſkey=ab;", "ſkey=ab;\u212aey=ab;"},
		`key=[^;]{3};`:                        {"key=ééé;key=€é€;key=\xe2\x82€;"},
		`(?:_t" element|_t)"?[ ]?[:=]v[0-9]`:  {`_t" :v1 _t" element :v2 _t:v3 _t" element"=v4`},
		`(?:[a-z]{0,30}?token=|qq=)[0-9]{2,}`: {"qq=12token=34", "aqq=12 btoken=3qq=456token=78", "tokentoken=12qq=34"},
	} {
		x, err := rules.NewExpression(expr)
		if err != nil {
			t.Fatal(err)
		}
		e := New(&rules.Set{Rules: []*rules.Rule{{ID: "x", Regex: x}}})
		for _, text := range texts {
			got, want := windows(e, []byte(text)), everywhere(e, []byte(text))
			if !slices.Equal(got, want) {
				t.Errorf("%s in %q: %v", expr, text, diff(got, want))
			}
			if len(want) == 0 {
				t.Errorf("%s matches nothing in %q", expr, text)
			}
		}
	}
}

// A letter of the name is the Kelvin sign: the rest of the text has no such rune.
func TestALiteralWithARuneThatFolds(t *testing.T) {
	e := New(builtin(t))
	line := `token = "q8Zr3vXb1Lw6Tk9Pd2Fh5Jm7"`
	plain := run(t, e, []byte(line), 0)
	if len(plain) != 1 {
		t.Fatal(plain)
	}
	for _, before := range []string{"", strings.Repeat("a line without one\n", 50)} {
		got := run(t, e, []byte(before+strings.Replace(line, "k", "\u212a", 1)), len(before)+len("\u212a")-1)
		if !slices.Equal(got, plain) {
			t.Errorf("%v, not %v", got, plain)
		}
	}
}

// A short literal that is the prefix of a longer one, and what may follow the short one.
func TestShortLiterals(t *testing.T) {
	x, err := rules.NewExpression(`\b(?:sid|sid'\] =>  sid)'?[ ]?(?:=>|:|=)[ ]?'[a-z0-9]{8}`)
	if err != nil {
		t.Fatal(err)
	}
	e := New(&rules.Set{Rules: []*rules.Rule{{ID: "x", Regex: x}}})
	for _, text := range []string{"'sid' => 'abcd1234'", "'sid': 'abcd1234'", "sid='abcd1234'", "sid'] =>  sid' = 'abcd1234'", "sid' ='abcd1234'"} {
		got, want := windows(e, []byte(text)), everywhere(e, []byte(text))
		if !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s: %v of %d", text, diff(got, want), len(want))
		}
	}
	// The built-in rules, with the separators of most languages.
	e = New(builtin(t))
	for _, between := range separators[2:max(len(separators)/fewer, 3)] {
		var b []byte
		for i := range e.anchors {
			for _, l := range e.anchors[i].literals {
				if len(l) < 2*gramLen {
					b = append(append(append(b, ' '), l...), between+"q8Zr3vXb1Lw6Tk9Pd2Fh5Jm7Qx4Yc0Nb8Zr3vXb1Lw6\"'\n"...)
				}
			}
		}
		if got, want := windows(e, b), everywhere(e, b); !slices.Equal(got, want) {
			t.Errorf("%q: %v", between, diff(got, want))
		}
	}
}

// A literal whose gram begins before it may also be at the start of a text, where no byte
// precedes it.
func TestLiteralsAtATextsStart(t *testing.T) {
	x, err := rules.NewExpression(`\b((?:pat|zebrahouse)[[:alnum:]]{14}\.[a-f0-9]{16})\b`)
	if err != nil {
		t.Fatal(err)
	}
	e := New(&rules.Set{Rules: []*rules.Rule{{ID: "x", Regex: x}}})
	if len(e.atStart) == 0 {
		t.Fatal("it is not looked for by the byte before it")
	}
	for _, text := range []string{"patAb3dEf6hIj9kLm.0123456789abcdef", "patAb3dEf6hIj9kLm.0123456789abcdef\n", "a patAb3dEf6hIj9kLm.0123456789abcdef", "apatAb3dEf6hIj9kLm.0123456789abcdef",
		"zebrahouseAb3dEf6hIj9kLm.0123456789abcdef", "a zebrahouseAb3dEf6hIj9kLm.0123456789abcdef"} {
		b := []byte(text)
		if got, want := windows(e, b), everywhere(e, b); !slices.Equal(got, want) || len(want) == 0 == (text[:2] != "ap") {
			t.Errorf("%s: %v of %d", text, diff(got, want), len(want))
		}
	}
}

func TestWindowsFindWhatWholeTextFinds(t *testing.T) {
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(1, 2))
	total := 0
	for range max(12/fewer, 2) {
		b := noise(e, r, 8<<10)
		got, want := windows(e, b), everywhere(e, b)
		total += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("windows and whole text differ: %v", diff(got, want))
		}
	}
	if total < 60/fewer {
		t.Errorf("only %d matches: the text does not test much", total)
	}
}

// The end of a window is not the end of the text: the second value only looks like a match
// there.
func TestWindowEdgesMatchNothing(t *testing.T) {
	x, err := rules.NewExpression(`abcd[0-9]{2,6}(?:$|;)`)
	if err != nil {
		t.Fatal(err)
	}
	e := New(&rules.Set{Rules: []*rules.Rule{{ID: "x", Regex: x}}})
	for _, text := range []string{"abcd12;abcd34567890", "abcd12;abcd3456", "abcd12;abcd345678;", "abcd12; abcd34567890 abcd1"} {
		if got, want := windows(e, []byte(text)), everywhere(e, []byte(text)); !slices.Equal(got, want) {
			t.Errorf("%s: %v", text, diff(got, want))
		}
	}
}

func diff(got, want []string) []string {
	var out []string
	for _, s := range want {
		if !slices.Contains(got, s) {
			out = append(out, "missing "+s)
		}
	}
	for _, s := range got {
		if !slices.Contains(want, s) {
			out = append(out, "extra "+s)
		}
	}
	return out[:min(len(out), 10)]
}

// FuzzWindows compares a few rules at a time, which the first byte selects: running all of them
// over everything takes too long.
func FuzzWindows(f *testing.F) {
	set := builtin(f)
	var engines []*Engine
	r := rand.New(rand.NewPCG(3, 4))
	for some := range slices.Chunk(set.Rules, 8) {
		e := New(&rules.Set{Rules: some})
		if len(e.rules) == 0 {
			continue
		}
		for range 3 {
			f.Add(append([]byte{byte(len(engines))}, noise(e, r, 200)...))
		}
		engines = append(engines, e)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > 1024 {
			return
		}
		e := engines[int(b[0])%len(engines)]
		if got, want := windows(e, b[1:]), everywhere(e, b[1:]); !slices.Equal(got, want) {
			t.Fatal(diff(got, want))
		}
	})
}

// The same test on real text: Go's sources, and the files in QUELL_CORPUS.
func TestWindowsFindWhatWholeFilesFind(t *testing.T) {
	testenv.Sequential(t)
	e := New(builtin(t))
	files, total := 0, 0
	each(t, func(name string, b []byte) {
		files++
		got, want := windows(e, b), everywhere(e, b)
		total += len(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v", name, diff(got, want))
		}
	})
	t.Logf("%d files, %d matches", files, total)
	if files < 80/fewer || total < 100/fewer {
		t.Errorf("only %d files and %d matches", files, total)
	}
}

func TestFindingsEqualGitleaks(t *testing.T) {
	set := theirs(t)
	e := New(set)
	g, err := gitleaks.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	g.MaxDecodeDepth = 0
	files, found, generics := 0, 0, 0
	each(t, func(name string, b []byte) {
		files++
		var want []string
		for _, f := range g.DetectBytes(b) {
			want = append(want, f.RuleID+" "+f.Secret)
		}
		var got []string
		s := &scratch{}
		a := &scanners.Artifact{}
		e.find(s, b, []span{{0, len(b)}}, func(m raw) {
			m.text = b
			// gitleaks knows only its own "allow" marker, and none of our additional tests for
			// placeholders.
			if gitleaksJudge(e, &m, scanners.Chunk{Artifact: a, Data: b}) {
				got = append(got, m.rule.ID+" "+string(b[m.secret.start:m.secret.end]))
			}
		})
		slices.Sort(got)
		slices.Sort(want)
		// gitleaks drops a generic finding next to a specific one on the same line. quell does
		// so later, by position: what gitleaks keeps must be among the raw matches.
		for _, g := range want {
			if strings.HasPrefix(g, generic) {
				generics++
				if !slices.Contains(got, g) {
					t.Errorf("%s: missing %s", name, generic)
				}
			}
		}
		got, want = dropGeneric(got), dropGeneric(want)
		found += len(want)
		if !slices.Equal(got, want) {
			for _, d := range diff(got, want) {
				rule, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(d, "missing "), "extra "), " ")
				t.Errorf("%s: %s %s", name, strings.Fields(d)[0], rule)
			}
		}
	})
	t.Logf("%d files, %d findings equal, %d generic ones are all there", files, found, generics)
	if files < 80/fewer {
		t.Errorf("only %d files", files)
	}
}

func gitleaksJudge(e *Engine, m *raw, c scanners.Chunk) bool {
	secret := string(m.text[m.secret.start:m.secret.end])
	line := lineOf(m.text, m.start, m.end)
	r := m.rule.Rule
	if r.Path != nil || bytes.Contains(line, []byte("gitleaks:allow")) || r.Entropy != 0 && entropy(secret) <= r.Entropy {
		return false
	}
	byRegex := func(a *allowlist, target string) bool { return a.RegexAllowed(target) }
	match := string(m.text[m.start:m.end])
	return !suppressed(e.allow, byRegex, secret, match, string(line), "") && !suppressed(m.rule.allow, byRegex, secret, match, string(line), "")
}

const generic = "generic-api-key "

func dropGeneric(list []string) []string {
	var out []string
	for _, s := range list {
		if !strings.HasPrefix(s, generic) {
			out = append(out, s)
		}
	}
	return out
}

// each iterates over real text: part of the standard library, and the files in QUELL_CORPUS.
func each(t *testing.T, f func(string, []byte)) {
	dirs := []string{filepath.Join(goroot(), "src", "crypto", "tls"), filepath.Join(goroot(), "src", "net", "http"), filepath.Join(goroot(), "src", "encoding")}
	if c := os.Getenv("QUELL_CORPUS"); c != "" {
		dirs = append(dirs, c)
	}
	n := 0
	for _, d := range dirs {
		_ = filepath.WalkDir(d, func(p string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil
			}
			if n++; n%fewer != 0 {
				return nil
			}
			b, err := os.ReadFile(p)
			if err != nil || len(b) > 2<<20 || strings.HasSuffix(p, ".zip") {
				return nil
			}
			f(p, b)
			return nil
		})
	}
}

func TestSpecificRulesWin(t *testing.T) {
	e := New(builtin(t))
	pat, err := rules.Generate("ghp_{base62:30}{crc32}", rand.NewChaCha8([32]byte{9}))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"token = " + pat, "curl -H 'Authorization: Bearer " + pat + "' https://api.github.com/user",
		`{"access_token":"` + pat + `"}`, "GITHUB_API_KEY=" + pat,
	} {
		got := run(t, e, []byte(line), 0)
		if len(got) != 1 || !strings.HasPrefix(got[0], "github-pat ") || !strings.HasSuffix(got[0], pat) {
			t.Errorf("%s: %v", line[:12], got)
		}
	}
}

func TestMarkersSuppressAndCount(t *testing.T) {
	e := New(builtin(t))
	pat, _ := rules.Generate("ghp_{base62:30}{crc32}", rand.NewChaCha8([32]byte{9}))
	b := []byte("token = " + pat + " # quell:allow\n")
	n := 0
	for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}) {
		n++
		if !m.Allowed {
			t.Error("the marker is not honoured")
		}
	}
	if n != 1 {
		t.Errorf("%d matches: a suppressed one must still be counted", n)
	}
}

// The reach of a window must not depend on the windows computed before it.
func TestSlidingEqualsAFreshStart(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		var loop [256]bool
		for c := range loop {
			loop[c] = r.IntN(4) > 0
		}
		all := [256]bool{}
		for c := range all {
			all[c] = loop[c] || r.IntN(8) > 0
		}
		x := extent{bytes: r.IntN(20), loop: &loop, all: &all}
		if r.IntN(5) == 0 {
			x.loop = nil
		}
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(r.IntN(128))
		}
		var s sliding
		pos := 0
		for pos < len(b) {
			var fresh sliding
			if gl, gr, wl, wr := s.left(b, pos, x), s.right(b, pos, x), fresh.left(b, pos, x), fresh.right(b, pos, x); gl != wl || gr != wr {
				t.Fatalf("at %d: %d-%d, not %d-%d", pos, gl, gr, wl, wr)
			}
			pos += r.IntN(60) - 5
			pos = max(pos, 0)
			if r.IntN(40) == 0 {
				pos += 100
			}
		}
	}
}
