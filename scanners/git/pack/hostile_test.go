package pack

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// object is an object of a pack that a test writes.
type object struct {
	kind   Kind
	data   []byte // before compression: the object or the delta
	size   int64  // size in the header; 0: the true one
	base   int    // ofsDelta: position of the base object
	offset int64  // ofsDelta: distance to the base if base is -1
	refID  []byte
	raw    []byte // replaces the zlib stream
}

func header(kind Kind, size int64) []byte {
	c := byte(kind)<<4 | byte(size&15)
	size >>= 4
	var out []byte
	for size > 0 {
		out = append(out, c|0x80)
		c = byte(size & 0x7f)
		size >>= 7
	}
	return append(out, c)
}

func backOffset(n int64) []byte {
	out := []byte{byte(n & 0x7f)}
	for n >>= 7; n > 0; n >>= 7 {
		n--
		out = append([]byte{byte(n&0x7f) | 0x80}, out...)
	}
	return out
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// write writes a pack and its index. The ids are invented and in order.
func write(t testing.TB, dir string, objs []object) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, uint32(2))
	_ = binary.Write(&b, binary.BigEndian, uint32(len(objs)))
	var offs []int64
	for _, o := range objs {
		at := int64(b.Len())
		offs = append(offs, at)
		size := o.size
		if size == 0 {
			size = int64(len(o.data))
		}
		b.Write(header(o.kind, size))
		switch o.kind {
		case ofsDelta:
			if o.base >= 0 {
				b.Write(backOffset(at - offs[o.base]))
			} else {
				b.Write(backOffset(o.offset))
			}
		case refDelta:
			b.Write(o.refID)
		}
		if o.raw != nil {
			b.Write(o.raw)
		} else {
			b.Write(zipped(o.data))
		}
	}
	sum := sha1.Sum(b.Bytes())
	b.Write(sum[:])
	if err := os.WriteFile(filepath.Join(dir, "pack-x.pack"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &Pack{HashLen: 20}
	ids := make([][]byte, len(objs))
	for i := range objs {
		ids[i] = testID(i)
	}
	p.adopt(offs, ids)
	idx := []byte("\xfftOc\x00\x00\x00\x02")
	idx = append(idx, p.fan...)
	idx = append(idx, p.ids...)
	crcs := make([]byte, 4*len(objs))
	idx = append(append(append(idx, crcs...), p.off32...), p.off64...)
	idx = sealed(append(append(idx, sum[:]...), make([]byte, 20)...))
	if err := os.WriteFile(filepath.Join(dir, "pack-x.idx"), idx, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sealed appends the checksum to an index.
func sealed(idx []byte) []byte {
	sum := sha1.Sum(idx[:len(idx)-20])
	return append(idx[:len(idx)-20], sum[:]...)
}

func testID(i int) []byte {
	id := sha1.Sum(fmt.Append(nil, "object ", i))
	id[0] = byte(i)
	return id[:]
}

func size(n int) []byte {
	var out []byte
	for {
		c := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}

// read walks a pack and returns the objects and the reported errors.
func read(t testing.TB, dir string) (got map[string]string, bad []string) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got = map[string]string{}
	p, err := Open(root, "pack-x.pack", 20)
	if err != nil {
		return got, []string{err.Error()}
	}
	defer p.Close()
	var mu sync.Mutex
	w := p.NewWalk(Visitor{Kinds: []Kind{Commit, Tree, Blob, Tag}, Bad: func(_ []byte, err error) { mu.Lock(); defer mu.Unlock(); bad = append(bad, err.Error()) }})
	if err := w.Run(t.Context(), func(o Object) error {
		b := o.Data
		if b == nil {
			var buf bytes.Buffer
			if _, err := buf.ReadFrom(o.Stream); err != nil {
				bad = append(bad, err.Error())
			}
			b = buf.Bytes()
		}
		got[string(o.ID)] = string(b[:min(len(b), 100)])
		return nil
	}); err != nil {
		return got, append(withoutChecksums(bad), err.Error())
	}
	var g Getter
	for i := range p.Len() {
		kind, b, err := g.Get(p, i, nil)
		if have, ok := got[string(p.ID(i))]; err == nil && (!ok || have != string(b[:min(len(b), 100)])) {
			t.Errorf("one by one object %d is %q, in bulk %q (%v)", i, b[:min(len(b), 100)], have, ok)
		} else if err != nil && ok {
			t.Errorf("one by one object %d is %v, in bulk %q", i, err, have)
		}
		if k, err := p.Kind(i); err == nil && ok(got, p, i) && k != kind {
			t.Errorf("object %d is a %s, not a %s", i, k, kind)
		}
	}
	return got, withoutChecksums(bad)
}

// withoutChecksums drops the errors about the index's checksums, which are zeros in these
// packs.
func withoutChecksums(bad []string) []string {
	return slices.DeleteFunc(bad, func(s string) bool { return strings.Contains(s, "bytes are not those") })
}

func ok(got map[string]string, p *Pack, i int) bool { _, ok := got[string(p.ID(i))]; return ok }

// Each of these packs has a valid blob at the beginning and at the end. Each object between
// them causes an error of its own.
func TestHostilePacks(t *testing.T) {
	good := object{kind: Blob, data: []byte("a blob that is as it should be")}
	copyAll := func(n int) []byte { return append(append(size(n), size(n)...), 0x90, byte(n)) }
	n := len(good.data)
	chain := func(k int) (out []object) {
		for i := range k {
			out = append(out, object{kind: ofsDelta, base: i, data: copyAll(n)})
		}
		return out
	}
	bomb := func(k int) []byte { // copies its base of 64 KiB k times
		d := append(size(65536), size(k*65536)...)
		return append(d, bytes.Repeat([]byte{0x80}, k)...)
	}
	for _, c := range []struct {
		name string
		objs []object
		bad  int // number of bad objects; -1: none
		why  string
	}{
		{"nothing wrong", nil, -1, ""},
		{"a chain of 4,000 deltas", chain(4000), -1, ""},
		{"a delta of itself", []object{{kind: refDelta, refID: testID(1), data: copyAll(n)}}, 1, "delta of itself"},
		{"two deltas of each other", []object{{kind: refDelta, refID: testID(2), data: copyAll(n)}, {kind: refDelta, refID: testID(1), data: copyAll(n)}}, 2, "delta of itself"},
		{"a delta of what is not there", []object{{kind: refDelta, refID: testID(200), data: copyAll(n)}}, 1, "not in the pack"},
		{"an offset before the pack", []object{{kind: ofsDelta, base: -1, offset: 1 << 40, data: copyAll(n)}}, 1, "outside"},
		{"an offset into the middle of an object", []object{{kind: ofsDelta, base: -1, offset: 3, data: copyAll(n)}}, 1, "no object"},
		{"an offset of nothing", []object{{kind: ofsDelta, base: -1, offset: 0, data: copyAll(n)}}, 1, "outside"},
		{"a header that states a smaller size", []object{{kind: Blob, data: []byte("longer than said"), size: 3}}, 1, "size"},
		{"a header that states a larger size", []object{{kind: Blob, data: []byte("short"), size: 500}}, 1, "size"},
		{"a header that states a petabyte", []object{{kind: Blob, data: []byte("short"), size: 1 << 50}}, 1, ""},
		{"a delta whose header states 400 MB", []object{{kind: ofsDelta, base: 0, data: copyAll(n), size: 400 << 20}}, 1, "size"},
		{"an unknown kind", []object{{kind: 5, data: []byte("x")}}, 1, "unknown kind"},
		{"kind 0", []object{{kind: 0, data: []byte("x")}}, 1, "unknown kind"},
		{"no zlib stream", []object{{kind: Blob, raw: []byte("this is no zlib stream at all")}}, 1, "zlib"},
		{"a preset dictionary", []object{{kind: Blob, raw: []byte{0x78, 0xbb, 1, 2, 3, 4}}}, 1, "zlib"},
		{"a stream of a damaged block", []object{{kind: Blob, size: 20, raw: []byte{0x78, 0x9c, 0x07, 0xff, 0xff, 0xff}}}, 1, ""},
		{"a wrong checksum", []object{{kind: Blob, data: []byte("text"), raw: append(zipped([]byte("text"))[:len(zipped([]byte("text")))-1], 0x55)}}, 1, "checksum"},
		{"a delta for a base of another size", []object{{kind: ofsDelta, base: 0, data: copyAll(n + 1)}}, 1, "another object"},
		{"a copy from beyond the base's end", []object{{kind: ofsDelta, base: 0, data: append(append(size(n), size(10)...), 0x91, 250, 10)}}, 1, "damaged delta"},
		{"a copy over the result's end", []object{{kind: ofsDelta, base: 0, data: append(append(size(n), size(3)...), 0x90, 20)}}, 1, "damaged delta"},
		{"a result that stays short", []object{{kind: ofsDelta, base: 0, data: append(append(size(n), size(300)...), 0x90, 20)}}, 1, "damaged delta"},
		{"an insert that is cut off", []object{{kind: ofsDelta, base: 0, data: append(append(size(n), size(30)...), 30, 'x')}}, 1, "damaged delta"},
		{"a copy that is cut off", []object{{kind: ofsDelta, base: 0, data: append(append(size(n), size(30)...), 0xff)}}, 1, "damaged delta"},
		{"the reserved instruction", []object{{kind: ofsDelta, base: 0, data: append(append(size(n), size(30)...), 0)}}, 1, "damaged delta"},
		{"an empty delta", []object{{kind: ofsDelta, base: 0, data: nil}}, 1, ""},
		{"a size without an end", []object{{kind: ofsDelta, base: 0, data: bytes.Repeat([]byte{0xff}, 40)}}, 1, "damaged delta"},
		{"a delta that makes a gigabyte", []object{{kind: Blob, data: make([]byte, 65536)}, {kind: ofsDelta, base: 1, data: bomb(16384)}}, 1, "larger"},
		{"what is made of an object of no kind", []object{{kind: 5, data: []byte("x")}, {kind: ofsDelta, base: 1, data: copyAll(1)}, {kind: ofsDelta, base: 2, data: copyAll(1)}}, 3, ""},
		{"what is made of a damaged object", []object{{kind: Blob, data: []byte("x"), size: 50}, {kind: ofsDelta, base: 1, data: copyAll(1)}, {kind: ofsDelta, base: 2, data: copyAll(1)}}, 3, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			objs := append(append([]object{good}, c.objs...), good)
			write(t, dir, objs)
			got, bad := read(t, dir)
			for _, i := range []int{0, len(objs) - 1} {
				if got[string(testID(i))] != string(good.data) && len(objs) < 250 {
					t.Errorf("the good blob %d is %q", i, got[string(testID(i))])
				}
			}
			if len(bad) != max(c.bad, 0) || c.why != "" && !slices.ContainsFunc(bad, func(s string) bool { return strings.Contains(s, c.why) }) {
				t.Errorf("%d wrong: %q", len(bad), bad[:min(len(bad), 5)])
			}
		})
	}
}

// A pack of one object expands to a hundred thousand objects of some megabytes each. The total
// is bounded.
func TestAPackThatExpandsWithoutEndIsLeft(t *testing.T) {
	dir := t.TempDir()
	objs := []object{{kind: Blob, data: make([]byte, 65536)}}
	d := append(size(65536), size(512*65536)...)
	d = append(d, bytes.Repeat([]byte{0x80}, 512)...)
	for range 300 {
		objs = append(objs, object{kind: ofsDelta, base: 0, data: d})
	}
	write(t, dir, objs)
	_, bad := read(t, dir)
	if len(bad) != 1 || !strings.Contains(bad[0], "too large for a pack") {
		t.Errorf("%q", bad)
	}
}

func TestDamagedIndexes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []object{{kind: Blob, data: []byte("one")}, {kind: Blob, data: []byte("two")}})
	idx, err := os.ReadFile(filepath.Join(dir, "pack-x.idx"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, b := range map[string][]byte{
		"empty":             {},
		"cut":               idx[:600],
		"counts backwards":  slices.Concat(idx[:8], []byte{0, 0, 0, 9}, idx[12:]),
		"a huge count":      slices.Concat(idx[:8+1020], []byte{0x7f, 0xff, 0xff, 0xff}, idx[8+1024:]),
		"an unknown format": slices.Concat(idx[:4], []byte{0, 0, 0, 9}, idx[8:]),
	} {
		if err := os.WriteFile(filepath.Join(dir, "pack-x.idx"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(root, "pack-x.pack", 20); !errors.Is(err, ErrNoIndex) {
			t.Errorf("%s: %v", name, err)
		}
		// The pack alone is enough.
		p, err := Index(root, "pack-x.pack", 20, nil)
		if err != nil || p.Len() != 2 {
			t.Fatalf("%s: %v", name, err)
		}
		p.Close()
	}
}

// No input causes a panic, and bulk reading agrees with reading one by one.
func FuzzPack(f *testing.F) {
	dir := f.TempDir()
	write(f, dir, []object{{kind: Blob, data: []byte("some text of a blob")}, {kind: ofsDelta, base: 0, data: append(append(size(19), size(9)...), 0x90, 9)},
		{kind: refDelta, refID: testID(0), data: append(append(size(19), size(2)...), 2, 'o', 'k')}, {kind: Commit, data: []byte("tree x\n\nmessage")}})
	pack, err := os.ReadFile(filepath.Join(dir, "pack-x.pack"))
	if err != nil {
		f.Fatal(err)
	}
	idx, err := os.ReadFile(filepath.Join(dir, "pack-x.idx"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pack, idx, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, pack, idx []byte, at uint16, x byte) {
		dir := t.TempDir()
		if len(pack) > 0 {
			pack = bytes.Clone(pack)
			pack[int(at)%len(pack)] ^= x
		}
		_ = os.WriteFile(filepath.Join(dir, "pack-x.pack"), pack, 0o644)
		_ = os.WriteFile(filepath.Join(dir, "pack-x.idx"), idx, 0o644)
		read(t, dir)
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if p, _ := Index(root, "pack-x.pack", 20, nil); p != nil {
			p.Close()
		}
		_, _ = ParseBundle(pack)
	})
}

// Random bit flips only cause errors, and most of the pack is still read.
func TestFlippedBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	dir := t.TempDir()
	var objs []object
	for i := range 200 {
		objs = append(objs, object{kind: Blob, data: fmt.Appendf(nil, "blob %d %x", i, r.Uint64())})
	}
	write(t, dir, objs)
	whole, err := os.ReadFile(filepath.Join(dir, "pack-x.pack"))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		b := bytes.Clone(whole)
		k := 12 + r.IntN(len(b)-32)
		b[k] ^= byte(1 + r.IntN(255))
		if err := os.WriteFile(filepath.Join(dir, "pack-x.pack"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, _ := read(t, dir); len(got) < 198 {
			t.Fatalf("byte %d: %d of 200 objects read", k, len(got))
		}
	}
}

// The walk reports an object that does not match the index's checksum, and still returns it if
// it decodes completely.
func TestTheIndexsChecksumsAreCompared(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, []object{{kind: Blob, data: []byte("one")}, {kind: Blob, data: []byte("two")}})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	p, err := Open(root, "pack-x.pack", 20)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	said, got := 0, 0
	w := p.NewWalk(Visitor{Kinds: []Kind{Blob}, Bad: func(_ []byte, err error) {
		if strings.Contains(err.Error(), "bytes are not those") {
			said++
		}
	}})
	if err := w.Run(t.Context(), func(Object) error { got++; return nil }); err != nil || said != 2 || got != 2 {
		t.Errorf("%d said, %d read, %v", said, got, err)
	}
}

// Deltas that name their base by id, in a pack without an index: the base is before the delta,
// after it, or elsewhere.
func TestAPackWithoutAnIndexAndDeltasByID(t *testing.T) {
	id := func(b string) []byte {
		sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(b), b))
		return sum[:]
	}
	const base, made = "a base that is here", "a base that is here, and more"
	delta := slices.Concat(size(len(base)), size(len(made)), []byte{0x90, byte(len(base)), byte(len(made) - len(base))}, []byte(", and more"))
	again := slices.Concat(size(len(made)), size(4), []byte{0x90, 1, 3}, []byte("end"))
	dir := t.TempDir()
	write(t, dir, []object{
		{kind: refDelta, refID: id(base), data: delta}, {kind: Blob, data: []byte(base)},
		{kind: refDelta, refID: id(made), data: again}, {kind: refDelta, refID: id("elsewhere"), data: slices.Concat(size(9), size(2), []byte{2, 'o', 'k'})},
	})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, elsewhere := range []bool{true, false} {
		p, err := Index(root, "pack-x.pack", 20, func(i []byte) (Kind, []byte, error) {
			if elsewhere && bytes.Equal(i, id("elsewhere")) {
				return Blob, []byte("elsewhere"), nil
			}
			return 0, nil, errors.New("not here")
		})
		if (err == nil) != elsewhere || p == nil {
			t.Fatalf("%v", err)
		}
		want := []string{base, made, "aend"}
		if elsewhere {
			want = append(want, "ok")
		}
		for _, b := range want {
			if _, ok := p.Find(id(b)); !ok {
				t.Errorf("%q is not there", b)
			}
		}
		if p.Len() != len(want) {
			t.Errorf("%d objects", p.Len())
		}
		p.Close()
	}
}

// grown returns a delta that replaces a base of n bytes by n new bytes.
func grown(n int, c byte) []byte {
	out := append(size(n), size(n)...)
	for left := n; left > 0; left -= 100 {
		k := min(left, 100)
		out = append(append(out, byte(k)), bytes.Repeat([]byte{c}, k)...)
	}
	return out
}

// In this tree, every base is needed until its last child is read. The walk abandons what would
// take too much memory, and reports it.
func TestBasesThatAreTooMuchToKeep(t *testing.T) {
	dir := t.TempDir()
	// Two of each, so that a branch's base is needed while the first one is read.
	const all = 31
	objs := []object{{kind: Blob, data: bytes.Repeat([]byte{'a'}, 1000)}}
	for k := 1; k < all; k++ {
		objs = append(objs, object{kind: ofsDelta, base: (k - 1) / 2, data: grown(1000, byte('a'+k))})
	}
	write(t, dir, objs)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	p, err := Open(root, "pack-x.pack", 20)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	walk := func(kept int64) (got, bad int) {
		w := p.NewWalk(Visitor{Kinds: []Kind{Blob}, Bad: func(_ []byte, err error) {
			if strings.Contains(err.Error(), "too large to keep") || strings.Contains(err.Error(), "delta of an object that can't be read") {
				bad++
			}
		}})
		w.kept = kept
		if err := w.Run(t.Context(), func(Object) error { got++; return nil }); err != nil {
			t.Error(err)
		}
		return got, bad
	}
	if got, bad := walk(maxKept); got != all || bad != 0 {
		t.Errorf("%d read, %d not", got, bad)
	}
	last := all
	for _, kept := range []int64{2500, 1500, 500} {
		got, bad := walk(kept)
		if got+bad != all || bad == 0 || got >= last {
			t.Errorf("with %d bytes: %d read, %d not", kept, got, bad)
		}
		last = got
	}
}

// An object whose bytes match the index's checksum is read, in bulk and alone, although the
// checksum of its content is wrong, and the walk reports that. Without the index's checksum the
// object counts as damaged.
func TestTheIndexsChecksumIsEnough(t *testing.T) {
	bad := zipped([]byte("content"))
	bad[len(bad)-1] ^= 1
	delta := append(append(size(7), size(4)...), 4, 'n', 'e', 'w', '!')
	badDelta := zipped(delta)
	badDelta[len(badDelta)-1] ^= 1
	objs := []object{{kind: Blob, raw: bad, size: 7}, {kind: ofsDelta, base: 0, raw: badDelta, size: int64(len(delta))}, {kind: Blob, data: []byte("good")}}
	dir := t.TempDir()
	write(t, dir, objs)
	if got, said := read(t, dir); len(got) != 1 || len(said) != 2 {
		t.Errorf("with other checksums: %d read, %q", len(got), said)
	}
	// The index as index-pack would write it without verification.
	packed, err := os.ReadFile(filepath.Join(dir, "pack-x.pack"))
	if err != nil {
		t.Fatal(err)
	}
	idx, err := os.ReadFile(filepath.Join(dir, "pack-x.idx"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	p, err := Open(root, "pack-x.pack", 20)
	if err != nil {
		t.Fatal(err)
	}
	crcs := 8 + 1024 + 20*len(objs)
	var at []int
	for i := range objs {
		at = append(at, int(p.offset(i)))
	}
	p.Close()
	for i, from := range at {
		end := len(packed) - 20
		for _, o := range at {
			if o > from {
				end = min(end, o)
			}
		}
		binary.BigEndian.PutUint32(idx[crcs+4*i:], crc32.ChecksumIEEE(packed[from:end]))
	}
	if err := os.WriteFile(filepath.Join(dir, "pack-x.idx"), sealed(idx), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, said := read(t, dir); len(got) != 3 || len(said) != 2 {
		t.Errorf("%d read, %q", len(got), said)
	}
}
