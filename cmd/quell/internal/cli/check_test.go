package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/quellhq/quell/rules/testenv"
)

// A report is quell's own whatever order and spaces another program gave its JSON.
func TestAReportThatAnotherProgramWroteAgain(t *testing.T) {
	long := strings.Repeat("x", 2*headSize)
	for text, want := range map[string]form{
		`{"type":"config","protocol":1}`:                              ownLines,
		`{"type": "config", "protocol": 1}`:                           ownLines,
		"\n { \"type\" : \"config\" }":                                ownLines,
		`{"protocol":1,"type":"config"}`:                              ownLines,
		`{"locations":[{"path":"a"}],"rule":"b","type":"credential"}`: ownLines,
		`[{"protocol":1,"type":"config"}]`:                            ownDocument,
		`{"events":[{"type":"config"}]}`:                              ownDocument,
		`{"protocol":1, "events" : [ ]}`:                              ownDocument,
		`{"events":[{"message":"` + long + `"}]}`:                     ownDocument,
		`{"events":"` + long + `"}`:                                   otherForm,
		`{"types":"config"}`:                                          otherForm,
		`{"type":"path_scan","entities_with_incidents":[]}`:           otherForm,
		`{"Description":"x","Match":{"type":"config"},"RuleID":"a"`:   otherForm,
		`{"Description":"x","type":["config"],"RuleID":"a"}`:          otherForm,
		`[{"Description":"x","type":"gitlab-pat"},{"type":"config"}]`: otherForm,
		`[[{"type":"config"}]]`:                                       otherForm,
		`{`:                                                           otherForm,
	} {
		if got := formOf([]byte(text)[:min(len(text), headSize)]); got != want {
			t.Errorf("%.80s: %v", text, got)
		}
	}
}

// Another program's sorted, indented or listed copy of quell's report is read like the
// report; so are copies in UTF-16.
func TestCopiesOfAReportAreReadLikeIt(t *testing.T) {
	env := home(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	quell := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := Run(t.Context(), args, strings.NewReader(""), &out, &errs, func(k string) string { return env[k] })
		return code, out.String() + errs.String()
	}
	log := write("a.log", "x\nCookie: sessionid=6lrwbqcab69m64p2g158z6tnovmizwdi\n")
	// No policy names an instance, so no issuer is asked.
	env["QUELL_POLICY"] = write("none.toml", "version = 1\n")
	lines := filepath.Join(dir, "own.jsonl")
	if code, out := quell("scan", "log", log, "--offline", "--report", "jsonl="+lines, "--report", "json="+filepath.Join(dir, "own.json")); code > exitFindings {
		t.Fatalf("exit %d\n%s", code, out)
	}
	b, err := os.ReadFile(lines)
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(filepath.Join(dir, "own.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sorted, indented []string
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		sorted = append(sorted, testenv.Rewrite(t, l, false, ""))
		indented = append(indented, testenv.Rewrite(t, l, true, "  "))
	}
	wide := "\xff\xfe"
	for _, u := range utf16.Encode([]rune(string(b))) {
		wide += string([]byte{byte(u), byte(u >> 8)})
	}
	for name, text := range map[string]string{
		"as it was":            string(b),
		"sorted":               strings.Join(sorted, "\n"),
		"indented":             strings.Join(indented, "\n"),
		"in a list":            "[" + strings.Join(sorted, ",\n") + "]",
		"the document":         string(document),
		"the document, sorted": testenv.Rewrite(t, string(document), true, " "),
		"with a mark":          "\xef\xbb\xbf" + string(b),
		"UTF-16":               wide,
	} {
		code, out := quell("check", write("copy", text))
		if code > exitIncomplete || code == exitFailed || !strings.Contains(out, "1 credential in 1 place") || !strings.Contains(out, "a.log:2:19") {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
	for name, text := range map[string]string{
		"cut":                 string(b[:len(b)-20]),
		"a list, cut":         "[" + strings.Join(sorted, ","),
		"with another report": string(b) + `{"RuleID":"a","Secret":"b"}`,
	} {
		if code, out := quell("check", write("copy", text)); code != exitFailed || !strings.Contains(out, "hint: make it again") {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
}

// home is the environment of a user without settings.
func home(t *testing.T) map[string]string {
	dir := t.TempDir()
	return map[string]string{"HOME": dir, "TERM": "xterm"}
}
