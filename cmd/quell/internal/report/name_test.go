package report

import (
	"testing"
	"unicode/utf8"
)

func TestNames(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "a/b.txt", "a/b.txt"},
		{"not ASCII", "a/é.txt", "a/é.txt"},
		{"an escape in the name itself", "a%20b%C3%A9%25.txt", "a%20b%C3%A9%25.txt"},
		{"a byte that is not UTF-8", "a\xff.txt", "a%FF.txt"},
		{"a name that is that already", "a%FF.txt", "a%25FF.txt"},
		{"and once more", "a%25FF.txt", "a%2525FF.txt"},
		{"a cut rune", "a\xc3", "a%C3"},
		{"both in one", "\xfe%FE%20%é", "%FE%25FE%20%é"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Name(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzName: what is written is UTF-8, and two names are never written alike.
func FuzzName(f *testing.F) {
	f.Add("a\xff", "a%FF")
	f.Add("a%FF", "a%25FF")
	f.Add("%25%25FF", "%%25FF")
	f.Add("\xc3%A9", "%C3\xa9")
	f.Add("%\x32\x35FF", "%2525FF")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := Name(a), Name(b)
		if !utf8.ValidString(x) {
			t.Errorf("%q is written %q", a, x)
		}
		if a != b && x == y {
			t.Errorf("%q and %q are both written %q", a, b, x)
		}
	})
}
