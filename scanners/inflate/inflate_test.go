package inflate

import (
	"bytes"
	"encoding/binary"
	"errors"
	gobuild "go/build"
	"hash/adler32"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// deflated compresses b with the library at the given level.
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

// texts returns sources, programs, and bytes with every form of match, distance and literal.
func texts(t testing.TB) [][]byte {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 5))
	src, err := filepath.Glob(filepath.Join(gobuild.Default.GOROOT, "src/net/http/*.go"))
	if err != nil || len(src) == 0 {
		t.Fatal("no text to compress", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var texts [][]byte
	for _, p := range append(src[:12], self) {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, b[:min(len(b), 1<<20)])
	}
	for n := range 90 {
		b := make([]byte, r.IntN(1<<uint(1+n%18)))
		alphabet := 1 + r.IntN(256)
		near := 1 + r.IntN(40)
		for i := 0; i < len(b); i++ {
			b[i] = byte(r.IntN(alphabet))
			if i > 300 && r.IntN(40) == 0 {
				from := r.IntN(i)
				if r.IntN(2) == 0 {
					from = i - min(i, near)
				}
				for n := r.IntN(600); n > 0 && i < len(b); n-- {
					b[i] = b[from]
					i, from = i+1, from+1
				}
			}
		}
		texts = append(texts, b)
	}
	return texts
}

// decode calls Decode with or without assembly.
func decode(dst, src []byte, portable bool) (int, error) {
	d := &Decoder{}
	return d.decode(dst, &state{src: src, last: true, portable: portable})
}

func TestWhatWasDeflatedIsDecoded(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 5))
	tail := []byte("what stands behind it is not its own, and there is more of it than a round reads")
	for _, text := range texts(t) {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			z := deflated(t, text, level)
			for _, portable := range []bool{false, true} {
				for _, src := range [][]byte{z, append(bytes.Clone(z), tail...)} {
					for _, more := range []int{0, 20, 400} {
						dst := make([]byte, len(text)+more)
						n, err := decode(dst[:len(text)], src, portable)
						if err != nil || n != len(z) || !bytes.Equal(dst[:len(text)], text) {
							t.Fatalf("level %d, %d bytes: %v, %d of %d", level, len(text), err, n, len(z))
						}
					}
				}
				for _, wrong := range []int{len(text) - 1, len(text) + 1} {
					if wrong < 0 {
						continue
					}
					if _, err := decode(make([]byte, wrong, wrong+r.IntN(400)), z, portable); !errors.Is(err, ErrSize) {
						t.Fatalf("level %d: %d bytes for %d: %v", level, wrong, len(text), err)
					}
				}
				cut := z[:len(z)-1-r.IntN(min(len(z)-1, 9))]
				if _, err := decode(make([]byte, len(text)), cut, portable); err != io.ErrUnexpectedEOF && err != ErrSize {
					t.Fatalf("level %d: a stream that is cut short: %v", level, err)
				}
			}
		}
	}
}

// The decoder neither writes beyond a slice's capacity nor reads beyond the input: the
// adjoining bytes can belong to another slice.
func TestDataAfterTheEndIsNotRead(t *testing.T) {
	for _, text := range texts(t) {
		z := deflated(t, text, 6)
		for _, more := range []int{0, 7, 299, 300, 301} {
			all := bytes.Repeat([]byte{0xa5}, len(text)+more+600)
			if _, err := decode(all[:len(text):len(text)+more], z[:len(z):len(z)], false); err != nil {
				t.Fatal(err)
			}
			for i, c := range all[len(text)+more:] {
				if c != 0xa5 {
					t.Fatalf("%d bytes, %d behind them: %d more were written", len(text), more, i+1)
				}
			}
		}
	}
}

func TestAReaderGivesWhatWasDeflated(t *testing.T) {
	tail := []byte("behind it")
	for i, text := range texts(t) {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
			z := append(deflated(t, text, level), tail...)
			for name, src := range map[string]io.Reader{
				"whole":        bytes.NewReader(z),
				"in halves":    iotest.HalfReader(bytes.NewReader(z)),
				"with its end": iotest.DataErrReader(bytes.NewReader(z)),
				"byte by byte": iotest.OneByteReader(bytes.NewReader(z)),
			} {
				if len(text) > 100<<10 && name == "byte by byte" && i%8 != 0 {
					continue
				}
				r := NewReader(src)
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, text) {
					t.Fatalf("level %d, %d bytes, %s: %d bytes, %v", level, len(text), name, len(got), err)
				}
				if want := int64(len(z) - len(tail)); r.Offset() != want {
					t.Fatalf("%d bytes, not %d", r.Offset(), want)
				}
				rest := make([]byte, len(tail))
				if err := r.d.bytes(rest); err != nil || !bytes.Equal(rest, tail) {
					t.Fatalf("behind it: %q, %v", rest, err)
				}
				r.Close()
			}
		}
	}
}

// A truncated stream yields its content up to the cut and nothing invented: missing bits are
// not read as zeros.
func TestACutStreamGivesNothingMadeUp(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 11))
	for _, text := range texts(t) {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
			z := deflated(t, text, level)
			cut := z[:r.IntN(len(z))]
			d := NewReader(bytes.NewReader(cut))
			got, err := io.ReadAll(d)
			d.Close()
			if err != io.ErrUnexpectedEOF || !bytes.HasPrefix(text, got) {
				t.Fatalf("level %d, %d of %d bytes: %d bytes, %v", level, len(cut), len(z), len(got), err)
			}
		}
	}
}

// A closed reader yields nothing of the stream that reuses its decoder.
func TestAClosedReaderGivesNothing(t *testing.T) {
	z := deflated(t, []byte("a text"), 6)
	r := NewReader(bytes.NewReader(z))
	r.Close()
	other := NewReader(bytes.NewReader(z))
	defer other.Close()
	if n, err := r.Read(make([]byte, 9)); n != 0 || err == nil {
		t.Fatal(n, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(other); string(got) != "a text" || err != nil {
		t.Fatal(got, err)
	}
}

// The reader returns an error of its source after decoding all preceding data, even if the
// source returns both at once.
func TestASourcesErrorIsTheReaders(t *testing.T) {
	text := bytes.Repeat([]byte("a text and another; "), 99)
	z := deflated(t, text, 6)
	broken := errors.New("broken")
	for _, cut := range []int{1, 3, len(z) / 2} {
		z := z[:len(z)-cut]
		want, _ := io.ReadAll(NewReader(bytes.NewReader(z)))
		for _, src := range []io.Reader{
			io.MultiReader(bytes.NewReader(z), iotest.ErrReader(broken)),
			iotest.DataErrReader(io.MultiReader(bytes.NewReader(z), iotest.ErrReader(broken))),
		} {
			r := NewReader(src)
			got, err := io.ReadAll(r)
			if err != broken || !bytes.Equal(got, want) || cut < 9 && len(got) < len(text)/2 {
				t.Errorf("less %d: %v, %d bytes, not %d", cut, err, len(got), len(want))
			}
			r.Close()
		}
	}
	zipped := zipped(t, text, "", "", nil)
	r, err := NewGzip(io.MultiReader(bytes.NewReader(zipped), iotest.ErrReader(broken)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != broken || !bytes.Equal(got, text) {
		t.Errorf("behind a stream: %v, %d bytes", err, len(got))
	}
	if _, err := io.ReadAll(NewReader(idle{})); err != io.ErrNoProgress {
		t.Fatal(err)
	}
}

// idle returns no bytes and no error.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// compare checks the decoded output against the library's.
func compare(t *testing.T, z []byte) {
	rd := bytes.NewReader(z)
	want, err := io.ReadAll(io.LimitReader(flate.NewReader(rd), 4<<20))
	if len(want) == 4<<20 {
		return
	}
	used := len(z) - rd.Len()
	for _, portable := range []bool{false, true} {
		for _, more := range []int{0, 512} {
			dst := make([]byte, len(want), len(want)+more)
			n, mine := decode(dst, z, portable)
			if (err == nil) != (mine == nil) {
				t.Fatalf("theirs: %v, mine: %v", err, mine)
			}
			if err == nil && (!bytes.Equal(dst, want) || n != used) {
				t.Fatalf("%d of %d bytes read; equal: %v", n, used, bytes.Equal(dst, want))
			}
		}
	}
	for _, src := range []io.Reader{bytes.NewReader(z), iotest.OneByteReader(bytes.NewReader(z))} {
		r := NewReader(src)
		got, mine := io.ReadAll(r)
		if (err == nil) != (mine == nil) {
			t.Fatalf("theirs: %v, the reader's: %v", err, mine)
		}
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) || err == nil && len(got) != len(want) {
			t.Fatalf("the reader gives %d bytes, not %d, or others", len(got), len(want))
		}
		if err == nil {
			rest := make([]byte, len(z)-used)
			if e := r.d.bytes(rest); e != nil || !bytes.Equal(rest, z[used:]) {
				t.Fatal("what stands behind it is not the rest", e)
			}
		}
		r.Close()
	}
}

// These decoders and the library agree on any input.
func FuzzDecode(f *testing.F) {
	for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
		f.Add(deflated(f, []byte("a text, a text, a text that says a text"), level))
		f.Add(deflated(f, bytes.Repeat([]byte("and a longer one, of which 32 bytes are left; "), 40), level))
	}
	f.Add([]byte{0xed, 0xc0, 0x81, 0, 0, 0, 0, 0x80, 0xa0, 0xfc, 0xa9, 0x17, 0xa9})
	f.Add([]byte{5, 0xe0, 0x81, 8, 0, 0, 0, 0, 0x20, 0x7f, 0xeb, 0x0b, 0, 0})
	f.Fuzz(compare)
}

// A stream with a few wrong bits decodes for long with codes other than its own.
func TestDamagedStreamsAreWhatTheLibraryMakesOfThem(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	for i, text := range texts(t) {
		if len(text) > 64<<10 {
			text = text[:64<<10]
		}
		z := deflated(t, text, []int{flate.HuffmanOnly, 1, 6, 9}[i%4])
		for range 20 {
			bad := bytes.Clone(z)
			for range 1 + r.IntN(4) {
				bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
			}
			compare(t, bad)
		}
	}
}

// Invalid codes are refused, as zlib refuses them.
func TestCodesThatAreNoneAreRefused(t *testing.T) {
	var table [litEnough]entry
	for name, c := range map[string]struct {
		lens []uint8
		ok   bool
	}{
		"complete":        {[]uint8{1, 2, 2}, true},
		"one symbol":      {[]uint8{0, 1}, true},
		"no symbols":      {[]uint8{0, 0}, true},
		"incomplete":      {[]uint8{2, 2, 2}, false},
		"one of two bits": {[]uint8{2}, false},
		"too many codes":  {[]uint8{1, 1, 1}, false},
	} {
		if err := build(table[:], c.lens, litBits, litSymbols); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every entry of a complete code's table leads to its symbol, and no table exceeds its bound.
func TestTablesAreTheirCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	for range 3000 {
		lens := lengths(r, 2+r.IntN(285))
		var table [litEnough]entry
		if err := build(table[:], lens, litBits, litSymbols); err != nil {
			t.Fatal(err)
		}
		code, at := 0, map[[2]int]int{} // length and code, first bit highest
		for n := 1; n < 16; n++ {
			for s, l := range lens {
				if int(l) == n {
					at[[2]int{n, code}] = s
					code++
				}
			}
			code <<= 1
		}
		for range 300 {
			next := r.Uint32() & (1<<15 - 1)
			e := table[next&(1<<litBits-1)]
			skip := 0
			if e&(isOther|isEnd|isNone) == isOther {
				skip = int(e & 31)
				e = table[int(e>>16)+int(next>>litBits&(1<<(e>>8&15)-1))]
			}
			n := skip + int(e>>8&15)
			code := 0
			for i := range n {
				code = code<<1 | int(next>>i&1)
			}
			s, ok := at[[2]int{n, code}]
			if want := litSymbols[s]; !ok || e&^0x1fff != want&^0x1fff || e&31 != want&31+entry(n-skip) {
				t.Fatalf("%015b: entry %x of a code of %d bits, not %x", next, e, n, want)
			}
		}
	}
}

// lengths returns the code lengths of a complete code of n symbols.
func lengths(r *rand.Rand, n int) []uint8 {
	lens := []uint8{1, 1}
	for len(lens) < n {
		i := r.IntN(len(lens))
		if r.IntN(3) > 0 { // extend the longest, for a lopsided code
			for k, l := range lens {
				if l > lens[i] && l < 15 {
					i = k
				}
			}
		}
		if lens[i] < 15 {
			lens[i]++
			lens = append(lens, lens[i])
		}
	}
	r.Shuffle(len(lens), func(i, k int) { lens[i], lens[k] = lens[k], lens[i] })
	return lens
}

// zipped returns a gzip stream with all optional fields of the header.
func zipped(t testing.TB, text []byte, name, comment string, extra []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name, w.Comment, w.Extra = name, comment, extra
	_, _ = w.Write(text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	text := bytes.Repeat([]byte("one text of some length, and "), 9000)
	one := zipped(t, text, "na\u00efve.txt", "a comment", []byte("ex\x00tra"))
	two := zipped(t, []byte("another"), "", "", nil)
	empty := zipped(t, nil, "", "", nil)
	sum := len(one) - 8
	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[i] ^= 1
		return b
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	withSum := func(good bool) []byte {
		b := bytes.Clone(two)
		b[3] |= flagSum
		sum := uint16(crc32.ChecksumIEEE(b[:10]))
		if !good {
			sum++
		}
		return join(b[:10], binary.LittleEndian.AppendUint16(nil, sum), b[10:])
	}
	for name, c := range map[string]struct {
		file []byte
		want []byte
		bad  bool
	}{
		"one stream":              {one, text, false},
		"two":                     {join(one, two), join(text, []byte("another")), false},
		"one of nothing between":  {join(two, empty, two), []byte("anotheranother"), false},
		"zeros after it":          {join(two, make([]byte, 99)), []byte("another"), false},
		"bytes after it":          {join(two, []byte("x")), []byte("another"), true},
		"bytes after zeros":       {join(two, make([]byte, 9), two), []byte("another"), true},
		"its sum is wrong":        {flip(one, sum), text, true},
		"its size is wrong":       {flip(one, sum+4), text, true},
		"cut in the sum":          {one[:sum+2], text, true},
		"cut in the stream":       {two[:len(two)-10], nil, true},
		"cut in the second head":  {join(two, two[:5]), []byte("another"), true},
		"a head with its sum":     {withSum(true), []byte("another"), false},
		"a head with a wrong sum": {withSum(false), nil, true},
		"a reserved flag":         {join(two[:3], []byte{0x20}, two[4:]), nil, true},
		"no deflate":              {flip(two, 2), nil, true},
		"a name without an end":   {join(two[:3], []byte{flagName}, two[4:10], bytes.Repeat([]byte("n"), maxWords+1)), nil, true},
		"nothing":                 {nil, nil, true},
	} {
		var got []byte
		z, err := NewGzip(bytes.NewReader(c.file))
		if err == nil {
			got, err = io.ReadAll(z)
			if name == "one stream" && (z.Name != "na\u00efve.txt" || z.Comment != "a comment" || string(z.Extra) != "ex\x00tra") {
				t.Errorf("%q %q %q", z.Name, z.Comment, z.Extra)
			}
			z.Close()
			if n, err := z.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Error("read after Close")
			}
		}
		if (err != nil) != c.bad || err == io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if (!c.bad || c.want != nil) && !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes, not %d", name, len(got), len(c.want))
		}
	}
}

// Trailing returns all the data that follows the last stream.
func TestTrailingOfGzip(t *testing.T) {
	one := zipped(t, []byte("a text"), "", "", nil)
	for _, behind := range []string{"", "x", "a text behind", "\x1f\x8b\x09 no deflate", "\x1fx and so on to ten", strings.Repeat("much more ", 20_000)} {
		for _, zeros := range []int{0, 1, 70_000} {
			z, err := NewGzip(iotest.HalfReader(bytes.NewReader(append(append(bytes.Clone(one), make([]byte, zeros)...), behind...))))
			if err != nil {
				t.Fatal(err)
			}
			if z.Trailing() != nil {
				t.Error("there is something before it was read")
			}
			_, err = io.ReadAll(z)
			var rest []byte
			if r := z.Trailing(); r != nil {
				rest, _ = io.ReadAll(r)
			}
			if string(rest) != behind || (err == nil) != (behind == "") {
				t.Errorf("%.20q behind %d: %.20q, %v", behind, zeros, rest, err)
			}
			z.Close()
			if z.Trailing() != nil {
				t.Error("there is something behind Close")
			}
		}
	}
}

// Gzip and the library agree on any gzip file, with two exceptions: padding, and a damaged or
// truncated header after a stream, which the library partly accepts as the end.
func FuzzGzip(f *testing.F) {
	f.Add(zipped(f, []byte("a text, a text"), "n", "c", []byte("e")))
	f.Add(append(zipped(f, []byte("a text"), "", "", nil), zipped(f, []byte("b"), "", "", nil)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(open func(io.Reader) (io.Reader, error)) ([]byte, error) {
			r, err := open(bytes.NewReader(b))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(io.LimitReader(r, 4<<20))
		}
		want, err := read(func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
		got, mine := read(func(r io.Reader) (io.Reader, error) { return NewGzip(r) })
		if err == nil && (mine != nil && mine != errTrailing && mine != io.ErrUnexpectedEOF || !bytes.Equal(got, want)) {
			t.Fatalf("%v; %d bytes of %d", mine, len(got), len(want))
		}
		if err != nil && mine == nil && (b[len(b)-1] != 0 || err != gzip.ErrHeader && err != io.ErrUnexpectedEOF) {
			t.Fatalf("theirs: %v", err)
		}
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) {
			t.Fatal("other bytes")
		}
	})
}

func TestZlib(t *testing.T) {
	text := bytes.Repeat([]byte("one text of some length, and "), 9000)
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(text)
	_ = w.Close()
	z := b.Bytes()
	flip := func(i int) []byte {
		b := bytes.Clone(z)
		b[i] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		stream []byte
		want   error
	}{
		"a stream":               {z, nil},
		"bytes after it":         {append(bytes.Clone(z), "more"...), nil},
		"its sum is wrong":       {flip(len(z) - 1), ErrChecksum},
		"cut in the sum":         {z[:len(z)-1], io.ErrUnexpectedEOF},
		"cut in the stream":      {z[:len(z)-9], io.ErrUnexpectedEOF},
		"a wrong head":           {flip(1), errZlib},
		"with a dictionary":      {[]byte{0x78, 0xbb, 1, 2, 3, 4}, errZlib},
		"a window of 64 KiB":     {[]byte{0x88, 0x1c, 3, 0, 0, 0, 0, 1}, errZlib},
		"a stream of one byte":   {z[:1], io.ErrUnexpectedEOF},
		"nothing":                {nil, io.ErrUnexpectedEOF},
		"a block that is no one": {[]byte{0x78, 0x9c, 7}, ErrDamaged},
	} {
		var got []byte
		r, err := NewZlib(bytes.NewReader(c.stream))
		if err == nil {
			got, err = io.ReadAll(r)
			if err == nil && r.Offset() != int64(len(z)) {
				t.Errorf("%s: %d bytes, not %d", name, r.Offset(), len(z))
			}
			r.Close()
			if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Error("read after Close")
			}
		}
		if err != c.want || err == nil && !bytes.Equal(got, text) {
			t.Errorf("%s: %v, %d bytes", name, err, len(got))
		}
	}
}

// Zlib and the library agree on any zlib stream.
func FuzzZlib(f *testing.F) {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte("a text, a text, a text"))
	_ = w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		var want, got []byte
		theirs, err := zlib.NewReader(bytes.NewReader(b))
		if err == nil {
			want, err = io.ReadAll(io.LimitReader(theirs, 4<<20))
		}
		if len(want) == 4<<20 {
			return
		}
		z, mine := NewZlib(bytes.NewReader(b))
		if mine == nil {
			defer z.Close()
			got, mine = io.ReadAll(z)
		}
		if (err == nil) != (mine == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("theirs: %v, mine: %v", err, mine)
		}
	})
}

func FuzzAdler32(f *testing.F) {
	f.Add([]byte("a text"), 3)
	f.Add(bytes.Repeat([]byte{0xff}, 20000), 5553)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		b = bytes.Repeat(b, 1+len(b)%7)
		at = min(max(at, 0), len(b))
		if got, want := Adler32(Adler32(1, b[:at]), b[at:]), adler32.Checksum(b); got != want {
			t.Fatalf("%d bytes, %d of them first: %x, not %x", len(b), at, got, want)
		}
	})
}

func TestAdler32(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for range 3000 {
		b := make([]byte, r.IntN(20000))
		for i := range b {
			if b[i] = 0xff; r.IntN(2) == 0 {
				b[i] = byte(r.IntN(256))
			}
		}
		if r.IntN(3) == 0 {
			b = bytes.Repeat([]byte{0xff}, len(b))
		}
		at := r.IntN(len(b) + 1)
		if got, want := Adler32(Adler32(1, b[:at]), b[at:]), adler32.Checksum(b); got != want {
			t.Fatalf("%d bytes, %d of them first: %x, not %x", len(b), at, got, want)
		}
	}
}
