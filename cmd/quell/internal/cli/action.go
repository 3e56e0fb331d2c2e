package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/action"
	"github.com/quellhq/quell/cmd/quell/internal/pipeline"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/files"
	"github.com/quellhq/quell/scanners/git"
	"github.com/quellhq/quell/scanners/github"
	"github.com/quellhq/quell/scanners/oci"
)

func (a *app) action() *cobra.Command {
	return &cobra.Command{Use: "action", Short: "What the GitHub Action runs: scan what the event brought, and tell GitHub", Args: cobra.NoArgs,
		Long: `What the GitHub Action runs: scan what the event brought, and tell GitHub.

It takes everything from the runner's environment: the event, and the inputs of
action.yml as INPUT_NAME. docs/action.md has the events, and what is read of each.`,
		RunE: func(c *cobra.Command, _ []string) error {
			err := a.runAction(c.Context())
			var code exit
			if err != nil && !errors.As(err, &code) {
				fmt.Fprintf(a.out, "::error title=quell::%s\n", action.Data(err.Error()))
			}
			return err
		}}
}

// job is one run of the Action.
type job struct {
	*app
	env    action.Env
	in     action.Inputs
	d      action.Decision
	api    *github.API
	temp   string   // what a later step may want: reports
	scrap  string   // what is gone after this one
	remote *url.URL // the repository's address
	result *action.Result
}

func (a *app) runAction(ctx context.Context) error {
	j := &job{app: a}
	var err error
	if j.env, err = action.ReadEnv(a.getenv); err != nil {
		return err
	}
	if j.in, err = action.ReadInputs(a.getenv); err != nil {
		return err
	}
	if j.d, err = action.Decide(j.env); err != nil {
		return err
	}
	if j.api, err = github.NewAPI(j.env.API, j.in.Token, j.env.Repository); err != nil {
		return fmt.Errorf("GITHUB_API_URL and GITHUB_REPOSITORY: %w", err)
	}
	if j.remote, err = j.address(); err != nil {
		return err
	}
	if j.temp, err = os.MkdirTemp(j.env.Temp, "quell-"); err != nil {
		return err
	}
	j.scrap = filepath.Join(j.temp, "scrap")
	defer os.RemoveAll(j.scrap)
	for _, dir := range []string{"state", "cache", "config", "files"} {
		if err := os.MkdirAll(filepath.Join(j.scrap, dir), 0o700); err != nil {
			return err
		}
	}
	j.surround()
	return j.run(ctx)
}

// address is the repository's, as git asks for it.
func (j *job) address() (*url.URL, error) {
	u, remote, err := git.ParseRemote(j.env.Server + "/" + j.env.Repository)
	if err == nil && !remote {
		err = errors.New("not an address")
	}
	if err != nil {
		return nil, fmt.Errorf("GITHUB_SERVER_URL: %w", err)
	}
	return u, nil
}

// surround gives the run folders of its own, so that what other jobs of a machine left
// is not heeded, and names the job's token as git and the planner look for it.
func (j *job) surround() {
	outer := j.getenv
	j.getenv = func(name string) string {
		switch name {
		case "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME":
			return filepath.Join(j.scrap, strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, "XDG_"), "_HOME")))
		case "QUELL_FINGERPRINT_KEY":
			if j.in.FingerprintKey != "" {
				return j.in.FingerprintKey
			}
		case "QUELL_STATE":
			return "" // the input ledger is the only one
		case "QUELL_GIT_TOKEN":
			return j.in.Token
		case "GITHUB_TOKEN":
			if v := outer(name); v != "" {
				return v
			}
			return j.in.Token
		}
		return outer(name)
	}
}

func (j *job) run(ctx context.Context) error {
	judge := j.in.Judge(j.d)
	j.result = &action.Result{Env: j.env, Decision: j.d, Sources: j.in.Sources(j.d), Prefix: filepath.ToSlash(filepath.Clean(j.in.Repository))}
	r := j.result
	why := func(s string) {
		if s != "" {
			r.Why = append(r.Why, s)
		}
	}
	why(judge.Why)
	kill := j.in.Kill
	if kill != "off" {
		switch no := j.in.MayApply(j.env, j.d, j.durable(j.in.Ledger)); {
		case j.d.NoKill != "":
			why(no)
			kill = "off"
		case kill == "apply" && no != "":
			return fmt.Errorf("input kill: apply is refused: %s", no)
		case judge.Offline:
			return errors.New("input kill: nothing is killed that was not seen alive, and verify is off")
		case j.in.Policy == "":
			return errors.New("input kill: the input policy names no file of the default branch")
		}
	}
	if j.in.DeleteLog && j.in.Kill != "apply" {
		return errors.New("input delete-log goes with kill: apply: what was in a log stands in its ledger before it is deleted")
	}
	if kill == "apply" {
		j.state, j.stateByEnv = j.in.Ledger, true
		led, err := store.Open(j.in.Ledger)
		if err != nil {
			return fmt.Errorf("input ledger: %w", err)
		}
		_ = led.Close()
	}
	j.offline, j.failOn, j.confidence, j.recipients, j.noMarkers = judge.Offline, judge.FailOn, j.in.Confidence, j.in.Recipients, j.d.Stranger != ""
	if j.noMarkers {
		why("markers in the text suppress nothing, since " + j.d.Stranger)
	}
	if err := j.configure(ctx); err != nil {
		return err
	}
	k, err := j.kit(kill == "apply")
	if err != nil {
		return err
	}
	r.Sealed = len(j.in.Recipients) > 0 || len(k.policy.Recipients) > 0
	fail, err := pipeline.ParseFailOn(j.failOn)
	if err != nil {
		return err
	}
	if t := rules.NewSecretString(j.in.Token); !t.IsZero() {
		// The checkout keeps the job's own token in the configuration of the clone.
		j.ignore = func(f rules.Finding) bool {
			return f.Location.Source == "git" && f.Location.Artifact == "config" && f.Secret.Equal(t)
		}
	}
	var sources []scanners.Source
	for _, s := range r.Sources {
		src, err := j.source(s, k)
		if err != nil {
			return err
		}
		if src != nil {
			sources = append(sources, src)
		}
	}
	log := action.NewLog(j.out, token())
	sink, files, err := j.sinks(k, log)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	code, err := j.scanAndKill(ctx, k, kill, fail, sources, sink)
	if err != nil {
		// What was found is not lost with it.
		_ = sink.Close()
		_ = log.Close()
		j.tell(ctx, files, exitFailed)
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	j.tell(ctx, files, code)
	if code != exitClean {
		return exit(code)
	}
	return nil
}

func (j *job) scanAndKill(ctx context.Context, k *kit, kill string, fail pipeline.FailOn, sources []scanners.Source, sink report.Sink) (int, error) {
	res, err := j.doScan(ctx, k, sources...)
	if err != nil {
		return 0, err
	}
	counted := map[string]bool{}
	for i, c := range res.Credentials {
		var v *revokers.Verdict
		if res.verdicts != nil {
			v = &res.verdicts[i]
		}
		counted[c.Fingerprint] = fail.Counts(c, v)
	}
	j.result.Counted = counted
	sum, code, err := j.emitScan(k, sink, "action "+j.env.Event, j.result.Sources, res, fail)
	if err != nil {
		return 0, err
	}
	switch {
	case kill == "plan" && res.err == nil:
		if err := j.planFor(ctx, k, res, sink); err != nil {
			return 0, err
		}
	case kill == "apply" && res.err == nil:
		if code, err = j.end(ctx, k, res, sink, sum, ""); err != nil {
			return 0, err
		}
		return code, j.deleteLog(ctx, k, res)
	}
	sum.ExitCode = code
	return code, errors.Join(sink.Emit(sum), sink.Close())
}

// planFor writes what would be done, for whoever holds the keys of the recipients.
func (j *job) planFor(ctx context.Context, k *kit, res *scanned, sink report.Sink) error {
	p, err := j.makePlan(ctx, k, res.Credentials, res.verdicts, "")
	if err != nil {
		return err
	}
	for _, it := range p.Items {
		if err := sink.Emit(pipeline.ActionOf(it)); err != nil {
			return err
		}
	}
	b, err := plan.Sign(p, k.keys.Sign)
	if err != nil {
		return err
	}
	j.result.Plan = filepath.Join(j.temp, "plan.json")
	j.result.TrustKey = base64.StdEncoding.EncodeToString(k.keys.Sign.Public().(ed25519.PublicKey))
	return write(j.result.Plan, b)
}

// durable reports whether a ledger outlives the job.
func (j *job) durable(ledger string) bool {
	if store.Remote(ledger) {
		return true
	}
	if j.env.Hosted || !filepath.IsAbs(ledger) {
		return false
	}
	for _, dir := range []string{j.env.Workspace, j.env.Temp} {
		if rel, err := filepath.Rel(dir, ledger); err == nil && filepath.IsLocal(rel) {
			return false
		}
	}
	return true
}

// configure fetches the files that the inputs name: the policy from the default
// branch, the rest from the base. The work tree is never looked at: on a pull request
// it is the stranger's.
func (j *job) configure(ctx context.Context) error {
	get := func(name, base, as string) (string, error) {
		b, err := j.content(ctx, name, base)
		if err != nil {
			return "", err
		}
		to := filepath.Join(j.scrap, "files", as)
		return to, os.WriteFile(to, b, 0o600)
	}
	var err error
	if j.in.Policy != "" {
		if j.policyFile, err = get(j.in.Policy, "", "policy.toml"); err != nil {
			return fmt.Errorf("input policy: %w", err)
		}
	}
	if j.in.Allow != "" {
		if j.allow, err = get(j.in.Allow, j.d.Base, "allow.toml"); err != nil {
			return fmt.Errorf("input allow: %w", err)
		}
	}
	for n, name := range j.in.Rules {
		f, err := get(name, j.d.Base, fmt.Sprintf("rules-%d.toml", n))
		if err != nil {
			return fmt.Errorf("input rules: %w", err)
		}
		j.ruleFiles = append(j.ruleFiles, f)
	}
	return nil
}

// content reads a file at a commit, or of the default branch: from the clone where it
// has it, else from GitHub.
func (j *job) content(ctx context.Context, name, at string) ([]byte, error) {
	name = filepath.ToSlash(filepath.Clean(name))
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, fmt.Errorf("%q is no file of the repository", name)
	}
	remote := at
	if at == "" {
		if j.d.Default == "" {
			return nil, errors.New("the event does not say which branch is the default one")
		}
		if j.env.Ref == "refs/heads/"+j.d.Default {
			at, remote = j.env.SHA, j.env.SHA
		} else {
			at, remote = "refs/remotes/origin/"+j.d.Default, j.d.Default
		}
	}
	b, err := git.File(j.dir(), at, name)
	if err == nil || errors.Is(err, fs.ErrNotExist) && git.Has(j.dir(), at) {
		return b, err
	}
	return action.Content(ctx, j.api, name, remote)
}

func (j *job) dir() string {
	return filepath.Join(j.env.Workspace, filepath.FromSlash(j.in.Repository))
}

func (j *job) source(name string, k *kit) (scanners.Source, error) {
	switch name {
	case "git":
		return j.gitSource()
	case "logs":
		s := &github.Source{API: j.api, Run: j.env.Run, Attempt: j.env.Attempt, Running: true, Temp: j.scrap}
		if j.d.Run != 0 {
			s.Run, s.Attempt, s.Running, s.Uploads = j.d.Run, j.d.Attempt, false, true
		}
		if s.Run == 0 {
			return nil, errors.New("input scan: logs: GITHUB_RUN_ID is not set")
		}
		return s, nil
	case "image":
		return &oci.Source{Targets: j.in.Images, Socket: strings.TrimPrefix(j.getenv("DOCKER_HOST"), "unix://"), Memory: j.memory(k)}, nil
	default:
		return files.Source{Name: "path", Targets: j.in.Paths}, nil
	}
}

// gitSource is what the event brought of the repository; nil: nothing.
func (j *job) gitSource() (scanners.Source, error) {
	d := j.d
	if j.in.Range != "" {
		d.What, d.Range, d.Not, d.Release, d.Whole = "the range of the input", j.in.Range, nil, "", false
		j.result.Decision = d
	}
	if rel, err := filepath.Rel(j.env.Workspace, j.dir()); err != nil || !filepath.IsLocal(rel) {
		return nil, fmt.Errorf("input repository: %q lies outside of the workspace", j.in.Repository)
	}
	up := &git.Remote{URL: j.remote, Cache: filepath.Join(j.scrap, "cache"), Getenv: j.getenv, Refs: []string{"refs/heads/*", "refs/tags/*", "refs/notes/*"}}
	dir := j.dir()
	_, err := git.FindDir(dir)
	none := err != nil
	if d.Whole {
		s := &git.Source{Dir: dir}
		partial := false
		if !none {
			if partial, err = git.Partial(dir); err != nil {
				return nil, fmt.Errorf("the checkout: %w", err)
			}
		}
		if none || partial {
			// Pull requests stay where they are: they are strangers'.
			s.Dir, s.Remote = j.remote.String(), up
		}
		return s, s.Check()
	}
	if d.Range == "" && d.Release == "" {
		return nil, nil
	}
	if none {
		// Without a checkout there is nothing to add to.
		dir = filepath.Join(j.scrap, "files", "empty.git")
		if err := git.Empty(dir); err != nil {
			return nil, err
		}
	}
	s := &git.Source{Dir: dir, Range: d.Range, Not: d.Not, Release: d.Release, Upstream: up}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("input range: %w", err)
	}
	return s, nil
}

// reports are the files of a run.
type reports struct{ sarif, lines string }

// sinks are the job's log, the files, and the result itself.
func (j *job) sinks(k *kit, log *action.Log) (report.Sink, reports, error) {
	f := reports{sarif: j.in.Sarif, lines: filepath.Join(j.temp, "report.jsonl")}
	if f.sarif == "" {
		f.sarif = filepath.Join(j.temp, "quell.sarif")
	}
	t := report.Tee{}
	var err error
	if t.Main, err = report.New("text", log, k.set); err != nil {
		return nil, f, err
	}
	for format, path := range map[string]string{"sarif": f.sarif, "jsonl": f.lines} {
		s, err := report.File(format, path, k.set)
		if err != nil {
			return nil, f, err
		}
		t.Others = append(t.Others, s)
	}
	t.Others = append(t.Others, j.result)
	return t, f, nil
}

// tell tells GitHub. What GitHub does not take changes nothing about the result.
func (j *job) tell(ctx context.Context, f reports, code int) {
	r := j.result
	warn := func(err error) {
		if err != nil {
			fmt.Fprintf(j.out, "::warning title=quell::%s\n", action.Data("the result stands, and could not be told everywhere: "+err.Error()))
		}
	}
	if j.in.Annotations {
		fmt.Fprint(j.out, r.Commands())
	}
	text := r.Markdown()
	if j.in.Summary && j.env.Summary != "" {
		warn(add(j.env.Summary, text))
	}
	if j.env.Output != "" {
		incomplete := r.Summary.Incomplete
		if code == exitInterrupted {
			incomplete = max(incomplete, 1)
		}
		var b strings.Builder
		for _, o := range [][2]string{{"findings", fmt.Sprint(r.Summary.Findings)}, {"live", fmt.Sprint(r.Summary.Live)}, {"killed", fmt.Sprint(r.Killed())}, {"incomplete", fmt.Sprint(incomplete)},
			{"sarif", f.sarif}, {"report", f.lines}, {"plan", r.Plan}, {"exit-code", fmt.Sprint(code)}} {
			end := token()
			fmt.Fprintf(&b, "%s<<%s\n%s\n%s\n", o[0], end, o[1], end)
		}
		warn(add(j.env.Output, b.String()))
	}
	if ctx.Err() != nil {
		return
	}
	if j.in.Comment && j.d.PullRequest != 0 {
		warn(action.Comment(ctx, j.api, j.d.PullRequest, text, code != exitClean))
	}
	if j.in.UploadSarif {
		b, err := os.ReadFile(f.sarif)
		if err == nil {
			var left int
			left, err = action.Upload(ctx, j.api, j.d, j.env.Workspace, strings.Join(r.Sources, "-"), b)
			if left > 0 {
				fmt.Fprintf(j.out, "::notice title=quell::%s\n", action.Data(fmt.Sprintf("%d findings stand in no file of the repository, where code scanning can't show them", left)))
			}
		}
		warn(err)
	}
}

// add appends to a file of the runner's.
func add(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func token() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// deleteLog deletes the logs of the finished run that credentials leaked into, once the
// ledger tells what was in them, and looks that they are gone.
func (j *job) deleteLog(ctx context.Context, k *kit, res *scanned) error {
	if !j.in.DeleteLog || j.d.Run == 0 {
		return nil
	}
	var leaked []rules.Credential
	for _, c := range res.Credentials {
		if slices.ContainsFunc(c.Findings, func(f rules.Finding) bool { return f.Location.Source == "log" }) {
			leaked = append(leaked, c)
		}
	}
	if len(leaked) == 0 {
		return nil
	}
	led, err := j.ledgerAt(k)
	if err != nil {
		return err
	}
	defer led.Close()
	record := func(kind string, body any) error {
		for _, c := range leaked {
			e := store.Entry{At: time.Now(), Incident: c.Fingerprint, Type: kind, Actor: j.actor(), Run: fmt.Sprintf("actions-run/%d", j.d.Run)}
			if err := led.Append(ctx, e, body); err != nil {
				return err
			}
		}
		return nil
	}
	for _, c := range leaked {
		var at []rules.Location
		for _, f := range c.Findings {
			at = append(at, res.redactor.Location(f.Location))
		}
		e := store.Entry{At: time.Now(), Incident: c.Fingerprint, Type: "intent", Actor: j.actor(), Run: fmt.Sprintf("actions-run/%d", j.d.Run)}
		if err := led.Append(ctx, e, map[string]any{"action": "delete the run's logs", "found_at": at}); err != nil {
			return err
		}
	}
	gone, err := action.DeleteLogs(ctx, j.api, j.d.Run, j.d.Attempt)
	outcome := "deleted, and gone"
	switch {
	case err != nil:
		outcome = err.Error()
	case !gone:
		outcome = "deleted by GitHub's word, and still there"
	}
	j.result.Why = append(j.result.Why, "the logs of the run: "+outcome)
	return record("receipt", map[string]any{"action": "delete the run's logs", "outcome": outcome})
}
