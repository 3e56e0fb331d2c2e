package pack

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// deflated compresses b at a level of the standard library's.
func deflated(t testing.TB, b []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestInflateGivesWhatWasDeflated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	var texts [][]byte
	src, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src/net/http/*.go"))
	if err != nil || len(src) == 0 {
		t.Fatal("no text to compress", err)
	}
	for _, p := range src[:12] {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, b)
	}
	for n := range 300 { // every form of match, distance and literal
		b := make([]byte, r.IntN(1<<uint(1+n%17)))
		alphabet := 1 + r.IntN(256)
		for i := range b {
			b[i] = byte(r.IntN(alphabet))
			if i > 300 && r.IntN(40) == 0 {
				from := r.IntN(i)
				i += copy(b[i:], b[from:min(i, from+r.IntN(300))])
			}
		}
		texts = append(texts, b)
	}
	d := &deflate{}
	for _, text := range texts {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			z := deflated(t, text, level)
			tail := []byte("what stands behind it is not its own")
			for _, src := range [][]byte{z, append(bytes.Clone(z), tail...)} {
				dst := make([]byte, len(text))
				n, err := d.inflate(dst, src)
				if err != nil || n != len(z) || !bytes.Equal(dst, text) {
					t.Fatalf("level %d, %d bytes: %v, %d of %d", level, len(text), err, n, len(z))
				}
			}
			for _, wrong := range []int{len(text) - 1, len(text) + 1} {
				if wrong < 0 {
					continue
				}
				if _, err := d.inflate(make([]byte, wrong), z); err == nil {
					t.Fatalf("level %d: %d bytes for %d", level, wrong, len(text))
				}
			}
			if len(z) > 1 {
				if _, err := d.inflate(make([]byte, len(text)), z[:len(z)-1-r.IntN(min(len(z)-1, 9))]); err == nil {
					t.Fatalf("level %d: a stream that is cut short", level)
				}
			}
		}
	}
}

// What the library's decoder makes of any bytes, this one makes of them.
func FuzzInflate(f *testing.F) {
	for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
		f.Add(deflated(f, []byte("a text, a text, a text that says a text"), level))
	}
	f.Add([]byte{0xed, 0xc0, 0x81, 0, 0, 0, 0, 0x80, 0xa0, 0xfc, 0xa9, 0x17, 0xa9})
	f.Add([]byte{5, 0xe0, 0x81, 8, 0, 0, 0, 0, 0x20, 0x7f, 0xeb, 0x0b, 0, 0})
	d := &deflate{}
	f.Fuzz(func(t *testing.T, z []byte) {
		rd := bytes.NewReader(z)
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(rd), 1<<20))
		if len(want) == 1<<20 {
			return
		}
		dst := make([]byte, len(want))
		n, mine := d.inflate(dst, z)
		if (err == nil) != (mine == nil) {
			t.Fatalf("theirs: %v, mine: %v", err, mine)
		}
		if err == nil && (!bytes.Equal(dst, want) || n != len(z)-rd.Len()) {
			t.Fatalf("%d of %d bytes read; equal: %v", n, len(z)-rd.Len(), bytes.Equal(dst, want))
		}
	})
}

// Codes that no writer makes are refused, as zlib refuses them.
func TestCodesThatAreNoneAreRefused(t *testing.T) {
	var table [litEnough]code
	for name, c := range map[string]struct {
		lens []uint8
		ok   bool
	}{
		"complete":           {[]uint8{1, 2, 2}, true},
		"one symbol":         {[]uint8{0, 1}, true},
		"none":               {[]uint8{0, 0}, true},
		"incomplete":         {[]uint8{2, 2, 2}, false},
		"one of two bits":    {[]uint8{2}, false},
		"more than there is": {[]uint8{1, 1, 1}, false},
	} {
		if err := build(table[:], c.lens, litBits, litSymbols); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
