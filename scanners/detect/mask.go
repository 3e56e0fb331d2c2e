package detect

import (
	"bytes"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
)

// masked is an attempt that ended at a mask.
type masked struct {
	p         *placed
	pos, stop int
}

// minMask is the shortest run of asterisks that is a mask.
const minMask = 3

// maskLen is the length of what a CI system wrote at the beginning of b in place of a secret:
// asterisks (GitHub, Jenkins, CircleCI and others) or a word.
func maskLen(b []byte) int {
	n := 0
	for n < len(b) && b[n] == '*' {
		n++
	}
	if n >= minMask {
		return n
	}
	for _, m := range cilog.Masks {
		if bytes.HasPrefix(b, m) {
			return len(m)
		}
	}
	return 0
}

// minVisible is how many bytes of a token must be visible after its literal: a mask alone is no
// finding.
const minVisible = 4

// maxTail limits how many bytes of a token are shown after its first mask.
const maxTail = 256

// partial reports a token that contains a mask. quell never completes such a token by guessing
// and never sends it to an issuer: it is only known that a part leaked.
func (l *look) partial(t *text, m masked) {
	for _, c := range t.data[m.pos:m.stop] {
		// A header's name, or a key, is not part of the token after it.
		if !base64Class[c] && c != '.' {
			return
		}
	}
	head := 0
	for _, lit := range m.p.literals {
		if k := len(lit); k > head && m.stop-m.pos >= k && bytes.EqualFold(t.data[m.pos:m.pos+k], []byte(lit)) {
			head = k
		}
	}
	visible := m.stop - m.pos
	if head < minVisible-1 || visible < head+minVisible {
		return
	}
	end := m.stop
	for end < min(len(t.data), m.stop+maxTail) {
		if n := maskLen(t.data[end:]); n > 0 {
			end += n
		} else if base64Class[t.data[end]] {
			end++
			visible++
		} else {
			break
		}
	}
	r := raw{rule: l.e.rules[m.p.rule], start: m.pos, end: end, secret: span{m.pos, end}, partial: true, offline: rules.Offline{State: rules.OfflineUnknown}}
	if 4*visible >= 3*m.p.least {
		r.confidence = rules.Medium
	}
	l.add(t, r)
}

// registering are the commands that make a runner mask the value that follows: GitHub's
// `::add-mask::` and its older `##[add-mask]`, Azure's `##vso[task.setsecret]` and
// `##vso[task.setvariable variable=NAME;issecret=true]`.
var registering = [][]byte{[]byte("add-mask"), []byte("task.setsecret"), []byte("issecret=true")}

// maxMaskLine is how many bytes of a line are looked at on either side of a match.
const maxMaskLine = 4 << 10

// maskState gives the scanners.Mask value of a match in a log.
func maskState(data []byte, m *raw) string {
	if m.partial {
		return scanners.MaskPartial
	}
	start, end := m.place.start, m.place.end
	before, after := data[max(0, start-maxMaskLine):start], data[end:min(len(data), end+maxMaskLine)]
	before = before[bytes.LastIndexByte(before, '\n')+1:]
	if i := bytes.IndexByte(after, '\n'); i >= 0 {
		after = after[:i]
	}
	for _, r := range registering {
		if bytes.Contains(before, r) {
			return scanners.MaskRegistered
		}
	}
	for _, side := range [][]byte{before, after} {
		if bytes.Contains(side, []byte("***")) {
			return scanners.MaskLine
		}
		for _, w := range cilog.Masks {
			if bytes.Contains(side, w) {
				return scanners.MaskLine
			}
		}
	}
	return scanners.MaskNone
}
