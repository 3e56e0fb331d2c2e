package detect

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
)

// judging are expressions that are tested for most matches.
func judging() []*test {
	return []*test{pageRE, hexRE, typedRE, certificateRE, badgeRE, notValueRE, exampleRE, cacheKeyRE, resourceRE, idRE, listedRE, signedRE, hashedRE, printRE, keyNameRE, grantsRE, notNameRE, otherUseRE, bareKeyRE,
		accessRE, nameKeyRE, envRE, percentRE, uuidRE, structureRE, sessionNameRE, strongNameRE}
}

// countExpressions replaces the expressions of tests, so that their runs are counted, until the test ends.
func countExpressions(t *testing.T, e *Engine) (runs *atomic.Int64, tests int) {
	list := judging()
	for _, a := range e.allow {
		list = append(list, a.test)
	}
	for _, r := range e.rules {
		for _, a := range r.allow {
			list = append(list, a.test)
		}
	}
	runs = &atomic.Int64{}
	for _, x := range list {
		expr := x.expr
		x.expr = func(b []byte) bool { runs.Add(1); return expr(b) }
		t.Cleanup(func() { x.expr = expr })
	}
	return runs, len(list)
}

// A log with a token in each line is read to its end, and every token is found. The work on a
// token does not depend on how many there are: the test counts the runs of Go's regexp and the
// bytes that automatons read and that are derived, and does not measure time.
func TestALogOfManyTokensIsReadToItsEnd(t *testing.T) {
	testenv.Sequential(t)
	lines := 20_000 / fewer
	for name, distinct := range map[string]bool{"distinct tokens": true, "one token": false} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(27, 100))
			value := func() string {
				const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				b := make([]byte, 20)
				for i := range b {
					b[i] = letters[r.IntN(len(letters))]
				}
				return "glpat" + "-" + string(b)
			}
			var log strings.Builder
			token := value()
			for i := range lines {
				if distinct {
					token = value()
				}
				fmt.Fprintf(&log, "2026-11-30T11:00:00.%07dZ step %d: export GITLAB_TOKEN=%s\n", i, i, token)
			}
			all := log.String()
			e := New(builtin(t))
			runs, tests := countExpressions(t, e)
			var mu sync.Mutex
			places, values, gaps := map[int]bool{}, map[string]bool{}, []string(nil)
			p := scanners.Pool{Detector: e, Workers: 2, Patience: scanners.Patience{Own: time.Hour, Shared: time.Hour}}
			_, err := p.Run(t.Context(), cilog.Source{Targets: []string{"-"}, Stdin: strings.NewReader(all)}, func(f rules.Finding) {
				mu.Lock()
				defer mu.Unlock()
				places[f.Location.Line], values[f.Secret.Reveal()] = true, true
			}, func(g scanners.Gap) {
				mu.Lock()
				defer mu.Unlock()
				gaps = append(gaps, fmt.Sprint(g.Kind, " ", g.Err))
			})
			if err != nil || len(gaps) > 0 {
				t.Errorf("%v, gaps %q", err, gaps)
			}
			want := 1
			if distinct {
				want = lines
			}
			// A random value may look like an example: that is one in some thousands.
			if len(values) < want*99/100 || len(places) < lines*99/100 {
				t.Errorf("%d values at %d places of %d lines", len(values), len(places), lines)
			}
			// A few expressions may have no automaton any more, after other tests of this process.
			if n := runs.Load(); n > int64(max(tests*2*testsBefore, 8*lines)) {
				t.Errorf("Go's regexp runs %d times for %d tests", n, tests)
			}
			part := []byte(all[:len(all)/4])
			l := look{e: e, s: &scratch{}, chunk: scanners.Chunk{Artifact: &scanners.Artifact{}, Data: part, To: len(part)}, budget: maxDerived}
			l.text(&text{data: part}, 0)
			if l.spent > len(part) || l.s.steps > 8*len(part) {
				t.Errorf("%d bytes are derived and automatons read %d bytes of %d", l.spent, l.s.steps, len(part))
			}
		})
	}
}
