package detect

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
)

// mayStamp marks the first bytes of lines that have something before their text, and of JSON
// events.
var mayStamp = func() [256]bool {
	t := cilog.First
	t['['], t['{'] = true, true
	return t
}()

func digit(c byte) bool { return c >= '0' && c <= '9' }

func hexDigit(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// shaped reports whether b begins with the shape, in which 0 matches any digit.
func shaped(b []byte, shape string) bool {
	if len(b) < len(shape) {
		return false
	}
	for i := range len(shape) {
		if c := shape[i]; c == '0' && !digit(b[i]) || c != '0' && c != b[i] {
			return false
		}
	}
	return true
}

// marks collects the positions in a run that the lines of a log name; nil: nothing is
// collected.
type marks struct {
	list []mark
}

// mark is one of them, with the position of its name in the chunk.
type mark struct {
	scanners.Mark
	from, to int
}

func (l *marks) put(b []byte, at int, system string, m mark) {
	// Some systems write the name before each line.
	if n := len(l.list); n > 0 && (m.Kind == scanners.MarkStep || m.Kind == scanners.MarkGroup) {
		if p := l.list[n-1]; p.Kind == m.Kind && p.System == system && bytes.Equal(b[p.from:p.to], b[m.from:m.to]) {
			return
		}
	}
	m.At, m.System = at, system
	l.list = append(l.list, m)
}

// line checks the line b[i:end], whose text begins after prefix bytes.
func (l *marks) line(b []byte, i, end, prefix int) {
	if l == nil {
		return
	}
	cilog.Marks(b[i:end], prefix, func(system string, m cilog.Mark) {
		l.put(b, i, system, mark{scanners.Mark{Kind: m.Kind, Known: m.Known}, i + m.From, i + m.To})
	})
}

// control checks the control sequence of n bytes at b[i].
func (l *marks) control(b []byte, i, n int) {
	if l == nil {
		return
	}
	cilog.Controls(b, i, n, func(system string, m cilog.Mark) {
		l.put(b, i, system, mark{scanners.Mark{Kind: m.Kind}, m.From, m.To})
	})
}

// maxMarkName limits the names of steps and groups, in bytes. A longer name is cut after a
// whole word.
const maxMarkName = 120

// report reports the chunk's marks. A name is cut where a match begins in it: the first line of
// a command, which names a step, may contain the secret itself.
func (l *look) report(found *marks) {
	if found == nil {
		return
	}
	var places []span
	for _, list := range [][]*raw{l.found, l.elsewhere} {
		for _, m := range list {
			places = append(places, m.place)
		}
	}
	slices.SortFunc(places, func(a, b span) int { return a.start - b.start })
	last := 0 // the furthest end of the positions up to each
	for i := range places {
		last = max(last, places[i].end)
		places[i].end = last
	}
	out := make([]scanners.Mark, 0, len(found.list)+1)
	if c := l.chunk; c.Offset == 0 {
		if s := cilog.System(c.Data); s != "" {
			out = append(out, scanners.Mark{Kind: scanners.MarkSystem, System: s})
		}
	}
	slices.SortStableFunc(found.list, func(a, b mark) int { return a.At - b.At })
	for _, m := range found.list {
		more := ""
		k, _ := slices.BinarySearchFunc(places, m.from, func(p span, i int) int { return p.end - i - 1 })
		if m.from < m.to && k < len(places) && places[k].start < m.to {
			m.to, more = max(m.from, places[k].start), "…"
		}
		m.Name = markName(l.chunk.Data[m.from:m.to]) + more
		out = append(out, m.Mark)
	}
	l.chunk.Mark(out)
}

// markName is the visible text of a name.
func markName(b []byte) string {
	s := strings.ToValidUTF8(string(b), "\ufffd")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == utf8.RuneError || r >= 0x7f && r < 0xa0 }), " ")
	if len(s) <= maxMarkName {
		return s
	}
	k := strings.LastIndexByte(s[:maxMarkName+1], ' ')
	if k < 0 {
		return "…" // one word, part of which may be part of a secret
	}
	return s[:k] + " …"
}
