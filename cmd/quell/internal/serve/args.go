package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
)

// Jobs. Their arguments name what they act on, and never have a secret: a credential is named
// by its fingerprint, which is keyed.

// EnumerateArgs are the arguments of the job that lists the repositories of a target.
type EnumerateArgs struct {
	Target string `json:"target"`
	// Entry is the one entry of the target's list that a sweep could not list; empty: all.
	Entry string `json:"entry,omitempty"`
}

// ScanArgs reads a repository, or one run of it.
type ScanArgs struct {
	Target string `json:"target"`
	Repo   string `json:"repo"`
	What   string `json:"what"`          // one of what…
	Run    string `json:"run,omitempty"` // of whatRuns: this run only
	// Attempt is the run's last one, if it is known that it has ended; 0: the server is asked.
	Attempt int `json:"attempt,omitempty"`
	// Ref is what an event is about: the head of a push, the number of an alert, an image.
	Ref string `json:"ref,omitempty"`
	// Event is the delivery that reported an image: a tag that is moved while a job reads it is
	// read again.
	Event string `json:"event,omitempty"`
}

// The parts that a scan reads.
const (
	whatRuns   = "runs"
	whatGit    = "git"
	whatAlerts = "alerts"
	whatImage  = "image"
)

// ProbeArgs asks the issuer of a credential.
type ProbeArgs struct {
	Fingerprint string `json:"fingerprint"`
}

// KillArgs plans and applies what the policy allows for a credential, and proves the result.
type KillArgs struct {
	Fingerprint string `json:"fingerprint"`
}

// RecheckArgs asks again about what was live or ended.
type RecheckArgs struct{}

// RetentionArgs deletes what is kept no longer.
type RetentionArgs struct{}

// NotifyArgs sends one message to one webhook.
type NotifyArgs struct {
	Hook        string `json:"hook"`
	Event       string `json:"event"`
	Fingerprint string `json:"fingerprint"`
}

// Kind implements river.JobArgs, as the methods below do.
func (EnumerateArgs) Kind() string { return "enumerate" }
func (ScanArgs) Kind() string      { return "scan" }
func (ProbeArgs) Kind() string     { return "probe" }
func (KillArgs) Kind() string      { return "kill" }
func (RecheckArgs) Kind() string   { return "recheck" }
func (NotifyArgs) Kind() string    { return "notify" }
func (RetentionArgs) Kind() string { return "retention" }

// Queues keep slow work from delaying what must be fast.
const (
	queueList   = "list" // enumerate, recheck
	queueScan   = "scan"
	queueProbe  = "probe"
	queueKill   = "kill"
	queueNotify = "notify"
)

// Priorities, 1 first.
const (
	urgent = 1 // an event, or a live credential
	public = 2 // everyone can read it
	usual  = 3
	late   = 4 // work that repeats
)

// unfinished are the states in which a second job for the same thing is not added.
var unfinished = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled}}

// job makes the parameters of a job that is unique by its arguments.
func job(args river.JobArgs, queue string, priority int) river.InsertManyParams {
	return river.InsertManyParams{Args: args, InsertOpts: &river.InsertOpts{Queue: queue, Priority: priority, UniqueOpts: unfinished}}
}

// insert adds jobs in a transaction. PostgreSQL refuses a statement that has one of them twice.
func (s *Server) insert(ctx context.Context, tx *store.Tx, jobs ...river.InsertManyParams) error {
	seen := map[river.JobArgs]bool{}
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j river.InsertManyParams) bool {
		had := seen[j.Args]
		seen[j.Args] = true
		return had
	})
	if len(jobs) == 0 {
		return nil
	}
	_, err := s.queue.InsertManyTx(ctx, tx.Tx, jobs)
	return err
}

// worker adapts a function to River.
type worker[A river.JobArgs] struct {
	river.WorkerDefaults[A]
	s  *Server
	do func(ctx context.Context, a A, red *report.Redactor) error
}

// Timeout implements river.Worker. Jobs have no time limit: store.TakeOver gives the jobs of a
// worker that stopped reporting to the others.
func (w *worker[A]) Timeout(*river.Job[A]) time.Duration { return -1 }

// Work implements river.Worker. What it returns is stored in the database: it is redacted, and
// a panic's value, which may hold a secret, is left out.
func (w *worker[A]) Work(ctx context.Context, j *river.Job[A]) (err error) {
	red := report.NewRedactor()
	start := time.Now()
	w.s.runs.begin(j.ID)
	defer w.s.runs.end(j.ID)
	ctx, span := w.s.jobSpan(ctx, j.Kind, j.ID, j.Attempt, j.Args)
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("internal error, please report: panic of type %T", x)
		}
		result := "done"
		var snooze *river.JobSnoozeError
		switch {
		case err == nil:
		case errors.As(err, &snooze):
			result = "snoozed"
			// River adds the time to this machine's clock, and compares the sum with the database's.
			err = river.JobSnooze(max(0, snooze.Duration+w.s.ahead()))
		case errors.As(err, new(*river.JobCancelError)):
			result = "cancelled"
		case ctx.Err() != nil:
			// The process is stopping, and another one continues the job: this is no failed
			// attempt.
			result, err = "stopped", river.JobSnooze(0)
		default:
			result = "failed"
			err = errors.New(report.Clean(w.s.o.Redactor.Quoted(red.Quoted(err.Error()))))
			w.s.log("job failed", "kind", j.Kind, "job", j.ID, "attempt", j.Attempt, "error", err.Error())
		}
		w.s.metrics.job(j.Kind, result, time.Since(start))
		endSpan(span, result)
	}()
	return w.do(context.WithValue(ctx, failuresKey{}, len(j.Errors)), j.Args, red)
}

// ahead is by how much the database's clock is ahead of this machine's; less than a second counts
// as nothing.
func (s *Server) ahead() time.Duration {
	if d := time.Duration(s.skew.Load()); d.Abs() > time.Second {
		return d
	}
	return 0
}

type failuresKey struct{}

// failures is how often the job of a context has failed.
func failures(ctx context.Context) int {
	n, _ := ctx.Value(failuresKey{}).(int)
	return n
}

// retries spaces the attempts of a failed job: 1, 16, 81 … seconds, an hour at most.
type retries struct{ s *Server }

// NextRetry implements river.ClientRetryPolicy.
func (r retries) NextRetry(j *rivertype.JobRow) time.Time {
	n := time.Duration(len(j.Errors) + 1)
	return time.Now().Add(r.s.ahead() + min(n*n*n*n*time.Second, time.Hour))
}

// maxAttempts is the number of attempts of a failing job. They take about a day.
const maxAttempts = 30
