package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// document is a manifest, a config or another document of an image.
func (s *Source) document(what, name string, raw []byte) scanners.Artifact {
	a := scanners.Artifact{Location: rules.Location{Source: "image", Artifact: what + " " + name}}
	a.Open = func(context.Context) (io.ReadCloser, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.documents == nil {
			s.documents = map[string]*opened{}
		}
		have := s.documents[a.Location.Artifact]
		if have == nil {
			have = &opened{raw: raw}
			s.documents[a.Location.Artifact] = have
		} else if !bytes.Equal(have.raw, raw) {
			have.raw = nil // of two targets: which one a place is of isn't told
		}
		have.readers++
		return &reading{*bytes.NewReader(raw), s, a.Location.Artifact}, nil
	}
	return a
}

// opened is a document that is being read, or in which something was found: where that
// stands is told once all was read.
type opened struct {
	raw     []byte
	readers int
	hit     bool
}

// reading reads a document, which is kept after it only if something was found in it.
type reading struct {
	bytes.Reader
	s    *Source
	name string
}

func (r *reading) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	have := r.s.documents[r.name]
	if have.readers--; have.readers == 0 && !have.hit {
		delete(r.s.documents, r.name)
	}
	return nil
}

// plainKey is a key that a path quotes: what may be a secret has digits.
var plainKey = regexp.MustCompile(`^[A-Za-z_./-]{1,64}$`)

// identifier is a key that a path shows without quotes.
var identifier = regexp.MustCompile(`^[A-Za-z_]+$`)

// fieldAt is the path of the value, or of the key's object, that stands at a place of a
// document: config.Env[1]. Empty: there is none, or the document is no JSON up to there.
func fieldAt(raw []byte, at int64) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	type level struct {
		path  string
		array bool
		n     int  // of an array's elements until now
		value bool // of an object: a key was read
		key   string
	}
	stack := []level{{}}
	for {
		tok, err := d.Token()
		if err != nil {
			return ""
		}
		top := &stack[len(stack)-1]
		path := top.path
		if top.array {
			path += fmt.Sprintf("[%d]", top.n)
		} else if top.value {
			switch {
			case !plainKey.MatchString(top.key):
				path += "[…]"
			case !identifier.MatchString(top.key):
				path += fmt.Sprintf("[%q]", top.key)
			case path == "":
				path = top.key
			default:
				path += "." + top.key
			}
		}
		done := func() { // with a value
			top.n++
			top.value = false
		}
		switch t := tok.(type) {
		case json.Delim:
			switch t {
			case '{', '[':
				done()
				stack = append(stack, level{path: path, array: t == '['})
			default:
				stack = stack[:len(stack)-1]
			}
			if len(stack) == 1 {
				return ""
			}
			continue
		case string:
			if !top.array && !top.value && len(stack) > 1 {
				if d.InputOffset() > at {
					return top.path // in a key
				}
				top.key, top.value = t, true
				continue
			}
		}
		if d.InputOffset() > at {
			return path
		}
		done()
	}
}
