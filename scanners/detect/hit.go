package detect

import "bytes"

// quick is what is checked of an anchor at every hit, in few bytes: most hits end there.
type quick struct {
	ahead *ahead     // nil: none
	auto  *automaton // nil: not built yet
	kind  kind
	quiet bool
}

// kind is what a hit at an anchor leads to.
type kind uint8

const (
	unknown kind = iota // not determined yet
	attempts
	waits
	special // a mark or a keyword
)

// ready fills in the fields for an anchor.
func (q *quick) ready(p *placed) {
	q.quiet = p.quiet
	switch {
	case p.mark != nil || p.keyword != nil:
		q.kind = special
		return
	case p.needle[0] != nil:
		q.kind = waits
	default:
		q.kind = attempts
	}
	q.ahead = p.rest().ahead
}

// hit tries an anchor whose gram is off bytes after b[pos].
func (e *Engine) hit(s *scratch, b []byte, id uint16, pos, off int) {
	if pos < 0 || pos >= len(b) {
		return
	}
	q := &s.quick[id]
	if q.kind == unknown {
		q.ready(&e.anchors[id])
	}
	switch q.kind {
	case attempts:
		e.attempt(s, b, id, pos, off)
	case waits:
		s.waiting = append(s.waiting, waiting{id, pos, off})
	default:
		e.marked(s, b, id, pos)
	}
}

// marked checks whether the mark or the keyword is at b[pos].
func (e *Engine) marked(s *scratch, b []byte, id uint16, pos int) {
	p := &e.anchors[id]
	switch {
	case p.keyword != nil:
		if len(b)-pos >= len(p.keyword) && bytes.EqualFold(b[pos:pos+len(p.keyword)], p.keyword) {
			e.place(s, b, id, pos, -1)
		}
	case !bytes.HasPrefix(b[pos:], p.mark):
	case p.octets:
		s.octets = append(s.octets, pos+len(p.mark))
	case p.mark[0] == dumpMark[0]:
		s.dumps = append(s.dumps, pos)
	default: // half of a needle begins with a capital
		s.needles = append(s.needles, pos)
	}
}

// attempt checks whether a match may begin with the anchor's literal; the parameters are hit's.
func (e *Engine) attempt(s *scratch, b []byte, id uint16, pos, off int) {
	t := attempt{may: true, end: -1}
	if s.steps < maxSteps*len(b) {
		q := &s.quick[id]
		if q.ahead != nil {
			ok, n := q.ahead.may(b, pos, q.quiet)
			if s.steps += n; !ok && (q.quiet || !cuts[b[pos+n]]) {
				if s.binary {
					e.count(s, b, id, pos)
				}
				return
			}
		}
		t = s.automaton(&e.anchors[id], id).try(b, pos, classOf(b, pos))
		s.steps += max(t.stop, t.end) - pos
	}
	if t.may {
		e.place(s, b, id, pos, t.end)
	} else if t.stop >= len(b) {
		s.open = append(s.open, pos)
	} else {
		e.broke(s, b, &e.anchors[id], pos, off, t.stop)
		if s.binary {
			e.count(s, b, id, pos)
		}
	}
}

// maxSteps is how often, on average, automatons may read each byte of a text. The rest is left
// to the expressions, so that a text made to keep automatons busy costs no more than that.
const maxSteps = 64

// place opens a rule's window around a literal. end is where the longest match ends, or
// negative if it isn't known.
func (e *Engine) place(s *scratch, b []byte, id uint16, pos, end int) {
	p := &e.anchors[id]
	if p.keyword != nil && (p.after.loop != nil || e.rules[p.rule].run() != nil) {
		s.gate[p.rule] = true
		return
	}
	r := &s.reach[id]
	if !r.used {
		s.reached = append(s.reached, id)
	}
	w := span{r.left(b, pos, p.before), min(len(b), end+edge)}
	if p.keyword != nil {
		// A match may be anywhere within the distance that the keyword condition allows.
		far := gateNear + p.after.bytes + edge
		w = span{runeStart(b, max(0, pos-far)), min(len(b), pos+len(p.keyword)+far)}
	} else if end < 0 {
		w.end = r.right(b, pos, p.after)
	}
	from, clear := pos, end >= 0
	if clear {
		from, clear = p.start(b, pos)
	}
	if len(s.win[p.rule]) == 0 {
		s.act = append(s.act, p.rule)
	}
	s.win[p.rule] = append(s.win[p.rule], window{w, pos, from, clear})
}
