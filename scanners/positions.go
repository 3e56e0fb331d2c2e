package scanners

import "bytes"

// position is the position of a byte of a chunk: line and column as in Chunk, and over as
// in rules.Location.Excess.
type position struct{ line, column, over int }

// after returns the position that follows b if b begins at p.
func (p position) after(b []byte) position {
	nl := bytes.LastIndexByte(b, '\n')
	if nl < 0 {
		return position{p.line, p.column + len(b), p.over + excess(b)}
	}
	return position{p.line + bytes.Count(b, []byte{'\n'}), len(b) - nl, excess(b[nl+1:])}
}

// positionStep is the distance between two known positions, in bytes.
const positionStep = 4096

// positions are those of the bytes 0, positionStep, 2*positionStep, … of one chunk, as far
// as they were needed. A chunk with many findings is then read once, not once per finding.
type positions struct{ known []position }

func (s *positions) of(c Chunk, i int) position {
	if len(s.known) == 0 {
		s.known = append(s.known, position{c.Line, c.Column, c.Excess})
	}
	for n := len(s.known); n <= i/positionStep; n++ {
		s.known = append(s.known, s.known[n-1].after(c.Data[(n-1)*positionStep:n*positionStep]))
	}
	from := i / positionStep
	return s.known[from].after(c.Data[from*positionStep : i])
}
