package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
)

// exampleReport is how a value of --report without a format or a file is written.
func exampleReport(value string) string {
	value = strings.Trim(value, "=")
	if value == "" {
		return "jsonl=report.jsonl"
	}
	if slices.Contains(report.Formats(), value) {
		return value + "=report." + value
	}
	return "jsonl=" + value
}

// stdout names standard output as a target.
const stdout = "-"

// sink opens the outputs, before anything is read: a target that can't be written is
// an error now. The caller closes it on every path; see report.File.
func (a *app) sink(set *rules.Set) (report.Sink, error) {
	t, err := a.sinks(set, func(show report.Show) (report.Sink, error) {
		if a.output == stdout {
			return report.New(a.format, a.meter.over(a.out), set, a.style(a.out, show))
		}
		return report.File(a.format, a.output, set, show)
	})
	if err != nil {
		return nil, err
	}
	if !report.HasGaps(a.format) {
		t.Others = append(t.Others, gaps{a})
	}
	return report.Redacting(t, a.red), nil
}

// sinks opens the files of --report, next to a sink that makes what goes to --output.
func (a *app) sinks(set *rules.Set, main func(report.Show) (report.Sink, error)) (t report.Tee, err error) {
	defer func() {
		if err != nil {
			_ = t.Close()
		}
	}()
	a.startMeter()
	show, err := report.ParseShow(a.show)
	if err != nil {
		return t, err
	}
	if a.output == "" {
		a.output = stdout
	}
	if t.Main, err = main(show); err != nil {
		return t, err
	}
	taken := []string{a.output}
	for _, r := range a.reports {
		format, path, ok := strings.Cut(r, "=")
		if !ok || path == "" || format == "" {
			return t, fmt.Errorf("--report %q is not FORMAT=FILE (hint: as in --report %s)", r, exampleReport(r))
		}
		for _, other := range taken {
			if path == other || path != stdout && other != stdout && output.Same(path, other) {
				return t, fmt.Errorf("%s is named for two results (hint: give each a file of its own)", path)
			}
		}
		taken = append(taken, path)
		var s report.Sink
		if path == stdout {
			s, err = report.New(format, a.meter.over(a.out), set, a.style(a.out, show))
		} else {
			s, err = report.File(format, path, set, show)
		}
		if err != nil {
			return t, err
		}
		t.Others = append(t.Others, s)
	}
	if a.meter != nil {
		t.Others = append(t.Others, found{a.meter})
	}
	return t, nil
}

// gaps prints how much was not read, for a format that has no place for it.
type gaps struct{ *app }

func (g gaps) Emit(e report.Event) error {
	if s, ok := e.(report.Summary); ok && s.Incomplete > 0 {
		g.printf("%s could not be read, which %s has no place for: --report jsonl=FILE lists them", report.Count(int64(s.Incomplete), "thing"), g.format)
	}
	return nil
}

func (gaps) Close() error { return nil }
