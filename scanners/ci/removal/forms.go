package removal

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// form is one kind of thing that a system can delete. Words of paths that begin with ":" match a
// name, those with "#" a number.
type form struct {
	system, kind string
	origin       string // the path of a Location's Origin
	method, path string // the request; empty path: that of the origin
	query        string
	what         string // of which the request is, with the path's words
	takes        string // what it deletes besides; empty: nothing
	// parent is a path that the server answers with 200 while the token has access to things of
	// this kind, whether this one exists or not: without it a 404 does not mean that it is gone.
	parent string
	// open reports that everyone who signs in may read the parent: a 404 means that the thing is
	// gone only if this token read it before.
	open bool
	// lacks reports whether the parent's document shows that nothing is stored at address n of
	// copies.from; nil: the document does not list it.
	lacks func(doc map[string]json.RawMessage, n int) bool
	// erased reports whether an answer with status 200 is what the server gives for a log that it
	// has deleted; nil: it gives none.
	erased func(log []byte) bool
	copies copies
	// found is set if the server answers an accepted request with a redirect.
	found bool
	// none is the reason why the system can't delete it, and what to do; empty: it can.
	none string
}

// copies is how everything that a request deletes is fetched: as a scan of the run fetches it,
// or from addresses, the first of which must exist.
type copies struct {
	target, run     string
	logs, artifacts bool
	from            []string // paths, each with its query
}

// forms lists what the systems can delete, by their documentation.
var forms = []form{
	// docs.github.com/rest/actions/workflow-runs, /artifacts, /cache
	{system: "github", kind: Logs, origin: "repos/:o/:r/actions/runs/#run/logs", method: http.MethodDelete,
		what: "the logs of run #run of :o/:r", takes: "the logs of all jobs and attempts of the run", parent: "repos/:o/:r/actions/runs/#run/jobs",
		copies: copies{target: ":o/:r", run: "#run", logs: true}},
	{system: "github", kind: Artifacts, origin: "repos/:o/:r/actions/artifacts/#id", method: http.MethodDelete,
		what: "artifact #id of :o/:r", parent: "repos/:o/:r/actions/artifacts", copies: copies{from: []string{"repos/:o/:r/actions/artifacts/#id/zip"}}},
	{system: "github", kind: Logs, origin: "repos/:o/:r/actions/jobs/#id/logs", what: "the log of job #id of :o/:r",
		none: "the run had not ended when it was scanned (next: scan it again once it has)"},
	// docs.gitlab.com/api/jobs, /job_artifacts
	{system: "gitlab", kind: Logs, origin: "projects/#p/jobs/#j/trace", method: http.MethodPost, path: "projects/#p/jobs/#j/erase",
		what: "the log of job #j of project #p", takes: "the job's artifacts, and its reports (junit, dotenv and others), which are not in the copy", parent: "projects/#p/jobs/#j",
		copies: copies{from: []string{"projects/#p/jobs/#j/trace", "projects/#p/jobs/#j/artifacts"}}, erased: empty,
		// The server gives an empty log for one that it can't find, too.
		lacks: func(doc map[string]json.RawMessage, n int) bool {
			return n == 0 && has(doc, "erased_at") || n == 1 && !has(doc, "artifacts_file")
		}},
	{system: "gitlab", kind: Artifacts, origin: "projects/#p/jobs/#j/artifacts", method: http.MethodDelete,
		what: "the artifacts of job #j of project #p", parent: "projects/#p/jobs/#j", copies: copies{from: []string{"projects/#p/jobs/#j/artifacts"}},
		lacks: func(doc map[string]json.RawMessage, _ int) bool { return !has(doc, "artifacts_file") }},
	// Gitea's own /api/swagger. It deletes no log alone.
	{system: "gitea", kind: Logs, origin: "repos/:o/:r/actions/runs/#run", method: http.MethodDelete,
		what: "run #run of :o/:r", takes: "the run itself, with all logs and artifacts", parent: "repos/:o/:r/actions/runs",
		copies: copies{target: ":o/:r", run: "#run", logs: true, artifacts: true}},
	{system: "gitea", kind: Artifacts, origin: "repos/:o/:r/actions/artifacts/#id", method: http.MethodDelete,
		what: "artifact #id of :o/:r", parent: "repos/:o/:r/actions/artifacts", copies: copies{from: []string{"repos/:o/:r/actions/artifacts/#id/zip"}}},
	// buildkite.com/docs/apis/rest-api/jobs, /artifacts
	{system: "buildkite", kind: Logs, origin: "organizations/:o/pipelines/:p/builds/#b/jobs/:j/log", method: http.MethodDelete,
		what: "the log of a job of build #b of :o/:p", parent: "organizations/:o/pipelines/:p/builds/#b",
		copies: copies{from: []string{"organizations/:o/pipelines/:p/builds/#b/jobs/:j/log"}}, erased: noContent},
	{system: "buildkite", kind: Artifacts, origin: "organizations/:o/pipelines/:p/builds/#b/jobs/:j/artifacts/:a", method: http.MethodDelete,
		what: "an artifact of build #b of :o/:p", parent: "organizations/:o/pipelines/:p/builds/#b",
		copies: copies{from: []string{"organizations/:o/pipelines/:p/builds/#b/jobs/:j/artifacts/:a/download"}}},
	// developer.travis-ci.com/resource/log
	{system: "travis", kind: Logs, origin: "job/#j/log", method: http.MethodDelete,
		what: "the log of job #j", parent: "job/#j", copies: copies{from: []string{"job/#j/log.txt"}},
		// travis-ci/travis-api, lib/travis/api/v3/remote_log.rb, clear!
		erased: regexp.MustCompile(`^Log removed by [^\r\n]{1,200}\s*$`).Match},
	// drone-go, Client.LogsPurge
	{system: "drone", kind: Logs, origin: "api/repos/:o/:r/builds/#b/logs/#s/#t", method: http.MethodDelete,
		what: "the log of a step of build #b of :o/:r", parent: "api/repos/:o/:r/builds/#b", copies: copies{from: []string{"api/repos/:o/:r/builds/#b/logs/#s/#t"}}, erased: noLines},
	// woodpecker-ci.org/api
	{system: "woodpecker", kind: Logs, origin: "api/repos/#r/logs/#p/#s", method: http.MethodDelete,
		what: "the log of a step of pipeline #p of repository #r", parent: "api/repos/#r/pipelines/#p", copies: copies{from: []string{"api/repos/#r/logs/#p/#s"}}, erased: noLines},
	// Jenkins deletes no log alone (hudson.model.Run, doDoDelete).
	{system: "jenkins", kind: Logs, origin: "job/*/#n", method: http.MethodPost, path: "job/*/#n/doDelete", found: true,
		what: "build #n of *", takes: "the whole build, with its log, artifacts and record", parent: "job/*/api/json",
		copies: copies{from: []string{"job/*/#n/consoleText", "job/*/#n/artifact/+zip+/archive.zip"}}},
	// jetbrains.com/help/teamcity/rest: a build is deleted whole.
	{system: "teamcity", kind: Logs, origin: "app/rest/builds/id:#n", method: http.MethodDelete,
		what: "build #n", takes: "the whole build, with its log, artifacts and record", parent: "app/rest/server", open: true,
		copies: copies{from: []string{"downloadBuildLog.html?buildId=#n&plain=true", "app/rest/builds/id:#n/artifacts/archived"}}},
	// learn.microsoft.com/rest/api/azure/devops/build/builds/delete
	{system: "azure", kind: Logs, origin: ":o/:p/_apis/build/builds/#b", method: http.MethodDelete, query: "api-version=7.1",
		what: "build #b of :o/:p", takes: "the whole build, with all logs, artifacts and its record; one that a lease retains is refused", parent: ":o/:p/_apis/build/definitions",
		copies: copies{target: ":o/:p", run: "#b", logs: true, artifacts: true}},
	{system: "circleci", kind: Logs, origin: "api/v2/pipeline/:p", what: "pipeline :p",
		none: "CircleCI has no API for it (next: ask its support to delete the output of the steps)"},
	{system: "bitbucket", kind: Logs, origin: "repositories/:w/:r/pipelines/:p", what: "pipeline :p of :w/:r",
		none: "Bitbucket has no API for it (next: ask its support, or wait for the end of the retention)"},
}

// maxErased is the length of the answers that erased looks at, in bytes.
const maxErased = 4 << 10

func empty(log []byte) bool { return len(log) == 0 }

// noLines is a list of no lines, as Drone and Woodpecker give them.
func noLines(log []byte) bool {
	log = bytes.TrimSpace(log)
	return string(log) == "[]" || string(log) == "null"
}

// noContent is Buildkite's document of an empty log.
func noContent(log []byte) bool {
	var doc map[string]json.RawMessage
	return json.Unmarshal(log, &doc) == nil && string(doc["content"]) == `""` && string(doc["size"]) == "0"
}

// has reports whether a document has a field that is not null.
func has(doc map[string]json.RawMessage, field string) bool {
	v, ok := doc[field]
	return ok && string(v) != "null"
}

// values are the words of a path by their name, with the sign.
type values map[string]string

// match compares a path with a form's; "*" matches any number of parts.
func match(pattern string, parts []string) (values, bool) {
	words := strings.Split(pattern, "/")
	v := values{}
	if i := slices.Index(words, "*"); i >= 0 {
		n := len(parts) - len(words) + 1
		if n < 1 {
			return nil, false
		}
		v["*"] = strings.Join(parts[i:i+n], "/")
		parts = append(append(slices.Clone(parts[:i]), "*"), parts[i+n:]...)
	}
	if len(words) != len(parts) {
		return nil, false
	}
	for i, w := range words {
		prefix, name := "", w
		if j := strings.IndexByte(w, '#'); j > 0 {
			prefix, name = w[:j], w[j:]
		}
		p, ok := strings.CutPrefix(parts[i], prefix)
		switch {
		case !ok:
			return nil, false
		case strings.HasPrefix(name, "#"):
			if p == "" || strings.Trim(p, "0123456789") != "" || p[0] == '0' {
				return nil, false
			}
			v[name] = p
		case strings.HasPrefix(name, ":"):
			v[name] = p
		case w != parts[i]:
			return nil, false
		}
	}
	return v, true
}

// path gives the parts of a form's path.
func (v values) path(pattern string) (out []string) {
	for _, w := range strings.Split(pattern, "/") {
		switch {
		case w == "*":
			out = append(out, strings.Split(v["*"], "/")...)
			continue
		case w == "+zip+":
			w = "*zip*"
		}
		out = append(out, v.word(w))
	}
	return out
}

func (v values) word(w string) string {
	if j := strings.IndexAny(w, ":#"); j >= 0 {
		if x, ok := v[w[j:]]; ok {
			return w[:j] + x
		}
		if k := strings.IndexByte(w, '#'); k > 0 {
			return w[:k] + v[w[k:]]
		}
	}
	return w
}

// text fills in the words of a text.
func (v values) text(s string) string {
	words := strings.Fields(s)
	for i, w := range words {
		parts := strings.Split(w, "/")
		for j, p := range parts {
			if p == "*" {
				p = v["*"]
			}
			parts[j] = v.word(p)
		}
		words[i] = strings.Join(parts, "/")
	}
	return strings.Join(words, " ")
}
