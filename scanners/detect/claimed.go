package detect

import (
	"net/url"
	"regexp"

	"github.com/quellhq/quell/rules"
)

// userinfoRE finds the user and the database of a connection string around a
// password.
var userinfoRE = regexp.MustCompile(`://([^\s:/?#\[\]@"']{1,64}):[^\s/?#@"']{1,256}@(?:\[[0-9a-fA-F:]+\]|[\w.-]+)?(?::[0-9]{1,5})?(?:/([\w.%-]{1,64}))?`)

// claimed is what the text around a match says about it.
func (m *raw) claimed() rules.Claims {
	c := rules.Claims{Hosts: m.claims, Expires: m.carrier.Expires}
	if m.rule.Kind != rules.KindPassword || m.end > len(m.text) {
		return c
	}
	u := userinfoRE.FindSubmatch(m.text[m.start:min(len(m.text), m.end+lineContext)])
	if u == nil {
		return c
	}
	c.User, c.Database = unescaped(string(u[1])), unescaped(string(u[2]))
	return c
}

func unescaped(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
