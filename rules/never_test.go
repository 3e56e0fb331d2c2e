package rules

import (
	"crypto/rand"
	"net/url"
	"regexp"
	"testing"
)

// A never-issued value keeps the form of the issued one: what is malformed is
// refused in other words.
func TestNeverIssuedKeepsTheForm(t *testing.T) {
	for form, v := range map[string]string{
		`^[0-9a-f]{32}$`: "9f86d081884c7d659a2feaa0c55ad015",
		`^[0-9A-F]{32}$`: "9F86D081884C7D659A2FEAA0C55AD015",
		`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`:             "3f2b6c1e-9d4a-4f7b-8e21-5a7c9d0e1f23",
		`^s%3A[A-Za-z0-9_-]{32}\.[A-Za-z0-9]{5}%2B[A-Za-z0-9]{6}%2F[A-Za-z0-9]{5}%3D$`: "s%3Aq8Zk2mXw71Lp0vB3nT5rq8Zk2mXw71Lp.lrAbC%2BXyZ123%2Fabcde%3D",
		`^[0-9]{12}$`: "480203916574",
	} {
		re := regexp.MustCompile(form)
		for range 50 {
			got, err := (&Rule{}).NeverIssued(NewSecretString(v), rand.Reader)
			if err != nil || !re.MatchString(got.Reveal()) || got.Reveal() == v {
				t.Fatalf("%s became %s, %v", v, got.Reveal(), err)
			}
			if _, err := url.PathUnescape(got.Reveal()); err != nil {
				t.Fatalf("%s: %v", got.Reveal(), err)
			}
		}
	}
}
