package detect

import (
	"bytes"
	"slices"

	"github.com/quellhq/quell/rules/regex"
)

// Tables that a program prints wrap a long value inside of its cell: the rest is in the same
// column of the next line, whose other cells are blank.

// cell is a cell's text and width.
type cell struct {
	span
	width int
}

// tables searches the rows of bordered tables in a part of t.
func (l *look) tables(t *text, part span) {
	if t.seen.leads&leadBox != 0 {
		for _, bar := range [][]byte{[]byte("\u2502"), []byte("\u2503"), []byte("\u2551")} {
			l.barred(t, part, bar)
		}
	}
	if len(t.seen.pipes) > 0 {
		l.barred(t, part, []byte("|"))
	}
}

// barred searches the rows whose cells a bar separates.
func (l *look) barred(t *text, part span, bar []byte) {
	b := t.data
	var rows [][]cell // of the current row
	next := -1        // where its next line must begin
	flush := func() {
		if len(rows) > 0 {
			l.row(t, rows)
		}
		rows = rows[:0]
	}
	for i := part.start; i < part.end; {
		k := bytes.Index(b[i:part.end], bar)
		if k < 0 {
			break
		}
		line := lineAt(b, lineBegin(b, i+k))
		i = max(line.next, i+k+1)
		cells := cellsOf(b, line, bar)
		if len(cells) < 2 {
			continue
		}
		from := lineBegin(b, line.start)
		goesOn := len(rows) > 0 && from == next && len(cells) == len(rows[0]) && cells[0].start == cells[0].end
		if !goesOn {
			flush()
		}
		rows = append(rows, cells)
		next = line.next
	}
	flush()
}

// cellsOf splits a line that begins and ends with a bar.
func cellsOf(b []byte, line line, bar []byte) []cell {
	text := b[line.start:line.end]
	if len(text) < 4*len(bar) || !bytes.HasPrefix(text, bar) || !bytes.HasSuffix(text, bar) {
		return nil
	}
	var out []cell
	for at := line.start + len(bar); at < line.end; {
		k := bytes.Index(b[at:line.end], bar)
		if k < 0 || len(out) == 64 {
			return nil
		}
		c := cell{span{at, at + k}, len([]rune(string(b[at : at+k])))}
		for c.start < c.end && b[c.start] == ' ' {
			c.start++
		}
		for c.end > c.start && b[c.end-1] == ' ' {
			c.end--
		}
		out = append(out, c)
		at += k + len(bar)
	}
	return out
}

// row searches one row, with the first cell as a name and each other column's text as its
// value.
func (l *look) row(t *text, lines [][]cell) {
	named := len(lines[0]) == 2 && cellNameRE().Match(t.data[lines[0][0].start:lines[0][0].end])
	if len(lines) < 2 && !named {
		return
	}
	c := l.derive(t)
	defer l.s.free(c)
	c.views = l.s.with(t.views, "joined")
	name := lines[0][0]
	for k := 1; k < len(lines[0]); k++ {
		if k == 1 && named {
			c.copy(name.start, name.end)
			c.put([]byte(": "), name.end, name.end+1, whole)
		}
		for n, cells := range lines {
			if n > 0 {
				// A cell that is not full ends with a whole word.
				if before := lines[n-1][k]; before.end-before.start < before.width-2 {
					c.put([]byte(" "), before.end, before.end+1, whole)
				}
				c.cut()
			}
			c.copy(cells[k].start, cells[k].end)
		}
		c.put([]byte("\n"), name.end, name.end+1, whole)
	}
	if l.spend(len(c.data)) {
		l.find(c, []span{{0, len(c.data)}}, func(m *raw) bool { return named || c.split(m.secret.start, m.secret.end) })
		l.s.joins = l.s.joins[:0]
	}
}

// cellNameRE matches a cell that names a variable or a field.
var cellNameRE = regex.Lazy(`^[A-Za-z_][\w.-]{1,80}$`)

// locationColumnRE matches the right-hand column of a log line: a file and a line number.
var locationColumnRE = regex.Lazy(`[ ]+[\w./-]{1,60}\.[a-z]{1,4}:[0-9]{1,6}[ ]*$`)

// stamped reports whether a line begins with a time in brackets.
func (t *text) stamped() bool {
	return t.seen.begins&beginsList != 0 && slices.ContainsFunc(t.seen.stamps, func(i uint32) bool { return t.data[i] == '[' && shaped(t.data[i+1:], "00:00:00]") })
}

// columns searches messages that are wrapped inside of a column, with the source location to
// their right, as the handlers of Python's rich and others print them.
func (l *look) columns(t *text, part span) {
	b := t.data
	// The searched text may be its parent without the timestamps.
	if !t.stamped() && (t.parent == nil || !t.parent.stamped()) {
		return // not a log with a timestamp on the left
	}
	for i := part.start; i < part.end; {
		k := bytes.Index(b[i:part.end], []byte(".py:"))
		if k < 0 {
			return
		}
		first := t.line(lineBegin(b, i+k))
		i = max(first.next, i+k+1)
		m := locationColumnRE().FindIndex(b[first.start:first.end])
		if m == nil || first.next >= len(b) {
			continue
		}
		end := first.start + m[0]
		second := t.line(first.next)
		indent := indented(b, second.start) - second.start
		if indent < 8 || indent > end-first.start || indent >= second.end-second.start {
			continue
		}
		c := l.derive(t)
		c.views = l.s.with(t.views, "joined")
		width := first.end - first.start - indent
		c.copy(first.start, end)
		column := m[1] - m[0]
		for at := second; ; at = t.line(at.next) {
			piece := at
			piece.trim(b)
			if piece.start-at.start != indent || piece.end == piece.start || len(c.data) > maxJoin {
				break
			}
			if full := end - first.start - indent; full+column < width {
				c.put([]byte(" "), piece.start, piece.start+1, whole)
			}
			c.cut()
			c.copy(piece.start, piece.end)
			if at.next >= len(b) {
				break
			}
		}
		if len(c.cuts) > 0 && l.spend(len(c.data)) {
			l.joined(c, true)
		}
		l.s.free(c)
	}
}
