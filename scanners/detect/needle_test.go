package detect

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

// A needle far after the beginning, too far, broken by a line's end, and many at once.
func TestNeedles(t *testing.T) {
	x, err := rules.NewExpression(`https://[^\s?]{4,90}\?[^\s]{0,99}?X-Amz-Signature=[0-9a-f]{16}`)
	if err != nil {
		t.Fatal(err)
	}
	e := New(&rules.Set{Rules: []*rules.Rule{{ID: "x", Regex: x}}})
	own := slices.DeleteFunc(slices.Clone(e.anchors), func(a placed) bool { return a.octets }) // lists of bytes have marks of their own
	if len(own) != 3 || string(own[0].needle[0]) != "X-Amz-" || string(own[0].needle[1]) != "Signature=" {
		t.Fatalf("%+v", own)
	}
	r := rand.New(rand.NewPCG(31, 32))
	pieces := []string{"https://example.com/a", "https://example.com/a?", "?", "X-Amz-", "Signature=", "X-Amz-Signature=", "X-Amz-Signature=0123456789abcdef", "0123456789abcdef", "\n", " ", strings.Repeat("b", 40), strings.Repeat("c d ", 300)}
	found := 0
	for range 4000 / fewer {
		var b []byte
		for range 1 + r.IntN(40) {
			b = append(b, pieces[r.IntN(len(pieces))]...)
		}
		got, want := windows(e, b), everywhere(e, b)
		if found += len(want); !slices.Equal(got, want) {
			t.Fatalf("%v in %q", diff(got, want), b)
		}
	}
	if found < 100/fewer {
		t.Errorf("only %d matches", found)
	}
	// The needle of the second attempt is after the end of the part searched for the first.
	for k := range 400 {
		b := []byte("https://example.com/a " + strings.Repeat(".", k) + " https://example.com/a?X-Amz-Signature=0123456789abcdef" + strings.Repeat(".", 800))
		if got := windows(e, b); len(got) != 1 {
			t.Errorf("%d: %v", k, got)
		}
	}
	url := "https://bucket.example.com/key?" + strings.Repeat("p=1&", 20) + "X-Amz-Signature=0123456789abcdef "
	far := strings.Repeat("no signature here\n", 500)
	if got := windows(e, []byte(far+url+far+url+far)); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

func TestSignedURLOverABreak(t *testing.T) {
	e := New(builtin(t))
	url := "https://bucket.s3.amazonaws.com/reports/2026/summary.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAZQ3DRSXH5N2WBK7T%2F20261101%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20261101T101112Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=3c1f0a9be7d24856a1b3c5d7e9f0a2b4c6d8e0f1a3b5c7d9e1f3a5b7c9d1e3f5"
	at := strings.Index(url, "X-Amz-Signature=")
	after := strings.Repeat("\nnothing else of interest is said in this line of the log", 200)
	for k := len("https://b"); k < at+len("X-Amz-Signature=")+4; k++ {
		if len("GET ")+k == minWrap {
			k = at // a shorter line before a longer one was not wrapped
		}
		found := run(t, e, []byte("GET "+url[:k]+"\n"+url[k:]+after), 0)
		if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, url) }) {
			t.Errorf("broken at %d: %v", k, found)
		}
	}
}

// Where only a part of a text is searched, a needle after it may be in reach. Far from all
// needles, or with a needle of another text before, nothing is tried.
func TestNeedlesAfterAPart(t *testing.T) {
	x, err := rules.NewExpression(`https://[^\s?]{4,90}\?[^\s]{0,99}?X-Amz-Signature=[0-9a-f]{16}`)
	if err != nil {
		t.Fatal(err)
	}
	e := New(&rules.Set{Rules: []*rules.Rule{{ID: "x", Regex: x}}})
	s := &scratch{}
	find := func(text string, to int) (n int) {
		e.find(s, []byte(text), []span{{0, to}}, func(raw) { n++ })
		return n
	}
	url := "https://example.com/a?b=" + strings.Repeat("c", 60) + "&X-Amz-Signature=0123456789abcdef"
	for to := len("https://"); to < len(url); to++ {
		if n := find(url, to); n != 1 {
			t.Errorf("%d found by the first %d bytes", n, to)
		}
	}
	if find("X-Amz-Signature=", 16) != 0 || len(s.needles) == 0 {
		t.Error("a needle by itself isn't seen")
	}
	if n := find("https://example.com/a?b=c and nothing else", 42); n != 0 || s.steps != 0 {
		t.Errorf("%d found, in %d steps, without a needle", n, s.steps)
	}
}
