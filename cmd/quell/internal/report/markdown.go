package report

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"
)

var markdownFormat = Format{Name: "markdown", New: func(o Options) Sink { return &markdown{w: o.W} }}

// markdown writes a summary in GitHub-flavoured Markdown, for a job summary or a comment:
// counts, then a table with live credentials first, then what was not read. It never has
// values, not even with --reveal, because summaries and comments are published.
type markdown struct {
	w       *bufio.Writer
	records records
	gaps    []Notice // the first
	summary Summary
}

const (
	// maxMarkdown is the size of a summary in bytes. A comment on GitHub takes 65,536
	// characters, GitLab's notes and job summaries more.
	maxMarkdown = 60_000
	maxUnread   = 15_000 // of it, what was not read
	maxGaps     = 50     // that are listed
	maxCell     = 300    // runes of a stranger's text
)

func (m *markdown) Emit(e Event) error {
	m.records.take(e)
	switch e := e.(type) {
	case Notice:
		if e.Incomplete && len(m.gaps) < maxGaps {
			m.gaps = append(m.gaps, e)
		}
	case Summary:
		m.summary = e
	}
	return nil
}

func (m *markdown) Close() error {
	list := inOrder(m.records.list)
	live := 0
	for _, r := range list {
		if r.live() {
			live++
		}
	}
	var b bytes.Buffer
	title := heading(live, m.summary)
	fmt.Fprintf(&b, "## quell: %s\n\n", title)
	// The lines of the text format's summary have numbers and words of quell's alone.
	var counts bytes.Buffer
	t := &text{w: bufio.NewWriter(&counts)}
	t.summary(m.summary)
	_ = t.w.Flush()
	for line := range strings.Lines(counts.String()) {
		b.WriteString("- " + strings.TrimSpace(line) + "\n")
	}
	var unread bytes.Buffer
	left := int64(m.summary.Incomplete)
	for _, n := range m.gaps {
		line := fmt.Sprintf("- %s: %s\n", code(cmp.Or(n.Kind, "not_read")), code(n.Message))
		if unread.Len()+len(line) > maxUnread {
			break
		}
		unread.WriteString(line)
		left -= max(n.Count, 1)
	}
	if left > 0 {
		fmt.Fprintf(&unread, "- and %s more: `--report jsonl=FILE` lists all\n", Number(left))
	}
	rows := maxMarkdown - b.Len() - unread.Len() - 500 // for the words in between
	if len(list) > 0 {
		b.WriteString("\n| state | credential | where | why | next |\n|---|---|---|---|---|\n")
	}
	for i, r := range list {
		row := r.row()
		if rows -= len(row); rows < 0 {
			fmt.Fprintf(&b, "\n%s left out%s: `--report jsonl=FILE` lists all.\n", Count(int64(len(list)-i), "credential")+" "+isAre(int64(len(list)-i)), liveAmong(list[i:]))
			break
		}
		b.WriteString(row)
	}
	if unread.Len() > 0 {
		b.WriteString("\n### Not read\n\n")
		b.Write(unread.Bytes())
	}
	_, _ = m.w.Write(b.Bytes())
	return m.w.Flush()
}

// liveAmong counts the live ones of those that are left out.
func liveAmong(list []*record) string {
	n := int64(0)
	for _, r := range list {
		if r.live() {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return ", " + Number(n) + " of them live"
}

func (r *record) row() string {
	state := r.state()
	if r.live() {
		state = "**" + strings.ToUpper(state) + "**"
	}
	what := string(r.kind) + " " + code(r.rule) + " " + code(short(r.fingerprint))
	var where []string
	for _, p := range r.places[:min(len(r.places), 2)] {
		where = append(where, code(p))
	}
	if n := int64(r.n - len(where)); n > 0 && len(where) > 0 {
		where = append(where, "and "+Count(n, "more place"))
	}
	// <br> separates lines of a cell; everything of a stranger is in a code span.
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", state, what, strings.Join(where, "<br>"), code(r.why()), code(r.todo()))
}

// code writes a stranger's text as a code span: nothing in it is a link, an image, a mention, a
// reference to an issue or HTML. Backticks and pipes would end the span or the cell of a
// table, and have no escape that holds in both.
func code(s string) string {
	if s = strings.TrimSpace(Clean(s)); s == "" {
		return ""
	}
	if utf8.RuneCountInString(s) > maxCell {
		s = string([]rune(s)[:maxCell]) + "…"
	}
	return "`" + strings.NewReplacer("`", `\u0060`, "|", `\u007c`).Replace(s) + "`"
}
