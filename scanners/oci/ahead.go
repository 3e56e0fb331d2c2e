package oci

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/quellhq/quell/scanners"
)

var errLayer = scanners.OfKind(scanners.GapLimitBytes, errors.New("larger than the budget of one layer"))

// limit fails the read of a layer that exceeds the maximum size, or the maximum ratio to its
// compressed size. All layers of a target share its bounds.
type limit struct {
	r    io.Reader
	in   *int64 // compressed bytes read so far
	out  int64
	n    int64
	free int64
	all  scanners.Surplus
}

func (l *limit) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	l.out += int64(n)
	if l.out > l.n || l.out > l.free+maxRatio**l.in {
		return 0, errLayer
	}
	if err := l.all.Expand(l.out, *l.in); err != nil {
		return 0, err
	}
	return n, err
}

// ahead reads in a goroutine, so that a layer is decompressed while the scan examines the
// preceding bytes.
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
		// A panic of a library on hostile bytes fails this layer only.
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

// next waits until bytes are available. It reports false at the end.
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

// peek returns the next n bytes, or fewer if the current buffer has fewer.
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

// Close stops the reading goroutine and waits for it.
func (a *ahead) Close() {
	close(a.stop)
	for range a.full { // discard what was read
	}
	<-a.done
}
