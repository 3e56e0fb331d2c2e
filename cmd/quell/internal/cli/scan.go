package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quellhq/quell/cmd/quell/internal/allow"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/files"
	"github.com/quellhq/quell/scanners/oci"
)

// sources is the table of what can be scanned.
var sources = []struct {
	name, use, short string
	open             func(a *app, rt *run.Runtime, targets []string) (scanners.Source, error)
	flags            func(a *app, f *pflag.FlagSet)
}{
	{"log", "log TARGET…", "CI logs: files, folders, zips of GitHub Actions, - for standard input", func(a *app, _ *run.Runtime, t []string) (scanners.Source, error) {
		return cilog.Source{Targets: t, Stdin: a.in}, nil
	}, nil},
	{"git", "git TARGET", "A repository: every object, not only what diffs show; a folder, a bundle, an https or ssh address", (*app).openGit, (*app).gitFlags},
	{"image", "image TARGET…", "Container images: a registry's reference or pattern (registry.example/team/*), an OCI layout, an archive, - for standard input, docker-daemon:IMAGE", func(a *app, rt *run.Runtime, t []string) (scanners.Source, error) {
		return &oci.Source{Targets: t, Stdin: a.in, Socket: strings.TrimPrefix(a.getenv("DOCKER_HOST"), "unix://"), Platform: a.platform, Mirrors: a.mirrors, Memory: a.memory(rt)}, nil
	}, func(a *app, f *pflag.FlagSet) {
		f.StringVar(&a.platform, "platform", "", "only this `PLATFORM` of an image for several, as linux/arm64 (default all)")
		f.StringToStringVar(&a.mirrors, "mirror", nil, "ask `REGISTRY=MIRROR[/PREFIX]` first (repeatable)")
	}},
	{"path", "path TARGET…", "Files and folders, - for standard input", func(a *app, _ *run.Runtime, t []string) (scanners.Source, error) {
		return files.Source{Name: "path", Targets: t, Stdin: a.in}, nil
	}, nil},
}

func (a *app) scan() *cobra.Command {
	c := &cobra.Command{Use: "scan", Short: "Find credentials, and ask their issuers whether they are alive; changes nothing", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return errors.New("scan what? log, git, image or path") }}
	for _, s := range sources {
		sub := &cobra.Command{Use: s.use, Short: s.short, Args: cobra.MinimumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
			rt, err := a.runtime(mayLackSecrets)
			if err != nil {
				return err
			}
			src, err := s.open(a, rt, args)
			if err != nil {
				return err
			}
			return a.runScan(c.Context(), rt, "scan "+s.name, args, src)
		}}
		if s.flags != nil {
			s.flags(a, sub.Flags())
		}
		c.AddCommand(sub)
	}
	return c
}

// scanned is a scan's result with its verdicts.
type scanned struct {
	*run.Result
	checked []run.Checked // nil if nothing was asked
	allow   *allow.List
	err     error // an interruption
}

func (a *app) doScan(ctx context.Context, rt *run.Runtime, sources ...scanners.Source) (*scanned, error) {
	least, ok := rules.ParseConfidence(a.confidence)
	if !ok {
		return nil, fmt.Errorf("--confidence %q is not low, medium or high", a.confidence)
	}
	var list *allow.List
	if a.allow != "" {
		var err error
		if list, err = allow.Load(a.allow); err != nil {
			return nil, err
		}
		for _, why := range list.Expired(time.Now()) {
			rt.Notice("an entry of the allow-list has expired: " + why)
		}
	}
	engine := detect.New(rt.Rules)
	a.red.Detect = secretsIn(engine)
	s := run.Scan{Sources: sources, Seen: a.red.Add, Allow: list, NoMarkers: a.noMarkers, Ignore: a.ignore, Detector: engine, Set: rt.Rules, Key: rt.Keys.Fingerprint, Confidence: least}
	res, err := s.Run(ctx)
	for _, src := range sources {
		if n, ok := src.(interface{ Notices() []string }); ok {
			for _, text := range n.Notices() {
				rt.Notice(text)
			}
		}
		if c, ok := src.(interface{ Close() }); ok {
			c.Close()
		}
	}
	if res == nil {
		return nil, err
	}
	out := &scanned{Result: res, allow: list, err: err}
	if !a.offline && err == nil {
		out.checked, out.err = rt.Checker().Check(ctx, res.Credentials, nil)
	}
	return out, nil
}

// asked returns what issuers said about the credentials. Without answers, as
// under --offline, it returns the verdicts that need none.
func (s *scanned) asked(ctx context.Context, rt *run.Runtime) ([]run.Checked, error) {
	if s.checked != nil {
		return s.checked, nil
	}
	return rt.Checker().Check(ctx, s.Credentials, nil)
}

func (a *app) runScan(ctx context.Context, rt *run.Runtime, command string, targets []string, src scanners.Source) error {
	fail, err := run.ParseFailOn(a.failOn)
	if err != nil {
		return err
	}
	sink, err := a.sink(rt.Rules)
	if err != nil {
		return err
	}
	defer sink.Close()
	res, err := a.doScan(ctx, rt, src)
	if err != nil {
		return err
	}
	sum, tally, err := a.emitScan(rt, sink, command, targets, res, fail)
	if err != nil {
		return err
	}
	sum.ExitCode = tally.ExitCode()
	return finish(sink, sum)
}

// finish writes the summary, closes the sink and turns the exit code into an
// error.
func finish(sink report.Sink, sum report.Summary) error {
	if err := errors.Join(sink.Emit(sum), sink.Close()); err != nil {
		return err
	}
	if sum.ExitCode != exitClean {
		return exit(sum.ExitCode)
	}
	return nil
}

// emitScan writes all of a scan but its summary, which it returns.
func (a *app) emitScan(rt *run.Runtime, sink report.Sink, command string, targets []string, res *scanned, fail run.FailOn) (report.Summary, run.Tally, error) {
	var errs []error
	emit := func(e report.Event) { errs = append(errs, sink.Emit(e)) }
	emit(report.Config{Protocol: report.Protocol, Version: Version(), Command: command, Targets: targets, Offline: a.offline, Rules: len(rt.Rules.Rules), At: time.Now().UTC()})
	for _, n := range rt.TakeNotices() {
		emit(n)
	}
	sum := report.Summary{Artifacts: res.Stats.Artifacts, Bytes: res.Stats.Bytes, Findings: len(res.Findings), Credentials: len(res.Credentials),
		Hidden: res.Hidden, Allowed: res.Stats.Allowed, Incomplete: len(res.Gaps), Seconds: res.Took.Seconds()}
	for _, f := range res.Findings {
		emit(run.FindingEvent(f, rt.Keys.Fingerprint, rt.Rules, a.reveal))
	}
	accepted := map[string]int{}
	tally := run.Tally{Interrupted: res.err != nil, Incomplete: len(res.Gaps)}
	if fail == "found" {
		tally.Counted = res.Partial
	}
	for i, c := range res.Credentials {
		sealed, err := run.SealCredential(c, rt.Recipients)
		errs = append(errs, err)
		emit(run.CredentialEvent(c, sealed))
		var v *revokers.Verdict
		if res.checked != nil {
			best := res.checked[i].Verdict()
			v = &best
			for _, x := range res.checked[i].Verdicts {
				emit(report.Verdict{Fingerprint: c.Fingerprint, Verdict: x})
			}
			if why, ok := res.allow.AcceptsKind(string(best.Reason), c.Provider, time.Now()); ok && best.Unanswered() {
				accepted[why]++
				sum.Unanswered-- // CountVerdict counts it below
			}
		}
		run.CountVerdict(&sum, v, c.Offline.State == rules.OfflineExpired && !c.Renewable)
		if fail.Counts(c, v) {
			tally.Count(c.Fingerprint)
		}
	}
	for _, g := range res.Gaps {
		emit(report.Notice{Kind: g.Kind, Count: g.Count, Message: g.Error(), Path: g.Location.Path, Incomplete: true})
	}
	for _, why := range slices.Sorted(maps.Keys(res.Accepted)) {
		emit(report.Notice{Message: fmt.Sprintf("%d things were not read, which is accepted: %s", res.Accepted[why], why)})
	}
	if res.checked != nil {
		for _, n := range run.SelfHostedHints(rt.Rules, res.checked) {
			emit(n)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(accepted)) {
		emit(report.Notice{Message: fmt.Sprintf("%d credentials were not judged, which is accepted: %s", accepted[why], why)})
	}
	if tally.Interrupted {
		emit(report.Notice{Message: "interrupted: the result is not whole", Incomplete: true})
	}
	tally.Unanswered = sum.Unanswered
	return sum, tally, errors.Join(errs...)
}
