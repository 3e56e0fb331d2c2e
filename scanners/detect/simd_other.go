//go:build !amd64

package detect

func (t *triples) masks(b []byte, masks []uint64) { t.inGo(b, masks) }

func (s *survey) blocks([]byte) bool { return false }
