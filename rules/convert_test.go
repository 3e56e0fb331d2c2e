package rules

import (
	"strings"
	"testing"
)

// earlier is a file of the first release.
const earlier = `[provider]
id = "x"
docs = "https://docs.example.com"
hosts = ["api.example.com"]
[[rules]]
id = "x"
regex = 'x'
[rules.probe]
request = { method = "POST", path = "/auth.test", header = { Authorization = "Bearer {token}" } }
[[rules.probe.when]]
status = [200]
json = { ok = true }
then = "live"
[[rules.probe.when]]
status = [200]
json = { ok = false, error = "invalid_auth" }
then = "dead"
after = "live"   # also another address
reason = "signed out"
[[rules.revoke]]
id = "r"
tier = "self"
scope = "this session"
grade = "P"
settle = "1s"
accept = [200]
request = { method = "POST", path = "/r" }
`

func TestAFileOfAnEarlierReleaseIsConverted(t *testing.T) {
	_, err := Load("x.toml", []byte(earlier))
	if err == nil || !strings.Contains(err.Error(), "quell rules convert FILE") {
		t.Errorf("the error does not name the command: %v", err)
	}
	out, changes, err := Convert("x.toml", []byte(earlier))
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) != 4 {
		t.Errorf("%d changes: %q", len(changes), changes)
	}
	set, err := Load("x.toml", out)
	if err != nil {
		t.Fatal(err)
	}
	r := set.Rules[0]
	if r.Probe.When[1].Also != "asker" || r.Probe.Request.Source != "https://docs.example.com" || r.Revokes[0].Scope != ScopeSession {
		t.Errorf("got %+v", r.Probe.When[1])
	}
	if !strings.Contains(string(out), "# also another address") {
		t.Error("a comment is gone")
	}
	again, changes, err := Convert("x.toml", out)
	if err != nil || len(changes) != 0 || string(again) != string(out) {
		t.Errorf("converting twice changes it again: %q, %v", changes, err)
	}
}

func TestFilesWithoutNewKeysLoad(t *testing.T) {
	text := strings.NewReplacer(`method = "POST", path = "/auth.test"`, `method = "GET", path = "/me"`).Replace(earlier)
	set, err := Load("x.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Rules[0].Revokes[0].Scope; got != ScopeSession {
		t.Errorf("the scope is %q", got)
	}
	if a := set.Rules[0].Probe.When[1]; a.Also != "asker" {
		t.Errorf("after = live is %q", a.Also)
	}
}
