package git

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// ewah writes a bitmap as git does, in runs of random lengths.
func ewah(r *rand.Rand, bitsSet []bool) []byte {
	var words []uint64
	for i := 0; i < len(bitsSet); i += 64 {
		var w uint64
		for k := 0; k < 64 && i+k < len(bitsSet); k++ {
			if bitsSet[i+k] {
				w |= 1 << k
			}
		}
		words = append(words, w)
	}
	var out []uint64
	for len(words) > 0 {
		var marker uint64
		run := 0
		for run < len(words) && (words[run] == 0 || words[run] == ^uint64(0)) && words[run] == words[0] {
			run++
		}
		if run > 0 && words[0] != 0 {
			marker = 1
		}
		words = words[run:]
		literal := min(len(words), 1+r.IntN(3))
		marker |= uint64(run)<<1 | uint64(literal)<<33
		out = append(append(out, marker), words[:literal]...)
		words = words[literal:]
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(bitsSet)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(out)))
	for _, w := range out {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	return binary.BigEndian.AppendUint32(b, 0)
}

func TestBitmapsAreReadAsTheyWereWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		in := make([]bool, r.IntN(1000))
		density := []float64{0, 0.02, 0.5, 1}[r.IntN(4)]
		for k := range in {
			in[k] = r.Float64() < density
		}
		set, rest, err := bitmap(append(ewah(r, in), "next"...), len(in))
		if err != nil || string(rest) != "next" {
			t.Fatalf("%v, %q follows", err, rest)
		}
		for k, on := range in {
			if set[k] != on {
				t.Fatalf("bit %d of %d is %v", k, len(in), set[k])
			}
		}
	}
}

func FuzzBitmap(f *testing.F) {
	f.Add(ewah(rand.New(rand.NewPCG(1, 2)), []bool{true, false, true}), uint16(3))
	f.Add([]byte("\x00\x00\x00\x40\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"), uint16(60))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		set, _, _ := bitmap(b, int(n))
		for k := range set {
			if k < 0 || k >= int(n) {
				t.Errorf("bit %d of %d", k, n)
			}
		}
	})
}
