package detect

import (
	"encoding/binary"
	"slices"
)

// Strings in binary data follow their length and have no mark at their end: in serialized
// objects, constants of compiled code, property lists. The byte before or after such a token
// may be a letter, and then no expression with a word boundary matches.

// counted is a token that its length or its check digits delimit.
type counted struct {
	rule int
	span
}

// minCounted and maxCounted limit the lengths that are accepted.
const minCounted, maxCounted = 16, 8 << 10

// lengths are the possible readings of the bytes before a string as its length: one byte
// (Python's marshal, property lists, and the low byte of any number in network order), twice
// the length (Avro), two bytes in network order (Java), four bytes with the lowest first, and
// groups of seven bits (Protocol Buffers).
func lengths(before []byte) (out [5]int) {
	var b [4]byte
	copy(b[max(0, 4-len(before)):], before[max(0, len(before)-4):])
	out[0], out[1] = int(b[3]), int(b[3])/2
	out[2] = int(binary.BigEndian.Uint16(b[2:]))
	out[3] = int(min(binary.LittleEndian.Uint32(b[:]), maxCounted+1))
	if b[2] >= 0x80 {
		out[4] = int(b[3])<<7 | int(b[2]&0x7f)
	}
	return out
}

// count checks whether the token that begins with the anchor's literal at b[pos], and that an
// adjacent byte keeps from matching, is a separate string.
func (e *Engine) count(s *scratch, b []byte, id uint16, pos int) {
	p := &e.anchors[id]
	if !p.leading || p.quiet || pos <= 0 || s.steps >= maxSteps*len(b) {
		return
	}
	a := s.automaton(p, id)
	ends := func(end int) bool {
		if end-pos < minCounted || end-pos > maxCounted || end > len(b) {
			return false
		}
		t := a.try(b[:end], pos, textStart)
		s.steps += t.stop - pos
		return t.end == end
	}
	// In ordinary text a letter happens to equal the length of what follows now and then.
	if slices.ContainsFunc(b[max(0, pos-8):pos], func(c byte) bool { return c < ' ' || c >= 0x7f }) {
		for _, n := range lengths(b[max(0, pos-4):pos]) {
			if ends(pos + n) {
				s.counted = append(s.counted, counted{p.rule, span{pos, pos + n}})
				return
			}
		}
	}
	// Compilers put strings one after the other and store their lengths elsewhere.
	r := e.rules[p.rule]
	if r.Checksum == "" {
		return
	}
	t := a.try(b[:min(len(b), pos+maxCounted)], pos, textStart)
	s.steps += t.stop - pos
	if ends(t.stop) && r.ValidChecksum(string(b[pos:t.stop])) {
		s.counted = append(s.counted, counted{p.rule, span{pos, t.stop}})
	}
}

// counted keeps the tokens of t that are separate strings.
func (l *look) counted(t *text, list []counted) {
	for _, x := range list {
		c := l.derive(t)
		c.copy(x.start, x.end)
		l.find(c, []span{{0, len(c.data)}}, func(m *raw) bool {
			return m.rule == l.e.rules[x.rule] && m.start == 0 && m.end == len(c.data)
		})
		l.s.joins = l.s.joins[:0]
		l.s.free(c)
	}
}

// takeCounted returns those of the last search.
func (s *scratch) takeCounted() []counted {
	out := slices.Clone(s.counted)
	s.counted = s.counted[:0]
	return out
}
