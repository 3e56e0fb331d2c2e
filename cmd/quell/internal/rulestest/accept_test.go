package rulestest

import (
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
)

func TestEveryRulesFileIsAccepted(t *testing.T) {
	all, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, p := range Accept(t.Context(), name, text) {
				t.Error(p)
			}
		})
	}
}

// A suite that accepts everything is worth nothing: each of these files has
// one thing wrong with it.
func TestWrongFilesAreNotAccepted(t *testing.T) {
	const good = `
[provider]
id = "made-up"
[[rules]]
id = "made-up"
regex = '''\b(mku_[a-z]{20})\b'''
keywords = ["mku_"]
examples = ["mku_{lower:20}"]
lookalikes = ["mku_short"]
[rules.probe]
request = { method = "GET", path = "/me", header = { Authorization = "Bearer {token}" } }
[[rules.probe.when]]
status = [200]
then = "live"
[[rules.probe.when]]
status = [401]
json = { error = "revoked" }
then = "dead"
source = "https://made-up.example/docs"
[[rules.case]]
name = "c"
replies = [{ status = 200, json = { id = 1 } }, { status = 401, json = { error = "revoked" } }]
want = ["live", "dead"]
requests = ["GET /me", "GET /me"]
`
	if p := Accept(t.Context(), "good.toml", []byte(good)); len(p) != 0 {
		t.Fatal(p)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"an example that is not found":  {`"mku_{lower:20}"`, `"mku_{lower:19}"`, "is not found"},
		"a look-alike that is found":    {`"mku_short"`, `"mku_{lower:20}"`, "look-alike 1"},
		"a case with the wrong outcome": {`["live", "dead"]`, `["live", "live"]`, "answer 2 is dead"},
		"a case with a reply too many":  {`{ status = 401, json = { error = "revoked" } }]`, `{ status = 401, json = { error = "revoked" } }, { status = 401 }]`, "1 replies were never asked for"},
		"a case with another request":   {`["GET /me", "GET /me"]`, `["GET /you", "GET /me"]`, "the requests were"},
		"no case that begins live":      {`want = ["live", "dead"]`, `want = ["unknown", "dead"]`, "no case begins live"},
		"no examples":                   {`examples = ["mku_{lower:20}"]`, ``, "needs examples"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		p := Accept(t.Context(), "bad.toml", []byte(text))
		if !strings.Contains(strings.Join(p, "\n"), c.want) {
			t.Errorf("%s: %v", name, p)
		}
	}
}

func TestEveryNativeHasARule(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	probes, revokes := map[string]bool{}, map[string]bool{}
	for _, r := range set.Rules {
		if r.Probe != nil {
			probes[r.Probe.Native] = true
		}
		for _, v := range r.Revokes {
			revokes[v.Native] = true
		}
	}
	verifiers, enders := natives.New(natives.Config{}).Names()
	for _, n := range verifiers {
		if !probes[n] {
			t.Errorf("no rule uses the native probe %s", n)
		}
	}
	for _, n := range enders {
		if !revokes[n] {
			t.Errorf("no rule uses the native revocation %s", n)
		}
	}
}
