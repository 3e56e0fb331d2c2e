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

// document returns the artifact of a manifest, a config or another document of an image.
func (s *session) document(what, name string, raw []byte) scanners.Artifact {
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
			have.raw = nil // in two targets: the field's target would be ambiguous
		}
		have.readers++
		return &reading{*bytes.NewReader(raw), s, a.Location.Artifact}, nil
	}
	return a
}

// opened is a document that is being read, or that contains a finding. Attribute locates the
// finding's field after all reading.
type opened struct {
	raw     []byte
	readers int
	hit     bool
}

// reading reads a document. Close drops the document if nothing was found in it.
type reading struct {
	bytes.Reader
	s    *session
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

// plainKey matches keys that a path may quote. A key with digits could be a secret.
var plainKey = regexp.MustCompile(`^[A-Za-z_./-]{1,64}$`)

// identifier matches keys that a path shows without quotes.
var identifier = regexp.MustCompile(`^[A-Za-z_]+$`)

// fieldAt returns the path of the value at a byte offset of a document, such as config.Env[1];
// for an offset in a key, that of the key's object. It returns "" if there is no value, or if
// the document is not JSON up to there.
func fieldAt(raw []byte, at int64) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	type level struct {
		path  string
		array bool
		n     int  // elements of an array so far
		value bool // in an object, after a key
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
		done := func() { // after a value
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
