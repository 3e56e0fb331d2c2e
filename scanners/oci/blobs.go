package oci

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
)

// blobs gives access to an image's blobs by their digests.
type blobs interface {
	open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
}

// maxDocument is the maximum size of a manifest or a config, in bytes. Registries accept
// manifests of up to 4 MiB.
const maxDocument = 64 << 20

// documentOf reads a small blob whole. If it returns an error together with bytes, the bytes do
// not match the digest. It uses the data embedded in a descriptor only if that matches.
func documentOf(ctx context.Context, b blobs, d v1.Descriptor) ([]byte, error) {
	if len(d.Data) > 0 && matchesDigest(d.Data, d.Digest) {
		return d.Data, nil
	}
	r, err := b.open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	switch {
	case len(out) > maxDocument:
		return nil, scanners.OfKind(scanners.GapLimitMemory, fmt.Errorf("a document of over %d MiB", maxDocument>>20))
	case err == nil && !matchesDigest(out, d.Digest):
		err = errDigest
	}
	return out, err
}

var errDigest = scanners.OfKind(scanners.GapDamaged, errors.New("its bytes are not those of its digest"))

// matchesDigest verifies bytes by a digest. It accepts any bytes for an algorithm other than
// SHA-256 and SHA-512, because the specification registers no other.
func matchesDigest(b []byte, d v1.Hash) bool {
	switch d.Algorithm {
	case "sha256":
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:]) == d.Hex
	case "sha512":
		sum := sha512.Sum512(b)
		return hex.EncodeToString(sum[:]) == d.Hex
	}
	return true
}

// folder is an OCI layout, or the output of skopeo's dir: transport.
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

// all lists a layout's blobs, and its other files, which a copy of the folder contains too.
func (f folder) all(problem func(name string, err error)) (blobs []v1.Hash, odd []string) {
	_ = fs.WalkDir(f.root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			problem(p, absent(err))
		case d.IsDir():
		case !d.Type().IsRegular():
			if _, err := f.root.Stat(p); err != nil {
				problem(p, scanners.OfKind(scanners.GapOutside, errors.New("is a link that leads out of the layout, or nowhere")))
			}
		default:
			if h, ok := blobName(p); ok {
				blobs = append(blobs, h)
			} else if p != "index.json" && p != "oci-layout" {
				odd = append(odd, p)
			}
		}
		return nil
	})
	return blobs, odd
}

// blobName returns the digest that a layout file's name states.
func blobName(p string) (v1.Hash, bool) {
	rest, ok := strings.CutPrefix(p, "blobs/")
	algorithm, digits, ok2 := strings.Cut(rest, "/")
	h, err := v1.NewHash(algorithm + ":" + digits)
	return h, ok && ok2 && err == nil
}

func (f folder) named(name string) (io.ReadCloser, error) {
	r, err := f.root.Open(name)
	return r, absent(err)
}

// isPacked reports whether a file begins with the magic number of a compression.
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

// tarFile is an archive of images on a disk. Each file in it is read in place.
type tarFile struct {
	f     *os.File
	files map[string]section
	order []string
	// hidden are files that a later one of the same name replaces.
	hidden []section
	// trailing is the data after the archive's end. Its size is zero if there is none.
	trailing section
	// problem is the reason for which the list of files can be incomplete.
	problem error
}

// section is one file of an archive.
type section struct {
	name       string
	from, size int64
}

// openTar locates the files of an archive. It reads only their headers.
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
		if err != nil && len(out.order) > 0 {
			out.problem = scanners.OfKind(scanners.GapDamaged, fmt.Errorf("the archive breaks off: %w", err))
			break
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("no archive of images: %w", err)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		switch {
		case h.Typeflag == tar.TypeSymlink, h.Typeflag == tar.TypeLink: // old archives link identical layers
			to := path.Join(path.Dir(name), h.Linkname)
			if h.Typeflag == tar.TypeLink {
				to = path.Clean(h.Linkname)
			}
			links[name] = to
		case archive.HasContent(h):
			// The content begins right after the header.
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				f.Close()
				return nil, err
			}
			if old, twice := out.files[name]; twice {
				out.hidden = append(out.hidden, old)
			} else {
				out.order = append(out.order, name)
			}
			out.files[name] = section{name, at, h.Size}
		}
	}
	for name, to := range links {
		if s, ok := out.files[to]; ok {
			out.files[name] = s
		}
	}
	if out.problem == nil {
		out.problem = out.end()
	}
	return out, nil
}

// end locates the data after the archive's end. Zeros are padding.
func (t *tarFile) end() error {
	at, err := t.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	info, err := t.f.Stat()
	if err != nil || at >= info.Size() {
		return err
	}
	r := bufio.NewReader(io.NewSectionReader(t.f, at, info.Size()-at))
	more, err := archive.Padding(r)
	if more {
		t.trailing = section{archive.TrailingMember, at, info.Size() - at}
	}
	return err
}

func (t *tarFile) section(s section) io.ReadCloser {
	return io.NopCloser(io.NewSectionReader(t.f, s.from, s.size))
}

func (t *tarFile) named(name string) (io.ReadCloser, error) {
	s, ok := t.files[path.Clean(name)]
	if !ok {
		return nil, errors.New("is not here")
	}
	return t.section(s), nil
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

// all lists the blobs of a layout, and the other files.
func (t *tarFile) all(func(name string, err error)) (blobs []v1.Hash, odd []string) {
	for _, name := range t.order {
		if h, ok := blobName(name); ok {
			blobs = append(blobs, h)
		} else if name != "index.json" && name != "oci-layout" {
			odd = append(odd, name)
		}
	}
	return blobs, odd
}

// saved is one image in the manifest of docker save.
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

// repository is one repository of a registry.
type repository struct {
	repo      name.Repository
	ctx       context.Context
	transport http.RoundTripper
}

func (r repository) options() []remote.Option { return options(r.ctx, r.transport) }

// options returns the options of every request to a registry.
func options(ctx context.Context, t http.RoundTripper) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), keys(ctx, t), remote.WithTransport(t)}
}

func (r repository) open(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if d.MediaType.IsIndex() || d.MediaType.IsImage() {
		m, err := remote.Get(r.repo.Digest(d.Digest.String()), r.options()...)
		if err != nil {
			return nil, clean(err)
		}
		return io.NopCloser(strings.NewReader(string(m.Manifest))), nil
	}
	l, err := remote.Layer(r.repo.Digest(d.Digest.String()), r.options()...)
	if err != nil {
		return nil, clean(err)
	}
	b, err := l.Compressed()
	return b, clean(err)
}

// referrers lists the manifests attached to a manifest: by the API, and by the older tag
// schemes (cosign's, and the specification's fallback). A registry without either answers 404;
// every other refusal is an error, returned together with the list.
func (r repository) referrers(d v1.Hash) (out []v1.Descriptor, err error) {
	var errs []error
	answers := &statuses{next: r.transport}
	idx, err := remote.Referrers(r.repo.Digest(d.String()), append(r.options(), remote.WithTransport(answers))...)
	if err == nil {
		var m *v1.IndexManifest
		if m, err = idx.IndexManifest(); err == nil {
			out = append(out, m.Manifests...)
		}
	}
	if code := answers.refused(); code != 0 {
		// The library takes some refusals for a missing API.
		err = fmt.Errorf("the registry answers %d", code)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("list of referrers: %w", err))
	}
	for _, suffix := range []string{"", ".sig", ".att", ".sbom"} {
		m, err := remote.Head(r.repo.Tag(d.Algorithm+"-"+d.Hex+suffix), r.options()...)
		var answer *transport.Error
		switch {
		case err == nil:
			if !slices.ContainsFunc(out, func(x v1.Descriptor) bool { return x.Digest == m.Digest }) {
				out = append(out, *m)
			}
		case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		default:
			errs = append(errs, fmt.Errorf("tag %s…%s: %w", d.Hex[:12], suffix, err))
		}
	}
	if len(errs) > 0 {
		return out, errs[0]
	}
	return out, nil
}

// statuses records the status of a registry's answers about referrers.
type statuses struct {
	next http.RoundTripper
	mu   sync.Mutex
	last int
}

func (s *statuses) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := s.next.RoundTrip(req)
	if err == nil && strings.Contains(req.URL.Path, "/referrers/") {
		s.mu.Lock()
		s.last = res.StatusCode
		s.mu.Unlock()
	}
	return res, err
}

// refused returns the last status if it is neither 200 nor 404, and 0 otherwise.
func (s *statuses) refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == http.StatusOK || s.last == http.StatusNotFound {
		return 0
	}
	return s.last
}
