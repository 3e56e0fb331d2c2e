package action

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	shaA   = "1111111111111111111111111111111111111111"
	shaB   = "2222222222222222222222222222222222222222"
	zero40 = "0000000000000000000000000000000000000000"
)

func decideJSON(t *testing.T, event, ref, text string) (Decision, error) {
	t.Helper()
	f := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Decide(Env{Event: event, Payload: f, Ref: ref, SHA: shaB})
}

func TestDecide(t *testing.T) {
	repo := `"repository":{"id":1,"private":true,"default_branch":"main"}`
	public := `"repository":{"id":1,"private":false,"default_branch":"main"}`
	pr := func(head string) string {
		return `{"pull_request":{"number":7,"head":{"sha":"` + shaB + `","ref":"x","repo":` + head + `},"base":{"sha":"` + shaA + `","ref":"main","repo":{"id":1}}},` + public + `}`
	}
	for _, c := range []struct {
		name, event, ref, payload string
		rng, not, release         string
		whole, stranger, kill     bool
		base                      string
	}{
		{"a push", "push", "refs/heads/main", `{"before":"` + shaA + `","after":"` + shaB + `","ref":"refs/heads/main",` + repo + `}`, shaA + ".." + shaB, "", "", false, false, true, shaB},
		{"a push to another branch", "push", "refs/heads/x", `{"before":"` + shaA + `","after":"` + shaB + `","ref":"refs/heads/x",` + repo + `}`, shaA + ".." + shaB, "", "", false, false, true, ""},
		{"a forced push", "push", "refs/heads/x", `{"forced":true,"before":"` + shaA + `","after":"` + shaB + `","ref":"refs/heads/x",` + repo + `}`, shaA + ".." + shaB, "", "", false, false, true, ""},
		{"a new branch", "push", "refs/heads/x", `{"created":true,"before":"` + zero40 + `","after":"` + shaB + `","ref":"refs/heads/x",` + repo + `}`, zero40 + ".." + shaB, "refs/remotes/origin/main", "", false, false, true, ""},
		{"the first push of all", "push", "refs/heads/main", `{"created":true,"before":"` + zero40 + `","after":"` + shaB + `","ref":"refs/heads/main",` + repo + `}`, zero40 + ".." + shaB, "", "", false, false, true, shaB},
		{"a deleted branch", "push", "refs/heads/x", `{"deleted":true,"before":"` + shaA + `","after":"` + zero40 + `","ref":"refs/heads/x",` + repo + `}`, "", "", "", false, false, true, ""},
		{"a tag", "push", "refs/tags/v1", `{"created":true,"before":"` + zero40 + `","after":"` + shaB + `","ref":"refs/tags/v1",` + repo + `}`, "", "", shaB, false, false, true, ""},
		{"a pull request", "pull_request", "refs/pull/7/merge", pr(`{"id":1}`), shaA + ".." + shaB, "", "", false, false, false, shaA},
		{"of a fork", "pull_request", "refs/pull/7/merge", pr(`{"id":2}`), shaA + ".." + shaB, "", "", false, true, false, shaA},
		{"of a fork that is gone", "pull_request", "refs/pull/7/merge", pr(`null`), shaA + ".." + shaB, "", "", false, true, false, shaA},
		{"on the base", "pull_request_target", "refs/heads/main", pr(`{"id":2}`), shaA + ".." + shaB, "", "", false, true, false, shaA},
		{"a review", "pull_request_review", "refs/pull/7/merge", pr(`{"id":1}`), shaA + ".." + shaB, "", "", false, true, false, shaA},
		{"a merge group", "merge_group", "refs/heads/gh-readonly-queue/main/x", `{"merge_group":{"head_sha":"` + shaB + `","base_sha":"` + shaA + `"},` + repo + `}`, shaA + ".." + shaB, "", "", false, false, true, shaA},
		{"a release", "release", "refs/tags/v1", `{"release":{"tag_name":"v1"},` + repo + `}`, "", "", shaB, false, false, true, ""},
		{"a schedule", "schedule", "refs/heads/main", `{"schedule":"0 0 * * *",` + repo + `}`, "", "", "", true, false, true, shaB},
		{"by hand", "workflow_dispatch", "refs/heads/x", `{"inputs":null,` + repo + `}`, "", "", "", true, false, true, ""},
		{"a comment", "issue_comment", "refs/heads/main", `{"comment":{},` + repo + `}`, "", "", "", true, true, false, shaB},
		{"a new branch, by name", "create", "refs/heads/x", `{"ref":"x","ref_type":"branch",` + repo + `}`, zero40 + ".." + shaB, "refs/remotes/origin/main", "", false, false, false, ""},
		{"a new tag, by name", "create", "refs/tags/v1", `{"ref":"v1","ref_type":"tag",` + repo + `}`, "", "", shaB, false, false, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := decideJSON(t, c.event, c.ref, c.payload)
			if err != nil {
				t.Fatal(err)
			}
			if d.Range != c.rng || strings.Join(d.Not, " ") != c.not || d.Release != c.release || d.Whole != c.whole || (d.Stranger != "") != c.stranger || (d.NoKill == "") != c.kill || d.Base != c.base {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestARunThatEnded(t *testing.T) {
	run := func(event, head string) string {
		return `{"workflow_run":{"id":99,"run_attempt":3,"event":"` + event + `","head_repository":` + head + `},"repository":{"id":1,"default_branch":"main"}}`
	}
	for _, c := range []struct {
		event, head    string
		stranger, kill bool
	}{
		{"push", `{"id":1}`, false, true},
		{"schedule", `{"id":1}`, false, true},
		{"pull_request", `{"id":1}`, false, false},
		{"pull_request", `{"id":2}`, true, false},
		{"push", `null`, true, false},
		{"issue_comment", `{"id":1}`, true, false},
	} {
		d, err := decideJSON(t, "workflow_run", "refs/heads/main", run(c.event, c.head))
		if err != nil || d.Run != 99 || d.Attempt != 3 || d.Range != "" || (d.Stranger != "") != c.stranger || (d.NoKill == "") != c.kill || !d.Public {
			t.Errorf("%s from %s: %+v, %v", c.event, c.head, d, err)
		}
	}
}

// A payload is made by GitHub, from what people wrote.
func TestPayloadsThatMakeNoSense(t *testing.T) {
	for _, c := range []struct{ event, payload string }{
		{"push", `{}`},
		{"push", `{"before":"--upload-pack=x","after":"` + shaB + `"}`},
		{"push", `{"before":"` + shaA + `","after":"HEAD; rm -rf /"}`},
		{"push", `{"before":"` + strings.ToUpper("abcdef"+shaA[6:]) + `","after":"` + shaB + `"}`},
		{"pull_request", `{}`},
		{"pull_request_target", `{"pull_request":null}`},
		{"pull_request", `{"pull_request":{"head":{"sha":"$(id)"},"base":{"sha":"` + shaA + `"}}}`},
		{"merge_group", `{}`},
		{"workflow_run", `{"workflow_run":{}}`},
		{"release", `{}`},
		{"push", `not json`},
		{"push", `[]`},
		{"push", ``},
	} {
		if d, err := decideJSON(t, c.event, "", c.payload); err == nil {
			t.Errorf("%s %s: %+v", c.event, c.payload, d)
		}
	}
	if _, err := Decide(Env{Event: "push", Payload: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("no payload")
	}
}

func FuzzDecide(f *testing.F) {
	f.Add("push", `{"before":"`+shaA+`","after":"`+shaB+`","ref":"refs/tags/x"}`)
	f.Add("pull_request", `{"pull_request":{"number":1,"head":{"sha":"`+shaA+`"},"base":{"sha":"`+shaB+`"}}}`)
	f.Fuzz(func(t *testing.T, event, text string) {
		var p payload
		if json.Unmarshal([]byte(text), &p) != nil {
			return
		}
		d, err := decide(Env{Event: event, SHA: shaB}, p)
		if err != nil {
			return
		}
		// Nothing but commits' names reaches the git source from a payload.
		for _, s := range append(strings.Split(d.Range, ".."), d.Release) {
			if strings.Trim(s, "0123456789abcdef") != "" {
				t.Errorf("%q", s)
			}
		}
		if d.Range == "" && d.Release == "" && !d.Whole && d.Run == 0 && !p.Deleted && !zero(p.After) {
			t.Errorf("nothing is read: %+v", d)
		}
	})
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name    string
		in      Inputs
		d       Decision
		offline bool
		failOn  string
	}{
		{"by default", Inputs{Verify: "auto"}, Decision{Public: true}, false, "live"},
		{"of a stranger", Inputs{Verify: "auto"}, Decision{Public: true, Stranger: "x"}, true, "suspect"},
		{"of a stranger, in private", Inputs{Verify: "auto"}, Decision{Stranger: "x"}, true, "suspect"},
		{"of a stranger, in private, when asked to", Inputs{Verify: "on"}, Decision{Stranger: "x"}, false, "live"},
		{"of a stranger, in public, when asked to", Inputs{Verify: "on", FailOn: "live"}, Decision{Public: true, Stranger: "x"}, true, "live"},
		{"off", Inputs{Verify: "off"}, Decision{}, true, "suspect"},
		{"off, with a choice", Inputs{Verify: "off", FailOn: "never"}, Decision{}, true, "never"},
	} {
		if j := c.in.Judge(c.d); j.Offline != c.offline || j.FailOn != c.failOn || (j.Reason != "") != (c.offline && c.d.Stranger != "") {
			t.Errorf("%s: %+v", c.name, j)
		}
	}
}

func TestMayApply(t *testing.T) {
	whole := Inputs{Verify: "auto", Policy: "p", FingerprintKey: "k", Ledger: "l"}
	if no := whole.MayApply(Env{}, Decision{}, true); no != "" {
		t.Error(no)
	}
	for name, no := range map[string]string{
		"an event of strangers": whole.MayApply(Env{}, Decision{NoKill: "x"}, true),
		"a ledger that is lost": whole.MayApply(Env{}, Decision{}, false),
		"no policy":             Inputs{Verify: "auto", FingerprintKey: "k", Ledger: "l"}.MayApply(Env{}, Decision{}, true),
		"no key":                Inputs{Verify: "auto", Policy: "p", Ledger: "l"}.MayApply(Env{}, Decision{}, true),
		"no ledger":             Inputs{Verify: "auto", Policy: "p", FingerprintKey: "k"}.MayApply(Env{}, Decision{}, true),
		"nobody is asked":       Inputs{Verify: "off", Policy: "p", FingerprintKey: "k", Ledger: "l"}.MayApply(Env{}, Decision{}, true),
	} {
		if no == "" {
			t.Error(name)
		}
	}
}

func TestInputs(t *testing.T) {
	get := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	in, err := ReadInputs(get(map[string]string{"INPUT_SCAN": "git, logs", "INPUT_PATH": "dist\n  build/out \n", "INPUT_KILL": "plan", "INPUT_FAIL-ON": "found"}))
	if err != nil || strings.Join(in.Scan, " ") != "git logs path" || strings.Join(in.Paths, "|") != "dist|build/out" || in.Kill != "plan" || in.FailOn != "found" || !in.Comment || in.UploadSarif {
		t.Errorf("%+v, %v", in, err)
	}
	for k, v := range map[string]string{"INPUT_SCAN": "everything", "INPUT_FAIL-ON": "sometimes", "INPUT_KILL": "on", "INPUT_VERIFY": "yes", "INPUT_SUMMARY": "1", "INPUT_CONFIDENCE": "sure"} {
		if _, err := ReadInputs(get(map[string]string{k: v})); err == nil || !strings.Contains(err.Error(), strings.ToLower(strings.TrimPrefix(k, "INPUT_"))) {
			t.Errorf("%s=%s: %v", k, v, err)
		}
	}
	if _, err := ReadInputs(get(map[string]string{"INPUT_SCAN": "image"})); err == nil {
		t.Error("an image without a name")
	}
	if got := (Inputs{}).Sources(Decision{}); strings.Join(got, " ") != "git" {
		t.Error(got)
	}
	if got := (Inputs{}).Sources(Decision{Run: 1}); strings.Join(got, " ") != "logs" {
		t.Error(got)
	}
}
