package action

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// Untrusted text reaches GitHub in three languages: the job's log, Markdown and workflow
// commands. Each has one function here, and no other code writes untrusted text into it.

// Data escapes the text of a workflow command.
// https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
func Data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(report.Clean(s))
}

// Property escapes the value of a workflow command's property.
func Property(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(Data(s))
}

// Code makes s a code span of GitHub's Markdown: nothing in it is markup, a mention, a
// reference or a link, and it ends neither the span nor a cell of a table. What could
// is written as in a URL.
func Code(s string) string {
	s = report.Clean(s)
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '`', '|', '\\':
			fmt.Fprintf(&b, "%%%02X", r)
		default:
			b.WriteRune(r)
		}
	}
	s = strings.TrimSpace(b.String())
	if s == "" {
		return "`-`"
	}
	return "`" + s + "`"
}

// Link is a link whose text is a code span. base is trusted, the parts are not.
func Link(text, base string, parts ...string) string {
	var b strings.Builder
	b.WriteString(strings.TrimRight(base, "/"))
	for _, p := range parts {
		for s := range strings.SplitSeq(p, "/") {
			// PathEscape leaves what Markdown would take for the link's end.
			b.WriteString("/" + strings.NewReplacer("(", "%28", ")", "%29", "*", "%2A", "_", "%5F", "~", "%7E", "'", "%27", "!", "%21").Replace(url.PathEscape(s)))
		}
	}
	return "[" + Code(text) + "](" + b.String() + ")"
}

// Log passes text on to a job's log, in which the runner looks for commands: lines
// that begin with one, and the older form anywhere. The stop-commands command switches
// that off until Close. Log escapes commands all the same, for runners that ignore it.
type Log struct {
	w     io.Writer
	token string
	line  []byte
}

// NewLog begins a run of plain text. token ends it, and must be secret and random.
func NewLog(w io.Writer, token string) *Log {
	fmt.Fprintf(w, "::stop-commands::%s\n", token)
	return &Log{w: w, token: token}
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.line = append(l.line, b...)
	for {
		i := bytes.IndexByte(l.line, '\n')
		if i < 0 {
			return len(b), nil
		}
		if err := l.put(l.line[:i+1]); err != nil {
			return 0, err
		}
		l.line = l.line[i+1:]
	}
}

func (l *Log) put(line []byte) error {
	line = bytes.ReplaceAll(line, []byte("##["), []byte(`##\[`))
	if bytes.HasPrefix(bytes.TrimSpace(line), []byte("::")) {
		line = append([]byte(`\`), line...)
	}
	_, err := l.w.Write(line)
	return err
}

// Close ends the stretch.
func (l *Log) Close() error {
	if len(l.line) > 0 {
		if err := l.put(append(l.line, '\n')); err != nil {
			return err
		}
		l.line = nil
	}
	_, err := fmt.Fprintf(l.w, "::%s::\n", l.token)
	return err
}
