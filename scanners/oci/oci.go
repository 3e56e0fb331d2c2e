// Package oci is the source for container images: what the config says, the
// history, the manifests, and every file of every layer, also those that a
// later layer removes.
package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// MaxLayer is how many bytes of one layer are read, inflated.
const MaxLayer = 64 << 30

// Source yields the images that the targets name: a folder with an OCI layout,
// a docker archive, or a reference to a registry.
type Source struct {
	Targets []string

	mu     sync.Mutex
	layers map[v1.Hash]*layer
}

// layer is one layer, and where it stands in the images that have it.
type layer struct {
	uses     []use
	whiteout map[string]bool // paths that this layer removes from those below
}

type use struct {
	image     v1.Hash
	index     int
	platform  string
	createdBy string
	above     []v1.Hash
}

// Artifacts implements scanners.Source.
func (s *Source) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	s.layers = map[v1.Hash]*layer{}
	return func(yield func(scanners.Artifact, error) bool) {
		for _, t := range s.Targets {
			more := true
			seen := map[v1.Hash]bool{}
			emit := func(a scanners.Artifact, err error) bool {
				if err != nil {
					err = scanners.Gap{Location: rules.Location{Source: "image", Path: t, Artifact: a.Location.Artifact}, Reason: a.Location.Artifact, Err: err}
				}
				more = more && yield(a, err)
				return more
			}
			if err := s.target(ctx, t, seen, emit); err != nil && more {
				emit(scanners.Artifact{}, err)
			}
			if !more {
				return
			}
		}
	}
}

type emitter func(scanners.Artifact, error) bool

func (s *Source) target(ctx context.Context, t string, seen map[v1.Hash]bool, emit emitter) error {
	info, err := os.Stat(t)
	switch {
	case err == nil && info.IsDir():
		p, err := layout.FromPath(t)
		if err != nil {
			return fmt.Errorf("no OCI layout: %w", err)
		}
		idx, err := p.ImageIndex()
		if err != nil {
			return err
		}
		return s.index(idx, seen, emit, 0)
	case err == nil:
		return s.archive(t, seen, emit)
	case strings.ContainsRune(t, filepath.Separator) && (strings.HasPrefix(t, ".") || filepath.IsAbs(t)), strings.HasSuffix(t, ".tar"):
		return errors.Unwrap(err)
	}
	ref, err := name.ParseReference(t)
	if err != nil {
		return fmt.Errorf("neither a file nor an image reference: %w", err)
	}
	d, err := remote.Get(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return clean(err)
	}
	if d.MediaType.IsIndex() {
		idx, err := d.ImageIndex()
		if err != nil {
			return clean(err)
		}
		return s.index(idx, seen, emit, 0)
	}
	img, err := d.Image()
	if err != nil {
		return clean(err)
	}
	return s.image(img, "", seen, emit)
}

// archive reads a docker-archive tar with all of its images.
func (s *Source) archive(file string, seen map[v1.Hash]bool, emit emitter) error {
	open := func() (io.ReadCloser, error) { return os.Open(file) }
	m, err := tarball.LoadManifest(open)
	if err != nil {
		return fmt.Errorf("no docker archive: %w", err)
	}
	for i, d := range m {
		var tag *name.Tag
		if len(d.RepoTags) > 0 {
			t, err := name.NewTag(d.RepoTags[0])
			if err != nil {
				return err
			}
			tag = &t
		} else if len(m) > 1 {
			emit(scanners.Artifact{Location: rules.Location{Artifact: "image " + strconv.Itoa(i+1)}}, errors.New("has no tag to tell it from the archive's others"))
			continue
		}
		img, err := tarball.Image(open, tag)
		if err != nil {
			return err
		}
		if err := s.image(img, "", seen, emit); err != nil {
			emit(scanners.Artifact{Location: rules.Location{Artifact: strings.Join(d.RepoTags, ", ")}}, err)
		}
	}
	return nil
}

// maxNesting bounds indexes within indexes.
const maxNesting = 8

func (s *Source) index(idx v1.ImageIndex, seen map[v1.Hash]bool, emit emitter, depth int) error {
	digest, err := idx.Digest()
	if err != nil {
		return clean(err)
	}
	if seen[digest] || depth > maxNesting {
		return nil
	}
	seen[digest] = true
	raw, err := idx.RawManifest()
	if err != nil {
		return clean(err)
	}
	if !emit(document("image index", digest, raw), nil) {
		return nil
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return clean(err)
	}
	for _, d := range m.Manifests {
		what := scanners.Artifact{Location: rules.Location{Artifact: "manifest " + d.Digest.String()}}
		var err error
		switch {
		case d.MediaType.IsIndex():
			var sub v1.ImageIndex
			if sub, err = idx.ImageIndex(d.Digest); err == nil {
				err = s.index(sub, seen, emit, depth+1)
			}
		case d.MediaType.IsImage():
			var img v1.Image
			platform := ""
			if d.Platform != nil {
				platform = d.Platform.String()
			}
			if img, err = idx.Image(d.Digest); err == nil {
				err = s.image(img, platform, seen, emit)
			}
		default:
			err = fmt.Errorf("media type %s is not read", d.MediaType)
		}
		if err != nil && !emit(what, clean(err)) {
			return nil
		}
	}
	return nil
}

func document(what string, digest v1.Hash, raw []byte) scanners.Artifact {
	return scanners.Artifact{
		Location: rules.Location{Source: "image", Artifact: what + " " + digest.String()},
		Open:     func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
	}
}

func (s *Source) image(img v1.Image, platform string, seen map[v1.Hash]bool, emit emitter) error {
	digest, err := img.Digest()
	if err != nil {
		return clean(err)
	}
	if seen[digest] {
		return nil
	}
	seen[digest] = true
	manifest, err := img.RawManifest()
	if err != nil {
		return clean(err)
	}
	if !emit(document("image manifest", digest, manifest), nil) {
		return nil
	}
	config, err := img.RawConfigFile()
	if err != nil {
		emit(scanners.Artifact{Location: rules.Location{Artifact: "image config"}}, clean(err))
	} else if name, err := img.ConfigName(); err == nil && !seen[name] {
		seen[name] = true
		if !emit(document("image config", name, config), nil) {
			return nil
		}
	}
	layers, err := img.Layers()
	if err != nil {
		return clean(err)
	}
	by := history(config, len(layers))
	ids := make([]v1.Hash, len(layers))
	for i, l := range layers {
		if ids[i], err = l.Digest(); err != nil {
			return clean(err)
		}
	}
	for i, l := range layers {
		id := ids[i]
		s.mu.Lock()
		have := s.layers[id]
		if have == nil {
			have = &layer{whiteout: map[string]bool{}}
			s.layers[id] = have
		}
		have.uses = append(have.uses, use{digest, i, platform, by[i], ids[i+1:]})
		first := len(have.uses) == 1
		s.mu.Unlock()
		if first && !emit(s.layerArtifact(l, id, have), nil) {
			return nil
		}
	}
	return nil
}

// history gives the command that made each layer, where the config tells.
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

func (s *Source) layerArtifact(l v1.Layer, id v1.Hash, have *layer) scanners.Artifact {
	loc := rules.Location{Source: "image", Artifact: "layer " + id.String(), Layer: id.String()}
	return scanners.Artifact{Location: loc, Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
		r, err := l.Uncompressed()
		if err != nil {
			return clean(err)
		}
		defer r.Close()
		return s.walk(tar.NewReader(&limit{r, MaxLayer}), loc, have, part, gap)
	}}
}

// Whiteouts, by the OCI image specification: .wh.NAME removes NAME from the
// layers below, .wh..wh..opq all that they have in its folder.
const (
	whiteoutPrefix = ".wh."
	opaque         = ".wh..wh..opq"
)

func (s *Source) walk(t *tar.Reader, loc rules.Location, have *layer, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("damaged layer: %w", err)
		}
		file := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if base := path.Base(file); strings.HasPrefix(base, whiteoutPrefix) {
			gone := path.Join(path.Dir(file), strings.TrimPrefix(base, whiteoutPrefix))
			if base == opaque {
				gone = path.Dir(file) + "/"
			}
			s.mu.Lock()
			have.whiteout[gone] = true
			s.mu.Unlock()
			continue
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		s.mu.Lock()
		have.whiteout["="+file] = true // overwritten below
		s.mu.Unlock()
		l := loc
		l.Path = file
		if err := part(scanners.Artifact{Location: l}, t); err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			gap(scanners.Gap{Location: l, Reason: "read to its middle only", Err: err})
			return fmt.Errorf("damaged layer: %w", err)
		}
	}
}

// Attribute labels findings with the layer's place, the command that made it,
// and what a later layer did to the file.
func (s *Source) Attribute(_ context.Context, findings []*rules.Finding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range findings {
		id, err := v1.NewHash(f.Location.Layer)
		have := s.layers[id]
		if err != nil || have == nil {
			continue
		}
		n := maps.Clone(f.Location.Notes)
		if n == nil {
			n = map[string]string{}
		}
		u := have.uses[0]
		n["layer_index"] = strconv.Itoa(u.index)
		if u.createdBy != "" {
			n["created_by"] = u.createdBy
		}
		if u.platform != "" {
			n["platform"] = u.platform
		}
		if len(have.uses) > 1 {
			n["images"] = strconv.Itoa(len(have.uses))
		}
		for _, above := range u.above {
			if how := s.layers[above].gone(f.Location.Path); how != "" {
				n[how] = "by layer " + above.String()
				break
			}
		}
		f.Location.Notes = n
	}
	return nil
}

func (l *layer) gone(file string) string {
	if l == nil {
		return ""
	}
	if l.whiteout["="+file] {
		return "overwritten"
	}
	for p := file; p != "." && p != "/"; p = path.Dir(p) {
		if l.whiteout[p] || l.whiteout[path.Dir(p)+"/"] {
			return "deleted"
		}
	}
	return ""
}

// clean keeps a registry's error on one line: its text is the other side's.
func clean(err error) error {
	if err == nil {
		return nil
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return errors.New(text)
}

type limit struct {
	r io.Reader
	n int64
}

func (l *limit) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.n -= int64(n); l.n < 0 {
		return 0, errors.New("larger than the budget of one layer")
	}
	return n, err
}
