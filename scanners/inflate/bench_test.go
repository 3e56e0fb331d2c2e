package inflate

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/flate"
)

// BenchmarkReader compares this decoder with the library's. It decodes the file that
// QUELL_LAYER names, or the first text of the tests.
func BenchmarkReader(b *testing.B) {
	text := bytes.Join(texts(b)[:13], nil)
	if file := os.Getenv("QUELL_LAYER"); file != "" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			b.Fatal(err)
		}
	}
	z := deflated(b, text, 6)
	for _, c := range []struct {
		name string
		open func(io.Reader) io.ReadCloser
	}{
		{"own", func(r io.Reader) io.ReadCloser { return NewReader(r) }},
		{"library", flate.NewReader},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r := c.open(bytes.NewReader(z))
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
	b.Run("own/slices", func(b *testing.B) {
		d := &Decoder{}
		dst := make([]byte, len(text), len(text)+300)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := d.Decode(dst, z); err != nil {
				b.Fatal(err)
			}
		}
	})
}
