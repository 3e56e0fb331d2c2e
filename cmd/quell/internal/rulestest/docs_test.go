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

// features are the parts of the language, and what an example that shows one contains.
var features = map[string]string{
	"shared probes": `\[provider\.probe\.\w+\](?s:.*)\nuse = `, "shared revocations": `\[provider\.revoke\.\w+\]`, "named groups": `\{token\.id\}`,
	"a digest in hex": `\.sha256\.hex\}`, "a digest in base64": `\.sha256\.b64url\}`, "the decoded value": `inner = (?s:.*)\.base64\.id\}`, "a claim of a JWT": `\.jwt\.jti\}`,
	"the last characters": `\.last8\}`, "parts": `\[rules\.parts\](?s:.*)\{part\.`, "Basic": `basic = \[`, "the administrator": `\{admin\.user\}`, "the client": `client = \{(?s:.*)\{client\.id\}`,
	"requests in order": `(?:\[\[rules\.revoke\.request\]\](?s:.*)){2}`, "the wait between them": `\nafter = `, "closed lists of hosts": `\{site:sites\}(?s:.*)lists = `, "a host per request": `host = "`,
	"present": `present = true`, "absent": `absent = true`, "a beginning": `prefix = `, "an element of a list": `has = `, "one of several": `code" = \[`, "dead with 200 and a condition": `status = \[200\]\njson = \{[^\n]*\}\nthen = "dead"`,
	"restricted with 403": `status = \[403\]`, "a pick": `pick = \{`, "paging": `next = "next_cursor"`, "a probe that is a POST": `reads = true`, "a login": `login = true`, "a secret in a URL": `secret_in_url = true`,
	"a time of RFC 3339": `keep = \{[^}]*expires = (?s:.*)T00:00:00Z`, "a time since 1970": `exp = 1893456000`, "a claim": `claim = "always"`, "a new secret": `mints = true`, "a reversible revocation": `reversible = true`,
	"its restoration": `\[rules\.revoke\.restore\]`, "surfaces": `surfaces = \[`, "a word with the cause asker": `also = "asker"`, "a word with the cause credential": `also = "credential"`, "batches": `batch = `,
	"only": `\nonly = \[`, "needs": `needs = \[`, "settle": `settle = `, "a limit of requests": `requests_max = `, "the owner": `owner = `, "identity": `probe\.identity`, "a source per fact": `\[provider\.source\.\w+\](?s:.*)\nsource = "errors"`,
	"a condition of a header": `\nheader = \{ WWW-Authenticate`, "a multipart body": `multipart = `, "a raw body": `raw = `, "whoami": `provider\.whoami`,
}

func TestEveryFeatureHasAnExample(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, pattern := range features {
		re := regexp.MustCompile(pattern)
		shown := false
		for _, m := range fence.FindAllSubmatch(page, -1) {
			shown = shown || re.Match(m[1])
		}
		if !shown {
			t.Errorf("no example of docs/rules.md has %s: %s", name, pattern)
		}
	}
}

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
