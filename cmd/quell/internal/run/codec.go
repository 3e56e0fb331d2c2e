package run

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"

	"github.com/quellhq/quell/rules"
)

// codec writes values of one type as records of their own, in a form that keeps
// strings that are not UTF-8. The description of the type is exchanged once, so
// that records can be read in any order. It is safe for concurrent use.
type codec[T any] struct {
	mu  sync.Mutex
	out bytes.Buffer
	enc *gob.Encoder
	in  bytes.Buffer
	dec *gob.Decoder
}

func newCodec[T any]() (*codec[T], error) {
	c := &codec[T]{}
	c.enc, c.dec = gob.NewEncoder(&c.out), gob.NewDecoder(&c.in)
	var zero T
	first, err := c.encode(&zero)
	if err != nil {
		return nil, err
	}
	_, err = c.decode(first)
	return c, err
}

func (c *codec[T]) encode(v *T) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Reset()
	if err := c.enc.Encode(v); err != nil {
		return nil, fmt.Errorf("spill: %w", err)
	}
	return bytes.Clone(c.out.Bytes()), nil
}

func (c *codec[T]) decode(b []byte) (v T, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.Reset()
	c.in.Write(b)
	if err := c.dec.Decode(&v); err != nil {
		return v, fmt.Errorf("spill: %w", err)
	}
	return v, nil
}

// findingRecord is a finding with its secret in clear. It exists in memory and
// in sealed files only.
type findingRecord struct {
	Ref      rules.Ref
	Secret   []byte
	Location rules.Location
	Decoded  []string
	Views    []string
	Partial  bool
}

func recordOf(f rules.Finding) *findingRecord {
	return &findingRecord{f.Ref, []byte(f.Secret.Reveal()), f.Location, f.Decoded, f.Views, f.Partial}
}

func (r findingRecord) finding() rules.Finding {
	return rules.Finding{Ref: r.Ref, Secret: rules.NewSecret(r.Secret), Location: r.Location, Decoded: r.Decoded, Views: r.Views, Partial: r.Partial}
}
