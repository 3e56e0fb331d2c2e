package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	gmtext "github.com/yuin/goldmark/text"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// Text of strangers is in code spans alone, by a parser of GitHub's Markdown: it makes no link,
// image, mention, heading, HTML or further cell.
func FuzzMarkdownIsNotInjected(f *testing.F) {
	for _, s := range []string{"a", "`", "``", "a`b`", "![x](https://example.com/x.png)", "[x](https://example.com)", "https://example.com www.example.com a@example.com", "@octocat #1 GH-1",
		"<img src=x onerror=alert(1)>", "<!--", "| a | b |", `a\|b`, `\`, `a\`, "\n\n# x", "\r\n- x", "~~~", "```", "&#96;x", "a|b", "||", "$x$", ":smile:", "\u0085x", "\u2028x", strings.Repeat("|`", 400), strings.Repeat("\U0001f600", 400)} {
		f.Add(s)
	}
	md := goldmark.New(goldmark.WithExtensions(extension.GFM))
	f.Fuzz(func(t *testing.T, s string) {
		ref := rules.Ref{Rule: s, Kind: rules.KindJWT, Fingerprint: "f", Redacted: s}
		source := []byte(written(t, "markdown", Credential{Ref: ref, Locations: []rules.Location{{Path: s, Job: s, Step: s}, {Path: s}, {Path: s}}}, Verdict{"f", revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Authenticated, Detail: s, Remedy: s, Host: s}},
			Notice{Message: s, Path: s, Kind: "other", Incomplete: true}, Summary{Incomplete: 1, Live: 1, Credentials: 1}))
		if !utf8.Valid(source) {
			t.Errorf("%q", source)
		}
		cells, headings, outside := 0, 0, ""
		err := ast.Walk(md.Parser().Parse(gmtext.NewReader(source)), func(n ast.Node, in bool) (ast.WalkStatus, error) {
			if !in {
				return ast.WalkContinue, nil
			}
			switch n := n.(type) {
			case *ast.Link, *ast.Image, *ast.AutoLink, *ast.HTMLBlock, *ast.FencedCodeBlock, *ast.CodeBlock, *ast.Blockquote:
				t.Errorf("%s in %q", n.Kind(), source)
			case *ast.RawHTML:
				if html := string(n.Segments.Value(source)); html != "<br>" {
					t.Errorf("HTML %q in %q", html, source)
				}
			case *ast.Heading:
				headings++
			case *extast.TableCell:
				cells++
			case *ast.CodeSpan:
				return ast.WalkSkipChildren, nil
			case *ast.Text:
				outside += string(n.Segment.Value(source)) + "\n"
			}
			return ast.WalkContinue, nil
		})
		if err != nil || cells != 10 || headings != 2 {
			t.Errorf("%d cells, %d headings, %v: %q", cells, headings, err, source)
		}
		if strings.ContainsAny(outside, "@#<>`\\$") {
			t.Errorf("not in a code span: %q", outside)
		}
	})
}

func TestMarkdownIsBoundedWithLiveOnesFirst(t *testing.T) {
	var events []Event
	const n = 100_000
	for i := range n {
		ref := rules.Ref{Rule: "r", Kind: rules.KindAPIKey, Fingerprint: fmt.Sprintf("%032x", i)}
		events = append(events, Credential{Ref: ref, Locations: []rules.Location{{Path: strings.Repeat("long/", 50), Line: 1}}})
		if i >= n-3 {
			events = append(events, Verdict{ref.Fingerprint, revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Authenticated}})
		}
	}
	for range 1000 {
		events = append(events, Notice{Message: strings.Repeat("\U0001f600", 1000), Incomplete: true})
	}
	got := written(t, "markdown", append(events, Summary{Credentials: n, Live: 3, Unknown: n - 3, Incomplete: 1000})...)
	rows := strings.Count(got, "\n| not asked |") + strings.Count(got, "\n| **LIVE (AUTHENTICATED)** |")
	if len(got) > maxMarkdown || rows < 50 {
		t.Errorf("%d bytes, %d rows", len(got), rows)
	}
	for _, want := range []string{"## quell: 3 live credentials\n", "|---|\n| **LIVE (AUTHENTICATED)** |", fmt.Sprintf("\n%s credentials are left out: ", Number(int64(n-rows))), "more: `--report jsonl=FILE` lists all\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%.3000s", want, got)
		}
	}
	// What is left out is counted with the live ones among it.
	var live []Event
	for i := range 1000 {
		ref := rules.Ref{Rule: strings.Repeat("r", 200), Kind: rules.KindAPIKey, Fingerprint: fmt.Sprintf("%032x", i)}
		live = append(live, Credential{Ref: ref}, Verdict{ref.Fingerprint, revokers.Verdict{Liveness: revokers.Live}})
	}
	if got := written(t, "markdown", append(live, Summary{})...); !strings.Contains(got, " of them live: ") {
		t.Errorf("%s", got[len(got)-300:])
	}
}

func TestMarkdownOfAnApply(t *testing.T) {
	ref := rules.Ref{Rule: "gitlab-pat", Kind: rules.KindAPIKey, Fingerprint: strings.Repeat("a", 32)}
	got := written(t, "markdown", Credential{Ref: ref, Secret: "the value"}, Verdict{ref.Fingerprint, revokers.Verdict{Liveness: revokers.Live}}, Action{Ref: ref, Outcome: prove.Confirmed, Detail: "every answer is dead"}, Summary{Outcomes: map[prove.Outcome]int{prove.Confirmed: 1}})
	if want := "## quell: no live credential\n\n- 1 Confirmed\n"; !strings.HasPrefix(got, want) || !strings.Contains(got, "| Confirmed | API key `gitlab-pat` `aaaaaaaa` |  | `every answer is dead` |  |\n") || bytes.Contains([]byte(got), []byte("the value")) {
		t.Errorf("%s", got)
	}
}

// The heading never promises more than the answers show.
func TestHeadingsPromiseNoMoreThanTheAnswers(t *testing.T) {
	for _, c := range []struct {
		live int
		s    Summary
		want string
	}{
		{1, Summary{Unknown: 3}, "1 live credential"},
		{0, Summary{Unknown: 1, Incomplete: 2}, "no credential known to be live, 1 unknown one"},
		{0, Summary{Unknown: 4}, "no credential known to be live, 4 unknown ones"},
		{0, Summary{Dead: 2, Incomplete: 1}, "no live credential in what was read"},
		{0, Summary{Dead: 2}, "no live credential"},
	} {
		if got := heading(c.live, c.s); got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
}
