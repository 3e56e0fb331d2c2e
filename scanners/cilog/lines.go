package cilog

import (
	"bufio"
	"bytes"
	"hash/maphash"
	"io"
)

// lines remembers lines by a 64-bit hash.
type lines struct {
	seed maphash.Seed
	set  map[uint64]bool
}

func newLines() *lines { return &lines{maphash.MakeSeed(), map[uint64]bool{}} }

// maxLine is the longest line that is remembered; longer ones are scanned
// again.
const maxLine = 1 << 20

// minLine is the shortest line worth remembering.
const minLine = 20

func (l *lines) record(r io.Reader) io.Reader { return l.each(r, func(line []byte) { l.put(line) }) }

func (l *lines) put(line []byte) { l.set[maphash.Bytes(l.seed, line)] = true }

func (l *lines) blank(r io.Reader) io.Reader {
	return l.each(r, func(line []byte) {
		if l.set[maphash.Bytes(l.seed, line)] {
			for i := range line {
				line[i] = ' '
			}
		}
	})
}

// each passes the complete lines of r, without their ends, to f, which may change them.
func (l *lines) each(r io.Reader, f func([]byte)) io.Reader {
	return &lineReader{in: bufio.NewReaderSize(r, 64<<10), f: f}
}

type lineReader struct {
	in   *bufio.Reader
	f    func([]byte)
	line []byte // what is still to be returned
	buf  []byte
	err  error
}

func (r *lineReader) Read(b []byte) (int, error) {
	for len(r.line) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.next()
	}
	n := copy(b, r.line)
	r.line = r.line[n:]
	return n, nil
}

func (r *lineReader) next() {
	r.buf = r.buf[:0]
	for {
		piece, err := r.in.ReadSlice('\n')
		r.buf = append(r.buf, piece...)
		if err == bufio.ErrBufferFull && len(r.buf) < maxLine {
			continue
		}
		if err == nil || err == io.EOF {
			if text := bytes.TrimSuffix(bytes.TrimRight(r.buf, "\r\n"), []byte("\ufeff")); len(text) >= minLine {
				r.f(text)
			}
		}
		if err != nil && err != bufio.ErrBufferFull {
			r.err = err
		}
		r.line = r.buf
		return
	}
}
