package report

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	gosarif "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// sarifSchema is the schema of SARIF 2.1.0, errata 01, by OASIS, as the module go-sarif
// contains it: a constant that it does not export.
func sarifSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif").Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "schema.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].Name == "schema" {
			text, err = strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		}
		return text == ""
	})
	const id = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	if err != nil || !strings.Contains(text, id) {
		t.Fatalf("the module has no schema of OASIS: %v", err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("sarif.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("sarif.json")
}

// The output is valid by the schema of OASIS, and another reader finds all results in it.
func TestSARIFIsValid(t *testing.T) {
	schema := sarifSchema(t)
	set := &rules.Set{}
	paths := []string{"a.txt", "with space/ä/%41.txt", "x.zip!b/1_Set up.txt", "-", "", "C:/win.txt", "//host/x", "a:b.txt", "q?r#s.txt", "\xff.txt", strings.Repeat("long/", 900)}
	for _, n := range []int{0, 1, 40, maxResults + 3} {
		var b bytes.Buffer
		s, err := New("sarif", &b, set, Style{})
		if err != nil {
			t.Fatal(err)
		}
		emit := func(e Event) {
			t.Helper()
			if err := s.Emit(e); err != nil {
				t.Fatal(err)
			}
		}
		emit(Config{Protocol: Protocol, Version: "v1.2.3"})
		for i := range n {
			ref := rules.Ref{Rule: fmt.Sprintf("rule-%d", i%7), Kind: rules.KindSessionCookie, Confidence: rules.Confidence(i % 3), Redacted: "ab\x1b…\"(3 bytes)", Fingerprint: fmt.Sprintf("%032x", i/2)}
			l := rules.Location{Source: []string{"path", "git", "image", "log"}[i%4], Path: paths[i%len(paths)], Artifact: "blob 12", Line: i + 1, Column: 5, EndLine: i + 2, EndColumn: 3, Excess: 4, EndExcess: 2, Offset: int64(i)}
			emit(Finding{Ref: ref, Location: l, Partial: i%11 == 0})
			if i < 40 {
				emit(Verdict{Fingerprint: ref.Fingerprint, Verdict: revokers.Verdict{Liveness: []revokers.Liveness{revokers.Live, revokers.Dead, revokers.Unknown}[i%3], Reason: revokers.Refused}})
			}
		}
		emit(Notice{Message: "not read: \xff\u202e", Incomplete: true})
		emit(Notice{Message: "a remark"})
		emit(Summary{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%d results: %v", n, err)
		}
		r, err := gosarif.FromBytes(b.Bytes())
		if err != nil {
			t.Fatalf("%d results: %v", n, err)
		}
		got := 0
		for _, run := range r.Runs {
			got += len(run.Results)
		}
		if got != n {
			t.Errorf("another reader finds %d of %d results", got, n)
		}
	}
	// The schema is not one that accepts everything.
	doc, _ := jsonschema.UnmarshalJSON(strings.NewReader(`{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "quell"}}, "results": [{"message": {"text": "x"}, "locations": [{"physicalLocation": {"region": {"startLine": 0}}}]}]}]}`))
	if schema.Validate(doc) == nil {
		t.Error("a line 0 is valid")
	}
}
