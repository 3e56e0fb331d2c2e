package house

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
)

// The TOML and YAML of the documents is what a reader copies: it has to be well formed.
func TestExamplesOfTheDocumentsParse(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../../../*.md", "../../../../docs/*.md", "../../../../docs/providers/*.md"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	block := regexp.MustCompile("(?ms)^```(toml|yaml)\n(.*?)^```")
	seen := map[string]int{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllSubmatch(b, -1) {
			var v any
			parse := toml.Unmarshal
			if string(m[1]) == "yaml" {
				parse = yaml.Unmarshal
			}
			if err := parse(m[2], &v); err != nil {
				t.Errorf("%s: %v in\n%s", filepath.Base(file), err, m[2])
			}
			seen[string(m[1])]++
		}
	}
	if seen["toml"] < 100 || seen["yaml"] < 5 {
		t.Errorf("only %v were read", seen)
	}
}
