package action

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// Result collects the events of a run and renders them for GitHub. It is a report.Sink.
type Result struct {
	Env      Env
	Decision Decision
	Sources  []string
	Notes    []string        // what the reader should know of how the run was made
	Counted  map[string]bool // fingerprints of what fails the job, before anything was killed
	Prefix   string          // where in the workspace the repository is
	Plan     string          // the file of the plan
	TrustKey string          // the public key that the plan is signed with
	Failed   string          // why there is no whole result; empty: there is one
	Sealed   bool            // values are sealed to somebody's key, and not to this run's

	Credentials []report.Credential
	Partial     []report.Finding
	Verdicts    map[string]report.Verdict
	Actions     []report.Action
	Notices     []report.Notice
	Summary     report.Summary
}

// Emit implements report.Sink.
func (r *Result) Emit(e report.Event) error {
	switch e := e.(type) {
	case report.Finding:
		if e.Partial {
			r.Partial = append(r.Partial, e)
		}
	case report.Credential:
		r.Credentials = append(r.Credentials, e)
	case report.Verdict:
		if r.Verdicts == nil {
			r.Verdicts = map[string]report.Verdict{}
		}
		r.Verdicts[e.Fingerprint] = e
	case report.Action:
		r.Actions = append(r.Actions, e)
	case report.Notice:
		r.Notices = append(r.Notices, e)
	case report.Summary:
		r.Summary = e
	}
	return nil
}

// Close implements report.Sink.
func (r *Result) Close() error { return nil }

// Killed counts what was proven dead.
func (r *Result) Killed() (n int) {
	for _, a := range r.Actions {
		if a.Outcome == prove.Confirmed {
			n++
		}
	}
	return n
}

// state is what is known of a credential's life, in a word, and how much it matters.
func (r *Result) state(c report.Credential) (word string, weight int) {
	for _, a := range r.Actions {
		if a.Fingerprint == c.Fingerprint && a.Outcome != "" {
			if a.Outcome == prove.Confirmed {
				return "killed, proven dead", 1
			}
			return string(a.Outcome), 5
		}
	}
	v, asked := r.Verdicts[c.Fingerprint]
	switch {
	case asked && v.Liveness == revokers.Live:
		return "**live**", 6
	case asked && v.Liveness == revokers.Dead:
		return "dead", 0
	case revokers.Over(c.Ref, time.Now()) && !c.Renewable:
		return "expired", 0
	case asked && v.Reason != "":
		return "unknown: " + string(v.Reason), 2 + int(c.Confidence)
	case asked:
		return "unknown", 2 + int(c.Confidence)
	}
	return "not asked", 2 + int(c.Confidence)
}

// counts reports whether a credential fails the job.
func (r *Result) counts(c report.Credential) bool {
	for _, a := range r.Actions {
		if a.Fingerprint == c.Fingerprint && a.Outcome == prove.Confirmed {
			return false
		}
	}
	return r.Counted[c.Fingerprint]
}

// sorted are the credentials, what matters most first.
func (r *Result) sorted() []report.Credential {
	out := slices.Clone(r.Credentials)
	slices.SortStableFunc(out, func(a, b report.Credential) int {
		_, x := r.state(a)
		_, y := r.state(b)
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(b.Confidence, a.Confidence))
	})
	return out
}

// file is where a place is in the repository; ok is false for one that is elsewhere.
func (r *Result) file(l rules.Location) (file string, line int, ok bool) {
	if l.Path == "" || l.Notes["repository"] != "" {
		return "", 0, false
	}
	switch l.Source {
	case "git":
		file, line, ok = l.Path, l.Line, true
	case "path":
		// As it was named: relative names are the workspace's.
		file, line, ok = l.Path, l.Line, !path.IsAbs(l.Path) && !strings.HasPrefix(l.Path, "..") && !strings.HasPrefix(l.Path, "actions-run/")
	}
	if outer, _, inside := strings.Cut(file, "!"); inside {
		file, line = outer, 1
	}
	return file, line, ok
}

// place renders a location, as a link if GitHub has a page for it.
func (r *Result) place(l rules.Location) string {
	repo := r.Env.Server + "/" + r.Env.Repository
	switch {
	case r.Env.Server == "" || l.Notes["repository"] != "":
	case l.Source == "git" && l.Path != "" && l.Commit != "":
		file, line, _ := r.file(l)
		link := Link(fmt.Sprintf("%s:%d", l.Path, l.Line), repo, "blob", l.Commit, file)
		return strings.TrimSuffix(link, ")") + fmt.Sprintf("#L%d)", line)
	case l.Source == "git" && l.Commit != "":
		return Link("message of "+l.Commit[:min(12, len(l.Commit))], repo, "commit", l.Commit)
	case strings.HasPrefix(l.Notes["url"], r.Env.Server+"/") && !strings.ContainsAny(l.Notes["url"], "() \n"):
		return "[" + Code(fmt.Sprintf("%s:%d", l.Path, l.Line)) + "](" + l.Notes["url"] + ")"
	case strings.HasPrefix(l.Path, "actions-run/"):
		run, _, _ := strings.Cut(strings.TrimPrefix(l.Path, "actions-run/"), "/")
		return Link(fmt.Sprintf("%s:%d", l.Path, l.Line), repo, "actions/runs", run)
	}
	where := cmp.Or(l.Path, l.Artifact)
	if l.Layer != "" {
		where += " in layer " + strings.TrimPrefix(l.Layer, "sha256:")[:min(12, len(strings.TrimPrefix(l.Layer, "sha256:")))]
	}
	return Code(fmt.Sprintf("%s:%d", where, l.Line))
}

// headline is the result in one line.
func (r *Result) headline() string {
	s := r.Summary
	n := 0
	for _, c := range r.Credentials {
		if r.counts(c) {
			n++
		}
	}
	var parts []string
	say := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	say(r.Killed(), "killed and proven dead")
	left := 0
	for _, a := range r.Actions {
		if a.Outcome != "" && a.Outcome != prove.Confirmed {
			left++
		}
	}
	say(left, "not killed")
	if left == 0 && r.Killed() == 0 {
		say(s.Live, "live")
		say(n-min(n, s.Live), "of high confidence, not known to be dead")
	}
	switch {
	case r.Failed != "" && len(parts) == 0:
		return "no result, the run did not end"
	case r.Failed != "":
		parts = append(parts, "and the run did not end")
	case len(parts) == 0 && s.Incomplete > 0:
		return "incomplete: not all could be read"
	case len(parts) == 0 && len(r.Credentials) > 0:
		return fmt.Sprintf("%d found, none that fails the job", len(r.Credentials))
	case len(parts) == 0:
		return "nothing found"
	}
	if s.Incomplete > 0 {
		parts = append(parts, "and not all could be read")
	}
	return "leaked credentials: " + strings.Join(parts, ", ")
}

// maxRows is how many credentials a table shows.
const maxRows = 50

// Markdown is the job's summary, and the comment's text. It stays below GitHub's
// bounds, 1 MiB for a summary and 65,536 characters for a comment.
func (r *Result) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## quell: %s\n\n", r.headline())
	what := r.Decision.What
	if !slices.Contains(r.Sources, "git") {
		what = ""
	}
	for _, s := range r.Sources {
		if s != "git" {
			what += map[bool]string{true: ", "}[what != ""] + map[string]string{"logs": "logs and artifacts of the run", "image": "images", "path": "files"}[s]
		}
	}
	fmt.Fprintf(&b, "Read: %s (%s). %d artifacts, %d bytes.\n\n", what, Code(r.Env.Event), r.Summary.Artifacts, r.Summary.Bytes)
	why := r.Notes
	if r.Failed != "" {
		why = append([]string{r.Failed}, why...)
	}
	for _, w := range why {
		fmt.Fprintf(&b, "- %s\n", Code(cut(w, 400)))
	}
	if len(why) > 0 {
		b.WriteString("\n")
	}
	if len(r.Credentials) > 0 {
		b.WriteString("| state | credential | where | first seen |\n|---|---|---|---|\n")
	}
	shown := 0
	for _, c := range r.sorted() {
		if shown == maxRows || b.Len() > 50_000 {
			break
		}
		shown++
		state, _ := r.state(c)
		if !strings.HasPrefix(state, "**") {
			state = Code(state)
		}
		where, since := "", ""
		for k, l := range c.Locations {
			if k == 3 {
				where += fmt.Sprintf("<br>and %d places more", len(c.Locations)-k)
				break
			}
			if k > 0 {
				where += "<br>"
			}
			where += r.place(l)
			if t := l.Notes["first_exposed"]; t != "" && (since == "" || t < since) {
				since = t
			}
		}
		fmt.Fprintf(&b, "| %s | %s %s %s | %s | %s |\n", state, Code(string(c.Kind)), Code(c.Rule), Code(c.Redacted), where, Code(since))
	}
	if n := len(r.Credentials) - shown; n > 0 {
		fmt.Fprintf(&b, "\n%d more stand in the report.\n", n)
	}
	r.steps(&b)
	r.kills(&b)
	if r.Summary.Incomplete > 0 {
		b.WriteString("\n### Not read\n\nA scan that did not read all is no clean one.\n\n")
		n := 0
		for _, x := range r.Notices {
			if !x.Incomplete {
				continue
			}
			if n++; n > 20 {
				break
			}
			fmt.Fprintf(&b, "- %s\n", Code(cut(x.Message, 400)))
		}
		if n > 20 {
			fmt.Fprintf(&b, "- and %d more\n", r.Summary.Incomplete-20)
		}
	}
	if n := len(r.Partial); n > 0 {
		fmt.Fprintf(&b, "\n%d tokens are masked in part: nothing can be asked about them.\n", n)
	}
	if n := r.Summary.Allowed; n > 0 {
		fmt.Fprintf(&b, "\n%d findings are suppressed by markers in the text or by the allow-list.\n", n)
	}
	return b.String()
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// steps lists what to do next.
func (r *Result) steps(b *strings.Builder) {
	n := 0
	for _, c := range r.Credentials {
		if r.counts(c) {
			n++
		}
	}
	if n == 0 {
		return
	}
	b.WriteString("\n### What to do\n\n")
	if r.Sealed {
		b.WriteString("1. End what is alive before anything else. On a machine of yours: `quell plan REPORT --output plan.json`, read it, `quell apply plan.json`. The report is the file that the output `report` names; its values are sealed to the recipients.\n")
	} else {
		b.WriteString("1. End what is alive before anything else, at its issuer or with `quell scan` and `quell plan` on a machine of yours. With the input `recipients` the file of the output `report` would hold the values, sealed.\n")
	}
	b.WriteString("2. Give its users a new one. `quell rules explain RULE` says who issues it and how it is ended.\n")
	b.WriteString("3. Then see to the place where it leaked. A commit that removes it, or a rewritten history, ends nothing: it was seen.\n")
	b.WriteString("4. What is no secret: a line with `quell:allow`, or an entry of the file that the input `allow` names, on the default branch.\n")
}

// kills lists the kills that were made or planned.
func (r *Result) kills(b *strings.Builder) {
	if len(r.Actions) == 0 {
		return
	}
	defer func() {
		switch {
		case r.Plan == "":
		case r.Sealed:
			fmt.Fprintf(b, "\nThe plan is the file that the output `plan` names. Who holds the key of a recipient applies it: `quell apply plan.json --identity KEY --trust-key %s`\n", r.TrustKey)
		default:
			b.WriteString("\nThe plan's values are sealed to this run alone: name the input `recipients`, and somebody can apply it.\n")
		}
	}()
	b.WriteString("\n### Ended, or to be ended\n\n| what | credential | at | outcome | why |\n|---|---|---|---|---|\n")
	for k, a := range r.Actions {
		if k == maxRows {
			fmt.Fprintf(b, "\n%d more stand in the report.\n", len(r.Actions)-k)
			break
		}
		why := cmp.Or(a.Held, a.Detail)
		if a.Remedy != "" {
			why += "; " + a.Remedy
		}
		fmt.Fprintf(b, "| %s | %s %s | %s | %s | %s |\n", Code(a.Action), Code(a.Rule), Code(a.Redacted), Code(a.Host), Code(string(a.Outcome)), Code(cut(why, 300)))
	}
}

// GitHub shows ten errors and ten warnings of a step.
// https://docs.github.com/rest/checks/runs has the bound of annotations.
const maxAnnotations = 10

// Commands are the workflow commands that annotate places in files, and the summary of
// the run as a whole.
func (r *Result) Commands() string {
	var b strings.Builder
	count := map[string]int{}
	left := 0
	add := func(level string, props, text string) {
		if count[level]++; count[level] > maxAnnotations-1 {
			left++
			return
		}
		fmt.Fprintf(&b, "::%s %s::%s\n", level, props, text)
	}
	for _, c := range r.sorted() {
		state, weight := r.state(c)
		level := "warning"
		switch {
		case r.counts(c):
			level = "error"
		case weight <= 1 || c.Confidence < rules.Medium:
			continue
		}
		text := fmt.Sprintf("%s %s %s: %s", c.Kind, c.Rule, c.Redacted, strings.Trim(state, "*"))
		done := map[string]bool{}
		for _, l := range c.Locations {
			title := "title=" + Property("leaked "+string(c.Kind))
			file, line, ok := r.file(l)
			if ok && l.Source == "git" {
				file = path.Join(r.Prefix, file)
			}
			if !ok {
				if !done[""] {
					done[""] = true
					add(level, title, Data(text+", in "+report.Place(rules.Location{Path: l.Path, Artifact: l.Artifact, Line: l.Line, Column: l.Column, Layer: l.Layer})))
				}
				continue
			}
			at := fmt.Sprintf("%s:%d", file, line)
			if done[at] {
				continue
			}
			done[at] = true
			if l.Commit != "" {
				add(level, fmt.Sprintf("file=%s,line=%d,%s", Property(file), line, title), Data(text+", brought by "+l.Commit[:min(12, len(l.Commit))]))
			} else {
				add(level, fmt.Sprintf("file=%s,line=%d,%s", Property(file), line, title), Data(text))
			}
		}
	}
	if n := r.Summary.Incomplete; n > 0 {
		first := ""
		for _, x := range r.Notices {
			if x.Incomplete {
				first = x.Message
				break
			}
		}
		fmt.Fprintf(&b, "::error title=quell%%3A incomplete::%s\n", Data(fmt.Sprintf("%d things could not be read, so this is not clean: %s", n, cut(first, 500))))
	}
	if left > 0 {
		fmt.Fprintf(&b, "::notice title=quell::%s\n", Data(fmt.Sprintf("%d more places stand in the summary and the report", left)))
	}
	return b.String()
}
