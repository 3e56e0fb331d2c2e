package report

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"
)

var htmlFormat = Format{Name: "html", New: func(o Options) Sink { return &page{w: o.W} }}

// page writes one HTML file that needs no other: without scripts, images and links, live
// credentials first. html/template escapes every text, and the policy of the page
// (https://www.w3.org/TR/CSP3/) lets a browser load nothing and apply this style sheet alone.
type page struct {
	w       *bufio.Writer
	records records
	gaps    []Notice // the first
	nGaps   int64    // all
	notices []string
	config  Config
	summary Summary
}

// maxRows is how many credentials that are not live the page lists; more than these make a
// page that browsers are slow to show.
const maxRows = 10_000

func (p *page) Emit(e Event) error {
	p.records.take(e)
	switch e := e.(type) {
	case Config:
		p.config = e
	case Notice:
		switch {
		case e.Incomplete:
			if p.nGaps += max(e.Count, 1); len(p.gaps) < maxKept {
				p.gaps = append(p.gaps, e)
			}
		case len(p.notices) < maxKept:
			p.notices = append(p.notices, Clean(e.Message))
		}
	case Summary:
		p.summary = e
	}
	return nil
}

// pageRow is a credential on the page.
type pageRow struct {
	Rank                                             string // live, suspect, other
	State, Kind, Rule, ID, Redacted, Secret          string
	Confidence, Host, Identity, Expires, Why, Remedy string
	Where                                            []string
}

func (p *page) Close() error {
	var counts bytes.Buffer
	t := &text{w: bufio.NewWriter(&counts)}
	t.summary(p.summary)
	_ = t.w.Flush()
	list := inOrder(p.records.list)
	shown, live := 0, 0
	for _, r := range list {
		if r.live() {
			live++
		}
	}
	title := heading(live, p.summary)
	at := ""
	if !p.config.At.IsZero() {
		at = p.config.At.UTC().Format(time.RFC3339)
	}
	rows := func(yield func(pageRow) bool) {
		for _, r := range list[:shown] {
			if !yield(r.pageRow()) {
				return
			}
		}
	}
	shown = min(len(list), live+maxRows)
	left := ""
	if n := int64(len(list) - shown); n > 0 {
		left = Count(n, "credential") + " " + isAre(n) + " left out, none of them live: --report jsonl=FILE lists all."
	}
	unlisted := p.nGaps
	for _, n := range p.gaps {
		unlisted -= max(n.Count, 1)
	}
	var targets []string
	for _, t := range p.config.Targets {
		targets = append(targets, Clean(t))
	}
	if err := pageTemplate.Execute(p.w, map[string]any{
		"Policy": pagePolicy, "Style": template.CSS(pageStyle), "Title": title, "Command": p.config.Command, "Targets": targets, "Version": p.config.Version, "At": at,
		"Counts": strings.Split(strings.TrimSpace(counts.String()), "\n"), "Rows": rows, "Any": shown > 0, "Left": left,
		"Gaps": p.gaps, "Unlisted": max(unlisted, 0), "Notices": p.notices,
	}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return p.w.Flush()
}

func (r *record) pageRow() pageRow {
	row := pageRow{Rank: [...]string{"live", "suspect", "other"}[r.rank()], State: r.state(), Kind: string(r.kind), Rule: Clean(r.rule), ID: r.fingerprint, Redacted: Clean(r.redacted), Secret: Clean(r.secret),
		Confidence: r.confidence.String(), Host: Clean(r.host), Identity: Clean(r.identity), Expires: r.expiry, Why: Clean(r.why()), Remedy: Clean(r.todo())}
	for _, w := range r.where() {
		row.Where = append(row.Where, Clean(w))
	}
	return row
}

const pageStyle = `:root{color-scheme:light dark;--live:#b00020;--suspect:#8a5a00;--line:#8884}
@media (prefers-color-scheme:dark){:root{--live:#ff6b81;--suspect:#ffc247}}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{border-bottom:1px solid var(--line);padding:.4rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
code{font:13px/1.4 ui-monospace,monospace}
.live .state{color:var(--live);font-weight:700}
.suspect .state{color:var(--suspect);font-weight:700}
dl{margin:0}dt{display:inline;font-weight:600}dd{display:inline;margin:0}dd::after{content:"\A";white-space:pre}
`

var pagePolicy = "default-src 'none'; style-src 'sha256-" + digest(pageStyle) + "'; base-uri 'none'; form-action 'none'"

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"clean": Clean}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{.Policy}}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<title>quell: {{.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<h1>quell: {{.Title}}</h1>
{{- if .Command}}
<p><code>quell {{.Command}}{{range .Targets}} {{.}}{{end}}</code>{{if .At}}, {{.At}}{{end}}{{if .Version}}, quell {{.Version}}{{end}}</p>
{{- end}}
<ul>{{range .Counts}}
<li>{{.}}</li>{{end}}
</ul>
{{- if .Any}}
<h2>Credentials</h2>
<table>
<thead><tr><th scope="col">State</th><th scope="col">Credential</th><th scope="col">Where</th><th scope="col">Details</th></tr></thead>
<tbody>
{{- range .Rows}}
<tr class="{{.Rank}}">
<td class="state">{{.State}}</td>
<td>{{.Kind}}<br><code>{{.Rule}}</code><br><code>{{.ID}}</code><br><code>{{.Redacted}}</code>{{if .Secret}}<br><code>{{.Secret}}</code>{{end}}</td>
<td>{{range .Where}}<code>{{.}}</code><br>{{end}}</td>
<td><dl>
{{- if .Why}}<dt>because: </dt><dd>{{.Why}}</dd>{{end}}
{{- if .Remedy}}<dt>next: </dt><dd>{{.Remedy}}</dd>{{end}}
{{- if .Host}}<dt>asked: </dt><dd>{{.Host}}</dd>{{end}}
{{- if .Identity}}<dt>identity: </dt><dd>{{.Identity}}</dd>{{end}}
{{- if .Expires}}<dt>expires: </dt><dd>{{.Expires}}</dd>{{end -}}
<dt>confidence: </dt><dd>{{.Confidence}}</dd></dl></td>
</tr>
{{- end}}
</tbody>
</table>
{{- end}}
{{- if .Left}}
<p>{{.Left}}</p>
{{- end}}
{{- if .Gaps}}
<h2>Not read</h2>
<ul>{{range .Gaps}}
<li>{{if .Kind}}{{.Kind}}: {{end}}<code>{{clean .Message}}</code></li>{{end}}
{{- if .Unlisted}}
<li>and {{.Unlisted}} more: --report jsonl=FILE lists all</li>{{end}}
</ul>
{{- end}}
{{- if .Notices}}
<h2>Notices</h2>
<ul>{{range .Notices}}
<li>{{.}}</li>{{end}}
</ul>
{{- end}}
</body>
</html>
`))
