package git_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners/git"
)

// rounds is how often something is damaged: few times, or as often as QUELL_DAMAGE_ROUNDS
// gives.
func rounds(t *testing.T, few int) int {
	if n, err := strconv.Atoi(os.Getenv("QUELL_DAMAGE_ROUNDS")); err == nil {
		return n
	}
	if testing.Short() {
		return few / 4
	}
	return few
}

// TestDamageIsNeverSilent changes packs, indexes and loose objects at random. Each secret is
// found, or a gap is reported. Once repaired, the repository gives all findings again, whatever
// the first scan recorded.
func TestDamageIsNeverSilent(t *testing.T) {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("QUELL_DAMAGE_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("QUELL_DAMAGE_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const secrets = 12
	made := func(packed bool) *repo {
		r := newRepo(t)
		text := make([]string, 8)
		for k := range text {
			text[k] = fmt.Sprintf("%x\n", random.Uint64())
		}
		for n := 0; n < secrets; n += 3 {
			for k := range 3 {
				text[random.IntN(len(text))] = line(n + k)
				r.write(fmt.Sprintf("d/f%d", k), strings.Join(text, "\n"))
				r.commit(fmt.Sprintf("c%d", n+k))
			}
		}
		r.git("tag", "-a", "-m", "a tag", "v1")
		if packed {
			r.git("repack", "-q", "-a", "-d", "-f", "--depth=50")
		}
		return r
	}
	loose, packed := made(false), made(true)
	for n := range rounds(t, 24) {
		r, what := packed, []string{".pack", ".idx", ""}[n%3]
		if what == "" {
			r = loose
		}
		var files []string
		must(t, filepath.WalkDir(filepath.Join(r.dir, ".git/objects"), func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && (what == "" || strings.HasSuffix(p, what)) {
				files = append(files, p)
			}
			return err
		}))
		file := files[random.IntN(len(files))]
		good, err := os.ReadFile(file)
		must(t, err)
		bad := damaged(random, good)
		must(t, os.Chmod(file, 0o644))
		must(t, os.WriteFile(file, bad, 0o644))
		m := shelf{}
		src := &git.Source{Dir: r.dir, Memory: m}
		found, gaps := run(t, src)
		for k := range secrets {
			if len(gaps) == 0 && missing(found, k, expectation{}) != "" {
				t.Errorf("round %d, %s: secret %d is lost in silence", n, filepath.Base(file), k)
			}
		}
		must(t, os.WriteFile(file, good, 0o644))
		src = &git.Source{Dir: r.dir, Memory: m}
		found, gaps = run(t, src)
		for k := range secrets {
			if missing(found, k, expectation{}) != "" {
				t.Errorf("round %d, %s put right: secret %d is not found, %v", n, filepath.Base(file), k, gaps)
			}
		}
	}
}

// damaged flips a bit, or replaces, cuts out or cuts off a piece.
func damaged(r *rand.Rand, b []byte) []byte {
	out := append([]byte(nil), b...)
	at := r.IntN(len(out))
	n := min(1+r.IntN(40), len(out)-at)
	switch r.IntN(4) {
	case 0:
		out[at] ^= 1 << r.IntN(8)
	case 1:
		for k := range n {
			out[at+k] = byte(r.UintN(256))
		}
	case 2:
		out = append(out[:at], out[at+n:]...)
	default:
		out = out[:at]
	}
	return out
}
