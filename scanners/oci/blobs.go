package oci

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// blobs is where an image's parts are, by their digests.
type blobs interface {
	open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
}

// maxDocument bounds what is read of a manifest or a config: registries take four
// MiB of the first.
const maxDocument = 64 << 20

// document reads a small blob whole.
func documentOf(ctx context.Context, b blobs, d v1.Descriptor) ([]byte, error) {
	if len(d.Data) > 0 {
		return d.Data, nil
	}
	r, err := b.open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if len(out) > maxDocument {
		return nil, fmt.Errorf("a document of over %d MiB", maxDocument>>20)
	}
	return out, err
}

// folder is an OCI layout, or what skopeo's dir: transport writes.
type folder struct {
	root *os.Root
	flat bool
}

func (f folder) file(d v1.Descriptor) string {
	if f.flat {
		return d.Digest.Hex
	}
	return path.Join("blobs", d.Digest.Algorithm, d.Digest.Hex)
}

func (f folder) open(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	r, err := f.root.Open(f.file(d))
	if err != nil {
		return nil, absent(err)
	}
	if info, err := r.Stat(); err != nil || !info.Mode().IsRegular() {
		r.Close()
		return nil, errors.New("not a regular file")
	}
	return r, nil
}

func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is not here")
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// all lists a layout's blobs.
func (f folder) all() (out []v1.Hash) {
	_ = fs.WalkDir(f.root.FS(), "blobs", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if h, err := v1.NewHash(path.Base(path.Dir(p)) + ":" + path.Base(p)); err == nil {
				out = append(out, h)
			}
		}
		return nil
	})
	return out
}

// isPacked reports whether a file begins as a compressed one does.
func isPacked(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, longestMagic)
	n, _ := io.ReadFull(f, head)
	return compression(head[:n]) != nil
}

// tarFile is an archive of images on a disk, of which each file is read where it
// lies.
type tarFile struct {
	f     *os.File
	files map[string]section
	order []string
}

type section struct{ from, size int64 }

// openTar finds the files of an archive: their headers are read, and nothing else.
func openTar(file string) (*tarFile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, absent(err)
	}
	out := &tarFile{f: f, files: map[string]section{}}
	links := map[string]string{}
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("no archive of images: %w", err)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		switch h.Typeflag {
		case tar.TypeReg:
			// The file stands where the header's content begins.
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				f.Close()
				return nil, err
			}
			out.files[name] = section{at, h.Size}
			out.order = append(out.order, name)
		case tar.TypeSymlink, tar.TypeLink: // old archives link layers that are the same
			to := path.Join(path.Dir(name), h.Linkname)
			if h.Typeflag == tar.TypeLink {
				to = path.Clean(h.Linkname)
			}
			links[name] = to
		}
	}
	for name, to := range links {
		if s, ok := out.files[to]; ok {
			out.files[name] = s
		}
	}
	return out, nil
}

func (t *tarFile) named(name string) (io.ReadCloser, error) {
	s, ok := t.files[path.Clean(name)]
	if !ok {
		return nil, errors.New("is not here")
	}
	return io.NopCloser(io.NewSectionReader(t.f, s.from, s.size)), nil
}

func (t *tarFile) open(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return t.named(path.Join("blobs", d.Digest.Algorithm, d.Digest.Hex))
}

func (t *tarFile) read(name string) ([]byte, error) {
	r, err := t.named(name)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxDocument))
}

func (t *tarFile) all() (out []v1.Hash) {
	for _, name := range t.order {
		if dir, base := path.Split(name); strings.HasPrefix(dir, "blobs/") {
			if h, err := v1.NewHash(path.Base(dir) + ":" + base); err == nil {
				out = append(out, h)
			}
		}
	}
	return out
}

// saved is one image of what docker save writes.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (t *tarFile) saved() ([]saved, error) {
	b, err := t.read("manifest.json")
	if err != nil {
		return nil, err
	}
	var out []saved
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, errors.New("no archive of images: its manifest.json is damaged")
	}
	return out, nil
}

// repository is one of a registry's.
type repository struct {
	repo name.Repository
	opts []remote.Option
}

func options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
}

func (r repository) open(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if d.MediaType.IsIndex() || d.MediaType.IsImage() {
		m, err := remote.Get(r.repo.Digest(d.Digest.String()), r.opts...)
		if err != nil {
			return nil, clean(err)
		}
		return io.NopCloser(strings.NewReader(string(m.Manifest))), nil
	}
	l, err := remote.Layer(r.repo.Digest(d.Digest.String()), r.opts...)
	if err != nil {
		return nil, clean(err)
	}
	b, err := l.Compressed()
	return b, clean(err)
}

// referrers finds what was attached to a manifest: by the API, and by the tags that
// stood in for it (cosign's, and the specification's fallback).
func (r repository) referrers(d v1.Hash) (out []v1.Descriptor) {
	if idx, err := remote.Referrers(r.repo.Digest(d.String()), r.opts...); err == nil {
		if m, err := idx.IndexManifest(); err == nil {
			out = append(out, m.Manifests...)
		}
	}
	for _, suffix := range []string{"", ".sig", ".att", ".sbom"} {
		m, err := remote.Head(r.repo.Tag(d.Algorithm+"-"+d.Hex+suffix), r.opts...)
		if err == nil && !slices.ContainsFunc(out, func(x v1.Descriptor) bool { return x.Digest == m.Digest }) {
			out = append(out, *m)
		}
	}
	return out
}
