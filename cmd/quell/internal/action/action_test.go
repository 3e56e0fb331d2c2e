package action

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// action.yml, quell and the docs name the same inputs and outputs.
func TestActionFile(t *testing.T) {
	b, err := os.ReadFile("../../../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Inputs map[string]struct {
			Description string
			Default     string
		}
		Outputs map[string]struct{ Description string }
		Runs    struct{ Using, Main string }
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	defaults := func(k string) string {
		name := strings.ToLower(strings.TrimPrefix(k, "INPUT_"))
		read[name] = true
		return file.Inputs[name].Default
	}
	in, err := ReadInputs(defaults)
	if err != nil {
		t.Errorf("the defaults of action.yml are refused: %v", err)
	}
	if in.Kill != "off" || in.DeleteLog || in.UploadSarif || in.Verify != "auto" || in.Token != "${{ github.token }}" {
		t.Errorf("the defaults: %+v", in)
	}
	docs, err := os.ReadFile("../../../../docs/action.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range file.Inputs {
		if !read[name] {
			t.Errorf("the input %s is not read", name)
		}
		if x.Description == "" || !strings.Contains(string(docs), "`"+name+"`") {
			t.Errorf("the input %s is not described", name)
		}
		if name != strings.ToLower(name) {
			t.Errorf("%s has capitals", name)
		}
	}
	for name := range read {
		if _, ok := file.Inputs[name]; !ok {
			t.Errorf("action.yml has no input %s", name)
		}
	}
	for name := range file.Outputs {
		if !strings.Contains(string(docs), "`"+name+"`") {
			t.Errorf("the output %s is not described", name)
		}
	}
	// No other action, no template in a script, no container.
	if regexp.MustCompile(`(?m)^\s*-?\s*(uses|run|steps|pre|post):`).Match(b) || file.Runs.Using != "node24" || file.Runs.Main == "" {
		t.Error("action.yml runs something else")
	}
	if list := regexp.MustCompile(`\$\{\{[^}]*\}\}`).FindAllString(string(b), -1); !slices.Equal(list, []string{"${{ github.token }}"}) {
		t.Error(list)
	}
}
