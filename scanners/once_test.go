package scanners

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quellhq/quell/rules"
)

// counting counts the chunks that are scanned.
type counting struct {
	marks
	chunks *atomic.Int64
}

func (d counting) Detect(c Chunk) iter.Seq[Match] {
	d.chunks.Add(1)
	return d.marks.Detect(c)
}

// copies are artifacts of a few contents, each at many places.
type copies struct {
	contents []string
	places   int
}

func (s copies) Open(context.Context) (Session, error) { return Of(s.Artifacts), nil }

func (s copies) Artifacts(context.Context) iter.Seq2[Artifact, error] {
	return func(yield func(Artifact, error) bool) {
		for n := range s.places {
			for i, text := range s.contents {
				open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
				at := rules.Location{Source: "log", Path: fmt.Sprintf("%d/%d", i, n), Run: fmt.Sprint(n), Notes: map[string]string{"url": fmt.Sprint(n)}}
				if !yield(Artifact{Location: at, Content: fmt.Sprint(i), Open: open}, nil) {
					return
				}
			}
		}
	}
}

// Equal contents are scanned once, with or without a finding, and every place is reported, with what
// is known of that place.
func TestEqualContentsAreScannedOnce(t *testing.T) {
	const places = 200
	src := copies{[]string{"nothing\n", "nothing\nmark-0001 and\nmark-0002\n", "mark-0003"}, places}
	for _, workers := range []int{1, 4} {
		d := counting{chunks: &atomic.Int64{}}
		var mu sync.Mutex
		var got []string
		p := Pool{Detector: d, Workers: workers}
		if _, err := p.Run(t.Context(), src, func(f rules.Finding) {
			mu.Lock()
			defer mu.Unlock()
			l := f.Location
			if l.Run != l.Notes["url"] || !strings.HasSuffix(l.Path, "/"+l.Run) {
				t.Errorf("%+v", l)
			}
			got = append(got, fmt.Sprintf("%s:%d", l.Path, l.Line))
		}, func(g Gap) { t.Error(g) }); err != nil {
			t.Fatal(err)
		}
		if n := d.chunks.Load(); n != 3 {
			t.Errorf("%d workers: %d chunks of three contents were scanned", workers, n)
		}
		var want []string
		for n := range places {
			want = append(want, fmt.Sprintf("1/%d:2", n), fmt.Sprintf("1/%d:3", n), fmt.Sprintf("2/%d:1", n))
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%d workers: %d findings, not %d", workers, len(got), len(want))
		}
	}
}
