package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// manifest has the fields of all kinds of manifests: an index's manifests, an image's config
// and layers, an artifact's blobs.
type manifest struct {
	MediaType types.MediaType `json:"mediaType"`
	Manifests []v1.Descriptor `json:"manifests"`
	Config    *v1.Descriptor  `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	Blobs     []v1.Descriptor `json:"blobs"`
	FSLayers  []struct {
		BlobSum v1.Hash `json:"blobSum"`
	} `json:"fsLayers"`
}

// manifest reads a manifest and everything that it references, each once. It returns false if
// the consumer stopped.
func (v *visit) manifest(raw []byte, platform, label string) bool {
	sum := sha256.Sum256(raw)
	digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
	if v.seen[digest] {
		return true
	}
	v.seen[digest] = true
	var m manifest
	err := json.Unmarshal(raw, &m)
	what := "image manifest"
	if m.Manifests != nil {
		what = "image index"
	}
	if !v.emit(v.s.document(what, digest.String(), raw), nil) {
		return false
	}
	if err != nil {
		return v.emit(scanners.Artifact{Location: rules.Location{Artifact: what + " " + digest.String()}}, errors.New("damaged"))
	}
	for _, d := range m.Manifests {
		p := platform
		if d.Platform != nil {
			p = d.Platform.String()
		}
		name := label
		if n := d.Annotations["org.opencontainers.image.ref.name"]; n != "" {
			name = n
		}
		if v.s.Platform != "" && d.Platform != nil && d.Platform.OS != "unknown" && !matches(v.s.Platform, *d.Platform) {
			v.skip(d)
			continue
		}
		if !v.descend(d, p, name) {
			return false
		}
	}
	var parts []part
	for _, d := range append(m.Layers, m.Blobs...) {
		parts = append(parts, part{d: d})
	}
	for i := len(m.FSLayers) - 1; i >= 0; i-- {
		parts = append(parts, part{d: v1.Descriptor{Digest: m.FSLayers[i].BlobSum}})
	}
	var config []byte
	if m.Config != nil && !v.seen[m.Config.Digest] {
		v.seen[m.Config.Digest] = true
		if config, err = documentOf(v.ctx, v.b, *m.Config); err != nil {
			if !v.emit(scanners.Artifact{Location: rules.Location{Artifact: "image config " + m.Config.Digest.String()}}, clean(err)) {
				return false
			}
		}
		if len(m.Config.Data) > 0 && !matchesDigest(m.Config.Data, m.Config.Digest) {
			// Some clients trust the data embedded in a descriptor.
			if !v.emit(scanners.Artifact{Location: rules.Location{Artifact: "data of " + m.Config.Digest.String()}}, errDigest) || !v.emit(v.s.document("image config, as its descriptor carries it", m.Config.Digest.String(), m.Config.Data), nil) {
				return false
			}
		}
		if config != nil && !v.emit(v.s.configOf(m.Config.Digest.String(), label, platform, config), nil) {
			return false
		}
	}
	if !v.parts(digest, label, platform, config, parts) {
		return false
	}
	if r, ok := v.b.(repository); ok {
		attached, err := r.referrers(digest)
		if err != nil && !v.emit(scanners.Artifact{Location: rules.Location{Artifact: "what is attached to " + digest.String()}}, clean(err)) {
			return false
		}
		for _, d := range attached {
			if !v.descend(d, platform, label) {
				return false
			}
		}
	}
	return true
}

// skip marks a manifest of another platform and its parts as seen, so that layout does not
// report them as unreferenced.
func (v *visit) skip(d v1.Descriptor) {
	v.seen[d.Digest] = true
	raw, err := documentOf(v.ctx, v.b, d)
	var m manifest
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return
	}
	for _, l := range append(m.Layers, m.Blobs...) {
		v.seen[l.Digest] = true
	}
	if m.Config != nil {
		v.seen[m.Config.Digest] = true
	}
}

func matches(want string, p v1.Platform) bool {
	w, err := v1.ParsePlatform(want)
	return err == nil && w.OS == p.OS && w.Architecture == p.Architecture && (w.Variant == "" || w.Variant == p.Variant)
}

// descend reads the manifest that a descriptor names.
func (v *visit) descend(d v1.Descriptor, platform, label string) bool {
	if v.seen[d.Digest] || v.ctx.Err() != nil {
		return v.ctx.Err() == nil
	}
	raw, err := documentOf(v.ctx, v.b, d)
	if err != nil {
		return v.emit(scanners.Artifact{Location: rules.Location{Artifact: "manifest " + d.Digest.String()}}, clean(err))
	}
	return v.manifest(raw, platform, label)
}

// part is a layer or another blob of a manifest.
type part struct {
	d     v1.Descriptor
	named string // file name in an archive of docker save
}

// parts yields the blobs of one manifest. A blob that several images share is yielded once.
func (v *visit) parts(image v1.Hash, label, platform string, config []byte, parts []part) bool {
	by := history(config, len(parts))
	ids := make([]v1.Hash, len(parts))
	for i, p := range parts {
		ids[i] = p.d.Digest
	}
	for i, p := range parts {
		id := ids[i]
		v.seen[id] = true
		v.s.mu.Lock()
		have := v.s.layers[id]
		if have == nil {
			have = &layer{whiteout: map[string]bool{}}
			v.s.layers[id] = have
		}
		have.uses = append(have.uses, use{image, label, i, platform, by[i], ids[i+1:]})
		first := len(have.uses) == 1
		v.s.mu.Unlock()
		if !first {
			continue
		}
		loc := rules.Location{Source: "image", Artifact: "layer " + id.String(), Layer: id.String()}
		if t := string(p.d.MediaType); strings.Contains(t, "encrypted") {
			if !v.emit(scanners.Artifact{Location: loc}, errors.New("encrypted: it can't be read")) {
				return false
			}
			continue
		}
		if title := p.d.Annotations["org.opencontainers.image.title"]; title != "" {
			loc.Path = path.Clean(strings.TrimPrefix(title, "/"))
		}
		if !v.emit(v.s.blob(v.b, p.d, loc, have, p.named), nil) {
			return false
		}
	}
	return true
}

// configOf returns the artifact of an image's config, labelled with the image and the platform
// (the config's own if no index states one).
func (s *session) configOf(name, label, platform string, raw []byte) scanners.Artifact {
	a := s.document("image config", name, raw)
	var c struct{ OS, Architecture, Variant string }
	if platform == "" && json.Unmarshal(raw, &c) == nil && c.OS != "" && c.Architecture != "" {
		platform = v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}.String()
	}
	for k, v := range map[string]string{"image": label, "platform": platform} {
		if v != "" {
			if a.Location.Notes == nil {
				a.Location.Notes = map[string]string{}
			}
			a.Location.Notes[k] = v
		}
	}
	return a
}

// history returns the command that created each layer, as far as the config states it.
func history(config []byte, n int) []string {
	var c struct {
		History []struct {
			CreatedBy  string `json:"created_by"`
			EmptyLayer bool   `json:"empty_layer"`
		} `json:"history"`
	}
	out := make([]string, n)
	if json.Unmarshal(config, &c) != nil {
		return out
	}
	i := 0
	for _, h := range c.History {
		if !h.EmptyLayer && i < n {
			out[i] = h.CreatedBy
			i++
		}
	}
	return out
}
