package githubtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Repository is a repository on a Server, with a history of every shape that events refer to.
// Each commit adds a file with its own cookie, so that a test can distinguish what was read
// from what was found.
type Repository struct {
	t   testing.TB
	s   *Server
	dir string // bare
	n   int
	// At are commits by name.
	At map[string]string
}

// Event is an event that GitHub sends to a job.
type Event struct {
	Name    string // of the case
	Event   string
	Example string // the action of GitHub's published example, if there are several
	Ref     string
	SHA     string // GITHUB_SHA
	// Payload is merged into GitHub's example, at the top and below its objects.
	Payload map[string]any
	// Checkout does what actions/checkout does, in an empty folder.
	Checkout func(dir string)
	// Commits are the arguments of the git command that lists the introduced commits; nil:
	// none.
	Commits []string
	Private bool
	Fork    bool
	// Exit is the exit code if every commit has a finding of medium confidence and fail-on is
	// never.
	Exit int
}

// Git runs git in the repository.
func (r *Repository) Git(args ...string) string {
	r.t.Helper()
	return Git(r.t, r.dir, args...)
}

// Git runs git in a folder.
func Git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("git", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_TERMINAL_PROMPT=0")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("git %v: %v %s", args, err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

// Cookie is the n-th made-up session.
func Cookie(n int) string {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	s := []byte("q4m8d2k6v0x9r3t7b1n5h8j2l6p0s4w7")
	for k := range s {
		n = n*1103515245 + 12345 + k
		s[k] = digits[(n>>16)&31]
	}
	return "Cookie: sessionid=" + string(s)
}

// NewRepository makes the repository, and serves it over git's protocol.
func NewRepository(t testing.TB, s *Server) *Repository {
	t.Helper()
	top := t.TempDir()
	r := &Repository{t: t, s: s, dir: filepath.Join(top, s.Owner, s.Repo), At: map[string]string{}}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r.Git("init", "-q", "--bare", "-b", "main")
	backend := filepath.Join(r.Git("--exec-path"), "git-http-backend")
	h := &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + top, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_CONFIG_KEY_1=uploadpack.allowReachableSHA1InWant", "GIT_CONFIG_VALUE_1=true", "GIT_CONFIG_KEY_2=uploadpack.allowFilter", "GIT_CONFIG_VALUE_2=true"}}
	s.Git = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if u, p, _ := q.BasicAuth(); u != "x-access-token" || p != s.Token {
			w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, q)
	})
	r.history()
	return r
}

// commit makes a commit on top of parents, with the tree of the first one and one more file.
func (r *Repository) commit(name string, parents ...string) string {
	r.t.Helper()
	r.n++
	index := filepath.Join(r.dir, "index-of-the-test")
	_ = os.Remove(index)
	run := func(stdin string, args ...string) string {
		c := exec.Command("git", args...)
		c.Dir, c.Stdin = r.dir, strings.NewReader(stdin)
		date := fmt.Sprintf("2026-01-01T00:%02d:%02dZ", r.n/60, r.n%60)
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_INDEX_FILE="+index, "GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
		out, err := c.CombinedOutput()
		if err != nil {
			r.t.Fatalf("git %v: %v %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if len(parents) > 0 {
		run("", "read-tree", parents[0])
	}
	text := Cookie(r.n)
	if name == "p1" {
		text += " quell:allow" // as an attacker would write it
	}
	blob := run(text+"\n", "hash-object", "-w", "--stdin")
	run("", "update-index", "--add", "--cacheinfo", "100644,"+blob+",src/"+name+".txt")
	args := []string{"commit-tree", run("", "write-tree"), "-m", name}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	r.At[name] = run("", args...)
	return r.At[name]
}

// Evil is a commit on top of another, with a file for each hostile name, and a hostile message.
// The files' cookies are numbered from 100.
func (r *Repository) Evil(parent string) string {
	r.t.Helper()
	index := filepath.Join(r.dir, "index-of-the-test")
	_ = os.Remove(index)
	run := func(stdin string, args ...string) string {
		c := exec.Command("git", args...)
		c.Dir, c.Stdin = r.dir, strings.NewReader(stdin)
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_INDEX_FILE="+index, "GIT_AUTHOR_NAME=::error::evil", "GIT_AUTHOR_EMAIL=<script>evil@x", "GIT_COMMITTER_NAME=evil", "GIT_COMMITTER_EMAIL=evil@x")
		out, err := c.Output()
		if err != nil {
			r.t.Fatalf("git %v: %v %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("", "read-tree", parent)
	var list strings.Builder
	for n, name := range Hostile() {
		name = strings.Trim(strings.NewReplacer("\x00", "", "../", "", "://", "", "//", "", "/", "\u2215").Replace(name), "/")
		blob := run(Cookie(100+n)+"\n", "hash-object", "-w", "--stdin")
		fmt.Fprintf(&list, "100644 %s\t%s\x00", blob, name)
	}
	run(list.String(), "update-index", "-z", "--index-info")
	return run("", "commit-tree", run("", "write-tree"), "-p", parent, "-m", strings.ReplaceAll(strings.Join(Hostile(), "\n"), "\x00", "")+"\n"+Cookie(99))
}

func (r *Repository) ref(name, commit string) { r.Git("update-ref", name, commit) }

func (r *Repository) history() {
	at := ""
	for _, n := range []string{"c0", "c1", "c2", "c3", "c4", "c5"} {
		if at == "" {
			at = r.commit(n)
		} else {
			at = r.commit(n, at)
		}
	}
	r.ref("refs/heads/main", at)
	r.Git("tag", "-a", "v1", "-m", "the first", r.At["c1"])
	r.Git("tag", "-a", "v2", "-m", "the second", r.At["c5"])
	r.Git("tag", "latest", r.At["c5"])
	// A branch that merges the default branch in between.
	f1 := r.commit("f1", r.At["c3"])
	f2 := r.commit("f2", f1, r.At["c4"])
	r.ref("refs/heads/feature", r.commit("f3", f2))
	// A branch that was rewritten; its earlier commits have no name any more.
	o1 := r.commit("o1", r.At["c4"])
	r.commit("o2", o1)
	n1 := r.commit("n1", o1)
	r.ref("refs/heads/rewritten", r.commit("n2", n1))
	// A fork's pull request, and the merge commit that GitHub makes for it.
	p1 := r.commit("p1", r.At["c4"])
	p2 := r.commit("p2", p1)
	r.ref("refs/pull/7/head", p2)
	r.ref("refs/pull/7/merge", r.commit("test-merge", r.At["c5"], p2))
	r.ref("refs/pull/8/head", r.At["f3"])
	r.ref("refs/pull/8/merge", r.commit("test-merge-8", r.At["c5"], r.At["f3"]))
	// A merge queue.
	r.ref("refs/heads/gh-readonly-queue/main/pr-8", r.commit("queued", r.At["c5"], r.At["f3"]))
}

// Checkout is actions/checkout with fetch-depth 1, or 0 for all.
func (r *Repository) Checkout(commit string, depth int) func(string) {
	return func(dir string) {
		Git(r.t, dir, "init", "-q", "-b", "main")
		Git(r.t, dir, "remote", "add", "origin", fmt.Sprintf("%s/%s/%s", r.s.URL, r.s.Owner, r.s.Repo))
		from := "file://" + r.dir
		allow := []string{"-c", "protocol.file.allow=always"}
		Git(r.t, r.dir, "config", "uploadpack.allowReachableSHA1InWant", "true")
		if depth == 0 {
			Git(r.t, dir, append(allow, "fetch", "-q", from, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*", commit)...)
		} else {
			Git(r.t, dir, append(allow, "fetch", "-q", "--no-tags", fmt.Sprintf("--depth=%d", depth), from, commit)...)
		}
		Git(r.t, dir, "-c", "advice.detachedHead=false", "checkout", "-q", commit)
	}
}

// withoutBlobs is actions/checkout with filter: blob:none. The clone has all commits and trees,
// and no file contents, because nothing is checked out.
func (r *Repository) withoutBlobs(commit string) func(string) {
	return func(dir string) {
		Git(r.t, r.dir, "config", "uploadpack.allowFilter", "true")
		Git(r.t, dir, "-c", "protocol.file.allow=always", "clone", "-q", "--no-checkout", "--filter=blob:none", "file://"+r.dir, ".")
		Git(r.t, dir, "update-ref", "--no-deref", "HEAD", commit)
	}
}

// Events are the test cases.
func (r *Repository) Events() []Event {
	at := func(n string) string { return r.At[n] }
	none := strings.Repeat("0", 40)
	push := func(name, ref, before, after string, depth int, more map[string]any, commits ...string) Event {
		p := map[string]any{"ref": ref, "before": before, "after": after, "created": before == none, "forced": false, "deleted": false}
		maps.Copy(p, more)
		return Event{Name: name, Event: "push", Ref: ref, SHA: r.Git("rev-parse", after+"^{commit}"), Payload: p, Checkout: r.Checkout(r.Git("rev-parse", after+"^{commit}"), depth), Commits: commits}
	}
	pull := func(name, event string, number int, head string, fork bool, checkout func(string), sha, ref string) Event {
		repo := map[string]any{"id": 1}
		if fork {
			repo = map[string]any{"id": 2}
		}
		return Event{Name: name, Event: event, Ref: ref, SHA: sha, Checkout: checkout, Fork: fork, Commits: []string{at(head), "^" + at("c5")}, Payload: map[string]any{"number": number,
			"pull_request": map[string]any{"number": number, "head": map[string]any{"sha": at(head), "repo": repo}, "base": map[string]any{"sha": at("c5"), "ref": "main", "repo": map[string]any{"id": 1}}}}}
	}
	main := "refs/heads/main"
	everything := []string{at("c5"), at("f3"), at("n2"), at("queued")}
	list := []Event{
		push("a push, whole", main, at("c3"), at("c5"), 0, nil, at("c5"), "^"+at("c3")),
		push("a push, shallow", main, at("c3"), at("c5"), 1, nil, at("c5"), "^"+at("c3")),
		{Name: "a push, without blobs", Event: "push", Ref: main, SHA: at("c5"), Checkout: r.withoutBlobs(at("c5")), Commits: []string{at("c5"), "^" + at("c3")}, Payload: map[string]any{"ref": main, "before": at("c3"), "after": at("c5"), "forced": false, "created": false, "deleted": false}},
		{Name: "a schedule, without blobs", Event: "schedule", Ref: main, SHA: at("c5"), Checkout: r.withoutBlobs(at("c5")), Commits: everything},
		push("a push with a merge in it, shallow", "refs/heads/feature", at("f1"), at("f3"), 1, nil, at("f3"), "^"+at("f1")),
		push("a push of a commit that is there", main, at("c5"), at("c5"), 1, nil, at("c5"), "^"+at("c5")),
		push("a new branch, whole", "refs/heads/feature", none, at("f3"), 0, nil, at("f3"), "^"+at("c5")),
		push("a new branch, shallow", "refs/heads/feature", none, at("f3"), 1, nil, at("f3"), "^"+at("c5")),
		push("the first push of all, shallow", main, none, at("c5"), 1, nil, at("c5")),
		push("a forced push, whole", "refs/heads/rewritten", at("o2"), at("n2"), 0, map[string]any{"forced": true}, at("n2"), "^"+at("o2")),
		push("a forced push, shallow", "refs/heads/rewritten", at("o2"), at("n2"), 1, map[string]any{"forced": true}, at("n2"), "^"+at("o2")),
		push("a forced push whose past is lost", "refs/heads/rewritten", strings.Repeat("ab", 20), at("n2"), 1, map[string]any{"forced": true}, at("n2")),
		push("a tag, whole", "refs/tags/v2", none, r.Git("rev-parse", "v2"), 0, nil, at("c5"), "^"+at("c1")),
		push("a tag, shallow", "refs/tags/v2", none, r.Git("rev-parse", "v2"), 1, nil, at("c5"), "^"+at("c1")),
		pull("a pull request, whole", "pull_request", 8, "f3", false, r.Checkout(at("test-merge-8"), 0), at("test-merge-8"), "refs/pull/8/merge"),
		pull("a pull request, shallow", "pull_request", 8, "f3", false, r.Checkout(at("test-merge-8"), 1), at("test-merge-8"), "refs/pull/8/merge"),
		pull("a fork's pull request, shallow", "pull_request", 7, "p2", true, r.Checkout(at("test-merge"), 1), at("test-merge"), "refs/pull/7/merge"),
		pull("a fork's pull request on the base", "pull_request_target", 7, "p2", true, r.Checkout(at("c5"), 1), at("c5"), main),
		pull("a pull request without a checkout", "pull_request", 8, "f3", false, func(string) {}, at("test-merge-8"), "refs/pull/8/merge"),
		{Name: "a merge group, shallow", Event: "merge_group", Example: "checks_requested", Ref: "refs/heads/gh-readonly-queue/main/pr-8", SHA: at("queued"), Checkout: r.Checkout(at("queued"), 1), Commits: []string{at("queued"), "^" + at("c5")},
			Payload: map[string]any{"merge_group": map[string]any{"head_sha": at("queued"), "base_sha": at("c5")}}},
		{Name: "a schedule, whole", Event: "schedule", Ref: main, SHA: at("c5"), Checkout: r.Checkout(at("c5"), 0), Commits: everything},
		{Name: "a schedule, shallow", Event: "schedule", Ref: main, SHA: at("c5"), Checkout: r.Checkout(at("c5"), 1), Commits: everything},
		{Name: "by hand, without a checkout", Event: "workflow_dispatch", Ref: main, SHA: at("c5"), Checkout: func(string) {}, Commits: everything},
		{Name: "a release, shallow", Event: "release", Example: "published", Ref: "refs/tags/v2", SHA: at("c5"), Checkout: r.Checkout(at("c5"), 1), Commits: []string{at("c5"), "^" + at("c1")}, Payload: map[string]any{"release": map[string]any{"tag_name": "v2"}}},
		{Name: "a branch that was deleted", Event: "push", Ref: main, SHA: at("c5"), Checkout: r.Checkout(at("c5"), 1), Payload: map[string]any{"ref": "refs/heads/x", "before": at("c5"), "after": none, "deleted": true}},
	}
	return list
}

// Brought is git's own answer: the commits of an event, sorted.
func (r *Repository) Brought(e Event) []string {
	if e.Commits == nil {
		return []string{}
	}
	out := strings.Fields(r.Git(append([]string{"rev-list"}, e.Commits...)...))
	slices.Sort(out)
	return out
}

// Fill makes the event's payload from an example.
func (r *Repository) Fill(e Event, example map[string]any) []byte {
	p := map[string]any{}
	if example != nil {
		b, _ := json.Marshal(example)
		_ = json.Unmarshal(b, &p)
	}
	put(p, map[string]any{"repository": map[string]any{"id": 1, "full_name": r.s.Owner + "/" + r.s.Repo, "private": e.Private, "default_branch": "main"}})
	put(p, e.Payload)
	b, _ := json.Marshal(p)
	return b
}

func put(to, from map[string]any) {
	for k, v := range from {
		below, ok := v.(map[string]any)
		old, was := to[k].(map[string]any)
		if ok && was {
			put(old, below)
		} else {
			to[k] = v
		}
	}
}
