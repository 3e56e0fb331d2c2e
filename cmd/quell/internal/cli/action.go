package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/action"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git"
	"github.com/quellhq/quell/scanners/github"
)

func (a *app) action() *cobra.Command {
	return &cobra.Command{Use: "action", Short: "Run as the GitHub Action: scan the commits or logs of the event, and report to GitHub", Args: cobra.NoArgs,
		Long: `Run as the GitHub Action: scan the commits or logs of the event, and report to GitHub.

It takes everything from the runner's environment: the event, and the inputs of
action.yml as INPUT_NAME. docs/action.md has the events, and what is read of each.`,
		RunE: func(c *cobra.Command, _ []string) error {
			err := a.runAction(c.Context())
			var code exit
			if err != nil && !errors.As(err, &code) {
				fmt.Fprintf(a.out, "::error title=quell::%s\n", action.Data(a.red.Quoted(err.Error())))
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
	temp   string   // for later steps: reports
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
		case "QUELL_GIT_USER":
			return "" // of another token
		case "QUELL_GIT_HOST":
			return j.remote.Host
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
			r.Notes = append(r.Notes, s)
		}
	}
	why(judge.Reason)
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
		led, err := ledger.Open(ctx, j.in.Ledger, ledger.Options{})
		if err != nil {
			return fmt.Errorf("input ledger: %w", err)
		}
		_ = led.Close()
	}
	j.offline, j.failOn, j.confidence, j.recipients, j.noMarkers = judge.Offline, judge.FailOn, j.in.Confidence, j.in.Recipients, j.d.Stranger != ""
	j.noSelfHosted = j.in.NoSelfHosted
	if j.noMarkers {
		why("markers in the text suppress nothing, since " + j.d.Stranger)
	}
	if err := j.configure(ctx); err != nil {
		return err
	}
	rt, err := j.runtime(kill == "apply")
	if err != nil {
		return err
	}
	r.Sealed = len(j.in.Recipients) > 0 || len(rt.Policy.Recipients) > 0
	if t := rules.NewSecretString(j.in.Token); !t.IsZero() {
		// The checkout keeps the job's own token in the configuration of the clone.
		j.ignore = func(f rules.Finding) bool {
			return f.Location.Source == "git" && f.Location.Artifact == "config" && f.Secret.Equal(t)
		}
	}
	var sources []scanners.Source
	for _, s := range r.Sources {
		src, err := j.source(s, rt)
		if err != nil {
			return err
		}
		if src != nil {
			sources = append(sources, src)
		}
	}
	log := action.NewLog(j.out, token())
	sink, files, err := j.sinks(rt, log)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	code, err := j.scanAndKill(ctx, rt, kill, sources, sink)
	if err != nil {
		// The findings up to then are kept.
		_ = errors.Join(sink.Emit(report.Summary{ExitCode: exitFailed}), sink.Close())
		_ = log.Close()
		r.Failed = err.Error()
		j.publish(ctx, files, exitFailed)
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	if code == exitInterrupted {
		r.Failed = "interrupted"
	}
	j.publish(ctx, files, code)
	if code != exitClean {
		return exit(code)
	}
	return nil
}
