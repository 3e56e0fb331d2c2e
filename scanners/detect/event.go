package detect

import (
	"bytes"

	"github.com/quellhq/quell/scanners/cilog"
)

// Some systems write a program's output as JSON events, and begin a new event wherever their
// buffer ends: in the middle of a line, and of a token.

// maxEvent limits how many bytes of an event's text are joined with the next event's.
const maxEvent = 4 << 10

// events searches the output that continues from one JSON event to the next.
func (l *look) events(t *text, part span) {
	b := t.data[:min(len(t.data), part.end+maxJoin)]
	if !t.objects(part) {
		return
	}
	first := t.firstOutputs(b[part.start:part.end])
	for i, key := range cilog.Output {
		k := first[i]
		if k < 0 {
			continue
		}
		var c *text
		at := part.start + k
		cur := jsonString(b, at+len(key))
		for cur.end < len(b) {
			k := bytes.Index(b[cur.end:min(len(b), cur.end+maxEvent)], key)
			if k < 0 {
				if k = bytes.Index(b[cur.end:], key); k < 0 {
					break
				}
				c = l.eventsEnd(c)
				cur = jsonString(b, cur.end+k+len(key))
				continue
			}
			next := jsonString(b, cur.end+k+len(key))
			if goesOn := cur.end > cur.start && next.end > next.start && tokenByte[b[cur.end-1]] && tokenByte[b[next.start]] && !endsLine(b[cur.start:cur.end]); goesOn {
				if c == nil {
					c = l.derive(t)
					c.views = l.s.with(t.views, "joined")
					c.copy(max(cur.start, cur.end-maxEvent), cur.end)
				}
				c.cut()
				c.copy(next.start, min(next.end, next.start+maxEvent))
				if next.end-next.start > maxEvent || len(c.data) > maxJoin {
					c = l.eventsEnd(c)
				}
			} else {
				c = l.eventsEnd(c)
			}
			if cur = next; cur.start >= part.end {
				break
			}
		}
		l.eventsEnd(c)
	}
}

// firstOutputs has where each of cilog.Output occurs first in a part of t, or -1.
func (t *text) firstOutputs(b []byte) []int {
	first := make([]int, len(cilog.Output))
	left := 0
	for i, key := range cilog.Output {
		switch first[i] = -1; {
		case bytes.HasSuffix(key, memberMark):
			left++
		case t.seen.begins&beginsList != 0: // a list's element
			first[i] = bytes.Index(b, key)
		}
	}
	for at := 0; left > 0; {
		k := bytes.Index(b[at:], memberMark)
		if k < 0 {
			break
		}
		end := at + k + len(memberMark)
		for i, key := range cilog.Output {
			if first[i] < 0 && bytes.HasSuffix(b[:end], key) && bytes.HasSuffix(key, memberMark) {
				first[i] = end - len(key)
				left--
			}
		}
		at += k + 1
	}
	return first
}

// memberMark is between the name and the text of an object's member.
var memberMark = []byte(`":"`)

// objects reports whether a line of a part begins with a JSON object or list, as events do,
// alone or as the data of a stream (text/event-stream).
func (t *text) objects(part span) bool {
	stamps := t.seen.stamps
	if t.seen.begins == 0 {
		stamps = nil
	}
	for _, i := range after(stamps, part.start) {
		if c := t.data[i]; c == '{' || c == '[' && int(i)+1 < len(t.data) && (t.data[i+1] == '{' || digit(t.data[i+1])) {
			return true
		}
	}
	return bytes.HasPrefix(t.data[part.start:], eventData) || bytes.Contains(t.data[part.start:min(part.end, part.start+maxEvent)], eventData)
}

var eventData = []byte("data: {")

// eventsEnd searches the events that were joined.
func (l *look) eventsEnd(c *text) *text {
	if c != nil {
		if l.spend(len(c.data)) {
			l.joined(c, true)
		}
		l.s.free(c)
	}
	return nil
}

// endsLine reports whether a JSON string ends with an escaped line break.
func endsLine(s []byte) bool {
	return bytes.HasSuffix(s, []byte(`\n`)) || bytes.HasSuffix(s, []byte(`\r`))
}

// jsonString is the text of the JSON string that begins at b[i], without its quotes.
func jsonString(b []byte, i int) span {
	for k := i; k < len(b); k++ {
		switch b[k] {
		case '\\':
			k++
		case '"', '\n':
			return span{i, k}
		}
	}
	return span{i, len(b)}
}
