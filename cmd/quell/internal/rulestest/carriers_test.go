package rulestest

import (
	"crypto/rand"
	"crypto/sha256"
	"io"
	mrand "math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

// carriers are lines in which a credential leaks: NAME is a name for it, VALUE
// itself.
var carriers = map[string]string{
	"shell":             "export NAME=VALUE\n",
	"quoted assignment": "NAME=\"VALUE\"\n",
	"single quotes":     "NAME = 'VALUE'\n",
	"YAML":              "  NAME: VALUE\n",
	"JSON":              "{\"NAME\":\"VALUE\",\"x\":1}\n",
	"JSON with spaces":  "  \"NAME\": \"VALUE\",\n",
	"JSON in JSON":      "{\"log\":\"{\\\"NAME\\\":\\\"VALUE\\\"}\"}\n",
	"ini":               "NAME = VALUE\n",
	"Go map":            "map[NAME:VALUE other:1]\n",
	"list of arguments": "run NAME=VALUE other=1\n",
}

// values are how many there are in each carrier, and where they come from: the
// same few in every run, or with QUELL_ALL_VALUES 200 new ones, of which 2 % may
// be missed.
func values(rule string) (n int, random io.Reader) {
	if os.Getenv("QUELL_ALL_VALUES") != "" {
		return 200, rand.Reader
	}
	return max(12/testenv.Fewer, 2), mrand.NewChaCha8(sha256.Sum256([]byte(rule)))
}

// named is an example that is a name and a value.
var named = regexp.MustCompile(`^([A-Z][A-Z0-9_]+)=(\S+)$`)

// Values of a rule are found, exactly, wherever they are written.
func TestValuesAreFoundExactlyInTenCarriers(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	engine := detect.New(set)
	for _, r := range set.Rules {
		if r.Provider == nil || r.Cookie != nil || r.Fallback || r.Kind == rules.KindPassword || r.Kind == rules.KindPublic || len(r.Examples) == 0 || r.Probe == nil && len(r.Revokes) == 0 && r.Note == "" {
			continue
		}
		name, value := "API_TOKEN", ""
		for _, e := range r.Examples {
			if m := named.FindStringSubmatch(e); m != nil {
				name, value = m[1], m[2]
				break
			}
		}
		if value == "" {
			continue
		}
		t.Run(r.ID, func(t *testing.T) {
			t.Parallel()
			for carrier, line := range carriers {
				n, random := values(r.ID + carrier)
				missed := 0
				for range n {
					v, err := rules.Generate(value, random)
					if err != nil {
						t.Fatal(err)
					}
					text := "Resolving dependencies\n" + strings.NewReplacer("NAME", name, "VALUE", v).Replace(line) + "Done in 3 seconds\n"
					found := slices.Collect(engine.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: []byte(text), Line: 1, Column: 1, To: len(text)}))
					if !slices.ContainsFunc(found, func(m scanners.Match) bool {
						return m.Rule.ID == r.ID && m.Secret.Reveal() == v && m.Confidence >= rules.Medium
					}) {
						missed++
					}
				}
				if missed > max(1, n/50) {
					t.Errorf("%s: %d of %d values are missed", carrier, missed, n)
				}
			}
		})
	}
}
