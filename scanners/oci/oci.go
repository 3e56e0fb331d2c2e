// Package oci is the source for container images: what the config says, the
// history, the manifests, and every file of every layer, also those that a
// later layer removes.
package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
)

// MaxLayer is how many bytes of one layer are read, inflated.
const MaxLayer = 64 << 30

// maxRatio is how often its compressed size a layer may have, beyond Source.Free.
const maxRatio = 300

// Source yields the images that the targets name: a folder with an OCI layout or of
// skopeo's, an archive of either form, a reference to a registry, or all of a
// registry's that a pattern names (registry.example/team/*).
type Source struct {
	Targets []string
	// Platform is the only one that is read of an index, as linux/arm64; empty: all.
	Platform string
	// Stdin is what the target - means: an archive of either form.
	Stdin io.Reader
	// Mirrors are registries, with a prefix or without, that are asked before others.
	Mirrors map[string]string
	// Forge is where the API of the registry's forge is; empty: at its own place.
	Forge string
	// Socket is the daemon's that docker-daemon:IMAGE asks; empty: Docker's own place.
	Socket string
	// Free is how many bytes a layer may inflate to, however small it is; 0: two GiB.
	Free int64
	// Memory keeps which layers were read to the end and held nothing; nil: none.
	Memory scanners.Memory

	mu     sync.Mutex
	layers map[v1.Hash]*layer
	// clean are contents, by a hash of this run, that were read and held nothing.
	seed  maphash.Seed
	clean map[uint64]bool
}

// layer is one layer, and where it stands in the images that have it.
type layer struct {
	uses     []use
	whiteout map[string]bool // paths that this layer removes from those below
	// hits counts what was found in it, or could not be read.
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

// Artifacts implements scanners.Source.
func (s *Source) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
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

// visit is the reading of one target.
type visit struct {
	s      *Source
	ctx    context.Context
	target string
	b      blobs
	seen   map[v1.Hash]bool
	emit   func(scanners.Artifact, error) bool
}

// open finds out what the target is.
func (v *visit) open() error {
	t := v.target
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

func (v *visit) folder() error {
	root, err := os.OpenRoot(v.target)
	if err != nil {
		return absent(err)
	}
	f := folder{root: root}
	v.b = f
	if b, err := root.ReadFile("index.json"); err == nil {
		v.layout(b, f.all())
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

// layout reads what an index.json leads to, and then the blobs that it doesn't.
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

// archive reads a tar: of an OCI layout, or what docker save writes.
func (v *visit) archive() error {
	t, err := openTar(v.target)
	if err != nil {
		return err
	}
	v.b = t
	if b, err := t.read("index.json"); err == nil {
		v.layout(b, t.all())
		return nil
	}
	images, err := t.saved()
	if err != nil {
		return errors.New("no archive of images: it has neither an index.json nor a manifest.json")
	}
	b, _ := t.read("manifest.json")
	if !v.emit(document("image manifest", "manifest.json", b), nil) {
		return nil
	}
	for _, m := range images {
		config, err := t.read(m.Config)
		if err != nil {
			v.emit(scanners.Artifact{Location: rules.Location{Artifact: "image config " + m.Config}}, err)
		} else if !v.emit(document("image config", m.Config, config), nil) {
			return nil
		}
		var parts []part
		for i, l := range m.Layers {
			parts = append(parts, part{d: v1.Descriptor{Digest: savedDigest(l, i, config)}, named: l})
		}
		if !v.parts(v1.Hash{}, strings.Join(m.RepoTags, ", "), "", config, parts) {
			return nil
		}
	}
	// What old archives say of each layer.
	for _, name := range t.order {
		if path.Base(name) == "json" || name == "repositories" {
			if b, err := t.read(name); err == nil && !v.emit(document("image document", name, b), nil) {
				return nil
			}
		}
	}
	return nil
}

// savedDigest is what a layer of an archive of docker save is known by: the digest
// that its name is, else that of its content, by the config; else one of its name.
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

// reference reads an image of a registry, and what is attached to it.
func (v *visit) reference(ref name.Reference) error {
	at, d, err := v.s.get(v.ctx, ref)
	if err != nil {
		return clean(err)
	}
	v.b = repository{at.Context(), options(v.ctx)}
	v.manifest(d.Manifest, "", ref.String())
	return nil
}

// maxImages bounds what is listed of one registry.
const maxImages = 100_000

// registry reads the images of a registry whose repository's name begins as the
// pattern does, the newest first.
func (v *visit) registry(prefix string) error {
	host, below, _ := strings.Cut(prefix, "/")
	reg, err := name.NewRegistry(host)
	if err != nil {
		return err
	}
	opts := options(v.ctx)
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
		tags, err := remote.List(r, opts...)
		if err != nil {
			v.emit(scanners.Artifact{Location: rules.Location{Artifact: "repository " + repo}}, clean(err))
			continue
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
			return fmt.Errorf("over %d images: name a narrower pattern", maxImages)
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

// manifest is what any manifest may hold: an index's manifests, an image's config
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

// manifest reads a manifest and all that it leads to, once. It is false where no
// more is wanted.
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
	if !v.emit(document(what, digest.String(), raw), nil) {
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
		} else if !v.emit(document("image config", m.Config.Digest.String(), config), nil) {
			return false
		}
	}
	if !v.parts(digest, label, platform, config, parts) {
		return false
	}
	if r, ok := v.b.(repository); ok {
		for _, d := range r.referrers(digest) {
			if !v.descend(d, platform, label) {
				return false
			}
		}
	}
	return true
}

// skip marks a manifest that is not asked for, with its parts: they are not said to
// be named by nobody.
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
	if err == nil {
		if sum := sha256.Sum256(raw); d.Digest.Algorithm == "sha256" && hex.EncodeToString(sum[:]) != d.Digest.Hex {
			err = errors.New("its bytes are not those of its digest")
		}
	}
	if err != nil {
		return v.emit(scanners.Artifact{Location: rules.Location{Artifact: "manifest " + d.Digest.String()}}, clean(err))
	}
	return v.manifest(raw, platform, label)
}

// part is a layer, or another blob of a manifest.
type part struct {
	d     v1.Descriptor
	named string // in an archive of docker save
}

// parts yields the blobs of one manifest: each once, whichever images have it.
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

func document(what, name string, raw []byte) scanners.Artifact {
	return scanners.Artifact{
		Location: rules.Location{Source: "image", Artifact: what + " " + name},
		Open:     func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
	}
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

// blob is a layer's artifact: its files, where it is a tar, however it is compressed;
// else the file that it is.
func (s *Source) blob(b blobs, d v1.Descriptor, loc rules.Location, have *layer, named string) scanners.Artifact {
	return scanners.Artifact{Location: loc, Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
		// What is remembered of a digest must have been read under it: the names in
		// an archive of docker save are nobody's word.
		sure := named == "" && d.Digest.Algorithm == "sha256"
		if sure && s.recall(ctx, d.Digest, have) {
			return nil
		}
		var r io.ReadCloser
		var err error
		if t, ok := b.(*tarFile); ok && named != "" {
			r, err = t.named(named)
		} else {
			r, err = b.open(ctx, d)
		}
		if err != nil {
			if len(d.URLs) > 0 {
				err = fmt.Errorf("%w, and it is kept elsewhere, where it is not fetched from", err)
			}
			return clean(err)
		}
		defer r.Close()
		sum := &verified{r: r, want: d.Digest}
		if named != "" {
			sum.want = v1.Hash{}
		}
		err = s.content(sum, loc, have, part, gap)
		if err == nil {
			err = sum.finish()
		}
		if err == nil && sure {
			s.keep(ctx, d.Digest, have)
		}
		return err
	}}
}

// verified compares what was read with a digest.
type verified struct {
	r    io.Reader
	want v1.Hash
	n    int64
	h    hash.Hash
}

func (v *verified) Read(b []byte) (int, error) {
	n, err := v.r.Read(b)
	v.n += int64(n)
	if v.want.Algorithm == "sha256" {
		if v.h == nil {
			v.h = sha256.New()
		}
		v.h.Write(b[:n])
	}
	return n, err
}

// finish reads what is left, and says whether the digest is right.
func (v *verified) finish() error {
	if _, err := io.Copy(io.Discard, v); err != nil {
		return err
	}
	if v.h != nil && hex.EncodeToString(v.h.Sum(nil)) != v.want.Hex {
		return errors.New("its bytes are not those of its digest")
	}
	return nil
}

// content reads a blob as a layer, or as a file.
func (s *Source) content(r *verified, loc rules.Location, have *layer, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	head, _ := in.Peek(512)
	var plain io.Reader = in
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("damaged layer: %w", err)
		}
		defer z.Close()
		plain = z
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return fmt.Errorf("damaged layer: %w", err)
		}
		defer z.Close()
		plain = z
	}
	if plain != io.Reader(in) {
		a := readAhead(&limit{r: plain, in: &r.n, n: MaxLayer, free: cmp.Or(s.Free, 2<<30)})
		defer a.Close()
		in = bufio.NewReaderSize(a, 64<<10)
		head, _ = in.Peek(512)
	}
	if !isTar(head) {
		if err := part(scanners.Artifact{Location: loc}, in); err != nil {
			return err
		}
		return nil
	}
	return s.walk(tar.NewReader(in), loc, have, part, gap)
}

// isTar knows a tar by its header's checksum, and an empty one.
func isTar(head []byte) bool {
	if len(head) < 512 {
		return false
	}
	sum, any := int64(0), false
	for i, c := range head {
		any = any || c != 0
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	want, err := strconv.ParseInt(strings.Trim(string(head[148:156]), " \x00"), 8, 64)
	return !any || err == nil && sum == want
}

// Whiteouts, by the OCI image specification: .wh.NAME removes NAME from the
// layers below, .wh..wh..opq all that they have in its folder.
const (
	whiteoutPrefix = ".wh."
	opaque         = ".wh..wh..opq"
)

func (s *Source) walk(t *tar.Reader, loc rules.Location, have *layer, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	var names bytes.Buffer
	tell := func() error {
		if names.Len() == 0 {
			return nil
		}
		l := loc
		l.Path = "(names)"
		text := bytes.Clone(names.Bytes())
		names.Reset()
		return part(scanners.Artifact{Location: l}, bytes.NewReader(text))
	}
	var small []byte
	for {
		h, err := t.Next()
		if err == io.EOF {
			return tell()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("damaged layer: %w", err), tell())
		}
		names.WriteString(strings.Join(archive.TarWords(h), "\t") + "\n")
		if names.Len() > 256<<10 {
			if err := tell(); err != nil {
				return err
			}
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
		if h.Typeflag == tar.TypeDir {
			continue
		}
		s.mu.Lock()
		have.whiteout["="+file] = true // overwritten below
		s.mu.Unlock()
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse {
			continue
		}
		l := loc
		l.Path = file
		var in io.Reader = t
		var id uint64
		if h.Size <= maxSmall {
			if small, err = readInto(small, t, h.Size); err != nil {
				gap(scanners.Gap{Location: l, Reason: "read to its middle only", Err: err})
				if err := part(scanners.Artifact{Location: l}, bytes.NewReader(small)); err != nil {
					return err
				}
				return fmt.Errorf("damaged layer: %w", err)
			}
			// Some rules look at the path as well.
			id = maphash.Comparable(s.seed, contentAt{file, maphash.Bytes(s.seed, small)})
			s.mu.Lock()
			known := s.clean[id]
			s.mu.Unlock()
			if known {
				continue
			}
			in = bytes.NewReader(small)
		}
		before := have.hits.Load()
		if err := part(scanners.Artifact{Location: l}, in); err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			gap(scanners.Gap{Location: l, Reason: "read to its middle only", Err: err})
			return fmt.Errorf("damaged layer: %w", err)
		}
		if h.Size <= maxSmall && have.hits.Load() == before {
			s.mu.Lock()
			s.clean[id] = true
			s.mu.Unlock()
		}
	}
}

// maxSmall is how large a file may be that is looked at once, wherever it stands:
// one chunk, of which all is known when it was read.
const maxSmall = 256 << 10

// contentAt is a file's path and a hash of what it holds.
type contentAt struct {
	path    string
	content uint64
}

func readInto(b []byte, r io.Reader, n int64) ([]byte, error) {
	if int64(cap(b)) < n {
		b = make([]byte, n, max(n, 64<<10))
	}
	k, err := io.ReadFull(r, b[:n])
	return b[:k], err
}

// Matched implements scanners.Watcher.
func (s *Source) Matched(at rules.Location) {
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

// remembered is what is kept of a layer in which nothing was found: the paths that
// it puts something at, or takes away.
type remembered struct {
	Paths []string `json:"paths"`
}

func layerKey(d v1.Hash) string { return "image/layer/" + d.String() }

// recall reports whether a layer was read before, to its end, and held nothing.
func (s *Source) recall(ctx context.Context, d v1.Hash, have *layer) bool {
	if s.Memory == nil {
		return false
	}
	b, ok := s.Memory.Recall(ctx, layerKey(d))
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

func (s *Source) keep(ctx context.Context, d v1.Hash, have *layer) {
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
		s.Memory.Remember(ctx, layerKey(d), out.Bytes())
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
		if len(have.uses) == 0 {
			continue
		}
		u := have.uses[0]
		n["layer_index"] = strconv.Itoa(u.index)
		if u.createdBy != "" {
			n["created_by"] = u.createdBy
		}
		if u.platform != "" {
			n["platform"] = u.platform
		}
		if u.name != "" {
			n["image"] = u.name
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
	// What is inside of a file goes with it; a name may hold a "!" too.
	outer, _, inside := strings.Cut(file, "!")
	if inside && !l.whiteout["="+file] && !l.whiteout[file] {
		file = outer
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

// limit ends a layer that is larger than a scan reads, or than its compressed bytes
// explain.
type limit struct {
	r    io.Reader
	in   *int64 // compressed bytes until now
	out  int64
	n    int64
	free int64
}

func (l *limit) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	l.out += int64(n)
	if l.out > l.n || l.out > l.free+maxRatio**l.in {
		return 0, errors.New("larger than the budget of one layer")
	}
	return n, err
}

// ahead reads while what it has read is looked at: a layer is inflated beside its
// scan.
type ahead struct {
	full chan []byte
	free chan []byte
	stop chan struct{}
	done chan struct{}
	cur  []byte
	buf  []byte
	err  error
}

func readAhead(r io.Reader) *ahead {
	const buffers, size = 4, 256 << 10
	a := &ahead{full: make(chan []byte, buffers), free: make(chan []byte, buffers), stop: make(chan struct{}), done: make(chan struct{})}
	for range buffers {
		a.free <- make([]byte, size)
	}
	go func() {
		defer close(a.done)
		defer close(a.full)
		// A library's panic on hostile bytes concerns this layer.
		defer func() {
			if x := recover(); x != nil {
				a.err = fmt.Errorf("damaged layer (%T)", x)
			}
		}()
		for {
			var b []byte
			select {
			case b = <-a.free:
			case <-a.stop:
				return
			}
			n := 0
			var err error
			for b = b[:size]; n < size && err == nil; {
				var k int
				k, err = r.Read(b[n:])
				n += k
			}
			if n > 0 {
				a.full <- b[:n]
			}
			if err != nil {
				if err != io.EOF {
					a.err = err
				}
				return
			}
		}
	}()
	return a
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.cur) == 0 {
		if a.buf != nil {
			a.free <- a.buf[:cap(a.buf)]
			a.buf = nil
		}
		b, ok := <-a.full
		if !ok {
			if a.err != nil {
				return 0, a.err
			}
			return 0, io.EOF
		}
		a.cur, a.buf = b, b
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}

// Close ends the reading and waits for it.
func (a *ahead) Close() {
	close(a.stop)
	for range a.full { // what was read already
	}
	<-a.done
}
