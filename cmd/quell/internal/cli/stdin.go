package cli

import (
	"context"
	"io"
	"os"
)

// stdin is standard input. A read of a terminal or a pipe ends with the command's
// context; a person at a terminal is asked for input.
func (a *app) stdin() io.Reader {
	f, ok := a.in.(*os.File)
	if !ok {
		return a.in
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return f
	}
	r := &interruptible{ctx: a.ctx, r: f}
	if _, ok := terminal(f); ok {
		r.first = func() { a.printf("reading standard input; Ctrl-D on a line of its own ends it, Ctrl-C stops quell") }
	}
	return r
}

// interruptible is a reader whose Read returns once ctx is done. The bytes of a read
// that goes on then are lost.
type interruptible struct {
	ctx   context.Context
	r     io.Reader
	first func() // before the first read; may be nil
	ready chan chunk
	left  chunk
}

type chunk struct {
	b   []byte
	err error
}

func (r *interruptible) Read(p []byte) (int, error) {
	if r.first != nil {
		r.first()
		r.first = nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.left.b) == 0 && r.left.err == nil {
		if r.ready == nil {
			r.ready = make(chan chunk, 1)
			go func(size int) {
				b := make([]byte, size)
				n, err := r.r.Read(b)
				r.ready <- chunk{b[:n], err}
			}(min(len(p), 1<<20))
		}
		select {
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		case r.left = <-r.ready:
			r.ready = nil
		}
	}
	n := copy(p, r.left.b)
	r.left.b = r.left.b[n:]
	if len(r.left.b) > 0 {
		return n, nil
	}
	err := r.left.err
	if n > 0 {
		// The error comes with the next read.
		return n, nil
	}
	return 0, err
}
