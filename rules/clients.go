package rules

import (
	_ "embed"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
)

//go:embed clients.toml
var clientsTOML []byte

// clients are the variables and files of products without a rules file.
var clients = sync.OnceValues(func() (c struct {
	Env   []string `toml:"env"`
	Files []string `toml:"files"`
}, err error) {
	err = toml.Unmarshal(clientsTOML, &c)
	return c, err
})

// ClientEnv lists the environment variables from which quell and the providers' own clients
// read a credential.
func (s *Set) ClientEnv() []string {
	c, err := clients()
	if err != nil {
		return nil // a test validates the embedded file
	}
	out := slices.Clone(c.Env)
	if s != nil {
		for _, p := range s.Providers {
			out = append(out, p.Env...)
		}
	}
	return out
}

// ClientFiles lists the files from which they read one. It omits a file below a variable that
// is not set or is not an absolute path.
func (s *Set) ClientFiles(getenv func(string) string) []string {
	c, err := clients()
	if err != nil {
		return nil
	}
	list := slices.Clone(c.Files)
	if s != nil {
		for _, p := range s.Providers {
			list = append(list, p.Files...)
		}
	}
	var out []string
	for _, f := range list {
		head, rest, _ := strings.Cut(f, "/")
		base := ""
		switch {
		case head == "~":
			base = getenv("HOME")
		case strings.HasPrefix(head, "$"):
			base = getenv(strings.TrimPrefix(head, "$"))
		}
		if filepath.IsAbs(base) {
			if path := filepath.Join(base, rest); !slices.Contains(out, path) {
				out = append(out, path)
			}
		}
	}
	return out
}
