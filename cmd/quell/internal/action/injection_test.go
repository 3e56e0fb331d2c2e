package action

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/github/githubtest"
)

// evilResult has each of the strings in every place that untrusted text can reach.
func evilResult(s string) *Result {
	at := func(l rules.Location) rules.Location { l.Line, l.Column = 3, 5; return l }
	r := &Result{Env: Env{Event: "push", Server: "https://github.example", Repository: "o/r"}, Decision: Decision{What: "what the push brought"}, Sources: []string{"git", "logs"},
		Counted: map[string]bool{"f1": true}, Notes: []string{s}}
	emit := func(e report.Event) { _ = r.Emit(e) }
	emit(report.Notice{Message: s, Incomplete: true})
	emit(report.Credential{Ref: rules.Ref{Fingerprint: "f1", Rule: "github-pat", Kind: "API key", Confidence: rules.High, Redacted: s}, Locations: []rules.Location{
		at(rules.Location{Source: "git", Path: s, Commit: shaA, Notes: map[string]string{"first_exposed": s}}),
		at(rules.Location{Source: "git", Commit: shaB, Artifact: "commit " + shaB}),
		at(rules.Location{Source: "log", Path: "actions-run/7/attempt-1/" + s + ".txt", Job: s, Step: s}),
	}})
	emit(report.Credential{Ref: rules.Ref{Fingerprint: "f2", Rule: "github-pat", Kind: "API key", Confidence: rules.Medium, Redacted: s}, Locations: []rules.Location{at(rules.Location{Source: "path", Path: s})}})
	emit(report.Verdict{Fingerprint: "f2", Verdict: revokers.Verdict{Liveness: revokers.Unknown, Reason: revokers.Reason(s)}})
	emit(report.Action{Ref: rules.Ref{Fingerprint: "f3", Rule: "x", Redacted: s}, Action: "held", Host: s, Held: s, Remedy: s})
	emit(report.Summary{Findings: 4, Credentials: 2, Incomplete: 1})
	return r
}

var commandRE = regexp.MustCompile(`^::(error|warning|notice) ((?:(?:file|line|title)=[^,:\n]*,?)+)::([^\n]*)$`)

func TestNoCommandIsInjected(t *testing.T) {
	if len(githubtest.Hostile()) < 40 {
		t.Fatal(len(githubtest.Hostile()))
	}
	want := strings.Count(evilResult("harmless").Commands(), "\n")
	for _, s := range githubtest.Hostile() {
		out := evilResult(s).Commands()
		if strings.Contains(out, "\r") || strings.Contains(out, "\x00") || strings.Contains(out, "##[") && !strings.Contains(s, "##[") {
			t.Errorf("%q: %q", s, out)
		}
		n := 0
		for l := range strings.Lines(out) {
			n++
			m := commandRE.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
			if m == nil {
				t.Errorf("%q: %q is no command of ours", s, l)
				continue
			}
			// The runner decodes the file's name to the name itself, with escapes for
			// control characters.
			if f, _, ok := strings.Cut(strings.TrimPrefix(m[2], "file="), ","); ok && strings.HasPrefix(m[2], "file=") {
				name := strings.NewReplacer("%3A", ":", "%2C", ",", "%0A", "\n", "%0D", "\r", "%25", "%").Replace(f)
				if clean, _, _ := strings.Cut(report.Clean(s), "!"); !strings.Contains(name, "evil") && strings.Contains(clean, "evil") && name != strings.Trim(clean, " ") {
					t.Errorf("%q: the file is %q", s, name)
				}
			}
		}
		// A path that leads out of the repository marks no file: one place fewer.
		if n > want || n < want-1 {
			t.Errorf("%q: %d commands, not %d", s, n, want)
		}
	}
}

var tagRE = regexp.MustCompile(`</?([a-zA-Z0-9]+)([^>]*)>`)

func TestNoMarkupIsInjected(t *testing.T) {
	md := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	render := func(text string) string {
		var b bytes.Buffer
		if err := md.Convert([]byte(text), &b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	count := func(page string) map[string]int {
		out := map[string]int{}
		for _, m := range tagRE.FindAllStringSubmatch(regexp.MustCompile(`(?s)<code>.*?</code>`).ReplaceAllString(page, "<code></code>"), -1) {
			out[m[1]]++
		}
		return out
	}
	want := count(render(evilResult("harmless").Markdown()))
	for _, s := range githubtest.Hostile() {
		page := render(evilResult(s).Markdown())
		if got := count(page); !equal(got, want) {
			t.Errorf("%q: the page is made of %v, not %v\n%s", s, got, want, page)
		}
		for _, m := range tagRE.FindAllStringSubmatch(page, -1) {
			switch {
			case m[1] == "a" && m[2] != "":
				href := strings.TrimSuffix(strings.TrimPrefix(m[2], ` href="`), `"`)
				u, err := url.Parse(href)
				if err != nil || u.Host != "github.example" || strings.ContainsAny(href, `"'<>`) {
					t.Errorf("%q: a link to %q", s, href)
				}
			case m[2] != "" && m[1] != "th" && m[1] != "td" && m[1] != "h2" && m[1] != "h3":
				t.Errorf("%q: a tag with attributes: %q", s, m[0])
			}
		}
		// No untrusted text is outside of code spans and links.
		bare := regexp.MustCompile(`(?s)<code>.*?</code>`).ReplaceAllString(page, "")
		bare = regexp.MustCompile(`<a [^>]*>`).ReplaceAllString(bare, "")
		if strings.Contains(bare, "evil") {
			t.Errorf("%q stands outside of code: %s", s, bare)
		}
	}
}

func equal(a, b map[string]int) bool {
	if len(a) != len(b) {
		return false
	}
	for k, n := range a {
		if b[k] != n {
			return false
		}
	}
	return true
}

func TestTheLogHoldsNoCommand(t *testing.T) {
	for _, s := range githubtest.Hostile() {
		var out bytes.Buffer
		log := NewLog(&out, "token")
		sink, err := report.New("text", log, nil, report.Style{})
		if err != nil {
			t.Fatal(err)
		}
		r := evilResult(s)
		for _, e := range []report.Event{r.Notices[0], r.Credentials[0], r.Credentials[1], r.Actions[0], r.Summary} {
			if err := sink.Emit(e); err != nil {
				t.Fatal(err)
			}
		}
		// As it comes, and cut anywhere.
		for _, b := range []byte(s) {
			_, _ = log.Write([]byte{b})
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		listens := &githubtest.Runner{}
		listens.Feed(out.String())
		if len(listens.Commands) > 0 || listens.Stopped != "" {
			t.Errorf("%q: %q, stopped %q", s, listens.Commands, listens.Stopped)
		}
		// One that does not know stop-commands. What Close wrote last is ours.
		text := strings.TrimSuffix(strings.TrimPrefix(out.String(), "::stop-commands::token\n"), "::token::\n")
		deaf := &githubtest.Runner{}
		for l := range strings.Lines(text) {
			deaf.Line(l)
		}
		if len(deaf.Commands) > 0 || deaf.Stopped != "" {
			t.Errorf("%q: a runner that does not listen sees %q, %q", s, deaf.Commands, deaf.Stopped)
		}
	}
}

func TestCodeKeepsWhatItCan(t *testing.T) {
	for in, want := range map[string]string{"a/b.go:3": "`a/b.go:3`", "": "`-`", " ": "`-`", "a`b": "`a%60b`", "a|b": "`a%7Cb`", "x\ny": "`x%5Cu000ay`", "ümlaut": "`ümlaut`"} {
		if got := Code(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
	if got := Link("a", "https://x/", "b", "c d/(e)"); got != "[`a`](https://x/b/c%20d/%28e%29)" {
		t.Error(got)
	}
	if got := Property("a,b:c%\n"); got != `a%2Cb%3Ac%25\u000a` {
		t.Error(got)
	}
}

func FuzzMarkdown(f *testing.F) {
	for _, s := range githubtest.Hostile() {
		f.Add(s)
	}
	md := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 300 {
			return
		}
		var b bytes.Buffer
		if err := md.Convert([]byte("| a | b |\n|---|---|\n| "+Code(s)+" | "+Link(s, "https://x", s)+" |\n\n- "+Code(s)+"\n"), &b); err != nil {
			t.Fatal(err)
		}
		page := regexp.MustCompile(`(?s)<code>.*?</code>`).ReplaceAllString(b.String(), "")
		var tags []string
		for _, m := range tagRE.FindAllStringSubmatch(page, -1) {
			tags = append(tags, m[1])
		}
		want := strings.Fields("table thead tr th th th th tr thead tbody tr td td td a a td tr tbody table ul li li ul")
		if !slices.Equal(tags, want) {
			t.Errorf("%q: %v\n%s", s, tags, b.String())
		}
		if out := fmt.Sprintf("::error file=%s::%s\n", Property(s), Data(s)); strings.Count(out, "\n") != 1 || strings.Contains(out, "\r") || strings.Count(out, "::") < 2 || !regexp.MustCompile(`^::error file=[^:,]*::`).MatchString(out) {
			t.Errorf("%q: %q", s, out)
		}
	})
}
