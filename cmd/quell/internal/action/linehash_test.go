package action

import (
	"strings"
	"testing"
)

func TestLineHashes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{" a\nb\n  \t\tc\n d", []string{"271789c17abda88f:1", "54703d4cd895b18:1", "180aee12dab6264:1", "a23a3dc5e078b07b:1"}},
		{"hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End", []string{"8b7cf3e952e7aeb2:1", "b1ae1287ec4718d9:1", "bff680108adb0fcc:1", "c6805c5e1288b612:1", "b86d3392aea1be30:1", "e6ceba753e1a442:1"}},
	} {
		want := map[int]bool{}
		for k := range c.want {
			want[k+1] = true
		}
		got, err := LineHashes(strings.NewReader(c.in), want)
		t.Log(got, err)
		for k, w := range c.want {
			if got[k+1] != w {
				t.Errorf("%q line %d: %s, not %s", c.in, k+1, got[k+1], w)
			}
		}
	}
}
