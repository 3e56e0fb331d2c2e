package pack

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// Find is the same as a search by bisection, for evenly distributed ids and for others.
func TestFindEqualsBisection(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func(id []byte){
		"even": func(id []byte) {
			for i := range id {
				id[i] = byte(rng.Uint32())
			}
		},
		"one bucket": func(id []byte) { id[0], id[1], id[19] = 7, byte(rng.Uint32()), byte(rng.Uint32()) },
		"equal beginnings": func(id []byte) {
			id[0], id[9] = byte(rng.Uint32N(3)), byte(rng.Uint32N(5))
		},
		"ends": func(id []byte) {
			copy(id, bytes.Repeat([]byte{byte(255 * rng.Uint32N(2))}, 20))
			id[8] = byte(rng.Uint32())
		},
	} {
		for _, n := range []int{1, 2, 9, 40, 3000} {
			var ids [][]byte
			for range n {
				id := make([]byte, 20)
				draw(id)
				ids = append(ids, id)
			}
			slices.SortFunc(ids, bytes.Compare)
			p := &Pack{n: n, HashLen: 20, stride: 20, ids: bytes.Join(ids, nil), fan: make([]byte, 1024)}
			for b := range 256 {
				k := sort.Search(n, func(i int) bool { return int(ids[i][0]) > b })
				binary.BigEndian.PutUint32(p.fan[4*b:], uint32(k))
			}
			look := slices.Clone(ids)
			for range 300 {
				id := make([]byte, 20)
				draw(id)
				look = append(look, id)
			}
			for _, id := range look {
				want := sort.Search(n, func(i int) bool { return bytes.Compare(ids[i], id) >= 0 })
				got, ok := p.Find(id)
				if got != want || ok != (want < n && bytes.Equal(ids[want], id)) {
					t.Fatalf("%s, %d ids: %x is at %d, %v; want %d", name, n, id, got, ok, want)
				}
			}
		}
	}
}
