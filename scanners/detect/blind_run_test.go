package detect_test

import "testing"

func TestBlindSetSize(t *testing.T) {
	c, k, l := len(blindCookies()), len(blindTokens()), len(blindLookalikes())
	t.Log(c, k, l)
	if c+k < 300 || l < 1000 {
		t.Fatal("the set is too small")
	}
}
