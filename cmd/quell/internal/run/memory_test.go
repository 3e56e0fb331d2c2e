package run

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/spill"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

func TestACredentialOfVeryManyPlacesKeepsTheFirst(t *testing.T) {
	file := spill.NewFile(t.TempDir())
	defer file.Close()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCollector(set, rules.FingerprintKey{}, file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxPlaces + 50 {
		if err := c.add(finding("jwt", rules.KindJWT, "", "the same", int64(i*100))); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.credentials()
	if err != nil {
		t.Fatal(err)
	}
	for x, err := range list.all() {
		if err != nil || x.Count != maxPlaces+50 || len(x.Findings) != maxPlaces {
			t.Errorf("%d of %d places: %v", len(x.Findings), x.Count, err)
		}
	}
}

// peak is the largest heap in use while f runs, in bytes.
func peak(f func()) uint64 {
	done, out := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			var m goruntime.MemStats
			goruntime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-done:
				out <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	return <-out
}

// many is a detector that finds something in every eight bytes, and a source of
// one artifact of any size.
type many struct {
	rule     *rules.Rule
	findings int
	distinct int
}

func (many) MaxLen() int { return 64 }

func (m many) Detect(c scanners.Chunk) iter.Seq[scanners.Match] {
	return func(yield func(scanners.Match) bool) {
		for at := (c.From + 7) / 8 * 8; at+8 <= c.To; at += 8 {
			n := (int(c.Offset) + at) / 8 % m.distinct
			s := rules.NewSecretString(fmt.Sprintf("made-up-value-%08d", n))
			if !yield(scanners.Match{Rule: m.rule, Secret: s, Start: at, End: at + 8, Confidence: rules.High}) {
				return
			}
		}
	}
}

func (m many) Open(context.Context) (scanners.Session, error) { return scanners.Of(m.Artifacts), nil }

func (m many) Artifacts(context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		for n := 0; n*findingsOfAFile < m.findings; n++ {
			size := int64(8 * min(findingsOfAFile, m.findings-n*findingsOfAFile))
			a := scanners.Artifact{Location: rules.Location{Source: "path", Path: fmt.Sprintf("many-%d.txt", n)}, Open: func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(fmt.Sprintf("%08d", n)), io.LimitReader(letters{}, size-8))), nil
			}}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// findingsOfAFile is so small that no file takes more time than its size justifies.
const findingsOfAFile = 60_000

// listedFindings is how many findings of known secrets one run lists; the others are counted
// (maxFindings of package scanners).
const listedFindings = 300_000

// letters is text without an end.
type letters struct{}

func (letters) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// heapOfAScan is what a scan may add to the heap, whatever the number of its
// findings, in bytes: three sorts, a window of credentials, chunks, and what the
// garbage collector has not yet freed, which is more on a busy machine.
const heapOfAScan = 256 << 20

// QUELL_LONG=1 runs it with a million findings.
func TestTheMemoryOfAScanDoesNotGrowWithItsFindings(t *testing.T) {
	m := many{rule: &rules.Rule{ID: "made-up", Kind: rules.KindAPIKey}, findings: 60_000, distinct: 300}
	if os.Getenv("QUELL_LONG") != "" {
		m.findings = 1_000_000
	}
	r := testRuntime(t)
	var before goruntime.MemStats
	goruntime.GC()
	goruntime.ReadMemStats(&before)
	found, ended := 0, false
	var res *Scanned
	most := peak(func() {
		var err error
		res, err = r.Scan(t.Context(), ScanOptions{Detector: m, Sources: []scanners.Source{m}, Temp: t.TempDir()}, recorder(func(e report.Event) error {
			switch e.(type) {
			case report.Finding:
				found++
				if ended {
					t.Error("a finding comes after the credentials")
				}
			case report.Credential:
				ended = true
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
	})
	if want := min(m.findings, listedFindings); found != want || res.Summary.Credentials != m.distinct {
		t.Errorf("%d findings of %d credentials, want %d of %d", found, res.Summary.Credentials, want, m.distinct)
	}
	if more := res.Summary.Incomplete > 0; more != (m.findings > listedFindings) {
		t.Errorf("%d things were not read", res.Summary.Incomplete)
	}
	t.Logf("%d findings, %d MiB of heap more", found, (most-before.HeapInuse)>>20)
	limit := uint64(heapOfAScan)
	if m.findings > listedFindings {
		limit *= 2 // the places of a full window of credentials
	}
	if most > before.HeapInuse+limit {
		t.Errorf("the heap grew by %d MiB", (most-before.HeapInuse)>>20)
	}
}
