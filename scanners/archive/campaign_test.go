package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
)

// damagedForms returns the archives and documents that the campaign damages. Each is made of
// three texts. raw is set if the format stores them uncompressed. Formats without a checksum
// are left out because a changed letter can't be detected there.
func damagedForms(t testing.TB) map[string]struct {
	raw  bool
	make func(texts []string) []byte
} {
	type made = struct {
		raw  bool
		make func(texts []string) []byte
	}
	forms := map[string]made{
		"tar":  {true, func(x []string) []byte { return tarOf("a", x[0], "b", x[1], "c", x[2]) }},
		"zip":  {false, func(x []string) []byte { return zipOf("a", x[0], "b", x[1], "c", x[2]) }},
		"cpio": {true, func(x []string) []byte { return cpioOf("a", x[0]+x[1]+x[2]) }},
		"ar":   {true, func(x []string) []byte { return arOf("a", x[0]+x[1]+x[2]) }},
		"rpm":  {false, func(x []string) []byte { return rpmOf("header", x[0]+x[1]+x[2]) }},
		"iso":  {true, func(x []string) []byte { return isoOf(t, "a.txt", x[0]+x[1]+x[2]) }},
		"crx": {false, func(x []string) []byte {
			return append([]byte("Cr24\x03\x00\x00\x00\x00\x00\x00\x00"), zipOf("a", x[0], "b", x[1], "c", x[2])...)
		}},
		"pdf": {false, func(x []string) []byte {
			doc := []byte("%PDF-1.7\n")
			for _, text := range x {
				object := bytes.TrimPrefix(pdfOf(text), []byte("%PDF-1.7\n"))
				doc = append(doc, bytes.TrimSuffix(object, []byte("%%EOF\n"))...)
			}
			return append(doc, "%%EOF\n"...)
		}},
		"mail": {false, func(x []string) []byte {
			return []byte(mailOf("x", "Content-Transfer-Encoding: base64", wrap64(gz([]byte(x[0]+x[1]+x[2])))))
		}},
		"snappy": {false, func(x []string) []byte {
			return through([]byte(x[0]+x[1]+x[2]), func(w io.Writer) io.WriteCloser { return s2.NewWriter(w) })
		}},
	}
	for name, pack := range streamForms() {
		forms[name] = made{false, func(x []string) []byte { return pack([]byte(x[0] + x[1] + x[2])) }}
		forms["tar in "+name] = made{false, func(x []string) []byte { return pack(tarOf("a", x[0], "b", x[1], "c", x[2])) }}
	}
	return forms
}

// extension returns the extension of a file of a form. quell needs it where the damage hits
// the magic number.
func extension(form string) string {
	form = strings.TrimPrefix(form, "tar in ")
	switch form {
	case "gzip":
		return ".gz"
	case "zstd":
		return ".zst"
	case "lzip":
		return ".lz"
	case "snappy":
		return ".sz"
	}
	return "." + form
}

// damage changes one random piece of b, and describes the change.
func damage(r *rand.Rand, b []byte) (string, []byte) {
	b = bytes.Clone(b)
	at, n := r.IntN(len(b)), 1+r.IntN(300)
	end := min(len(b), at+n)
	switch r.IntN(6) {
	case 0:
		return fmt.Sprint("cut at ", at), b[:at]
	case 1:
		b[at] ^= 1 << r.IntN(8)
		return fmt.Sprint("a bit at ", at), b
	case 2:
		return fmt.Sprint("without ", at, " to ", end), append(b[:at], b[end:]...)
	case 3:
		more := make([]byte, n)
		for i := range more {
			more[i] = byte(r.UintN(256))
		}
		return fmt.Sprint(n, " random bytes at ", at), append(b[:at:at], append(more, b[at:]...)...)
	case 4:
		clear(b[at:end])
		return fmt.Sprint("zeros from ", at, " to ", end), b
	default:
		return fmt.Sprint("twice ", at, " to ", end), append(b[:end:end], b[at:]...)
	}
}

// campaignRuns returns the number of damaged files per format; QUELL_CAMPAIGN=N sets it.
func campaignRuns(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("QUELL_CAMPAIGN")); err == nil {
		return n
	}
	if testing.Short() {
		return 2
	}
	return 8
}

// In a damaged file, the scan finds the secret or reports the damage.
func TestDamageIsNeverSilent(t *testing.T) {
	testenv.Sequential(t)
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	p := scanners.Pool{Detector: detect.New(set), Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
	seed := uint64(1)
	if os.Getenv("QUELL_CAMPAIGN") != "" {
		seed = rand.Uint64()
	}
	if s, err := strconv.ParseUint(os.Getenv("QUELL_SEED"), 10, 64); err == nil {
		seed = s
	}
	runs, lost := 0, 0
	for name, form := range damagedForms(t) {
		r := rand.New(rand.NewPCG(seed, uint64(len(name))))
		for range campaignRuns(t) {
			var texts, secrets []string
			for range 3 {
				s := randomToken(r)
				secrets = append(secrets, s)
				texts = append(texts, randomWords(r, r.IntN(1500))+"\nvalue "+s+" end\n"+randomWords(r, r.IntN(1500)))
			}
			what, b := damage(r, form.make(texts))
			var mu sync.Mutex
			found, gaps := map[string]bool{}, 0
			src := one{"f" + extension(name), streamed(b)}
			if _, err := p.Run(context.Background(), src, func(f rules.Finding) {
				mu.Lock()
				defer mu.Unlock()
				found[f.Secret.Reveal()] = true
			}, func(scanners.Gap) { mu.Lock(); defer mu.Unlock(); gaps++ }); err != nil {
				t.Fatal(err)
			}
			if runs++; name == "mail" && !bytes.Contains(b, []byte("\n\n")) {
				continue // a damaged header can be any text
			}
			for _, s := range secrets {
				if gaps == 0 && !found[s] && (!form.raw || bytes.Contains(b, []byte(s))) {
					lost++
					t.Errorf("%s of %d bytes, %s: lost in silence (QUELL_SEED=%d)", name, len(b), what, seed)
					break
				}
			}
		}
	}
	t.Logf("%d damaged files, %d silent", runs, lost)
}

func randomToken(r *rand.Rand) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	b := make([]byte, 20)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return "glpat-" + string(b)
}

func randomWords(r *rand.Rand, n int) string {
	const letters = "abcdefghij klmnopqrst uvwxyz\n"
	var b strings.Builder
	for range n {
		b.WriteByte(letters[r.IntN(len(letters))])
	}
	return b.String()
}
