package detect

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners"
)

// run scans text as the pool does.
func run(tb testing.TB, e *Engine, b []byte, from int) []string {
	tb.Helper()
	var out []string
	a := &scanners.Artifact{}
	k := scanners.NewChunker(e.MaxLen())
	_, err := k.Each(bytes.NewReader(b), a, func(c scanners.Chunk) error {
		for m := range e.Detect(c) {
			l := c.Locate(m.Start, m.End)
			out = append(out, fmt.Sprint(m.Rule.ID, " ", l.Offset-int64(from), " ", m.Secret.Reveal()))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// Padding moves the text over chunk borders: the findings must move with it.
func TestAnyCutFindsTheSame(t *testing.T) {
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(5, 6))
	text := noise(e, r, 24<<10)
	line := []byte(strings.Repeat("a line of padding that holds nothing at all\n", 40000))
	text = append([]byte("\n\n"), text...)
	// Text comes before the noise, because the first bytes decide whether the file counts as
	// binary.
	begin := append(slices.Clone(line[:9999]), '\n')
	want := run(t, e, append(begin, text...), len(begin))
	if len(want) < 10 {
		t.Fatalf("only %d findings", len(want))
	}
	// Every finding is cut in its middle, at each position where a chunk may end.
	for _, border := range []int{512 << 10, 512<<10 + e.MaxLen(), 512<<10 + 2*e.MaxLen()}[:max(3/fewer, 1)] {
		for i, f := range want {
			if i%fewer != 0 {
				continue
			}
			var rule string
			var at int
			if _, err := fmt.Sscan(f, &rule, &at); err != nil {
				t.Fatal(err)
			}
			pad := border - at - 8
			before := append(slices.Clone(line[:pad-1]), '\n')
			if got := run(t, e, append(before, text...), pad); !slices.Equal(got, want) {
				t.Fatalf("moved by %d: %v", pad, diff(got, want))
			}
		}
	}
}

// scanned lists the findings of b in one piece, or in two pieces cut at a position.
func scanned(e *Engine, b []byte, cut int) []string {
	var out []string
	add := func(from, to int) {
		// The context is that of a real chunk: as much as the detector requires.
		start, end := max(0, from-e.MaxLen()), min(len(b), to+e.MaxLen())
		c := scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b[start:end:end], Offset: int64(start), Line: 1, Column: 1, From: from - start, To: to - start}
		for m := range e.Detect(c) {
			out = append(out, fmt.Sprint(m.Rule.ID, " ", start+m.Start, "-", start+m.End, " ", m.Secret.Reveal(), m.Decoded, m.Partial))
		}
	}
	if cut > 0 {
		add(0, cut)
	}
	add(cut, len(b))
	slices.Sort(out)
	return out
}

// FuzzSplit cuts texts of noise and manglings at any position.
func FuzzSplit(f *testing.F) {
	e := New(builtin(f))
	r := rand.New(rand.NewPCG(9, 10))
	tok := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	for _, m := range manglings() {
		text, start, end := unmark(m.make(tok))
		f.Add([]byte(text), (start+end)/2)
		f.Add(append(noise(e, r, 300), text...), 300+start+r.IntN(40))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if len(b) > 8<<10 || cut < 0 || cut > len(b) {
			return
		}
		if got, want := scanned(e, b, cut), scanned(e, b, 0); !slices.Equal(got, want) {
			t.Fatal(diff(got, want))
		}
	})
}

// The same test on longer texts, with manglings in random order between noise, so that the text
// around one does not hide it from one of the chunks.
func TestAnySplitOfMangledText(t *testing.T) {
	e := New(builtin(t))
	r := rand.New(rand.NewPCG(11, 12))
	tok := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	list := manglings()
	total := 0
	for range 40 / fewer {
		var b []byte
		for len(b) < 150<<10 {
			text, _, _ := unmark(list[r.IntN(len(list))].make(tok))
			b = append(append(append(b, noise(e, r, r.IntN(3000))...), '\n'), text...)
			if r.IntN(4) == 0 {
				b = append(b, strings.Repeat("padding ", r.IntN(5000))...)
			}
		}
		want := scanned(e, b, 0)
		total += len(want)
		for range 4 {
			cut := r.IntN(len(b))
			if got := scanned(e, b, cut); !slices.Equal(got, want) {
				t.Fatalf("cut at %d of %d: %v", cut, len(b), diff(got, want))
			}
		}
	}
	t.Logf("%d findings in texts cut 160 times", total)
	if total < 1500/fewer {
		t.Errorf("only %d findings", total)
	}
}

// An attempt that ends at the end of joined lines is not a match that a chunk cut: nothing is
// counted as left out here.
func TestNoValueIsReportedAsCut(t *testing.T) {
	e := New(builtin(t))
	for range 2 {
		if kinds := reached(t, e, strings.Repeat("fetching with ghp_0123456789abcdef\nABC\n\n", 50000)); len(kinds) > 0 {
			t.Error(kinds)
		}
	}
}

// State that a search left when it panicked must not affect the next search.
func TestAPanicLeavesNoState(t *testing.T) {
	e := New(builtin(t))
	long := []byte(strings.Repeat("padding\n", 1000) + `token = "q8Zr3vXb1Lw6Tk9Pd2Fh5Jm7"` + "\n")
	for range 20 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no artifact, and no panic")
				}
			}()
			for range e.Detect(scanners.Chunk{Data: long, To: len(long)}) {
			}
		}()
		if got := run(t, e, []byte(`token = "q8Zr3vXb1Lw6Tk9Pd2Fh5Jm7"`), 0); len(got) != 1 {
			t.Fatal(got)
		}
	}
}
