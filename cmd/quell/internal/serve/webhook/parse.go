package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Kind is what an event is about.
type Kind int

// The kinds of events.
const (
	Ignored Kind = iota // nothing that quell reads
	Run                 // a workflow run, pipeline or job has ended
	Push                // refs have moved
	Package             // an image was published
	Alert               // a secret-scanning alert was opened
)

// Event is a delivery. Its texts have the forms of names and numbers, whatever was sent.
type Event struct {
	Kind Kind
	// ID is the delivery's: one that is sent again has the same.
	ID   string
	Repo string // OWNER/REPO, or GROUP/…/PROJECT; of a package without one its OWNER
	Run  string // number of the run or pipeline
	// Attempt is the run's last attempt, where the event has it; else 0.
	Attempt int
	// Ref distinguishes events about one repository: the head of a push, the number of a job or of
	// an alert, OWNER/NAME:TAG or OWNER/NAME@DIGEST of an image.
	Ref string
}

var (
	errJSON = errors.New("the body is not the JSON that the server documents (hint: choose application/json as the content type of the webhook)")
	errID   = errors.New("the header with the delivery's id is missing")
	errName = errors.New("the body lacks the name of a repository, or a number that the event has")
)

// The forms of texts, compiled when the first delivery arrives.
var (
	repoForm   = form(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){1,20}$`)
	hexForm    = form(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
	imageForm  = form(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){1,8}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$`)
	idForm     = form(`^[A-Za-z0-9-]{8,80}$`)
	digestForm = form(`^sha256:[0-9a-f]{64}$`)
)

func form(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// Parse reads a delivery that Verify accepted.
func Parse(system string, h http.Header, body []byte) (Event, error) {
	var e Event
	var err error
	switch system {
	case "github":
		e, err = parse(h.Get("X-GitHub-Event"), body)
		e.ID = h.Get("X-GitHub-Delivery")
	case "gitea":
		e, err = parse(h.Get("X-Gitea-Event"), body)
		e.ID = h.Get("X-Gitea-Delivery")
	case "gitlab":
		e, err = gitlab(body)
		// Repeats have the same Idempotency-Key (docs.gitlab.com/user/project/integrations/webhooks).
		if e.ID = h.Get("Idempotency-Key"); e.ID == "" {
			e.ID = h.Get("X-Gitlab-Webhook-UUID") + h.Get("X-Gitlab-Event-UUID")
		}
	}
	if err != nil || e.Kind == Ignored {
		return e, err
	}
	if !idForm().MatchString(e.ID) {
		return e, errID
	}
	return e, e.check()
}

// check refuses what no server sends: the texts become arguments of jobs, addresses and paths.
func (e Event) check() error {
	ok := repoForm().MatchString(e.Repo) && !strings.Contains(e.Repo, "..")
	switch e.Kind {
	case Run:
		ok = ok && e.Run != "0" && e.Attempt >= 0
	case Push:
		ok = ok && hexForm().MatchString(e.Ref)
	case Package:
		ok = imageForm().MatchString(e.Ref) && !strings.Contains(e.Ref, "..")
	case Alert:
		ok = ok && e.Ref != "0"
	}
	if !ok {
		return errName
	}
	return nil
}

// zeros is the commit of a ref that does not exist.
const zeros = "0000000000000000000000000000000000000000"

// head is what a push is about: the new commit, or the last one of a ref that was deleted.
func head(before, after string) string {
	if strings.HasPrefix(after, zeros) {
		return before
	}
	return after
}

// payload is what GitHub's and Gitea's events have of what is read here
// (docs.github.com/webhooks/webhook-events-and-payloads).
type payload struct {
	Action     string `json:"action"`
	Before     string `json:"before"`
	After      string `json:"after"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	WorkflowRun struct {
		ID         int64  `json:"id"`
		RunAttempt int    `json:"run_attempt"`
		Status     string `json:"status"`
	} `json:"workflow_run"`
	WorkflowJob struct {
		ID    int64 `json:"id"`
		RunID int64 `json:"run_id"`
	} `json:"workflow_job"`
	Alert struct {
		Number int64 `json:"number"`
	} `json:"alert"`
	Package         *image `json:"package"`
	RegistryPackage *image `json:"registry_package"`
}

// image is a package. Gitea's has its version as a text, GitHub's as an object.
type image struct {
	Name        string `json:"name"`
	Namespace   string `json:"namespace"`
	Ecosystem   string `json:"ecosystem"`
	PackageType string `json:"package_type"`
	Type        string `json:"type"`
	Version     string `json:"version"`
	Owner       struct {
		Login string `json:"login"`
	} `json:"owner"`
	PackageVersion struct {
		Version           string `json:"version"`
		ContainerMetadata struct {
			Tag struct {
				Name   string `json:"name"`
				Digest string `json:"digest"`
			} `json:"tag"`
		} `json:"container_metadata"`
	} `json:"package_version"`
}

func parse(event string, body []byte) (e Event, err error) {
	switch event {
	case "workflow_run", "workflow_job", "push", "package", "registry_package", "secret_scanning_alert":
	default:
		return e, nil
	}
	var p payload
	if err := json.Unmarshal(document(body), &p); err != nil {
		return e, errJSON
	}
	e.Repo = p.Repository.FullName
	switch event {
	case "workflow_run":
		if p.Action != "completed" {
			return e, nil
		}
		e.Kind, e.Run, e.Attempt = Run, strconv.FormatInt(p.WorkflowRun.ID, 10), max(p.WorkflowRun.RunAttempt, 1)
	case "workflow_job":
		if p.Action != "completed" {
			return e, nil
		}
		e.Kind, e.Run, e.Ref = Run, strconv.FormatInt(p.WorkflowJob.RunID, 10), strconv.FormatInt(p.WorkflowJob.ID, 10)
	case "push":
		e.Kind, e.Ref = Push, head(p.Before, p.After)
	case "secret_scanning_alert":
		switch p.Action {
		case "created", "reopened", "publicly_leaked":
			e.Kind, e.Ref = Alert, strconv.FormatInt(p.Alert.Number, 10)
		}
	case "package", "registry_package":
		i := p.Package
		if event == "registry_package" {
			i = p.RegistryPackage
		}
		if i == nil || p.Action != "published" && p.Action != "updated" && p.Action != "created" {
			return e, nil
		}
		i.fill(&e)
	}
	return e, nil
}

// fill makes the event of an image; other packages are ignored.
func (i *image) fill(e *Event) {
	container := false
	for _, kind := range []string{i.PackageType, i.Ecosystem, i.Type} {
		container = container || strings.EqualFold(kind, "container") || strings.EqualFold(kind, "docker")
	}
	if !container {
		return
	}
	owner := i.Owner.Login
	if i.Namespace != "" {
		owner = i.Namespace
	}
	version := i.PackageVersion.ContainerMetadata.Tag.Name
	for _, v := range []string{i.PackageVersion.Version, i.Version} {
		if version == "" || digestForm().MatchString(v) {
			if v != "" {
				version = v
			}
		}
	}
	sep := ":"
	if digestForm().MatchString(version) {
		sep = "@"
	}
	e.Kind, e.Ref = Package, owner+"/"+i.Name+sep+version
	if e.Repo == "" {
		e.Repo = owner + "/" + i.Name
	}
}

// document returns the JSON of a delivery, also of one with the content type of forms.
func document(body []byte) []byte {
	if !bytes.HasPrefix(body, []byte("payload=")) {
		return body
	}
	v, err := url.ParseQuery(string(body))
	if err != nil {
		return body
	}
	return []byte(v.Get("payload"))
}

// gitlab reads the events of projects, groups and systems
// (docs.gitlab.com/user/project/integrations/webhook_events).
func gitlab(body []byte) (e Event, err error) {
	var p struct {
		Kind        string `json:"object_kind"`
		Before      string `json:"before"`
		After       string `json:"after"`
		BuildID     int64  `json:"build_id"`
		BuildStatus string `json:"build_status"`
		PipelineID  int64  `json:"pipeline_id"`
		Project     struct {
			Path string `json:"path_with_namespace"`
		} `json:"project"`
		Attributes struct {
			ID     int64  `json:"id"`
			Status string `json:"status"`
		} `json:"object_attributes"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return e, errJSON
	}
	e.Repo = p.Project.Path
	switch p.Kind {
	case "build":
		if ended(p.BuildStatus) {
			e.Kind, e.Run, e.Ref = Run, strconv.FormatInt(p.PipelineID, 10), strconv.FormatInt(p.BuildID, 10)
		}
	case "pipeline":
		if ended(p.Attributes.Status) {
			e.Kind, e.Run = Run, strconv.FormatInt(p.Attributes.ID, 10)
		}
	case "push", "tag_push":
		e.Kind, e.Ref = Push, head(p.Before, p.After)
	}
	return e, nil
}

func ended(status string) bool {
	return status == "success" || status == "failed" || status == "canceled"
}
