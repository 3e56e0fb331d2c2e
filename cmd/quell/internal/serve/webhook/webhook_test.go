package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

func sign(secret, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestVerify(t *testing.T) {
	const body = `{"a":1}`
	secret := rules.NewSecretString("s3cret")
	// GitHub's own example (docs.github.com: "Validating webhook deliveries").
	if !Verify("github", rules.NewSecretString("It's a Secret to Everybody"), header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), []byte("Hello, World!")) {
		t.Error("GitHub's example is refused")
	}
	good := sign("s3cret", body)
	for name, c := range map[string]struct {
		system string
		h      http.Header
		body   string
		want   bool
	}{
		"github":                    {"github", header("X-Hub-Signature-256", "sha256="+good), body, true},
		"github, another body":      {"github", header("X-Hub-Signature-256", "sha256="+good), body + " ", false},
		"github, another secret":    {"github", header("X-Hub-Signature-256", "sha256="+sign("other", body)), body, false},
		"github, cut":               {"github", header("X-Hub-Signature-256", "sha256="+good[:62]), body, false},
		"github, no prefix":         {"github", header("X-Hub-Signature-256", good), body, false},
		"github, none":              {"github", header(), body, false},
		"github, empty":             {"github", header("X-Hub-Signature-256", "sha256="), body, false},
		"github, the old signature": {"github", header("X-Hub-Signature", "sha1=0000"), body, false},
		"gitea":                     {"gitea", header("X-Gitea-Signature", good), body, true},
		"gitea, none":               {"gitea", header(), body, false},
		"gitea, GitHub's header":    {"gitea", header("X-Hub-Signature-256", "sha256="+good), body, false},
		"gitlab":                    {"gitlab", header("X-Gitlab-Token", "s3cret"), body, true},
		"gitlab, another":           {"gitlab", header("X-Gitlab-Token", "s3cre"), body, false},
		"gitlab, none":              {"gitlab", header(), body, false},
		"another system":            {"jenkins", header("X-Hub-Signature-256", "sha256="+good), body, false},
	} {
		if got := Verify(c.system, secret, c.h, []byte(c.body)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if Verify("gitlab", rules.Secret{}, header("X-Gitlab-Token", ""), nil) || Verify("github", rules.Secret{}, header("X-Hub-Signature-256", "sha256="+sign("", "")), nil) {
		t.Error("an empty secret verifies")
	}
}

const (
	commit = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
	digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	id     = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
)

func TestParse(t *testing.T) {
	repo := `"repository":{"full_name":"o/r"}`
	for name, c := range map[string]struct {
		system, event, body string
		want                Event
		err                 string
	}{
		"a run has ended":        {"github", "workflow_run", `{"action":"completed","workflow_run":{"id":30433642,"run_attempt":2},` + repo + `}`, Event{Run, id, "o/r", "30433642", 2, ""}, ""},
		"a run has begun":        {"github", "workflow_run", `{"action":"in_progress","workflow_run":{"id":30433642},` + repo + `}`, Event{}, ""},
		"a job has ended":        {"github", "workflow_job", `{"action":"completed","workflow_job":{"id":7,"run_id":8},` + repo + `}`, Event{Run, id, "o/r", "8", 0, "7"}, ""},
		"a push":                 {"github", "push", `{"before":"` + zeros + `","after":"` + commit + `",` + repo + `}`, Event{Push, id, "o/r", "", 0, commit}, ""},
		"a branch was deleted":   {"github", "push", `{"before":"` + commit + `","after":"` + zeros + `",` + repo + `}`, Event{Push, id, "o/r", "", 0, commit}, ""},
		"an alert":               {"github", "secret_scanning_alert", `{"action":"created","alert":{"number":3},` + repo + `}`, Event{Alert, id, "o/r", "", 0, "3"}, ""},
		"a resolved alert":       {"github", "secret_scanning_alert", `{"action":"resolved","alert":{"number":3},` + repo + `}`, Event{}, ""},
		"an image":               {"github", "package", `{"action":"published","package":{"name":"app","namespace":"O","package_type":"CONTAINER","package_version":{"version":"` + digest + `","container_metadata":{"tag":{"name":"v1"}}}},` + repo + `}`, Event{Package, id, "o/r", "", 0, "O/app@" + digest}, ""},
		"an npm package":         {"github", "package", `{"action":"published","package":{"name":"app","package_type":"npm"},` + repo + `}`, Event{}, ""},
		"a ping":                 {"github", "ping", `{"zen":"x"}`, Event{}, ""},
		"a form":                 {"github", "push", `payload=` + strings.NewReplacer(`"`, "%22", "{", "%7B", "}", "%7D", ":", "%3A", ",", "%2C", "/", "%2F").Replace(`{"after":"`+commit+`",`+repo+`}`), Event{Push, id, "o/r", "", 0, commit}, ""},
		"no JSON":                {"github", "push", `{`, Event{}, "not the JSON"},
		"no repository":          {"github", "push", `{"after":"` + commit + `"}`, Event{}, "lacks the name"},
		"a path in the name":     {"github", "push", `{"after":"` + commit + `","repository":{"full_name":"o/../x"}}`, Event{}, "lacks the name"},
		"no run":                 {"github", "workflow_run", `{"action":"completed",` + repo + `}`, Event{}, "lacks the name"},
		"an image elsewhere":     {"github", "package", `{"action":"published","package":{"name":"app@evil.example/x","namespace":"o","package_type":"container","package_version":{"version":"v1"}},` + repo + `}`, Event{}, "lacks the name"},
		"Gitea: a run has ended": {"gitea", "workflow_run", `{"action":"completed","workflow_run":{"id":5,"run_attempt":1},` + repo + `}`, Event{Run, id, "o/r", "5", 1, ""}, ""},
		"Gitea: an image":        {"gitea", "package", `{"action":"created","package":{"owner":{"login":"o"},"name":"app","version":"v2","type":"container"},` + repo + `}`, Event{Package, id, "o/r", "", 0, "o/app:v2"}, ""},
		"GitLab: a job":          {"gitlab", "", `{"object_kind":"build","build_id":1977,"build_status":"failed","pipeline_id":2366,"project":{"path_with_namespace":"g/s/p"}}`, Event{Run, id, "g/s/p", "2366", 0, "1977"}, ""},
		"GitLab: a running job":  {"gitlab", "", `{"object_kind":"build","build_id":1977,"build_status":"running","pipeline_id":2366,"project":{"path_with_namespace":"g/p"}}`, Event{}, ""},
		"GitLab: a pipeline":     {"gitlab", "", `{"object_kind":"pipeline","object_attributes":{"id":31,"status":"success"},"project":{"path_with_namespace":"g/p"}}`, Event{Run, id, "g/p", "31", 0, ""}, ""},
		"GitLab: a push":         {"gitlab", "", `{"object_kind":"push","before":"` + zeros + `","after":"` + commit + `","project":{"path_with_namespace":"g/p"}}`, Event{Push, id, "g/p", "", 0, commit}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := header("X-GitHub-Event", c.event, "X-GitHub-Delivery", id, "X-Gitea-Event", c.event, "X-Gitea-Delivery", id, "Idempotency-Key", id)
			got, err := Parse(c.system, h, []byte(c.body))
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %q", err, c.err)
				}
			case err != nil:
				t.Error(err)
			case c.want.Kind == Ignored && got.Kind != Ignored || c.want.Kind != Ignored && got != c.want:
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	if _, err := Parse("github", header("X-GitHub-Event", "push"), []byte(`{"after":"`+commit+`",`+repo+`}`)); err == nil {
		t.Error("a delivery without an id is taken")
	}
}

// For any body, the fields of an event are valid in jobs, addresses and paths.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"action":"completed","workflow_run":{"id":1},"repository":{"full_name":"o/r"}}`, `{"object_kind":"push","after":"` + commit + `","project":{"path_with_namespace":"g/p"}}`, `payload=%7B`, `{"action":"published","package":{"name":"a","namespace":"b","type":"container","version":"c"}}`} {
		for _, system := range []string{"github", "gitlab", "gitea"} {
			f.Add(system, "package", s)
			f.Add(system, "workflow_run", s)
		}
	}
	f.Fuzz(func(t *testing.T, system, event, body string) {
		e, err := Parse(system, header("X-GitHub-Event", event, "X-Gitea-Event", event, "X-GitHub-Delivery", id, "X-Gitea-Delivery", id, "Idempotency-Key", id), []byte(body))
		if err != nil || e.Kind == Ignored {
			return
		}
		for _, s := range []string{e.Repo, e.Run, e.Ref} {
			if strings.Contains(s, "..") || strings.ContainsAny(s, " \t\n\"'?#\\%&<>") || len(s) > 4096 {
				t.Errorf("%+v", e)
			}
		}
	})
}
