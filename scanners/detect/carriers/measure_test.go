// Package carriers measures detection over the ways in which programs write credentials, and
// over values that only look like one. Every run makes new values.
package carriers

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	mrand "math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

// The required results of a run, at medium confidence.
const (
	minExact   = 0.97
	maxFlagged = 0.005

	positives = 2400
	negatives = 4200
)

// sample is a text and the credential in it: none if want is empty.
type sample struct {
	carrier, form string
	text          string
	want          string
}

// texts is a source of samples, one artifact each.
type texts []sample

func (s texts) Open(context.Context) (scanners.Session, error) { return scanners.Of(s.Artifacts), nil }

func (s texts) Artifacts(context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		for i := range s {
			a := scanners.Artifact{
				Location: rules.Location{Source: "log", Path: strconv.Itoa(i)},
				Open:     func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s[i].text)), nil },
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// scan returns the findings of each sample at medium confidence and above.
func scan(t *testing.T, list []sample) [][]rules.Finding {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	found := make([][]rules.Finding, len(list))
	var mu sync.Mutex
	pool := scanners.Pool{Detector: detect.New(set), Workers: runtime.GOMAXPROCS(0)}
	_, err = pool.Run(t.Context(), texts(list), func(f rules.Finding) {
		i, err := strconv.Atoi(f.Location.Path)
		if err != nil || f.Confidence < rules.Medium {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		found[i] = append(found[i], f)
	}, func(g scanners.Gap) { t.Errorf("not read: %v", g) })
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// seeded returns the random source of this run. SEED repeats a run.
func seeded(t *testing.T) generator {
	t.Helper()
	var b [8]byte
	_, _ = rand.Read(b[:])
	seed := binary.NativeEndian.Uint64(b[:])
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d makes the same values", seed)
	return generator{mrand.New(mrand.NewPCG(seed, 0))}
}

// exact reports whether one of the findings is the credential, as its issuer accepts it.
func exact(findings []rules.Finding, want string) bool {
	return slices.ContainsFunc(findings, func(f rules.Finding) bool {
		return !f.Partial && f.Secret.Equal(rules.NewSecretString(want))
	})
}

// tally counts hits by carrier and by form.
type tally map[string][2]int

func (t tally) add(key string, hit bool) {
	c := t[key]
	c[1]++
	if hit {
		c[0]++
	}
	t[key] = c
}

// worst lists the keys with the most misses.
func (t tally) worst(n int, misses func(c [2]int) int) string {
	var keys []string
	for k, c := range t {
		if misses(c) > 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := misses(t[b]) - misses(t[a]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var out strings.Builder
	for _, k := range keys[:min(n, len(keys))] {
		fmt.Fprintf(&out, "\n  %4d of %4d  %s", misses(t[k]), t[k][1], k)
	}
	return out.String()
}

func TestCredentialsAreFoundExactlyInEveryCarrier(t *testing.T) {
	d := seeded(t)
	list := credentials(d, positives)
	found := scan(t, list)
	byCarrier, byForm, hits, extra := tally{}, tally{}, 0, 0
	for i, s := range list {
		hit := exact(found[i], s.want)
		byCarrier.add(s.carrier, hit)
		byForm.add(s.form, hit)
		if hit {
			hits++
		} else if os.Getenv("SHOW") != "" {
			t.Logf("%s, %s: %s\n%s%s", s.carrier, s.form, s.want, s.text, shown(found[i]))
		}
		for _, f := range found[i] {
			if !f.Secret.Equal(rules.NewSecretString(s.want)) {
				extra++
				if os.Getenv("SHOW") != "" {
					t.Logf("beside it, %s, %s: %s%s", s.carrier, s.form, s.text, shown([]rules.Finding{f}))
				}
			}
		}
	}
	share := float64(hits) / float64(len(list))
	missed := func(c [2]int) int { return c[1] - c[0] }
	t.Logf("%d of %d exact (%.2f %%), %d other findings; misses by carrier:%s\nby form:%s",
		hits, len(list), 100*share, extra, byCarrier.worst(200, missed), byForm.worst(60, missed))
	if share < minExact {
		t.Errorf("%.2f %% are found exactly, at least %.2f %% must be", 100*share, 100*minExact)
	}
}

func TestLookalikesAreNotFlagged(t *testing.T) {
	d := seeded(t)
	list := harmless(d, negatives)
	found := scan(t, list)
	byCarrier, byForm, flagged := tally{}, tally{}, 0
	for i, s := range list {
		hit := len(found[i]) > 0
		byCarrier.add(s.carrier, hit)
		byForm.add(s.form, hit)
		if !hit {
			continue
		}
		flagged++
		if os.Getenv("SHOW") != "" {
			t.Logf("%s, %s:\n%s%s", s.carrier, s.form, s.text, shown(found[i]))
		}
	}
	share := float64(flagged) / float64(len(list))
	hits := func(c [2]int) int { return c[0] }
	t.Logf("%d of %d flagged (%.2f %%); by carrier:%s\nby form:%s",
		flagged, len(list), 100*share, byCarrier.worst(60, hits), byForm.worst(60, hits))
	if share > maxFlagged {
		t.Errorf("%.2f %% are flagged, at most %.2f %% may be", 100*share, 100*maxFlagged)
	}
}

func shown(findings []rules.Finding) string {
	var out strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&out, "\n-> %s %s %d bytes at column %d, partial %v", f.Rule, f.Confidence, f.Secret.Len(), f.Location.Column, f.Partial)
	}
	return out.String()
}
