package detect

import (
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// Hosts that nearby lines name as servers of the product are kept, so that another server's
// refusal alone proves nothing. Files and words are not servers.
func TestServersNearACredential(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	e := New(set)
	token := "glp" + "at-" + "x7Kd9QmZ2vLp4Rt8Wc1N"
	for text, want := range map[string]string{
		"GITLAB_HOST=gitlab.corp.example\nTOKEN=%\n":                      "gitlab.corp.example",
		"export CI_SERVER_URL=https://code.corp.example\nTOKEN=%\n":       "code.corp.example",
		"TOKEN=%\nremote: git@gitlab.corp:team/app\n":                     "gitlab.corp",
		"machine git.corp.example\nlogin x\npassword %\n":                 "git.corp.example",
		"Cloning gitlab.build.corp.example/app\nTOKEN=%\n":                "gitlab.build.corp.example",
		"GITLAB_HOST=gitlab.com\nTOKEN=%\nregistry.gitlab.com/a/b\n":      "",
		"reading .gitlab-ci.yml\nTOKEN=%\nDownloading https://go.dev/x\n": "",
		"TOKEN=%\n": "",
	} {
		text = strings.ReplaceAll(text, "%", token)
		found := slices.Collect(e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: []byte(text), Line: 1, Column: 1, To: len(text)}))
		if len(found) == 0 {
			t.Errorf("%q: nothing found", text)
			continue
		}
		if got := strings.Join(found[0].Claims.Near, " "); got != want {
			t.Errorf("%q: near %q, want %q", text, got, want)
		}
	}
}
