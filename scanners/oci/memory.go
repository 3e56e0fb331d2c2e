package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/quellhq/quell/rules"
)

// Matched implements scanners.Session.
func (s *session) Matched(at rules.Location) {
	s.mu.Lock()
	if d := s.documents[at.Artifact]; d != nil {
		d.hit = true
	}
	s.mu.Unlock()
	id, err := v1.NewHash(at.Layer)
	if err != nil {
		return
	}
	s.mu.Lock()
	have := s.layers[id]
	s.mu.Unlock()
	if have != nil {
		have.hits.Add(1)
	}
}

// remembered is what Memory stores for a layer without findings: the paths that it adds or
// removes.
type remembered struct {
	Paths []string `json:"paths"`
}

func layerKey(d v1.Hash) string { return "image/layer/" + d.String() }

// recall reports whether an earlier scan read the layer to its end and found nothing.
func (s *session) recall(ctx context.Context, d v1.Hash, have *layer) bool {
	if s.Memory == nil {
		return false
	}
	b, ok := s.Memory.Get(ctx, layerKey(d))
	if !ok {
		return false
	}
	var m remembered
	z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return false
	}
	defer z.Close()
	if json.NewDecoder(z).Decode(&m) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range m.Paths {
		have.whiteout[p] = true
	}
	return true
}

func (s *session) keep(ctx context.Context, d v1.Hash, have *layer) {
	if s.Memory == nil || have.hits.Load() > 0 || ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	m := remembered{slices.Sorted(maps.Keys(have.whiteout))}
	s.mu.Unlock()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return
	}
	if json.NewEncoder(z).Encode(m) == nil && z.Close() == nil {
		s.Memory.Put(ctx, layerKey(d), out.Bytes())
	}
}
