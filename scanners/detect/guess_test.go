package detect

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

func TestRandomValuesAreSeparatedFromWords(t *testing.T) {
	testenv.Sequential(t)
	random := rand.New(rand.NewPCG(3, 4))
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, x := range []struct {
		alphabet string
		length   int
		least    float64 // share that must be recognised
	}{{digits + "abcdef", 20, 0.99}, {digits + "abcdef", 40, 0.999}, {digits + lower, 16, 0.98}, {digits + lower, 32, 0.999},
		{digits + lower + upper, 20, 0.99}, {digits + lower + upper, 40, 0.999}, {lower, 20, 0.95}, {lower, 32, 0.99}, {upper, 32, 0.99}} {
		told := 0
		const n = 2000
		for range n {
			b := make([]byte, x.length)
			for i := range b {
				b[i] = x.alphabet[random.IntN(len(x.alphabet))]
			}
			if unguessable(string(b)) {
				told++
			}
		}
		if share := float64(told) / n; share < x.least {
			t.Errorf("%d of %q: %.4f are told, %.3f are asked for", x.length, x.alphabet, share, x.least)
		}
	}
}

// These words are the names of other packages than those that the table was counted from.
func TestIdentifiersAreNoSecrets(t *testing.T) {
	testenv.Sequential(t)
	files, err := filepath.Glob(filepath.Join(goroot(), "src", "*", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	names := map[string]bool{}
	re := regexp.MustCompile(`\b[A-Za-z_][A-Za-z0-9_]{11,}\b`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") { // they hold keys
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range re.FindAllString(string(b), -1) {
			names[n] = true
		}
	}
	taken, some := 0, ""
	for n := range names {
		if unguessable(n) {
			taken++
			some = n
		}
	}
	if share := float64(taken) / float64(len(names)); share > 0.01 {
		t.Errorf("%d of %d identifiers are taken for secrets: %s", taken, len(names), some)
	}
	t.Logf("%d of %d", taken, len(names))
}

func TestPlaceholdersAreNoValues(t *testing.T) {
	for _, v := range []string{"https://issuer.example/oauth/Xk29dKq1LmZp", "${CI_JOB_TOKEN}-q8Zk2mXw", "0x8004741c", "2026-11-24T10:11:12Z", "a1b2c3d4e5f6.json",
		"1234567890abcdef", "ReFrEsHtOkEn", "your-q8Zk2mXw71Lp", "fakeQ8Zk2mXw71Lp", "dGhpcyBpcyBub3QgYSByZWFsIHZhbHVl", "9cbaf023786cd7...", "{\"name\": \"somebody\"}"} {
		if unguessable(v) {
			t.Errorf("%q is taken for a secret", v)
		}
	}
	for _, v := range []string{"acme_production_service_account_8f3k2l9x0q1z7m4p", "internal-deployment-robot-9f86d081884c7d65"} {
		if !unguessable(v) {
			t.Errorf("%q: the words before it hide a token", v)
		}
	}
	if !unguessable(`{"app":"x","key":"8fk2mzq71lp0wv3n"}`) {
		t.Error("an object with a key in it is not taken for a secret")
	}
}
