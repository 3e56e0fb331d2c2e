package house

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goBlock finds the examples of the architecture page.
var goBlock = regexp.MustCompile("(?s)\n```go\n(package [a-z]+\n.*?)\n```\n")

// A CI format and a report format are one file each, as the architecture page shows them: the
// file, and what go generate writes. The tests of the packages run with them.
func TestTheExamplesOfTheArchitectureAreFormats(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(top, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{"cilog": "scanners/cilog", "report": "cmd/quell/internal/report"}
	// The example's requirements.
	checks := map[string]string{
		"cilog": `package cilog

import "testing"

func TestTrial(t *testing.T) {
	if !example.Detect([]byte("<1> example runner 1.0\n")) || example.Detect([]byte("<2> text")) {
		t.Error("Detect")
	}
	for line, want := range map[string]int{"<12> text": 5, "<> text": 0, "< text": 0, "<12": 0} {
		if got := example.Line([]byte(line), 0); got.Prefix != want {
			t.Errorf("%q: %d", line, got.Prefix)
		}
	}
	if m := example.Mark([]byte("<3> == build"), 4); m.From != 7 || m.To != 12 {
		t.Errorf("%+v", m)
	}
}
`,
		"report": `package report

import (
	"bytes"
	"testing"

	"github.com/quellhq/quell/revokers"
)

func TestTrial(t *testing.T) {
	var b bytes.Buffer
	s, err := New("example", &b, nil, Style{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{Config{}, Verdict{Fingerprint: "aa", Verdict: revokers.Verdict{Host: "=cmd()", Reason: revokers.Refused, Detail: "a, b"}}, Summary{}} {
		if err := s.Emit(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil || b.String() != "aa,'=cmd(),unknown,refused,\"a, b\"\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}
`,
	}
	tmp := t.TempDir()
	replace := map[string]string{}
	write := func(path, text string) {
		file := filepath.Join(tmp, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, filepath.FromSlash(path))] = file
	}
	for _, m := range goBlock.FindAllSubmatch(page, -1) {
		pkg := strings.Fields(string(m[1]))[1]
		dir := dirs[pkg]
		if dir == "" {
			t.Errorf("an example of package %s is not tested", pkg)
			continue
		}
		delete(dirs, pkg)
		list, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(dir), "formats.go"))
		if err != nil {
			t.Fatal(err)
		}
		write(dir+"/example.go", string(m[1])+"\n")
		write(dir+"/trial_test.go", checks[pkg])
		write(dir+"/formats.go", strings.TrimSuffix(string(list), "}\n")+"\t&example,\n}\n")
	}
	for pkg := range dirs {
		t.Errorf("the page has no example of package %s", pkg)
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o644); err != nil {
		t.Fatal(err)
	}
	// FormatsAreListed reads the folder, which does not have the examples.
	c := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-run", "Trial|FormatsAreComplete|EveryFormat", "-v", "./scanners/cilog", "./cmd/quell/internal/report")
	c.Dir = root
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "--- PASS: TestTrial"); n != 2 {
		t.Errorf("%d examples ran:\n%s", n, out)
	}
}
