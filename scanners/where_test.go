package scanners

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

// runLog reads marks from the lines "@STEP name", "@OPEN name", "@SECTION name" and "@CLOSE
// name", and finds the words "mark-".
type runLog struct{ slow bool }

func (runLog) MaxLen() int { return 64 }

var kinds = map[string]MarkKind{"@STEP": MarkStep, "@OPEN": MarkOpen, "@SECTION": MarkSection, "@CLOSE": MarkClose, "@GROUP": MarkGroup, "@JOB": MarkJob}

func (d runLog) Detect(c Chunk) iter.Seq[Match] {
	return func(yield func(Match) bool) {
		if d.slow && c.Offset == 0 {
			time.Sleep(20 * time.Millisecond) // let the later chunks finish first
		}
		var list []Mark
		for i, at := 0, 0; i <= len(c.Data); at = i + 1 {
			if i = at + bytes.IndexByte(c.Data[at:], '\n'); i < at {
				break
			}
			word, name, _ := strings.Cut(string(c.Data[at:i]), " ")
			if k := kinds[word]; k != 0 {
				list = append(list, Mark{At: at, Kind: k, Name: name})
			}
		}
		c.Mark(list)
		for i := c.From; i < c.To; i++ {
			if bytes.HasPrefix(c.Data[i:], []byte("mark-")) && !yield(Match{Rule: &rules.Rule{ID: "mark"}, Secret: rules.NewSecret(c.Data[i : i+9]), Start: i, End: i + 9}) {
				return
			}
		}
	}
}

type logOf struct {
	text   string
	source string
}

func (s logOf) Open(context.Context) (Session, error) { return Of(s.Artifacts), nil }

func (s logOf) Artifacts(context.Context) iter.Seq2[Artifact, error] {
	return func(yield func(Artifact, error) bool) {
		open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s.text)), nil }
		yield(Artifact{Location: rules.Location{Source: s.source, Path: "a", Job: "known"}, Open: open}, nil)
	}
}

// A step can begin many chunks before a finding, and chunks are scanned in parallel. Findings
// get the position that a sequential reader of the log would determine.
func TestAFindingHasTheStepThatItsLogIsIn(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	want := map[string]string{}
	var groups []string // open groups, by a second, simple model
	step := ""
	for i := range 900 {
		switch rnd.IntN(9) {
		case 0:
			step, groups = fmt.Sprint("step ", i), nil
			fmt.Fprintf(&text, "@STEP %s\n", step)
		case 1:
			groups = append(groups, fmt.Sprint("group ", i))
			fmt.Fprintf(&text, "@OPEN group %d\n", i)
		case 2:
			if len(groups) > 0 {
				groups = groups[:len(groups)-1]
				text.WriteString("@CLOSE\n")
			}
		}
		text.WriteString(strings.Repeat("x\n", rnd.IntN(6000)))
		value := fmt.Sprintf("mark-%04d", i)
		text.WriteString(value + "\n")
		group := ""
		if n := len(groups); n > 0 {
			group = groups[n-1]
		}
		want[value] = step + "/" + group
	}
	for _, slow := range []bool{false, true} {
		got := map[string]string{}
		var mu sync.Mutex
		p := Pool{Detector: runLog{slow}, Workers: 4}
		if _, err := p.Run(context.Background(), logOf{text.String(), "log"}, func(f rules.Finding) {
			mu.Lock()
			defer mu.Unlock()
			got[f.Secret.Reveal()] = f.Location.Step + "/" + f.Location.Group
			if f.Location.Job != "known" {
				t.Errorf("job %q", f.Location.Job)
			}
		}, func(g Gap) { t.Error(g) }); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("%d findings, not %d", len(got), len(want))
		}
		for v, w := range want {
			if got[v] != w {
				t.Fatalf("%s is in %q, not in %q", v, got[v], w)
			}
		}
	}
}

func TestOtherTextHasNoSteps(t *testing.T) {
	p := Pool{Detector: runLog{}}
	p.Run(context.Background(), logOf{"@STEP a\n@OPEN b\nmark-0001\n", "git"}, func(f rules.Finding) {
		if f.Location.Step != "" || f.Location.Group != "" {
			t.Errorf("%+v", f.Location)
		}
	}, func(g Gap) { t.Error(g) })
}

func TestSectionsAndGroups(t *testing.T) {
	for name, c := range map[string]struct{ log, step, group string }{
		"the outermost section is the step":        {"@SECTION build\n@SECTION test\n", "build", "test"},
		"a block without a name is neither":        {"@SECTION \n@SECTION build\n@SECTION \n", "build", ""},
		"a section ends by its name":               {"@SECTION a\n@SECTION b\n@SECTION c\n@CLOSE b\n", "a", ""},
		"what did not begin does not end":          {"@SECTION a\n@CLOSE b\n@SECTION c\n", "a", "c"},
		"a step ends the groups":                   {"@OPEN a\n@STEP b\n", "b", ""},
		"one group after another":                  {"@GROUP a\n@GROUP b\n", "", "b"},
		"more groups than are followed all end":    {"@STEP s\n@OPEN a\n" + strings.Repeat("@OPEN x\n", 500) + strings.Repeat("@CLOSE\n", 500), "s", "a"},
		"more ends than beginnings change nothing": {"@STEP s\n@CLOSE\n@CLOSE\n@OPEN a\n", "s", "a"},
	} {
		p := Pool{Detector: runLog{}}
		p.Run(context.Background(), logOf{c.log + "mark-0001\n", "log"}, func(f rules.Finding) {
			if f.Location.Step != c.step || f.Location.Group != c.group {
				t.Errorf("%s: step %q, group %q", name, f.Location.Step, f.Location.Group)
			}
		}, func(g Gap) { t.Error(g) })
	}
}

// A panic of the detector in one chunk must not make the later chunks wait.
func TestAPanicLeavesTheStepsOfOtherChunks(t *testing.T) {
	text := "@STEP a\n" + strings.Repeat("x\n", 600<<10) + "boom\n" + strings.Repeat("x\n", 600<<10) + "mark-0001\n"
	p := Pool{Detector: panicking{}}
	n := 0
	p.Run(context.Background(), logOf{text, "log"}, func(f rules.Finding) {
		n++
		if f.Location.Step != "a" {
			t.Errorf("%+v", f.Location)
		}
	}, func(Gap) {})
	if n != 1 {
		t.Errorf("%d findings", n)
	}
}

type panicking struct{ runLog }

func (d panicking) Detect(c Chunk) iter.Seq[Match] {
	if bytes.Contains(c.Data[c.From:c.To], []byte("boom")) {
		panic("boom")
	}
	return d.runLog.Detect(c)
}
