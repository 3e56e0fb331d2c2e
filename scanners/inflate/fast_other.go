//go:build !amd64

package inflate

func (t *tables) fast(s *state, posLimit, oLimit int) int { return t.fastGo(s, posLimit, oLimit) }
