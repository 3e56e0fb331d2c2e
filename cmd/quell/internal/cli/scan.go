package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quellhq/quell/cmd/quell/internal/allow"
	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
	"github.com/quellhq/quell/scanners/files"
	"github.com/quellhq/quell/scanners/oci"
)

// source is something that can be scanned.
type source struct {
	name, use, short string
	open             func(a *app, rt *run.Runtime, targets []string) (scanners.Source, error)
	flags            func(a *app, f *pflag.FlagSet)
}

// sources is the table of what can be scanned, without CI systems.
var sources = []source{
	{"log", "log TARGET…", "CI logs: files, folders, zips of GitHub Actions, - for standard input", func(a *app, _ *run.Runtime, t []string) (scanners.Source, error) {
		return cilog.Source{Targets: t, Stdin: a.stdin()}, nil
	}, nil},
	{"git", "git TARGET", "A repository: every object, not only what diffs show; a folder, a bundle, an https or ssh address", (*app).openGit, (*app).gitFlags},
	{"image", "image TARGET…", "Container images: a registry's reference or pattern (registry.example/team/*), an OCI layout, an archive, - for standard input, docker-daemon:IMAGE", func(a *app, rt *run.Runtime, t []string) (scanners.Source, error) {
		return &oci.Source{Targets: t, Stdin: a.stdin(), Socket: strings.TrimPrefix(a.getenv("DOCKER_HOST"), "unix://"), Platform: a.platform, Mirrors: a.mirrors, Memory: a.memory(rt)}, nil
	}, func(a *app, f *pflag.FlagSet) {
		f.StringVar(&a.platform, "platform", "", "only this `PLATFORM` of an image for several, as linux/arm64 (default all)")
		f.StringToStringVar(&a.mirrors, "mirror", nil, "try a mirror of a registry first, `REGISTRY=MIRROR[/PREFIX]` (repeatable)")
	}},
	{"path", "path TARGET…", "Files and folders, - for standard input", func(a *app, _ *run.Runtime, t []string) (scanners.Source, error) {
		return files.Source{Name: "path", Targets: t, Stdin: a.stdin()}, nil
	}, nil},
}

func (a *app) scan() *cobra.Command {
	var names []string
	for _, s := range ciSources() {
		names = append(names, s.name)
	}
	c := &cobra.Command{Use: "scan", Short: "Find credentials and ask their issuers whether they are alive; change nothing", Args: cobra.NoArgs,
		Long: `Find credentials and ask their issuers whether they are alive. Nothing is changed at the
issuers.

quell sends a credential only to hosts that the provider's file pins or that your policy
names, never to one from the scanned text. --offline sends nothing. The list at the end
has live credentials first; --report writes what quell check and quell plan read.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return errors.New("scan what? log, git, image, path, or a CI system: " + strings.Join(names, ", "))
		}}
	for _, s := range append(sources[:len(sources):len(sources)], ciSources()...) {
		sub := &cobra.Command{Use: s.use, Short: s.short, Args: cobra.MinimumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
			a.sparePolicy = a.offline
			rt, err := a.runtime(mayLackSecrets)
			if err != nil {
				return err
			}
			if rt.Broken() != nil {
				a.printf("the policy is left out: %v", rt.Broken())
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

// scanOptions holds the flags of a scan.
func (a *app) scanOptions(command string, targets []string, sources ...scanners.Source) (run.ScanOptions, error) {
	o := run.ScanOptions{
		Command:     command,
		Version:     Version(),
		Targets:     targets,
		Sources:     sources,
		NoMarkers:   a.noMarkers,
		Ignore:      a.ignore,
		ShowSecrets: a.reveal,
	}
	var ok bool
	if o.Confidence, ok = rules.ParseConfidence(a.confidence); !ok {
		return o, fmt.Errorf("--confidence %q is not low, medium or high", a.confidence)
	}
	var err error
	if o.FailOn, err = run.ParseFailOn(a.failOn); err != nil {
		return o, err
	}
	for _, file := range a.allow {
		l, err := allow.Load(file)
		if err != nil {
			return o, err
		}
		o.Allow = allow.Join(o.Allow, l)
	}
	o.Theirs = a.theirs(command, targets)
	return o, nil
}

// theirs reads the ignore files of a scanned folder. They are untrusted and suppress nothing;
// one that can't be read is reported as a scanned file.
func (a *app) theirs(command string, targets []string) *allow.List {
	if command != "scan path" && command != "scan git" && command != "hook run" {
		return nil
	}
	var out *allow.List
	for _, dir := range targets {
		for _, name := range []string{".gitleaksignore", ".betterleaksignore", ".secrets.baseline"} {
			file := filepath.Join(dir, name)
			if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() || slices.ContainsFunc(a.allow, func(mine string) bool { return output.Same(mine, file) }) {
				continue
			}
			l, err := allow.Load(file)
			if err != nil {
				continue
			}
			prefix := dir
			if command != "scan path" {
				prefix = "." // paths in a repository begin at its root
			}
			for i := range l.Places {
				l.Places[i].Path = path.Join(filepath.ToSlash(prefix), l.Places[i].Path)
			}
			out = allow.Join(out, &allow.List{Places: l.Places})
		}
	}
	return out
}

func (a *app) runScan(ctx context.Context, rt *run.Runtime, command string, targets []string, src scanners.Source) error {
	o, err := a.scanOptions(command, targets, src)
	if err != nil {
		return err
	}
	sink, err := a.sink(rt.Rules)
	if err != nil {
		return err
	}
	defer sink.Close()
	if command == "scan path" || command == "scan log" {
		a.meter.measure(targets)
	}
	res, err := rt.Scan(ctx, o, sink)
	if err != nil {
		return err
	}
	return finish(sink, res.Summary)
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
