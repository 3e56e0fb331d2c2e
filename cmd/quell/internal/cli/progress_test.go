package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
)

func TestTheMeterShowsTheProgress(t *testing.T) {
	now := time.Now()
	m := &meter{watch: &run.Watch{}, start: now.Add(-10 * time.Second)}
	want := func(s string) {
		t.Helper()
		if got := m.status(now); got != s {
			t.Errorf("%q, not %q", got, s)
		}
	}
	want("starting")
	m.watch.Read.Bytes.Add(500 << 20)
	m.watch.Read.Artifacts.Add(1207)
	m.findings.Add(1)
	want("read 500.0 MiB · 1,207 artifacts · 1 finding · 50.0 MiB/s")
	m.total.Store(1500 << 20)
	want("read 500.0 MiB · 1,207 artifacts · 1 finding · 50.0 MiB/s · about 20 s left")
	m.watch.ToAsk.Add(40)
	m.watch.Asked.Add(12)
	want("asking issuers: 12 of 40 credentials")
}

func TestTheInterruptibleReaderGivesWhatWasThere(t *testing.T) {
	long := strings.Repeat("a line of a log\n", 10_000)
	r := &interruptible{ctx: t.Context(), r: iotest.DataErrReader(iotest.HalfReader(strings.NewReader(long)))}
	if err := iotest.TestReader(&interruptible{ctx: t.Context(), r: strings.NewReader("some text")}, []byte("some text")); err != nil {
		t.Error(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || string(b) != long {
		t.Errorf("%d of %d bytes, %v", len(b), len(long), err)
	}
	broken := errors.New("broken")
	if b, err := io.ReadAll(&interruptible{ctx: t.Context(), r: io.MultiReader(bytes.NewReader([]byte("x")), iotest.ErrReader(broken))}); string(b) != "x" || !errors.Is(err, broken) {
		t.Errorf("%q, %v", b, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	p, _ := io.Pipe()
	time.AfterFunc(10*time.Millisecond, stop)
	if _, err := io.ReadAll(&interruptible{ctx: ctx, r: p}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFindingsAreShownAsTheyComeInALongRun(t *testing.T) {
	for name, c := range map[string]struct {
		ago   time.Duration
		width func() int
		want  int
	}{
		"a long run on a terminal": {time.Minute, func() int { return 80 }, maxFound},
		"one that has just begun":  {0, func() int { return 80 }, 0},
		"a file":                   {time.Minute, nil, 0},
	} {
		var b bytes.Buffer
		f := found{&meter{watch: &run.Watch{}, w: &b, width: c.width, start: time.Now().Add(-c.ago)}}
		for range maxFound + 5 {
			if err := f.Emit(report.Finding{Ref: rules.Ref{Kind: rules.KindAPIKey, Rule: "gitlab-pat"}, Location: rules.Location{Path: "a", Line: 1, Column: 2}}); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(b.String(), "found API key gitlab-pat at a:1:2\n"); n != c.want || f.m.findings.Load() != maxFound+5 {
			t.Errorf("%s: %d of %d are shown", name, n, f.m.findings.Load())
		}
	}
}
