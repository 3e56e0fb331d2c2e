// Package oci is the source for container images: configs with their history, manifests, and
// every file of every layer, including those that a later layer removes.
package oci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// MaxLayer is the maximum decompressed size of a layer, in bytes.
const MaxLayer = 64 << 30

// maxRatio is the maximum ratio of a layer's decompressed to its compressed size, beyond
// Source.Free.
const maxRatio = 300

// Source yields the images that the targets name: a folder with an OCI layout or in skopeo's
// dir: format, an archive in OCI or docker save format, a reference to a registry, or all
// repositories of a registry that match a pattern (registry.example/team/*).
type Source struct {
	Targets []string
	// Platform selects one platform of an index, as linux/arm64; empty: all.
	Platform string
	// Stdin is read for the target "-": an archive in either format.
	Stdin io.Reader
	// Mirrors maps registries, with or without a prefix, to mirrors that are tried first.
	Mirrors map[string]string
	// Forge is the base URL of the registry's forge API; empty: the forge's default.
	Forge string
	// Socket is the daemon's socket for docker-daemon:IMAGE; empty: Docker's default.
	Socket string
	// Free is the decompressed size in bytes that any layer may have, however small its
	// compressed size; 0: 2 GiB.
	Free int64
	// Remote treats every target as a reference to a registry, even if a file of that name
	// exists. A target that ends with ":*" means all tags of the repository.
	Remote bool
	// Login is the credential for the registries; nil: those of docker's logins.
	Login *Login
	// Memory remembers layers that were read to the end without a finding; nil: none.
	Memory scanners.Memory
	// Wrap may limit the requests to registries; nil: they are sent as they come.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Open implements scanners.Source.
func (s *Source) Open(context.Context) (scanners.Session, error) { return s.session(), nil }

func (s *Source) session() *session { return &session{Source: s} }

// session is one reading of a Source.
type session struct {
	*Source
	scanners.Idle

	mu        sync.Mutex
	transport http.RoundTripper // to registries
	layers    map[v1.Hash]*layer
	documents map[string]*opened // by Location.Artifact
	// clean contains hashes, keyed for this run, of contents without findings.
	seed  maphash.Seed
	clean map[uint64]bool
}

// layer is one layer and its position in the images that contain it.
type layer struct {
	at       string // file in an archive of docker save; empty if the digest was verified
	uses     []use
	whiteout map[string]bool // paths that this layer removes from the layers below
	// hits counts the findings in the layer and its unreadable parts.
	hits atomic.Int64
}

type use struct {
	image     v1.Hash
	name      string
	index     int
	platform  string
	createdBy string
	above     []v1.Hash
}

// Artifacts implements scanners.Session.
func (s *session) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	s.layers, s.clean, s.seed = map[v1.Hash]*layer{}, map[uint64]bool{}, maphash.MakeSeed()
	return func(yield func(scanners.Artifact, error) bool) {
		for _, t := range s.Targets {
			more := true
			v := &visit{s: s, ctx: ctx, target: t, seen: map[v1.Hash]bool{}}
			v.emit = func(a scanners.Artifact, err error) bool {
				if err != nil {
					err = scanners.Gap{Location: rules.Location{Source: "image", Path: t, Artifact: a.Location.Artifact}, Reason: a.Location.Artifact, Err: err}
				}
				more = more && yield(a, err)
				return more
			}
			if err := v.open(); err != nil && more {
				v.emit(scanners.Artifact{}, err)
			}
			if !more {
				return
			}
		}
	}
}

// way returns the transport for requests to registries.
func (s *session) way() http.RoundTripper {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport == nil {
		s.transport = patient()
		if s.Wrap != nil {
			s.transport = s.Wrap(s.transport)
		}
		if s.Login != nil {
			s.transport = &guarded{s.transport, s.Login}
		}
	}
	return s.transport
}

// visit is the state of reading one target.
type visit struct {
	s      *session
	ctx    context.Context
	target string
	b      blobs
	seen   map[v1.Hash]bool
	emit   func(scanners.Artifact, error) bool
}

// open determines the kind of the target and reads it.
func (v *visit) open() error {
	t := v.target
	if v.s.Remote {
		return v.remote()
	}
	if t == "-" {
		v.stream(func(context.Context) (io.ReadCloser, error) { return io.NopCloser(v.s.Stdin), nil })
		return nil
	}
	if image, ok := strings.CutPrefix(t, daemonPrefix); ok {
		v.stream(v.s.daemon(image))
		return nil
	}
	info, err := os.Stat(t)
	switch {
	case err == nil && info.IsDir():
		return v.folder()
	case err == nil:
		return v.archive()
	case strings.ContainsRune(t, filepath.Separator) && (strings.HasPrefix(t, ".") || filepath.IsAbs(t)), strings.HasSuffix(t, ".tar"):
		return errors.Unwrap(err)
	case strings.HasSuffix(t, "/*"):
		return v.registry(strings.TrimSuffix(t, "*"))
	}
	ref, err := name.ParseReference(t)
	if err != nil {
		return fmt.Errorf("neither a file nor an image reference: %w", err)
	}
	return v.reference(ref)
}

// remote reads a reference, or all tags of a repository.
func (v *visit) remote() error {
	base, all := strings.CutSuffix(v.target, ":*")
	if !all {
		ref, err := name.ParseReference(v.target)
		if err != nil {
			return fmt.Errorf("not an image reference: %w", err)
		}
		return v.reference(ref)
	}
	repo, err := name.NewRepository(base)
	if err != nil {
		return fmt.Errorf("not a repository: %w", err)
	}
	tags, err := v.tags(repo)
	if err != nil && !v.emit(scanners.Artifact{Location: rules.Location{Artifact: "the list of tags"}}, clean(err)) {
		return nil
	}
	for _, t := range tags {
		if err := v.reference(repo.Tag(t)); err != nil && !v.emit(scanners.Artifact{Location: rules.Location{Artifact: "image " + repo.Tag(t).String()}}, err) {
			return nil
		}
	}
	return nil
}

func (v *visit) folder() error {
	root, err := os.OpenRoot(v.target)
	if err != nil {
		return absent(err)
	}
	f := folder{root: root}
	v.b = f
	if b, err := root.ReadFile("index.json"); err == nil {
		blobs, odd := f.all(v.problem)
		v.layout(b, blobs)
		v.odd(odd, f.named)
		return nil
	}
	b, err := root.ReadFile("manifest.json")
	if _, verr := root.Stat("version"); err != nil || verr != nil {
		return errors.New("no OCI layout: it has no index.json")
	}
	f.flat = true
	v.b = f
	v.manifest(b, "", "")
	return nil
}

// layout reads everything that an index.json references, and then the other blobs.
func (v *visit) layout(index []byte, all []v1.Hash) {
	v.manifest(index, "", "")
	for _, h := range all {
		if v.seen[h] {
			continue
		}
		v.seen[h] = true
		d := v1.Descriptor{Digest: h}
		v.s.mu.Lock()
		have := v.s.layers[h]
		if have == nil {
			have = &layer{whiteout: map[string]bool{}}
			v.s.layers[h] = have
		}
		v.s.mu.Unlock()
		if !v.emit(v.s.blob(v.b, d, rules.Location{Source: "image", Artifact: "blob " + h.String() + ", which no manifest names", Layer: h.String()}, have, ""), nil) {
			return
		}
	}
}

// archive reads a tar, compressed or not, in OCI or docker save format.
func (v *visit) archive() error {
	t, err := openTar(v.target)
	inOrder := func() {
		v.stream(func(context.Context) (io.ReadCloser, error) {
			f, err := os.Open(v.target)
			return f, absent(err)
		})
	}
	if errors.Is(err, tar.ErrHeader) && isPacked(v.target) {
		inOrder()
		return nil
	}
	if err != nil {
		return err
	}
	v.b = t
	if b, err := t.read("index.json"); err == nil {
		blobs, odd := t.all(nil)
		v.layout(b, blobs)
		v.odd(odd, t.named)
		v.rest(t)
		return nil
	}
	images, err := t.saved()
	if err != nil {
		_ = t.f.Close()
		inOrder() // reads what there is, and reports the damage
		return nil
	}
	b, _ := t.read("manifest.json")
	if !v.emit(v.s.document("image manifest", "manifest.json", b), nil) {
		return nil
	}
	used := map[string]bool{"manifest.json": true}
	for _, m := range images {
		config, err := t.read(m.Config)
		if err != nil {
			v.emit(scanners.Artifact{Location: rules.Location{Artifact: "image config " + m.Config}}, err)
		} else if !v.emit(v.s.configOf(m.Config, strings.Join(m.RepoTags, ", "), "", config), nil) {
			return nil
		}
		var parts []part
		used[path.Clean(m.Config)] = true
		for i, l := range m.Layers {
			used[path.Clean(l)], used[t.files[path.Clean(l)].name] = true, true
			parts = append(parts, part{d: v1.Descriptor{Digest: v.savedLayer(t, l, i, config)}, named: l})
		}
		if !v.parts(v1.Hash{}, strings.Join(m.RepoTags, ", "), "", config, parts) {
			return nil
		}
	}
	// The metadata that old archives have for each layer.
	var odd []string
	for _, name := range t.order {
		if path.Base(name) == "json" || name == "repositories" {
			if b, err := t.read(name); err == nil && !v.emit(v.s.document("image document", name, b), nil) {
				return nil
			}
		} else if !used[name] {
			odd = append(odd, name)
		}
	}
	v.odd(odd, t.named)
	v.rest(t)
	return nil
}

// problem reports an unreadable file of the target.
func (v *visit) problem(name string, err error) {
	v.emit(scanners.Artifact{Location: rules.Location{Artifact: "file " + name}}, err)
}

// odd reads files that no manifest of an archive or layout names: a tar as a layer, any other
// file as it is.
func (v *visit) odd(names []string, open func(name string) (io.ReadCloser, error)) {
	for _, name := range names {
		v.loose(name, func() (io.ReadCloser, error) { return open(name) })
	}
}

// rest reads what the archive's list of files lacks.
func (v *visit) rest(t *tarFile) {
	for _, s := range t.hidden {
		v.loose(s.name, func() (io.ReadCloser, error) { return t.section(s), nil })
	}
	if t.trailing.size > 0 {
		v.loose(t.trailing.name, func() (io.ReadCloser, error) { return t.section(t.trailing), nil })
	}
	if t.problem != nil {
		v.emit(scanners.Artifact{Location: rules.Location{Artifact: "archive " + v.target}}, t.problem)
	}
}

// loose reads one file that belongs to no image.
func (v *visit) loose(name string, open func() (io.ReadCloser, error)) {
	loc := rules.Location{Source: "image", Artifact: "file " + name + ", which no manifest names", Path: name}
	v.emit(scanners.Artifact{Location: loc, Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
		r, err := open()
		if err != nil {
			return err
		}
		defer r.Close()
		sum := &verified{r: r, own: scanners.BoundsOf(ctx)}
		if err := v.s.content(ctx, sum, loc, &layer{whiteout: map[string]bool{}}, part, gap); err != nil {
			return err
		}
		return sum.finish()
	}}, nil)
}

// savedLayer returns the identifier of a layer in an archive of docker save. Its name and the
// config are unverified, so two files with the same claimed digest remain two layers.
func (v *visit) savedLayer(t *tarFile, file string, i int, config []byte) v1.Hash {
	id := savedDigest(file, i, config)
	at := fmt.Sprintf("%s\x00%d", v.target, t.files[path.Clean(file)].from)
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	have := v.s.layers[id]
	if have != nil && have.at != at {
		sum := sha256.Sum256([]byte(at))
		id = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
		have = v.s.layers[id]
	}
	if have == nil {
		v.s.layers[id] = &layer{at: at, whiteout: map[string]bool{}}
	}
	return id
}

// savedDigest derives that identifier: from the digest in the name, else from the content's
// digest in the config, else from the name.
func savedDigest(file string, i int, config []byte) v1.Hash {
	base, _, _ := strings.Cut(path.Base(file), ".")
	if h, err := v1.NewHash("sha256:" + strings.TrimPrefix(base, "sha256:")); err == nil {
		return h
	}
	var c struct {
		RootFS struct {
			DiffIDs []v1.Hash `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if json.Unmarshal(config, &c) == nil && i < len(c.RootFS.DiffIDs) {
		return c.RootFS.DiffIDs[i]
	}
	sum := sha256.Sum256([]byte(file))
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// reference reads an image of a registry and what is attached to it.
func (v *visit) reference(ref name.Reference) error {
	at, d, err := v.s.get(v.ctx, ref)
	if err != nil {
		return clean(err)
	}
	v.b = repository{at.Context(), v.ctx, v.s.way()}
	v.manifest(d.Manifest, "", ref.String())
	return nil
}

// maxImages is the maximum number of images listed from one registry.
const maxImages = 100_000

// registry reads the images of all repositories whose name begins with prefix, the newest
// first.
func (v *visit) registry(prefix string) error {
	host, below, _ := strings.Cut(prefix, "/")
	reg, err := name.NewRegistry(host)
	if err != nil {
		return err
	}
	opts := options(v.ctx, v.s.way())
	repos, err := v.repositories(reg, below)
	if err != nil {
		return err
	}
	type image struct {
		ref     name.Reference
		created time.Time
	}
	var list []image
	for _, repo := range repos {
		r, err := name.NewRepository(host + "/" + repo)
		if err != nil {
			v.emit(scanners.Artifact{Location: rules.Location{Artifact: "repository " + repo}}, err)
			continue
		}
		tags, err := v.tags(r)
		if err != nil && !v.emit(scanners.Artifact{Location: rules.Location{Artifact: "repository " + repo}}, clean(err)) {
			return nil
		}
		for _, t := range tags {
			x := image{ref: r.Tag(t)}
			if img, err := remote.Image(x.ref, opts...); err == nil {
				if c, err := img.ConfigFile(); err == nil {
					x.created = c.Created.Time
				}
			}
			list = append(list, x)
		}
		if len(list) > maxImages {
			return scanners.OfKind(scanners.GapLimitEntries, fmt.Errorf("over %d images: name a narrower pattern", maxImages))
		}
	}
	if len(list) == 0 {
		return errors.New("no repository's name begins so")
	}
	slices.SortStableFunc(list, func(a, b image) int { return b.created.Compare(a.created) })
	for _, x := range list {
		if err := v.reference(x.ref); err != nil && !v.emit(scanners.Artifact{Location: rules.Location{Artifact: "image " + x.ref.String()}}, err) {
			return nil
		}
	}
	return nil
}

// clean reduces a registry's error, whose text the registry controls, to one line.
func clean(err error) error {
	if err == nil {
		return nil
	}
	kind := scanners.KindOf(err)
	return scanners.OfKind(kind, errors.New(scanners.Clip(strings.Join(strings.Fields(err.Error()), " "), 300)))
}
