package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// elements are those that a page can have, with their attributes.
var elements = map[string][]string{
	"html": {"lang"}, "head": nil, "meta": {"charset", "http-equiv", "content", "name"}, "title": nil, "style": nil, "body": nil, "h1": nil, "h2": nil, "p": nil, "ul": nil, "li": nil,
	"table": nil, "thead": nil, "tbody": nil, "tr": {"class"}, "th": {"scope"}, "td": {"class"}, "code": nil, "br": nil, "dl": nil, "dt": nil, "dd": nil,
}

// Whatever the text is, the page has these elements and attributes alone: no script, image,
// link, form or style of a stranger's, and the policy allows the style sheet as it is.
func FuzzHTMLIsNotInjected(f *testing.F) {
	for _, s := range []string{"a", "<script>alert(1)</script>", `" onmouseover="x`, "' x='", "</style><script>", "</title><img src=x>", "<!--", "&lt;script&gt;", "javascript:x", "\x00<b>", "\xff<b>", "{{.}}", "]]>", "\u2028", "url(https://example.com)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref := rules.Ref{Rule: s, Kind: rules.Kind(s), Fingerprint: "f", Redacted: s}
		text := written(t, "html", Config{Command: s, Version: s, Targets: []string{s}},
			Credential{Ref: ref, Secret: s, Locations: []rules.Location{{Path: s, Job: s, Step: s}}}, Verdict{"f", revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Reason(s), Detail: s, Remedy: s, Host: s, Identity: map[string]string{s: s}}},
			Notice{Message: s, Path: s, Kind: s, Incomplete: true}, Notice{Message: s}, Summary{Incomplete: 1})
		doc, err := html.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		rows, policy, style := 0, "", ""
		for n := range doc.Descendants() {
			switch n.Type {
			case html.CommentNode:
				t.Errorf("a comment: %q", text)
			case html.ElementNode:
				attributes, ok := elements[n.Data]
				if !ok {
					t.Errorf("%s in %q", n.Data, text)
				}
				for _, a := range n.Attr {
					if !slices.Contains(attributes, a.Key) {
						t.Errorf("%s %s in %q", n.Data, a.Key, text)
					}
					if a.Key == "content" && strings.Contains(a.Val, "default-src") {
						policy = a.Val
					}
				}
				switch n.Data {
				case "tr":
					rows++
				case "style":
					style = n.FirstChild.Data
				}
			}
		}
		if rows != 2 || policy != "default-src 'none'; style-src 'sha256-"+digest(style)+"'; base-uri 'none'; form-action 'none'" {
			t.Errorf("%d rows, policy %q: %q", rows, policy, text)
		}
	})
}

func TestHTMLListsLiveOnesFirstAndCountsTheRest(t *testing.T) {
	var events []Event
	const n = 100_000
	for i := range n {
		ref := rules.Ref{Rule: "r", Kind: rules.KindAPIKey, Fingerprint: fmt.Sprintf("%032x", i)}
		events = append(events, Credential{Ref: ref, Locations: []rules.Location{{Path: "a", Line: 1}}})
		if i >= n-3 {
			events = append(events, Verdict{ref.Fingerprint, revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Authenticated}})
		}
	}
	got := written(t, "html", append(events, Summary{Credentials: n, Live: 3, Unknown: n - 3})...)
	if rows := strings.Count(got, "<tr class="); rows != maxRows+3 {
		t.Errorf("%d rows", rows)
	}
	for _, want := range []string{"<h1>quell: 3 live credentials</h1>", "<tbody>\n<tr class=\"live\">\n<td class=\"state\">live (authenticated)</td>", "<p>89,997 credentials are left out, none of them live: "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
}
