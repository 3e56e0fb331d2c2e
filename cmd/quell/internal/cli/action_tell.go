package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/action"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
)

// reports are the files of a run.
type reports struct{ sarif, lines string }

// sinks are the job's log, the files, and the result itself.
func (j *job) sinks(rt *run.Runtime, log *action.Log) (report.Sink, reports, error) {
	f := reports{sarif: j.in.Sarif, lines: filepath.Join(j.temp, "report.jsonl")}
	if f.sarif == "" {
		f.sarif = filepath.Join(j.temp, "quell.sarif")
	}
	t := report.Tee{}
	var err error
	if t.Main, err = report.New("text", log, rt.Rules, report.Style{}); err != nil {
		return nil, f, err
	}
	for format, path := range map[string]string{"sarif": f.sarif, "jsonl": f.lines} {
		s, err := report.File(format, path, rt.Rules, report.Show{})
		if err != nil {
			return nil, f, err
		}
		t.Others = append(t.Others, s)
	}
	t.Others = append(t.Others, j.result)
	return report.Redacting(t, j.red), f, nil
}

// publish reports the result to GitHub. A report that GitHub refuses does not change the result.
func (j *job) publish(ctx context.Context, f reports, code int) {
	r := j.result
	warn := func(err error) {
		if err != nil {
			fmt.Fprintf(j.out, "::warning title=quell::%s\n", action.Data("the result is valid, but could not be reported everywhere: "+err.Error()))
		}
	}
	if j.in.Annotations {
		fmt.Fprint(j.out, j.red.String(r.Commands()))
	}
	text := j.red.String(r.Markdown())
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
