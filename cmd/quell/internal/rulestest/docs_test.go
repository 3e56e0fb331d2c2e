package rulestest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// head is the rule that the examples of the page are parts of.
const head = `
[provider]
id = "doc"
name = "Documentation"
docs = "https://docs.example.com"
hosts = ["api.example.com", "id.example.com"]

[[rules]]
id = "doc-token"
description = "Token of the documentation"
regex = '''\b(doc_(?P<id>[0-9a-z]{8})_(?P<secret>[0-9a-zA-Z]{32}))\b'''
keywords = ["doc_"]
examples = ["doc_{alnum:8}_{base62:32}"]
lookalikes = ["doc_short"]
`

// part is the rule that the example with parts names.
const part = `
[[rules]]
id = "doc-part"
description = "Second half"
regex = '''\b(docp_[0-9a-zA-Z]{32})\b'''
keywords = ["docp_"]
examples = ["docp_{base62:32}"]
lookalikes = ["docp_short"]
`

var fence = regexp.MustCompile("(?s)\n```toml\n(.*?)\n```\n")

func TestEveryExampleOfThePageIsAccepted(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := fence.FindAllSubmatch(page, -1)
	if len(examples) < 9 {
		t.Fatalf("only %d examples", len(examples))
	}
	for i, m := range examples {
		text := string(m[1])
		if !strings.Contains(text, "[provider]") {
			// A second host is pinned, and asked only where an example names it.
			text = strings.Replace(head, `, "id.example.com"`, map[bool]string{true: `, "id.example.com"`}[strings.Contains(text, "host = ")], 1) + text + part
		}
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			for _, p := range Accept(t.Context(), "example.toml", []byte(text)) {
				t.Error(p)
			}
		})
	}
}
