// Package action is quell within a GitHub Actions job: it selects what to scan for an event,
// decides how far the event is trusted, and reports the result to GitHub.
package action

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Env holds the variables that the runner sets for a job.
// https://docs.github.com/actions/reference/workflows-and-actions/variables
type Env struct {
	Event      string // GITHUB_EVENT_NAME
	Payload    string // GITHUB_EVENT_PATH
	Repository string // GITHUB_REPOSITORY, OWNER/NAME
	Ref        string // GITHUB_REF
	SHA        string // GITHUB_SHA
	Server     string // GITHUB_SERVER_URL
	API        string // GITHUB_API_URL
	Workspace  string // GITHUB_WORKSPACE
	Run        int64  // GITHUB_RUN_ID
	Attempt    int    // GITHUB_RUN_ATTEMPT
	Output     string // GITHUB_OUTPUT
	Summary    string // GITHUB_STEP_SUMMARY
	Temp       string // RUNNER_TEMP
	Hosted     bool   // RUNNER_ENVIRONMENT: a machine that is gone after the job
	Runner     string // RUNNER_NAME
}

// ReadEnv reads the runner's variables.
func ReadEnv(getenv func(string) string) (Env, error) {
	e := Env{Event: getenv("GITHUB_EVENT_NAME"), Payload: getenv("GITHUB_EVENT_PATH"), Repository: getenv("GITHUB_REPOSITORY"), Ref: getenv("GITHUB_REF"), SHA: getenv("GITHUB_SHA"),
		Server: strings.TrimRight(getenv("GITHUB_SERVER_URL"), "/"), API: getenv("GITHUB_API_URL"), Workspace: getenv("GITHUB_WORKSPACE"),
		Output: getenv("GITHUB_OUTPUT"), Summary: getenv("GITHUB_STEP_SUMMARY"), Temp: getenv("RUNNER_TEMP"), Hosted: getenv("RUNNER_ENVIRONMENT") == "github-hosted", Runner: getenv("RUNNER_NAME")}
	if e.Event == "" || e.Payload == "" || e.Workspace == "" {
		return e, errors.New("this is no job of GitHub Actions: GITHUB_EVENT_NAME, GITHUB_EVENT_PATH or GITHUB_WORKSPACE is not set (hint: quell scan)")
	}
	e.Run, _ = strconv.ParseInt(getenv("GITHUB_RUN_ID"), 10, 64)
	e.Attempt, _ = strconv.Atoi(getenv("GITHUB_RUN_ATTEMPT"))
	e.Attempt = max(e.Attempt, 1)
	if e.Temp == "" {
		e.Temp = os.TempDir()
	}
	return e, nil
}

// repository is one as payloads describe it.
type repository struct {
	ID            int64  `json:"id"`
	FullName      string `json:"full_name"`
	Private       *bool  `json:"private"`
	DefaultBranch string `json:"default_branch"`
}

// side is one end of a pull request. The repository of a fork that was deleted is
// null.
type side struct {
	SHA  string      `json:"sha"`
	Ref  string      `json:"ref"`
	Repo *repository `json:"repo"`
}

// payload is what is read of an event.
// https://docs.github.com/webhooks/webhook-events-and-payloads
type payload struct {
	Repository repository `json:"repository"`

	Before  string `json:"before"`
	After   string `json:"after"`
	Ref     string `json:"ref"`
	Created bool   `json:"created"`
	Deleted bool   `json:"deleted"`
	Forced  bool   `json:"forced"`
	RefType string `json:"ref_type"` // of create

	PullRequest *struct {
		Number int  `json:"number"`
		Head   side `json:"head"`
		Base   side `json:"base"`
	} `json:"pull_request"`
	MergeGroup *struct {
		HeadSHA string `json:"head_sha"`
		BaseSHA string `json:"base_sha"`
	} `json:"merge_group"`
	WorkflowRun *struct {
		ID             int64       `json:"id"`
		Attempt        int         `json:"run_attempt"`
		Event          string      `json:"event"`
		Name           string      `json:"name"`
		HeadRepository *repository `json:"head_repository"`
	} `json:"workflow_run"`
	Release *struct {
		Tag string `json:"tag_name"`
	} `json:"release"`
}

// maxPayload is GitHub's own bound on a payload, 25 MB.
const maxPayload = 25 << 20

// Decision is the work that an event causes, and the trust that its author gets.
type Decision struct {
	// What is the part of the repository that is read, for people.
	What string
	// Range and Not, or Release, or Whole select that part; none set: nothing is read.
	Range   string
	Not     []string
	Release string
	Whole   bool
	// Run is the finished run whose logs an event is about, with its last attempt.
	Run     int64
	Attempt int
	// Stranger is the reason why the scanned text may come from a person without any rights
	// here; empty: it does not.
	Stranger string
	Public   bool
	// NoKill is the reason why this event permits no kill; empty: it permits them.
	NoKill string
	// Base is the commit whose allow-list and rules are heeded: never what is being
	// brought. Empty: the default branch's.
	Base string
	// Default is the default branch, whose policy is heeded.
	Default string
	// PullRequest is its number; 0: there is none.
	PullRequest int
	// Ref and SHA are what results are filed under.
	Ref, SHA string
}

// anybody are the events that somebody without any rights can bring about.
var anybody = map[string]bool{"issue_comment": true, "issues": true, "discussion": true, "discussion_comment": true, "fork": true, "watch": true, "gollum": true,
	"pull_request_review": true, "pull_request_review_comment": true}

// ours are the events after which something may be killed: only who may write to the
// repository brings them about, and the workflow that runs is the repository's own.
var ours = map[string]bool{"push": true, "schedule": true, "workflow_dispatch": true, "repository_dispatch": true, "merge_group": true, "release": true, "workflow_run": true}

// Decide reads the event's payload.
func Decide(e Env) (Decision, error) {
	f, err := os.Open(e.Payload)
	if err != nil {
		return Decision{}, fmt.Errorf("event: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPayload+1))
	if err != nil {
		return Decision{}, fmt.Errorf("event: %w", err)
	}
	if len(b) > maxPayload {
		return Decision{}, fmt.Errorf("event: the payload is larger than %d bytes", maxPayload)
	}
	var p payload
	if err := json.Unmarshal(b, &p); err != nil {
		return Decision{}, fmt.Errorf("event: %s is no payload: %w", filepath.Base(e.Payload), err)
	}
	return decide(e, p)
}

func decide(e Env, p payload) (Decision, error) {
	d := Decision{Public: p.Repository.Private == nil || !*p.Repository.Private, Default: p.Repository.DefaultBranch, Ref: e.Ref, SHA: e.SHA}
	if d.Default != "" && e.Ref == "refs/heads/"+d.Default {
		d.Base = e.SHA
	}
	if anybody[e.Event] {
		d.Stranger = e.Event + " is an event that anybody brings about"
	}
	if !ours[e.Event] {
		d.NoKill = "nothing is killed on " + e.Event
	}
	var err error
	switch {
	case e.Event == "push":
		err = d.push(e, p)
	case e.Event == "create":
		err = d.create(e, p)
	case p.PullRequest != nil:
		err = d.pullRequest(e, p)
	case e.Event == "merge_group":
		if p.MergeGroup == nil {
			return d, missing(e, "merge_group")
		}
		d.What, d.Base = "what the merge group adds", p.MergeGroup.BaseSHA
		err = d.commits(e, p.MergeGroup.BaseSHA, p.MergeGroup.HeadSHA)
	case e.Event == "workflow_run":
		err = d.workflowRun(e, p)
	case e.Event == "release":
		if p.Release == nil {
			return d, missing(e, "release")
		}
		d.What = "what the release brings since the tags before it"
		d.Release, err = commit(e, "GITHUB_SHA", e.SHA)
	case e.Event == "pull_request" || e.Event == "pull_request_target":
		return d, missing(e, "pull_request")
	default:
		// schedule, workflow_dispatch and all that bring no commits of their own.
		d.What, d.Whole = "the whole repository", true
	}
	if d.Stranger != "" && d.NoKill == "" {
		d.NoKill = "nothing is killed where " + d.Stranger
	}
	return d, err
}

func missing(e Env, what string) error {
	return fmt.Errorf("event: the payload of %s has no %s", e.Event, what)
}

// commit checks that a payload's value is a commit's name, and nothing that git or a
// shell would take for something else.
func commit(e Env, what, sha string) (string, error) {
	if len(sha) != 40 && len(sha) != 64 || strings.Trim(sha, "0123456789abcdef") != "" {
		return "", fmt.Errorf("event: %s of %s is no commit", what, e.Event)
	}
	return sha, nil
}

func zero(sha string) bool { return strings.Trim(sha, "0") == "" }

func (d *Decision) commits(e Env, from, to string) error {
	from, err := commit(e, "the base", from)
	if err != nil {
		return err
	}
	if to, err = commit(e, "the head", to); err != nil {
		return err
	}
	d.Range = from + ".." + to
	return nil
}

func (d *Decision) push(e Env, p payload) error {
	if p.Deleted || zero(p.After) && p.After != "" {
		d.What = "nothing: a branch or tag was deleted"
		return nil
	}
	if tag, ok := strings.CutPrefix(p.Ref, "refs/tags/"); ok && tag != "" {
		d.What = "what the tag brings since the tags before it"
		var err error
		d.Release, err = commit(e, "after", p.After)
		return err
	}
	if err := d.commits(e, p.Before, p.After); err != nil {
		return err
	}
	branch, _ := strings.CutPrefix(p.Ref, "refs/heads/")
	switch {
	case zero(p.Before) && (branch == p.Repository.DefaultBranch || p.Repository.DefaultBranch == ""):
		d.What = "all that the new default branch has"
	case zero(p.Before):
		d.What = "what the new branch has and the default branch has not"
		d.Not = []string{"refs/remotes/origin/" + p.Repository.DefaultBranch}
	case p.Forced:
		d.What = "what the forced push brought"
	default:
		d.What = "what the push brought"
	}
	return nil
}

// create is the push of a new ref; the event has no commits.
func (d *Decision) create(e Env, p payload) error {
	pre := "refs/heads/"
	if p.RefType == "tag" {
		pre = "refs/tags/"
	}
	sha, err := commit(e, "GITHUB_SHA", e.SHA)
	if err != nil {
		return err
	}
	p.Before, p.After, p.Ref = strings.Repeat("0", len(sha)), sha, pre+p.Ref
	return d.push(e, p)
}

func (d *Decision) pullRequest(e Env, p payload) error {
	q := p.PullRequest
	d.PullRequest, d.Base = q.Number, q.Base.SHA
	d.What = "what the pull request brings"
	// A fork that was deleted has no repository.
	if q.Head.Repo == nil || q.Base.Repo == nil || q.Head.Repo.ID != q.Base.Repo.ID {
		d.Stranger = "the pull request comes from a fork"
	}
	if e.Event != "pull_request" {
		// The job runs on the base; its results belong to the head.
		d.Ref, d.SHA = fmt.Sprintf("refs/pull/%d/head", q.Number), q.Head.SHA
	}
	return d.commits(e, q.Base.SHA, q.Head.SHA)
}

func (d *Decision) workflowRun(e Env, p payload) error {
	w := p.WorkflowRun
	if w == nil || w.ID == 0 {
		return missing(e, "workflow_run")
	}
	d.What = "nothing: the run's logs and artifacts are"
	d.Run, d.Attempt = w.ID, max(w.Attempt, 1)
	switch {
	case w.HeadRepository == nil || w.HeadRepository.ID != p.Repository.ID:
		d.Stranger = "the run is of a pull request from a fork"
	case anybody[w.Event]:
		d.Stranger = "the run is of " + w.Event + ", an event that anybody brings about"
	case !ours[w.Event]:
		d.NoKill = "nothing is killed after a run of " + w.Event
	}
	return nil
}
