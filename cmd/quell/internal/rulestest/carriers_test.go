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

// tokenCarriers are texts in which a token leaks, and cookieCarriers those in which a session
// cookie leaks: NAME is a name for it, VALUE itself.
var (
	tokenCarriers = map[string]string{
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
	cookieCarriers = map[string]string{
		"request":        "Cookie: lang=en; NAME=VALUE; tz=UTC\n",
		"last in it":     "> cookie: lang=en; NAME=VALUE\n",
		"response":       "Set-Cookie: NAME=VALUE; Path=/; Secure; HttpOnly\n",
		"trace":          "< set-cookie: NAME=VALUE; path=/; httponly; samesite=lax\n",
		"command":        "curl -b 'NAME=VALUE' https://app.example/\n",
		"header option":  "curl -H \"Cookie: NAME=VALUE\" https://app.example/\n",
		"cookie jar":     "#HttpOnly_app.example\tFALSE\t/\tTRUE\t1999999999\tNAME\tVALUE\n",
		"JSON":           "{\"name\": \"NAME\", \"value\": \"VALUE\", \"domain\": \"app.example\", \"path\": \"/\", \"httpOnly\": true}\n",
		"several lines":  "{\n  \"name\": \"NAME\",\n  \"value\": \"VALUE\",\n  \"domain\": \"app.example\",\n  \"path\": \"/\"\n}\n",
		"list of a dump": "headers: [[\"accept\", \"*/*\"], [\"cookie\", \"NAME=VALUE; lang=en\"]]\n",
	}
)

// values are how many there are in each carrier, and where they come from: the
// same few in every run, or with QUELL_ALL_VALUES 200 new ones, of which 2 % may
// be missed.
func values(rule string) (n int, random io.Reader) {
	if os.Getenv("QUELL_ALL_VALUES") != "" {
		return 200, rand.Reader
	}
	return max(6/testenv.Fewer, 2), mrand.NewChaCha8(sha256.Sum256([]byte(rule)))
}

// How an example shows the value alone: as a cookie, after a name, without anything or after a
// scheme. Text within {base64} is replaced by \x00 for the comparison.
var (
	cookieRE   = regexp.MustCompile(`(?i)^(?:< )?(?:set-)?cookie: ([^=;\s]+)="?([^;\s"]+)`)
	assignedRE = regexp.MustCompile(`^["']?([A-Za-z][\w.-]*)["']?(?:=|\s?[:=]\s?)["']?([^\s"'&?]+|[a-z]+://[^\s"']+)["']?$`)
	bareRE     = regexp.MustCompile(`^(?:(?:[^\s"'=:,;&?/]|\{\w+:[\w+-]+\})+|[a-z]+://[^\s"']+)$`)
	schemeRE   = regexp.MustCompile(`(?i)^authorization: bearer (\S+)$`)
	base64RE   = regexp.MustCompile(`\{(base64(?:url)?)\}.*?\{/base64(?:url)?\}`)
)

// shown reads a name and a generator of values from a rule's examples.
func shown(r *rules.Rule) (name, value string) {
	for _, re := range []*regexp.Regexp{cookieRE, assignedRE, bareRE, schemeRE} {
		if (re == cookieRE) != (r.Cookie != nil) {
			continue
		}
		for _, e := range r.Examples {
			encoded := base64RE.FindAllString(e, -1)
			m := re.FindStringSubmatch(base64RE.ReplaceAllString(e, "\x00"))
			if m == nil || strings.HasPrefix(m[len(m)-1], "//") {
				continue
			}
			name, value = "API_TOKEN", m[len(m)-1]
			if len(m) == 3 {
				name = m[1]
			}
			for _, b := range encoded {
				value = strings.Replace(value, "\x00", b, 1)
			}
			return name, value
		}
	}
	return "", ""
}

// byContext are the rules whose values only the text around them identifies, and why no carrier
// of this test contains it. Their own examples are tested by TestEveryRulesFileIsAccepted.
var byContext = map[string]string{
	"aspnet-session-url":         "part of a path",
	"aspnet-session-id":          "unknown-session is surer of it",
	"google-service-account-key": "a key over several lines, which private keys of other rules have too",
	"actions-secret":             "a member of an object of its own",
	"cookie-signature":           "the signature of another cookie",
	"kubernetes-bootstrap-token": "its name alone makes 22 letters and digits a token",
	"mcp-access-token":           "the members next to it name the server",
	"mcp-refresh-token":          "the members next to it name the server",
	"wrangler-oauth-token":       "a file of one command",
	"x-session":                  "a common name: the host decides",
}

// Values of a rule are found, exactly, wherever they are written.
func TestValuesAreFoundExactlyInTenCarriers(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	engine := detect.New(set)
	for _, r := range set.Rules {
		if r.Provider == nil {
			continue // of gitleaks, without a generator
		}
		if r.Fallback || r.Kind == rules.KindPublic || byContext[r.ID] != "" {
			continue // scanners/detect/carriers tests values of no issuer
		}
		name, value := shown(r)
		if value == "" {
			t.Errorf("%s: no example shows its value alone: %q", r.ID, r.Examples)
			continue
		}
		carriers := tokenCarriers
		if r.Cookie != nil {
			carriers = cookieCarriers
		}
		least := min(r.Confidence, rules.Medium)
		t.Run(r.ID, func(t *testing.T) {
			t.Parallel()
			for carrier, line := range carriers {
				n, random := values(r.ID + carrier)
				missed, example := 0, ""
				for range n {
					v, err := rules.Generate(value, random)
					if err != nil {
						t.Fatal(err)
					}
					name, err := rules.Generate(name, random)
					if err != nil {
						t.Fatal(err)
					}
					text := "Resolving dependencies\n" + strings.NewReplacer("NAME", name, "VALUE", v).Replace(line) + "Done in 3 seconds\n"
					want := v
					if strings.Contains(v, "://") {
						want = "" // a part of the address: the same in each carrier
						for _, m := range find(engine, v+"\n") {
							if m.Rule.ID == r.ID {
								want = m.Secret.Reveal()
							}
						}
					}
					found := find(engine, text)
					if !slices.ContainsFunc(found, func(m scanners.Match) bool {
						return m.Rule.ID == r.ID && m.Secret.Reveal() == want && m.Confidence >= least
					}) {
						missed++
						example = text
						for _, m := range found {
							example += "-> " + m.Rule.ID + " " + m.Secret.Reveal() + "\n"
						}
					}
				}
				if missed > max(1, n/50) {
					t.Errorf("%s: %d of %d values are missed, as\n%s", carrier, missed, n, example)
				}
			}
		})
	}
}

func find(e *detect.Engine, text string) []scanners.Match {
	return slices.Collect(e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: []byte(text), Line: 1, Column: 1, To: len(text)}))
}
