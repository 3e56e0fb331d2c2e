package scanners

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quellhq/quell/rules"
)

// marks finds "mark-" and four digits, and panics on a chunk that contains panics.
type marks struct{ panics string }

func (marks) MaxLen() int { return 64 }

func (d marks) Detect(c Chunk) iter.Seq[Match] {
	return func(yield func(Match) bool) {
		if d.panics != "" && bytes.Contains(c.Data, []byte(d.panics)) {
			panic("with a secret in it")
		}
		for i := c.From; i < c.To; i++ {
			if bytes.HasPrefix(c.Data[i:], []byte("mark-")) && i+9 <= len(c.Data) {
				if !yield(Match{Rule: &rules.Rule{ID: "mark"}, Secret: rules.NewSecret(c.Data[i : i+9]), Start: i, End: i + 9}) {
					return
				}
			}
		}
	}
}

type one struct{ text string }

func (s one) Open(context.Context) (Session, error) { return Of(s.Artifacts), nil }

func (s one) Artifacts(context.Context) iter.Seq2[Artifact, error] {
	return func(yield func(Artifact, error) bool) {
		for _, path := range []string{"a", "b"} {
			open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s.text)), nil }
			if !yield(Artifact{Location: rules.Location{Path: path}, Open: open}, nil) {
				return
			}
		}
	}
}

// The pool scans chunks of a long stream in parallel: it finds everything once, at the right
// position.
func TestLongStreamsAreSharedOut(t *testing.T) {
	var text strings.Builder
	var want []string
	for i := range 1200 {
		text.WriteString(strings.Repeat("x\n", i*7%6000))
		at := text.Len()
		fmt.Fprintf(&text, "  mark-%04d\n", i)
		want = append(want, fmt.Sprintf("a:%d:3 offset %d", 1+strings.Count(text.String()[:at], "\n"), at+2))
	}
	if text.Len() < 6*chunkSize {
		t.Fatalf("only %d bytes", text.Len())
	}
	want = append(want, slices.Clone(want)...)
	for i := range want[len(want)/2:] {
		want[len(want)/2+i] = "b" + want[i][1:]
	}
	for _, workers := range []int{1, 4} {
		var mu sync.Mutex
		var got []string
		p := Pool{Detector: marks{}, Workers: workers}
		st, err := p.Run(t.Context(), one{text.String()}, func(f rules.Finding) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%s:%d:%d offset %d", f.Location.Path, f.Location.Line, f.Location.Column, f.Location.Offset))
		}, func(g Gap) { t.Error(g) })
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) || st.Bytes != int64(2*text.Len()) {
			t.Errorf("%d workers: %d findings, %d bytes, %v", workers, len(got), st.Bytes, err)
		}
	}
}

func TestAPanicConcernsItsArtifactAndQuotesNothing(t *testing.T) {
	var gaps []string
	var mu sync.Mutex
	p := Pool{Detector: marks{panics: "mark-0007"}}
	_, err := p.Run(t.Context(), one{strings.Repeat("x\n", chunkSize) + "mark-0007"}, func(rules.Finding) {}, func(g Gap) {
		mu.Lock()
		defer mu.Unlock()
		gaps = append(gaps, g.Error())
	})
	if err != nil || len(gaps) != 2 || strings.Contains(gaps[0], "secret") {
		t.Errorf("%v, %v", gaps, err)
	}
}

// rows is a format of files that are scanned as they are and then as rows.
type rows struct{}

func (rows) Head() int            { return 4 }
func (rows) Within(Window) []Part { return nil }

func (rows) Recognise(head []byte, _ string) string {
	if bytes.HasPrefix(head, []byte("DB!\n")) {
		return "rows"
	}
	return ""
}

func (rows) Open(_ context.Context, _ string, in Packed, b *Budget, member func(string, io.Reader) error, _ func(string, error)) error {
	b.Out++
	if err := member("", AsIs{Reader: in.Reader}); err != nil {
		return err
	}
	return member("rows", AsIs{Reader: strings.NewReader("mark-0007"), Where: func(line int) string { return fmt.Sprint("row ", line) }})
}

func TestLinesOfAContainerAreDescribed(t *testing.T) {
	p := Pool{Detector: marks{}, Workers: 1, Unpacker: rows{}}
	var found []string
	if _, err := p.Run(t.Context(), single{"DB!\nmark-0006"}, func(f rules.Finding) {
		found = append(found, f.Location.Path+" "+f.Secret.Reveal()+" "+f.Location.Notes["row"])
	}, func(g Gap) { t.Error(g) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"f mark-0006 ", "f!rows mark-0007 row 1"}; !slices.Equal(found, want) {
		t.Errorf("%q, not %q", found, want)
	}
}

type single struct{ text string }

func (o single) Open(context.Context) (Session, error) { return Of(o.Artifacts), nil }

func (o single) Artifacts(context.Context) iter.Seq2[Artifact, error] {
	return func(yield func(Artifact, error) bool) {
		yield(Artifact{Location: rules.Location{Path: "f"}, Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(o.text)), nil
		}}, nil)
	}
}

// A message has the location once, together with the reason.
func TestGapsNameTheirPlaceOnce(t *testing.T) {
	broken := errors.New("broken")
	for want, g := range map[string]Gap{
		"a.log: cut":         {Location: rules.Location{Path: "a.log"}, Reason: "cut"},
		"a.log: broken":      {Location: rules.Location{Path: "a.log"}, Err: broken},
		"a.log: cut: broken": {Location: rules.Location{Path: "a.log"}, Reason: "cut", Err: broken},
		"object 1: broken":   {Location: rules.Location{Artifact: "object 1"}, Reason: "object 1", Err: broken},
	} {
		if got := g.Error(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// parts is a source of one artifact with parts, in memory or not.
type parts struct {
	texts  []string
	reader func(string) io.Reader
}

func (s parts) Open(context.Context) (Session, error) { return Of(s.Artifacts), nil }

func (s parts) Artifacts(context.Context) iter.Seq2[Artifact, error] {
	return func(yield func(Artifact, error) bool) {
		yield(Artifact{Parts: func(_ context.Context, part func(Artifact, io.Reader) error, _ func(Gap)) error {
			for i, t := range s.texts {
				if err := part(Artifact{Location: rules.Location{Path: fmt.Sprint(i)}}, s.reader(t)); err != nil {
					return err
				}
			}
			return nil
		}}, nil)
	}
}

// Scanning from memory gives the same result as scanning a stream: for small and large texts,
// opened or not, and if the detector panics.
func TestMemoryIsReadAsStreamsAre(t *testing.T) {
	texts := []string{"", "mark-0001\nx mark-0002", "BAD mark-0003", "mark-0004", strings.Repeat(strings.Repeat("x\n", 5000)+"mark-0005\n", chunkSize/8000), "DB!\nmark-0006", "DB"}
	scan := func(reader func(string) io.Reader) (out []string, st Stats) {
		var mu sync.Mutex
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			out = append(out, s)
		}
		p := Pool{Detector: marks{panics: "BAD"}, Workers: 2, Unpacker: rows{}}
		st, err := p.Run(t.Context(), parts{texts, reader}, func(f rules.Finding) {
			note(fmt.Sprintf("%s:%d:%d offset %d %s", f.Location.Path, f.Location.Line, f.Location.Column, f.Location.Offset, f.Secret.Reveal()))
		}, func(g Gap) { note(fmt.Sprint("gap ", g.Location.Path, g.Err)) })
		if err != nil {
			t.Error(err)
		}
		slices.Sort(out)
		return out, st
	}
	want, wanted := scan(func(s string) io.Reader { return strings.NewReader(s) })
	got, st := scan(func(s string) io.Reader { return InMemory([]byte(s)) })
	if !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("%q, not %q", got, want)
	}
	if st.Artifacts != wanted.Artifacts || st.Bytes != wanted.Bytes {
		t.Errorf("%d artifacts and %d bytes, not %d and %d", st.Artifacts, st.Bytes, wanted.Artifacts, wanted.Bytes)
	}
}

// The beginning of a file determines whether all its chunks are binary.
func TestTheBeginningIdentifiesBinaryFiles(t *testing.T) {
	long := strings.Repeat("text\n", chunkSize/2)
	for text, want := range map[string]bool{"a\x00" + long: true, long + "\x00": false, strings.Repeat("x", 8000) + "\x00": false, strings.Repeat("x", 7999) + "\x00": true, "": false} {
		chunks := 0
		if _, err := NewChunker(1<<10).Each(strings.NewReader(text), &Artifact{}, func(c Chunk) error {
			if chunks++; c.Binary != want {
				t.Errorf("chunk %d: %v", chunks, c.Binary)
			}
			return nil
		}); err != nil || chunks == 0 || len(text) > len(long) && chunks < 2 {
			t.Errorf("%d chunks, %v", chunks, err)
		}
		var identified []bool
		p := Pool{Detector: asks{func(c Chunk) { identified = append(identified, c.Binary) }}, Workers: 1}
		if _, err := p.Run(t.Context(), parts{[]string{text[:min(len(text), chunkSize)]}, func(s string) io.Reader { return InMemory([]byte(s)) }}, func(rules.Finding) {}, func(Gap) {}); err != nil || !slices.Equal(identified, []bool{want}) {
			t.Errorf("in memory: %v, %v", identified, err)
		}
	}
}

// asks is a detector that passes chunks to a function.
type asks struct{ f func(Chunk) }

func (asks) MaxLen() int { return 1 << 10 }

func (a asks) Detect(c Chunk) iter.Seq[Match] {
	a.f(c)
	return func(func(Match) bool) {}
}

// A slow terminal or a full disk must not make a file look hostile.
func TestTheTimeOfAReaderOfFindingsIsNotTheFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found := 0
		p := Pool{Detector: marks{}, Workers: 1, Patience: Patience{Own: time.Minute, Shared: time.Nanosecond}}
		_, err := p.Run(t.Context(), one{strings.Repeat("mark-0001\n"+strings.Repeat(".", 1<<20), 3)}, func(rules.Finding) {
			time.Sleep(time.Hour)
			found++
		}, func(g Gap) { t.Error(g) })
		if err != nil || found == 0 {
			t.Error(found, err)
		}
	})
}
