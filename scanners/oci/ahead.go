package oci

import (
	"cmp"
	"errors"
	"fmt"
	"io"
)

// limit ends a layer that is larger than a scan reads, or than its compressed bytes
// explain.
type limit struct {
	r    io.Reader
	in   *int64 // compressed bytes until now
	out  int64
	n    int64
	free int64
}

func (l *limit) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	l.out += int64(n)
	if l.out > l.n || l.out > l.free+maxRatio**l.in {
		return 0, errors.New("larger than the budget of one layer")
	}
	return n, err
}

// ahead reads while what it has read is looked at: a layer is inflated beside its
// scan.
type ahead struct {
	full chan []byte
	free chan []byte
	stop chan struct{}
	done chan struct{}
	cur  []byte
	buf  []byte
	err  error
}

func readAhead(r io.Reader) *ahead {
	const buffers, size = 4, 256 << 10
	a := &ahead{full: make(chan []byte, buffers), free: make(chan []byte, buffers), stop: make(chan struct{}), done: make(chan struct{})}
	for range buffers {
		a.free <- make([]byte, size)
	}
	go func() {
		defer close(a.done)
		defer close(a.full)
		// A library's panic on hostile bytes concerns this layer.
		defer func() {
			if x := recover(); x != nil {
				a.err = fmt.Errorf("damaged layer (%T)", x)
			}
		}()
		for {
			var b []byte
			select {
			case b = <-a.free:
			case <-a.stop:
				return
			}
			n := 0
			var err error
			for b = b[:size]; n < size && err == nil; {
				var k int
				k, err = r.Read(b[n:])
				n += k
			}
			if n > 0 {
				a.full <- b[:n]
			}
			if err != nil {
				if err != io.EOF {
					a.err = err
				}
				return
			}
		}
	}()
	return a
}

// next sees to it that some of what was read is at hand, and reports false where there is
// no more.
func (a *ahead) next() bool {
	for len(a.cur) == 0 {
		if a.buf != nil {
			a.free <- a.buf[:cap(a.buf)]
			a.buf = nil
		}
		b, ok := <-a.full
		if !ok {
			return false
		}
		a.cur, a.buf = b, b
	}
	return true
}

// peek gives the next n bytes, or those of them that one buffer holds.
func (a *ahead) peek(n int) []byte {
	a.next()
	return a.cur[:min(n, len(a.cur))]
}

func (a *ahead) Read(p []byte) (int, error) {
	if !a.next() {
		return 0, cmp.Or(a.err, io.EOF)
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}

// Close ends the reading and waits for it.
func (a *ahead) Close() {
	close(a.stop)
	for range a.full { // what was read already
	}
	<-a.done
}
