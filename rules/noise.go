package rules

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
)

//go:embed noise.toml
var noiseTOML []byte

// glob is a name with wildcards, split at each *.
type glob []string

func (g glob) match(s string) bool {
	if !strings.HasPrefix(s, g[0]) {
		return false
	}
	s = s[len(g[0]):]
	for _, part := range g[1 : len(g)-1] {
		_, after, ok := strings.Cut(s, part)
		if !ok {
			return false
		}
		s = after
	}
	return strings.HasSuffix(s, g[len(g)-1])
}

type noiseNames struct {
	exact map[string]bool
	globs [256][]glob // by the first byte of the names that they match
}

var noise = sync.OnceValue(func() noiseNames {
	n := noiseNames{exact: map[string]bool{}}
	for _, name := range NoiseCookies() {
		name = strings.ToLower(name)
		if strings.Contains(name, "*") {
			g := glob(strings.Split(name, "*"))
			for c := range n.globs {
				if g[0] == "" || g[0][0] == byte(c) {
					n.globs[c] = append(n.globs[c], g)
				}
			}
		} else {
			n.exact[name] = true
		}
	}
	return n
})

// NoiseCookie reports whether a cookie of this name never grants access, whatever its value.
func NoiseCookie(name string) bool {
	name = strings.TrimLeft(strings.ToLower(name), "-") // --client-token
	name = strings.TrimPrefix(strings.TrimPrefix(name, "__host-"), "__secure-")
	n := noise()
	return n.exact[name] || name != "" && slices.ContainsFunc(n.globs[name[0]], func(g glob) bool { return g.match(name) })
}

// NoiseCookies lists the names that NoiseCookie matches, with * for any part.
func NoiseCookies() []string {
	var f struct {
		Noise []struct {
			What  string   `toml:"what"`
			Names []string `toml:"names"`
		} `toml:"noise"`
	}
	if err := toml.Unmarshal(noiseTOML, &f); err != nil {
		return nil // a test validates the embedded file
	}
	var out []string
	for _, n := range f.Noise {
		out = append(out, n.Names...)
	}
	return out
}
