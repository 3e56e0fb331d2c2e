package detect

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
)

// inWindow is what near must return: the expression over the window alone.
func inWindow(p *rules.Provider, window []byte) (out []string) {
	for _, m := range serverRE(p.ID).FindAllSubmatch(window, maxServers) {
		if h := strings.ToLower(string(bytes.Join(m[1:], nil))); !p.Has(h) && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// selfHosted lists the providers whose servers are searched for. The pieces depend on their ids.
func selfHosted(t *testing.T) (out []*rules.Provider) {
	for _, r := range builtin(t).Rules {
		if p := r.Provider; p != nil && p.SelfHosted && !slices.Contains(out, p) {
			if strings.Trim(p.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("serverByte does not have all of %q", p.ID)
			}
			out = append(out, p)
		}
	}
	return out
}

// hostWords are what texts are made of in which almost every window's end cuts a host.
var hostWords = strings.Split("gitlab|GitLab|github|vault|.|.|.corp.example|:8200|:|=| = |\n|\n|  |   \t\n|host|HOST |hostname: |hoſt |machine |machine\n\n|://|@|https://|\"|'|,|(|_URL=|_HOST = |ci_server_host|ci_api_url:|gh|ghe.a.b|git.x-y.z|\u212aubernetes.x.y|é|-|_|x|token|8|gitlab.com|[|\x00|\xff|               ", "|")

func hostText(r *rand.Rand, n int) []byte {
	var b []byte
	for len(b) < n {
		if r.IntN(300) == 0 {
			b = append(b, strings.Repeat([]string{" ", "a", ".a", "gitlab.a.b:", "host "}[r.IntN(5)], r.IntN(900))...)
		}
		b = append(b, hostWords[r.IntN(len(hostWords))]...)
	}
	return b
}

// The hosts of a window depend on the window alone, wherever its ends are: in a host, in white
// space, in a rune, at the end of a block.
func TestHostsOfAWindowAreThoseOfItsBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	list := selfHosted(t)
	named := 0
	for range 40 / fewer {
		b := hostText(r, 3*serverBlock)
		var n nearby
		for range 250 {
			p := list[r.IntN(len(list))]
			if r.IntN(3) > 0 {
				p = list[slices.IndexFunc(list, func(p *rules.Provider) bool { return p.ID == "gitlab" })]
			}
			from := r.IntN(len(b))
			to := min(len(b), from+r.IntN([]int{16, 64, 300, 2200, 3 * serverBlock}[r.IntN(5)]))
			got, want := n.near(p, b, from, to), inWindow(p, b[from:to])
			if !slices.Equal(got, want) {
				t.Fatalf("%s in %q (%d to %d): %q, want %q", p.ID, b[from:to], from, to, got, want)
			}
			named += len(want)
		}
	}
	if named < 1000/fewer {
		t.Errorf("%d hosts: too few to show anything", named)
	}
}

func FuzzHostsOfAWindow(f *testing.F) {
	r := rand.New(rand.NewPCG(23, 24))
	for range 8 {
		f.Add(hostText(r, 200), uint16(r.IntN(100)), uint16(100+r.IntN(100)))
	}
	f.Add([]byte("x machine   \n gitlab.a.b"), uint16(3), uint16(24))
	p := &rules.Provider{ID: "gitlab"}
	f.Fuzz(func(t *testing.T, b []byte, from, to uint16) {
		x := min(int(from), len(b))
		y := max(x, min(int(to), len(b)))
		var n nearby
		if got, want := n.near(p, b, x, y), inWindow(p, b[x:y]); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", b[x:y], got, want)
		}
	})
}

// The work for the hosts follows the text, not the credentials in it: the expression reads no
// more than the text itself, and a part of a line for each credential whose window cuts one. A match is compared with those next
// to it only.
func TestWorkFollowsTheText(t *testing.T) {
	testenv.Sequential(t)
	e := New(builtin(t))
	const lines, perLine = 200, 10
	r := rand.New(rand.NewPCG(25, 26))
	digits := []byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	var b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&b, "cloning https://gitlab%d.corp.example/a/b\n", i)
		for k := range perLine {
			r.Shuffle(len(digits), func(i, k int) { digits[i], digits[k] = digits[k], digits[i] })
			fmt.Fprintf(&b, "step %d of %d: GITLAB_TOKEN=glp"+"at-%s\n", k, i, digits[:20])
		}
	}
	l := look{e: e, s: &scratch{}, budget: maxDerived, chunk: scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b.Bytes(), To: b.Len()}}
	l.s.chunk = text{data: b.Bytes()}
	l.text(&l.s.chunk, 0)
	n := len(l.found)
	if n < lines*perLine*9/10 || !slices.ContainsFunc(l.found, func(m *raw) bool { return len(m.claims.Near) > 0 }) {
		t.Fatalf("%d findings of %d", n, lines*perLine)
	}
	if l.compared == 0 || l.compared > 100*n {
		t.Errorf("%d comparisons for %d findings", l.compared, n)
	}
	if n := l.s.chunk.nearby.read; n == 0 || n > b.Len() {
		t.Errorf("the expression read %d bytes of a text of %d", n, b.Len())
	}
}
