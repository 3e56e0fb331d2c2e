package detect

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// A survey, taken either way, omits nothing that a check of every byte finds.
func TestSurveysLeaveNothingOut(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	pieces := []string{"a", "Zz09+/-_", "%2F", "%g1", `\n`, `\u0041`, `\`, "&amp;", "&#65;", "&", "=3D", "=\r\n", "=\n", "=", `'\''`, `'"'"'`, "''", "\x00", "\x00a", "\x00A=b", "\x00\x00",
		"\x1b[31m", "[0m", "[", "\b", "\xef\xbb\xbf", "\xef", "ſ", "\u212a", "\xe2", "\xc5", "é", " | ", "|", " ", "\n", "\r\n", "0123456789abcdefABCDEF++", "x.y",
		"\t", "S", "{", "\n[", "\n000000", "\n  00000a0: 61", "a-", "~\n", "│", "║", "\xe2", "\u00a0"}
	places := 0
	for n := range 3000 / fewer {
		var b []byte
		for size := r.IntN(90 + n%1500); len(b) < size; {
			p := pieces[r.IntN(len(pieces))]
			for range 1 + r.IntN(3)*r.IntN(3) {
				b = append(b, p...)
			}
		}
		var whole, scalar, single survey
		whole.take(b)
		scalar.reset()
		scalar.scalar(b)
		scalar.byLines(b)
		single.reset()
		single.bytes(b)
		single.longRuns()
		single.byLines(b)
		for _, s := range []*survey{&whole, &scalar, &single} {
			places += checkSurvey(t, s, b)
			if t.Failed() {
				t.Fatalf("in %q", b)
			}
		}
	}
	if places < 10000/fewer {
		t.Errorf("only %d places", places)
	}
}

func checkSurvey(t *testing.T, s *survey, b []byte) int {
	var lines []uint32
	places := 0
	has := func(what string, list []uint32, i int) {
		places++
		if _, ok := slices.BinarySearch(list, uint32(i)); !ok {
			t.Errorf("%s at %d is not in %v", what, i, list)
		}
	}
	m := marker{b: b}
	var out [4]byte
	for i, c := range b {
		if c == '\n' {
			lines = append(lines, uint32(i))
		}
		if slices.Contains([]byte{esc, '\b', '[', bom[0]}, c) && m.len(i) > 0 {
			has("a mark", s.marks, i)
		}
		if bytes.HasPrefix(b[i:], []byte(" | ")) {
			has("a pipe", s.pipes, i)
		}
		for k, x := range escapes {
			if c != x.trigger {
				continue
			}
			if _, n := x.at(b, i, &out); n > 0 {
				has(x.name, s.escapes[k], i)
			}
		}
	}
	var wides []uint32
	for i := 0; i+2 < len(b); i++ {
		if b[i] == 0 && b[i+1] != 0 && b[i+2] == 0 {
			wides = append(wides, uint32(i))
		}
	}
	// A NUL with nothing after it is of no use.
	if n := len(wides); n > 0 && int(wides[n-1])+3 == len(b) && len(s.wides) < n {
		wides = wides[:n-1]
	}
	if !slices.Equal(wides, s.wides) {
		t.Errorf("UTF-16 at %v, not %v", s.wides, wides)
	}
	var runs []span
	for i := 0; i < len(b); i++ {
		start := i
		for i < len(b) && base64Class[b[i]] {
			i++
		}
		if i-start >= minEncoded {
			runs = append(runs, span{start, i})
		}
	}
	var breaks []uint32
	for i := s.lineBreak(0, -1); i >= 0; i = s.lineBreak(i+1, -1) {
		breaks = append(breaks, uint32(i))
	}
	if !slices.Equal(lines, breaks) || !slices.Equal(runs, s.runs) {
		t.Errorf("lines %v, not %v; runs %v, not %v", breaks, lines, s.runs, runs)
	}
	var seams, rows, stamps []uint32
	for i := range b {
		if want := bytes.LastIndexByte(b[:i], '\n') + 1; s.lineBegin(i) != want {
			t.Errorf("the line of %d begins at %d, not %d", i, s.lineBegin(i), want)
		}
		if (i == 0 || b[i-1] == '\n') && mayStamp[b[i]] && b[i] != bom[0] {
			stamps = append(stamps, uint32(i))
		}
		if b[i] == '\n' && s.shorter(i) != (i-s.lineBegin(i) < minWrap) {
			t.Errorf("%d: less than %d bytes before it in its line: %v", i, minWrap, s.shorter(i))
		}
	}
	for k, i := range append([]int{-1}, ints(lines)...) {
		if k > 0 && i > 0 && i+1 < len(b) && seamBytes[b[i-1]] && seamBytes[b[i+1]] {
			seams = append(seams, uint32(i))
		}
		row := b[i+1:]
		row = bytes.TrimLeft(row, " \t")
		if len(row) >= minRow && addressed(row) {
			rows = append(rows, uint32(len(b)-len(row)))
		}
	}
	if !slices.Equal(stamps, s.stamps) {
		t.Errorf("stamps %v, not %v", s.stamps, stamps)
	}
	if !slices.Equal(seams, s.seams) || !slices.Equal(rows, s.rows) {
		t.Errorf("seams %v, not %v; rows %v, not %v", s.seams, seams, s.rows, rows)
	}
	if s.nuls != (bytes.IndexByte(b, 0) >= 0) || s.unfolded && foldingRune(b) >= 0 {
		t.Errorf("NULs: %v; nothing that folds: %v", s.nuls, s.unfolded)
	}
	begins, leads := uint8(0), uint8(0)
	for _, i := range stamps {
		begins |= beginBits[b[i]]
	}
	for k, lead := range []string{"\xc2", "\xe2", "\xef"} {
		if bytes.Contains(b, []byte(lead)) {
			leads |= 1 << k
		}
	}
	if bytes.Contains(b, []byte("\xe2\x94")) || bytes.Contains(b, []byte("\xe2\x95")) {
		leads |= leadBox
	}
	if s.begins != begins || s.leads != leads {
		t.Errorf("lines begin with %b, not %b; runes with %b, not %b", s.begins, begins, s.leads, leads)
	}
	// Other bytes must not be taken for a trigger.
	for k, list := range s.escapes {
		for _, i := range list {
			if b[i] != escapes[k].trigger {
				t.Errorf("%s at %d, which is %q", escapes[k].name, i, b[i])
			}
		}
	}
	return places
}

func ints(list []uint32) (out []int) {
	for _, i := range list {
		out = append(out, int(i))
	}
	return out
}
