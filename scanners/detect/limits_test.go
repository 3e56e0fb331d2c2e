package detect

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
)

// reached scans text as the pool does, and returns the kinds of the limits that were reached.
func reached(tb testing.TB, e *Engine, text string) (kinds []string) {
	tb.Helper()
	_, kinds = seenAndReached(tb, e, text)
	return kinds
}

func seenAndReached(tb testing.TB, e *Engine, text string) (secrets, kinds []string) {
	tb.Helper()
	_, err := scanners.NewChunker(e.MaxLen()).Each(strings.NewReader(text), &scanners.Artifact{}, func(c scanners.Chunk) error {
		c.OnLimit(func(kind string) { kinds = append(kinds, kind) })
		for m := range e.Detect(c) {
			secrets = append(secrets, m.Secret.Reveal())
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return secrets, kinds
}

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func words(r *rand.Rand, n int) string {
	const letters = "abcdefghij klmnopqrst uvwxyz\n"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

const limitToken = "glpat-" + "Zx8Kq2LmN5pR7tVw9Yb3"

func TestABombLeavesItsNeighboursDecoded(t *testing.T) {
	testenv.Sequential(t)
	e := New(builtin(t))
	plain := base64.StdEncoding.EncodeToString([]byte("GITLAB_TOKEN=" + limitToken + "\nGITLAB_TOKEN=" + limitToken + "\n"))
	for _, n := range []int{4, 8, 40} {
		for name, glue := range map[string]string{"in one line": " ", "in lines": "\n"} {
			var bombs []string
			for i := range n {
				bombs = append(bombs, gzipped(strings.Repeat(string(rune('a'+i)), maxInflated)))
			}
			secrets, _ := seenAndReached(t, e, "a "+strings.Join(bombs, glue)+glue+"foo "+plain+"\n")
			if !slices.Contains(secrets, limitToken) {
				t.Errorf("%d bombs %s: the token after them is lost", n, name)
			}
		}
	}
}

func TestWhatALimitOfDecodingLeavesOutIsReported(t *testing.T) {
	e := New(builtin(t))
	deep := limitToken
	for range 6 {
		deep = base64.StdEncoding.EncodeToString([]byte("some text around " + deep + " and after it"))
	}
	long := gzipped(strings.Repeat("\x00", maxInflated+1<<20) + limitToken)
	cut := gzipped(words(rand.New(rand.NewPCG(1, 2)), 60000) + limitToken)
	for name, c := range map[string]struct{ text, kind string }{
		"an encoding nested too deep":    {"a " + deep + "\n", scanners.GapLimitDepth},
		"more than is inflated of a run": {"a " + long + "\n", scanners.GapLimitDecoding},
		"a compressed run that is cut":   {"a " + cut[:len(cut)/2&^3] + "\n", scanners.GapDamaged},
	} {
		if secrets, kinds := seenAndReached(t, e, c.text); !slices.Contains(kinds, c.kind) {
			t.Errorf("%s: %v, %d found", name, kinds, len(secrets))
		}
	}
}

func TestARunOfEncodedTextIsNotCutByAChunk(t *testing.T) {
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(3, 4))
	line := "2026-01-01T00:00:00Z ordinary line of a log that says nothing\n"
	border := 544 << 10
	for _, n := range []int{20000, 60000, 400000} {
		for _, wrapped := range []int{0, 76} {
			for _, part := range []float64{.02, .3, .7, .98} {
				blob := gzipped(words(r, n) + "\nGITLAB_TOKEN=" + limitToken + "\n")
				if wrapped > 0 {
					var lines []string
					for piece := range slices.Chunk([]byte(blob), wrapped) {
						lines = append(lines, string(piece))
					}
					blob = "\n" + strings.Join(lines, "\n")
				}
				before := strings.Repeat(line, border/len(line)+1)[:border-int(float64(len(blob))*part)]
				text := before[:strings.LastIndexByte(before, '\n')+1] + "blob: " + blob + "\n" + strings.Repeat(line, 3000)
				secrets, kinds := seenAndReached(t, e, text)
				if !slices.Contains(secrets, limitToken) && len(kinds) == 0 {
					t.Errorf("%d bytes, wrapped at %d, %v of it before a border: lost", len(blob), wrapped, part)
				}
				if wrapped == 0 && !slices.Contains(secrets, limitToken) {
					t.Errorf("%d bytes in one line, %v of it before a border: not found, %v", len(blob), part, kinds)
				}
			}
		}
	}
}
