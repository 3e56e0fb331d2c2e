package git

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"strings"
)

// The lengths of ids in bytes, by the object format.
const (
	sha1Len   = 20
	sha256Len = 32
)

// format determines the length of the store's ids: by the names of its objects and packs, then
// by the ids that its refs contain. The configuration decides only where there is neither,
// because an attacker may have written it, or it may be damaged.
func (s *store) format() int {
	have := map[int]bool{}
	see := func(digits string) {
		if b, err := hex.DecodeString(digits); err == nil && (len(b) == sha1Len || len(b) == sha256Len) {
			have[len(b)] = true
		}
	}
	for _, d := range s.list("objects") {
		if b, err := hex.DecodeString(d.Name()); err != nil || len(b) != 1 {
			continue
		}
		for _, e := range s.list("objects/" + d.Name()) {
			see(d.Name() + e.Name())
		}
	}
	for _, e := range s.list("objects/pack") {
		if name, ok := strings.CutPrefix(e.Name(), "pack-"); ok {
			see(strings.TrimSuffix(name, path.Ext(name)))
		}
	}
	switch {
	case have[sha1Len] && have[sha256Len]:
		s.problem("objects", errors.New("has ids of SHA-1 and of SHA-256: those of one are read"))
	case have[sha1Len]:
		return sha1Len
	case have[sha256Len]:
		return sha256Len
	}
	if n := s.refFormat(); n != 0 && len(have) == 0 {
		return n
	}
	if s.setting("extensions", "objectformat") == "sha256" {
		return sha256Len
	}
	return sha1Len
}

// refFormat is the length of the ids in refs; 0: there is no ref.
func (s *store) refFormat() (n int) {
	see := func(b []byte) {
		for line := range strings.Lines(string(b)) {
			for _, k := range []int{sha1Len, sha256Len} {
				if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); n == 0 && len(word) == 2*k {
					if _, ok := parseID(word, k); ok {
						n = k
					}
				}
			}
		}
	}
	if b, err := s.readFile("packed-refs", maxRefFile); err == nil {
		see(b)
	}
	_ = fs.WalkDir(s.root.FS(), "refs", func(p string, d fs.DirEntry, err error) error {
		if n != 0 {
			return fs.SkipAll
		}
		if err == nil && d.Type().IsRegular() {
			if b, err := s.readFile(p, 4<<10); err == nil {
				see(b)
			}
		}
		return nil
	})
	return n
}

// setting reads one value of the store's configuration. It only uses values that name a format,
// and follows no include.
func (s *store) setting(section, key string) (value string) {
	b, err := s.readFile("config", 1<<20)
	s.problem("config", err)
	list, _ := parseConfig(string(b))
	for _, x := range list {
		if x.section == section && x.subsection == "" && x.key == key {
			value = strings.ToLower(x.value)
		}
	}
	return value
}
