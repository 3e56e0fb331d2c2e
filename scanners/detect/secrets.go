package detect

import (
	"bytes"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/regex"
)

// dumpRule is the rule for the output of toJSON(secrets); see rules/providers/dumps.toml.
const dumpRule = "actions-secret"

var (
	dumpMark = []byte(`"github_token"`)
	member   = regex.Lazy(`"([A-Za-z_][A-Za-z0-9_]*)"\s*:\s*"((?:[^"\\]|\\.)*)"`)
)

// minDumped is the shortest value worth a report: shorter values are flags.
const minDumped = 6

// secretsObject reports every value of an object that GitHub Actions' toJSON(secrets) printed:
// strings by name, among them a github_token. Every such value is a secret, whatever its form.
func (l *look) secretsObject(t *text) {
	b := t.data
	done := 0
	for _, i := range l.s.dumps {
		if i < done {
			continue
		}
		if i += len(dumpMark); i == len(b) || b[i] != ':' && !bytes.HasPrefix(bytes.TrimLeft(b[i:min(len(b), i+4)], " "), []byte(":")) {
			continue // a value, not a name
		}
		base := max(0, i-maxJoin)
		from := bytes.LastIndexByte(b[base:i], '{')
		to := bytes.IndexByte(b[i:min(len(b), i+maxJoin)], '}')
		rule := l.e.byID(dumpRule)
		if from < 0 || to < 0 || rule == nil {
			continue
		}
		from, to = from+base, to+i
		for _, m := range member().FindAllSubmatchIndex(b[from:to], -1) {
			r := raw{rule: rule, start: from + m[0], end: from + m[1], secret: span{from + m[4], from + m[5]}, confidence: rules.High, text: b}
			l.s.raws++
			if m[5]-m[4] >= minDumped && l.e.judged(l.s, t, &r, l.chunk) {
				l.add(t, r)
			}
		}
		done = to
	}
}

func (e *Engine) byID(id string) *compiled {
	for _, r := range e.rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}
