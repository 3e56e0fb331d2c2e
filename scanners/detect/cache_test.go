package detect

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// everything lists all that a detector reports of a text: matches with all their properties, and
// limits.
func everything(e *Engine, b []byte, path string) (out []string) {
	c := scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b), Binary: bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0}
	c.Artifact.Location.Path = path
	c.OnLimit(func(kind string) { out = append(out, "limit "+kind) })
	for m := range e.Detect(c) {
		expires := ""
		if m.Offline.Expires != nil {
			expires = m.Offline.Expires.String()
		}
		carrier := ""
		if m.Claims.Expires != nil {
			carrier, m.Claims.Expires = m.Claims.Expires.String(), nil
		}
		token := ""
		if m.Token != nil {
			token = fmt.Sprintf("%+v", *m.Token)
		}
		out = append(out, fmt.Sprint(m.Rule.ID, " ", m.Start, "-", m.End, " ", m.Secret.Reveal(), m.Confidence, m.Decoded, m.Views, m.Pieces, m.Partial,
			m.Offline.State, expires, m.Cookie, fmt.Sprintf("%+v", m.Claims), carrier, token, m.Allowed, m.Suppressed))
	}
	return out
}

// next makes the next version of a file: it replaces, removes, repeats and moves lines, and changes
// single bytes.
func next(r *rand.Rand, b []byte, lines [][]byte) []byte {
	list := bytes.SplitAfter(b, []byte("\n"))
	for range 1 + r.IntN(4) {
		k := r.IntN(len(list))
		switch r.IntN(6) {
		case 0:
			list[k] = lines[r.IntN(len(lines))]
		case 1:
			list = slices.Delete(list, k, k+1)
		case 2:
			list = slices.Insert(list, k, lines[r.IntN(len(lines))])
		case 3:
			list = slices.Insert(list, k, list[r.IntN(len(list))])
		default:
			x := slices.Clone(list[k])
			if len(x) > 1 {
				i := r.IntN(len(x) - 1)
				switch r.IntN(3) {
				case 0:
					x[i] = "aZ09 \t=\"'{}:;/-_%\\\n"[r.IntN(19)]
				case 1:
					x = slices.Delete(x, i, i+1)
				default:
					x = slices.Insert(x, i, "aZ09 \t=\"'{}:;/-_%\\\n"[r.IntN(19)])
				}
			}
			list[k] = x
		}
		if len(list) < 2 {
			break
		}
	}
	return bytes.Join(list, nil)
}

// Findings in one version of a file never change those in the next: an engine
// with a cache reports the same as one without.
func TestVersionsAreSearchedAsIfEachWereAlone(t *testing.T) {
	e, alone := New(builtin(t)), New(builtin(t))
	alone.cache = nil
	r := rand.New(rand.NewPCG(11, 12))
	found, kept := 0, 0
	for history := range 4 {
		text := noise(e, r, 6<<10)
		text = append(text, corpus(t, 3<<20)[history*20_000:][:12<<10]...)
		inner := noise(e, r, 2<<10)
		text = append(text, "\nA="+base64.StdEncoding.EncodeToString(inner)+"\nq="+url.QueryEscape(string(inner[:600]))+"\n"...)
		text = append(text, fmt.Sprintf("%q\n", inner)...)
		lines := bytes.SplitAfter(text, []byte("\n"))
		version := text
		for k := range 16 / fewer {
			path := ""
			if k%7 == 6 {
				path = "vendor/x/testdata/package-lock.json"
			}
			got, want := everything(e, version, path), everything(alone, version, path)
			if !slices.Equal(got, want) {
				t.Fatalf("history %d, version %d: %s", history, k, diff(got, want))
			}
			found += len(want)
			version = next(r, version, lines)
			if r.IntN(8) == 0 {
				version = text // a revert
			}
		}
	}
	for _, n := range []int{len(e.cache.windows.young), len(e.cache.verdicts.young), len(e.cache.empty.young)} {
		kept += n
		if n == 0 {
			t.Error("one kind of results is never kept")
		}
	}
	if found < 1000/fewer || kept < 1000/fewer {
		t.Errorf("%d findings and %d results: too few to show anything", found, kept)
	}
}

// The memory of an engine has a limit, whatever it reads.
func TestKeptResultsHaveALimit(t *testing.T) {
	var r memo[int]
	for i := range 5 * maxResults {
		var k digest
		k[0], k[1], k[2] = byte(i), byte(i>>8), byte(i>>16)
		r.put(k, i)
		if v, ok := r.get(k); !ok || v != i {
			t.Fatal("the last result is lost")
		}
	}
	if n := len(r.young) + len(r.aged); n > 2*maxResults {
		t.Errorf("%d results are kept", n)
	}
}

// The state by expiry is that of the time at which a result is used.
func TestKeptExpiryIsThatOfNow(t *testing.T) {
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	for _, c := range []struct{ kept, want rules.Offline }{
		{rules.Offline{State: rules.OfflineUnexpired, Expires: &past}, rules.Offline{State: rules.OfflineExpired, Expires: &past}},
		{rules.Offline{State: rules.OfflineUnexpired, Expires: &future}, rules.Offline{State: rules.OfflineUnexpired, Expires: &future}},
		{rules.Offline{State: rules.OfflineUnknown}, rules.Offline{State: rules.OfflineUnknown}},
	} {
		if got := now(c.kept); got.State != c.want.State {
			t.Errorf("%v is %v now", c.kept, got.State)
		}
	}
}

// A decoded text is searched anew if it can be read as the column of a log in the text that
// it comes from.
func TestAColumnDependsOnTheTextAroundIt(t *testing.T) {
	tok := "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"
	column := "           INFO     Using token " + tok[:20] + "   client.py:120\n" + strings.Repeat(" ", 20) + tok[20:] + "\n           DEBUG    done      client.py:121\n"
	run := base64.StdEncoding.EncodeToString([]byte(column)) + "\n"
	for _, stamp := range []string{"[12:34:56]hello\n", "[12:34:56]\n", "x\n[12:34:56]\ty\nfoo\n", "\x1b[0m[12:34:56] hello\n"} {
		e, alone := New(builtin(t)), New(builtin(t))
		alone.cache = nil
		everything(e, []byte("hello\n"+run), "")
		got, want := everything(e, []byte(stamp+run), ""), everything(alone, []byte(stamp+run), "")
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%q: %q, alone %q", stamp, got, want)
		}
	}
}

// The memory is limited in bytes, too: many matches of a window are large.
func TestKeptResultsHaveALimitInBytes(t *testing.T) {
	e := New(builtin(t))
	kept := &e.cache.windows
	for i := range 4 * maxResultBytes / (maxMatches * 40) {
		var k digest
		binary.LittleEndian.PutUint64(k[:], uint64(i))
		found := make([][]int, maxMatches)
		for j := range found {
			found[j] = make([]int, 2)
		}
		kept.put(k, found)
	}
	total := 0
	for _, half := range []map[digest][][]int{kept.young, kept.aged} {
		for _, found := range half {
			total += sizeOfMatches(found)
		}
	}
	if total == 0 || total > 2*maxResultBytes+2*maxMatches*40 {
		t.Errorf("%d bytes are kept", total)
	}
}
