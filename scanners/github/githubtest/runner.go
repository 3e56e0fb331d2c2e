package githubtest

import "strings"

// Runner recognises commands in the output of a step as the runner of GitHub Actions does: a
// line that begins with two colons after blanks, and the older form anywhere in it.
type Runner struct {
	Stopped  string
	Commands []string
}

// Line processes one line of a step's output.
func (r *Runner) Line(l string) {
	t := strings.TrimSpace(l)
	if r.Stopped != "" {
		if t == "::"+r.Stopped+"::" {
			r.Stopped = ""
		}
		return
	}
	if tok, ok := strings.CutPrefix(t, "::stop-commands::"); ok {
		r.Stopped = tok
		return
	}
	if strings.HasPrefix(t, "::") || strings.Contains(t, "##[") {
		r.Commands = append(r.Commands, t)
	}
}

// Feed splits text as the runner does: at line feeds, and at carriage returns too.
func (r *Runner) Feed(text string) {
	for _, l := range strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' }) {
		r.Line(l)
	}
}
