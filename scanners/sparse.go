package scanners

import "io"

// Holed is a reader of a file with holes. Its Read returns io.EOF where a hole begins. Hole
// then continues after it.
type Holed interface {
	io.Reader
	// Hole returns the length in bytes of the hole at which Read stopped. ok is false at the
	// end of the file.
	Hole() (n int64, ok bool)
}

// Filled returns a reader that reads holes as zeros.
func Filled(r io.Reader) io.Reader {
	if h, ok := r.(Holed); ok {
		return &filled{r: h}
	}
	return r
}

type filled struct {
	r    Holed
	left int64 // remaining bytes of the hole
}

func (f *filled) Read(b []byte) (int, error) {
	if f.left > 0 {
		n := int(min(f.left, int64(len(b))))
		clear(b[:n])
		f.left -= int64(n)
		return n, nil
	}
	n, err := f.r.Read(b)
	if err == io.EOF {
		if hole, ok := f.r.Hole(); ok {
			f.left, err = hole, nil
		}
	}
	return n, err
}

func hole(r io.Reader) (int64, bool) {
	if h, ok := r.(Holed); ok {
		return h.Hole()
	}
	return 0, false
}
