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
func (a *app) sink(set *rules.Set) (_ report.Sink, err error) {
	t := report.Tee{}
	defer func() {
		if err != nil {
			_ = t.Close()
		}
	}()
	a.startMeter()
	show, err := report.ParseShow(a.show)
	if err != nil {
		return nil, err
	}
	var taken []string
	open := func(format, path string) (report.Sink, error) {
		for _, other := range taken {
			if path == other || path != stdout && other != stdout && output.Same(path, other) {
				return nil, fmt.Errorf("%s is named for two results (hint: give each a file of its own)", path)
			}
		}
		taken = append(taken, path)
		if path == stdout {
			return report.New(format, a.meter.over(a.out), set, a.style(a.out, show))
		}
		return report.File(format, path, set, show)
	}
	if a.output == "" {
		a.output = stdout
	}
	if t.Main, err = open(a.format, a.output); err != nil {
		return nil, err
	}
	for _, r := range a.reports {
		format, path, ok := strings.Cut(r, "=")
		if !ok || path == "" || format == "" {
			return nil, fmt.Errorf("--report %q is not FORMAT=FILE (hint: as in --report %s)", r, exampleReport(r))
		}
		s, err := open(format, path)
		if err != nil {
			return nil, err
		}
		t.Others = append(t.Others, s)
	}
	if a.meter != nil {
		t.Others = append(t.Others, found{a.meter})
	}
	if !report.HasGaps(a.format) {
		t.Others = append(t.Others, gaps{a})
	}
	return report.Redacting(t, a.red), nil
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
