package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/removal"
)

func (j *job) scanAndKill(ctx context.Context, rt *run.Runtime, kill string, sources []scanners.Source, sink report.Sink) (int, error) {
	o, err := j.scanOptions("action "+j.env.Event, j.result.Sources, sources...)
	if err != nil {
		return 0, err
	}
	o.Keep = kill == "plan" || kill == "apply"
	j.result.Counted = map[string]bool{}
	o.Each = func(c rules.Credential, _ *revokers.Verdict, counts bool) { j.result.Counted[c.Fingerprint] = counts }
	res, err := rt.Scan(ctx, o, sink)
	if err != nil {
		return 0, err
	}
	sum := res.Summary
	switch {
	case kill == "plan" && !res.Tally.Interrupted:
		if err := j.planFor(ctx, rt, res, sink); err != nil {
			return 0, err
		}
	case kill == "apply" && !res.Tally.Interrupted:
		o, err := j.deletions()
		if err != nil {
			return 0, err
		}
		if sum, err = rt.ContainAndDelete(ctx, res.Checked, "", o, sink, res.Summary, res.Tally); err != nil {
			return 0, err
		}
	}
	return sum.ExitCode, errors.Join(sink.Emit(sum), sink.Close())
}

// planFor writes what would be done, for whoever holds the keys of the recipients.
func (j *job) planFor(ctx context.Context, rt *run.Runtime, res *run.Scanned, sink report.Sink) error {
	p, err := rt.Plan(ctx, res.Checked, "")
	if err != nil {
		return err
	}
	for n, it := range p.Items {
		if err := sink.Emit(run.ActionOf(n+1, it)); err != nil {
			return err
		}
	}
	b, err := plan.Sign(p, rt.Keys.Sign)
	if err != nil {
		return err
	}
	j.result.Plan = filepath.Join(j.temp, "plan.json")
	j.result.TrustKey = base64.StdEncoding.EncodeToString(rt.PublicKey())
	return output.WriteFile(j.result.Plan, b, output.Mode)
}

// durable reports whether a ledger outlives the job.
func (j *job) durable(path string) bool {
	if ledger.Remote(path) {
		return true
	}
	if j.env.Hosted || !filepath.IsAbs(path) {
		return false
	}
	for _, dir := range []string{j.env.Workspace, j.env.Temp} {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return false
		}
	}
	return true
}

// deletions chooses what is deleted of the finished run into which something leaked: its logs,
// under the rule of quell apply.
func (j *job) deletions() (o run.DeletionOptions, err error) {
	if !j.in.DeleteLog || j.d.Run == 0 {
		return o, nil
	}
	s, err := j.server()
	if err != nil {
		return o, err
	}
	return run.DeletionOptions{Kinds: []string{removal.Logs}, Comment: j.in.Comment, Servers: func(string) (*removal.Server, error) { return s, nil },
		Each: func(text string) { j.result.Notes = append(j.result.Notes, text) }}, nil
}

// server is GitHub, as the job's token sees it.
func (j *job) server() (*removal.Server, error) {
	base, err := ci.ParseBase(j.env.API)
	if err != nil {
		return nil, fmt.Errorf("GITHUB_API_URL: %w", err)
	}
	return &removal.Server{System: "github", Run: strconv.FormatInt(j.d.Run, 10), Attempt: j.d.Attempt,
		Client: &ci.Client{Base: base, Auth: ci.Header("Authorization", "Bearer ", rules.NewSecretString(j.in.Token))}}, nil
}

// origin is what the findings in the logs of the finished run have as their Origin.
func (j *job) origin() (string, error) {
	s, err := j.server()
	if err != nil {
		return "", err
	}
	owner, repo, _ := strings.Cut(j.env.Repository, "/")
	return s.Client.Origin("github", "repos", owner, repo, "actions", "runs", strconv.FormatInt(j.d.Run, 10), "logs"), nil
}
