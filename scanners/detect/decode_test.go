package detect

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners"
)

func std(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func found(t *testing.T, e *Engine, text string) []string {
	t.Helper()
	b := []byte(text)
	var out []string
	for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}) {
		out = append(out, fmt.Sprint(m.Rule.ID, " ", m.Secret.Reveal(), " ", m.Start, "-", m.End, " ", strings.Join(m.Decoded, ">")))
	}
	return out
}

func TestSecretsInsideBase64(t *testing.T) {
	e := New(builtin(t))
	a, b := withSum("ghp_"+"0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT"), withSum("ghp_"+"9aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	nest := func(s string, n int) string {
		for range n {
			s = std(s)
		}
		return s
	}
	chain := func(n int) string { return strings.TrimSuffix(strings.Repeat("base64>", n), ">") }
	one := std("user:" + a)
	url := strings.TrimRight(base64.URLEncoding.EncodeToString([]byte("??>>~~"+a)), "=")
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a header":                     {"AUTHORIZATION: basic " + one + "\n", []string{fmt.Sprint("github-pat ", a, " 21-", 21+len(one), " base64")}},
		"a Kubernetes Secret":          {"data:\n  token: " + std(a) + "\n", []string{fmt.Sprint("github-pat ", a, " 15-", 15+len(std(a)), " base64")}},
		"the other alphabet":           {"x=" + url + " ", []string{fmt.Sprint("github-pat ", a, " 2-", 2+len(url), " base64")}},
		"twice":                        {nest(a, 2), []string{fmt.Sprint("github-pat ", a, " 0-", len(nest(a, 2)), " ", chain(2))}},
		"five times":                   {nest(a, 5), []string{fmt.Sprint("github-pat ", a, " 0-", len(nest(a, 5)), " ", chain(5))}},
		"six times":                    {nest(a, 6), nil},
		"gzip, the fifth":              {nest(gz("x "+a+" y"), 4), []string{fmt.Sprint("github-pat ", a, " 0-", len(nest(gz("x "+a+" y"), 4)), " ", chain(4), ">gzip")}},
		"gzip, the sixth":              {nest(gz("x "+a+" y"), 5), nil},
		"two in one run":               {std(a + "\n" + b), []string{fmt.Sprint("github-pat ", a, " 0-", len(std(a+"\n"+b)), " base64"), fmt.Sprint("github-pat ", b, " 0-", len(std(a+"\n"+b)), " base64")}},
		"through a stamp and a colour": {stampText + "\x1b[1m" + one[:20] + "\x1b[0m" + one[20:] + "\n", []string{fmt.Sprint("github-pat ", a, " ", len(stampText)+4, "-", len(stampText)+4+len(one)+4, " base64")}},
		"noise":                        {strings.Repeat("0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT", 3), nil},
	} {
		if got := found(t, e, c.text); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, c.want)
		}
	}
}

// A run longer than a chunk is searched completely, and each secret is found once.
func TestLongRunOverChunks(t *testing.T) {
	e := New(builtin(t))
	var plain strings.Builder
	const n = 30
	for i := range n {
		plain.WriteString(strings.Repeat("a line of text without anything\n", 1300+i))
		fmt.Fprintf(&plain, "Cookie: sessionid=%032s\n", strings.Map(func(c rune) rune {
			const a = "0123456789abcdefghijklmnopqrstuvwxyz"
			return rune(a[(strings.IndexRune(a, c)*7+i)%36])
		}, "0123456789abcdefghijklmnopqrstuv"))
	}
	for _, pad := range []string{"", "x ", "xx ", "xxx "} {
		got := map[string]int{}
		for _, f := range run(t, e, []byte(pad+std(plain.String())+"\n"), 0) {
			got[f[strings.LastIndex(f, " ")+1:]]++
		}
		once := 0
		for _, k := range got {
			if k == 1 {
				once++
			}
		}
		if once != n || len(got) != n {
			t.Errorf("behind %q: %d of %d secrets once, %d at all", pad, once, n, len(got))
		}
	}
}

const stampText = "2026-05-03T01:16:34.3352086Z "

func FuzzDetect(f *testing.F) {
	e := New(builtin(f))
	f.Add([]byte("x " + std("Cookie: sessionid=6lrwbqcab69m64p2g158z6tnovmizwdi") + "\x1b[1m" + std("y")))
	f.Add([]byte("2024-05-22T12:43:46.962646Z 00O a\n2024-05-22T12:43:46.962646Z 00O+b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}) {
			if m.Start < 0 || m.End > len(b) || m.Start >= m.End {
				t.Fatalf("%s at %d-%d of %d", m.Rule.ID, m.Start, m.End, len(b))
			}
			if len(m.Decoded) == 0 && m.Secret.Len() > m.End-m.Start {
				t.Fatalf("%s: a secret of %d bytes in %d", m.Rule.ID, m.Secret.Len(), m.End-m.Start)
			}
		}
	})
}

// A printed dump of the runner's memory, and toJSON(secrets) printed by a workflow: every value
// is found, whatever its form.
func TestDumpsOfCISecrets(t *testing.T) {
	e := New(builtin(t))
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	memory := `"github_token":{"value":"` + pat + `","isSecret":true}` + "\n" + `"DB":{"value":"correct horse 17","isSecret":true}` + "\n" + `"OS":{"value":"not a secret","isSecret":false}` + "\n"
	object := "{\n  \"github_token\": \"" + pat + "\",\n  \"DB\": \"correct horse 17\"\n}\n"
	for name, text := range map[string]string{
		"tj-actions":       stampText + std(std(memory)) + "\n",
		"Shai-Hulud":       std(std(object)),
		"Shai-Hulud plain": object,
	} {
		var got []string
		for _, f := range found(t, e, text) {
			got = append(got, strings.Join(strings.Fields(f)[:2], " "))
		}
		slices.Sort(got)
		if want := []string{"actions-secret correct", "github-pat " + pat}; !slices.Equal(got, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Each object counts, also one that follows an object that names the token twice.
func TestConsecutiveDumps(t *testing.T) {
	text := "{\n  \"DB\": \"correct horse 17\",\n  \"github_token\": \"twelve 1212\",\n  \"github_token\": \"thirteen 13\"\n}\nplain\n{\n  \"github_token\": \"fourteen 14\",\n  \"DB\": \"battery staple 18\"\n}\n"
	got := found(t, New(builtin(t)), text)
	for _, want := range []string{"correct horse 17", "twelve 1212", "thirteen 13", "fourteen 14", "battery staple 18"} {
		if n := strings.Count(strings.Join(got, "\n"), want); n != 1 {
			t.Errorf("%q is found %d times: %v", want, n, got)
		}
	}
}

// The text around an escape that is searched again is a piece of a line: a token that begins
// there is found whole, and one that the piece cuts is not reported.
func TestPiecesOfLongLines(t *testing.T) {
	e := New(builtin(t))
	long := strings.Repeat("0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT", 100)
	var got []string
	for _, f := range found(t, e, `{"x":"\u0041uthorization: bearer `+long+`"}`) {
		got = append(got, strings.Fields(f)[1])
	}
	if !slices.Equal(got, []string{long}) {
		t.Errorf("%d findings", len(got))
	}
	for i := near - 60; i < near+60; i++ {
		if f := found(t, e, `\u0041`+strings.Repeat("-", i)+" grafana_session="+strings.Repeat("0123456789abcdef", 4)+"\n"); len(f) != 0 {
			t.Fatalf("behind %d bytes: %v", i, f)
		}
	}
}

// A run that is rejected by its first bytes would not have been readable.
func TestHopelessRunsAreNotRead(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	pieces := []string{"a", "Z ", "\n", "\x00", "a\x00", "\x00b", "é", "ſ", "语", "🙂", "\x80", "\xbf\xbf", "\xc0", "\xc3", "\xe2\x82", "\xf0\x9f", "\xf5", "\xff\xfe", "\xfe\xff", "\x01", "\x7f", "\x1b", "\x1f\x8b\x08", "x\x9c"}
	var c text
	given, read, phases := 0, 0, 0
	for n := range 200000 / fewer {
		var b []byte
		most := 1 + r.IntN(40)
		for len(b) < most {
			p := pieces[r.IntN(1+r.IntN(len(pieces)))]
			for range 1 + r.IntN(12) {
				b = append(b, p...)
			}
		}
		run := []byte(base64.RawStdEncoding.EncodeToString(b))
		if n%4 == 0 { // a word
			for i := range run {
				run[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ__0123456789"[r.IntN(26+r.IntN(38))]
			}
		}
		switch ok := c.base64(run); {
		case ok:
			read++
			if hopeless(run) {
				t.Fatalf("%q, of %q, is given up", run, b)
			}
		case hopeless(run):
			given++
		}
		if len(run) < minEncoded {
			continue
		}
		for s := range 4 {
			if hopelessPhases(run)>>s&1 == 0 {
				continue
			}
			if phases++; !hopeless(run[s:]) || c.base64(run[s:]) {
				t.Fatalf("%q, of %q, is given up from %d on", run, b, s)
			}
		}
	}
	if read < 20000/fewer || given < 60000/fewer || phases < 60000/fewer {
		t.Errorf("%d read, %d given up, %d phases", read, given, phases)
	}
}

// od -A x prints addresses of six digits, the fewest that occur.
func TestRowsOfShortAddresses(t *testing.T) {
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	var text strings.Builder
	for i := 0; i < len(pat); i += 16 {
		fmt.Fprintf(&text, "%06x % x\n", i, pat[i:min(i+16, len(pat))])
	}
	if got := found(t, New(builtin(t)), text.String()); len(got) != 1 || !strings.HasPrefix(got[0], "github-pat "+pat) {
		t.Errorf("%v in\n%s", got, &text)
	}
}

func TestBackslashes(t *testing.T) {
	for text, want := range map[string]string{
		`\n`: "\n", `\"`: `"`, `\/`: "/", `\x41z`: "A", `\u0041`: "A", `\u00e9`: "é", `\u{41}`: "A", `\u{1F642}`: "🙂", `\U0001F642`: "🙂", `\101`: "A", `\377`: "\xff",
		`\`: "", `\q`: "", `\189`: "", `\1a0`: "", `\x4`: "", `\x4g`: "", `\u004`: "", `\u+041`: "", `\u{}`: "", `\u{4z}`: "", `\U0001F64`: "", `\400`: "",
	} {
		var out [4]byte
		size, n := backslash([]byte(text), 0, &out)
		if got := string(out[:size]); got != want || n > len(text) || (n == 0) != (want == "") {
			t.Errorf("%s is %q of %d bytes, not %q", text, got, n, want)
		}
	}
}
