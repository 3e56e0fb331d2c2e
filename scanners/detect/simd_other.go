//go:build !amd64

package detect

func (t *gramTable) scan(b []byte, from, to int, hits *[blockLen + 8]uint32) (n, next int) {
	return t.scanScalar(b, from, to, hits)
}

func (s *survey) blocks([]byte) int {
	s.words = s.words[:0]
	return 0
}
