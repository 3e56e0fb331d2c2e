package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"path"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/inflate"
)

// blob returns a layer's artifact. Its parts are the files of the tar, whatever the
// compression; a blob that is not a tar has one part.
func (s *session) blob(b blobs, d v1.Descriptor, loc rules.Location, have *layer, named string) scanners.Artifact {
	return scanners.Artifact{Location: loc, Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
		// Only content verified by its digest may use or enter the memory. The names in an
		// archive of docker save are unverified.
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
		sum := &verified{r: r, want: d.Digest, own: scanners.BoundsOf(ctx)}
		if _, remote := b.(repository); remote {
			sum.most = d.Size
		}
		if named != "" {
			sum.want = v1.Hash{}
		}
		err = s.content(ctx, sum, loc, have, part, gap)
		if err == nil {
			err = sum.finish()
		}
		if err == nil && sure {
			s.keep(ctx, d.Digest, have)
		}
		return err
	}}
}

// verified compares the content with a digest.
type verified struct {
	r    io.Reader
	want v1.Hash
	most int64 // size by the descriptor; 0 if it states none, or for a file
	n    int64
	h    hash.Hash
	own  *scanners.Bounds // counts the bytes as the target's own; nil: they are counted already
}

var errLonger = scanners.OfKind(scanners.GapLimitBytes, errors.New("the registry sends more bytes than the manifest announces"))

func (v *verified) Read(b []byte) (int, error) {
	n, err := v.r.Read(b)
	v.n += int64(n)
	v.own.Read(int64(n))
	if v.most > 0 && v.n > v.most {
		return 0, errLonger
	}
	if v.want.Algorithm == "sha256" {
		if v.h == nil {
			v.h = sha256.New()
		}
		v.h.Write(b[:n])
	}
	return n, err
}

// finish reads the rest, and returns an error if the digest is wrong.
func (v *verified) finish() error {
	if _, err := io.Copy(io.Discard, v); err != nil {
		return err
	}
	if v.h != nil && hex.EncodeToString(v.h.Sum(nil)) != v.want.Hex {
		return errDigest
	}
	return nil
}

// content reads a blob as a layer or as a single file.
func (s *session) content(ctx context.Context, r *verified, loc rules.Location, have *layer, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	in, err := s.inflated(ctx, r)
	if err != nil {
		return fmt.Errorf("damaged layer: %w", err)
	}
	defer in.Close()
	part = expanded(part)
	head := in.peek(512)
	if !isTar(head) {
		if err := part(scanners.Artifact{Location: loc}, in); err != nil {
			return err
		}
		return nil
	}
	all := bufio.NewReader(in)
	if err := s.walk(archive.NewTar(all), loc, have, part, gap); err != nil {
		return err
	}
	if more, err := archive.Padding(all); !more {
		return err
	}
	// A container does not see the data after a layer's end, but everybody who pulls the image
	// can read it.
	loc.Path = archive.TrailingMember
	return part(scanners.Artifact{Location: loc}, all)
}

// compressions are recognised by magic number. Registries serve gzip, zstd and uncompressed
// layers; Docker also loads archives with the other two.
var compressions = []struct {
	magic string
	open  func(io.Reader) (io.ReadCloser, error)
}{
	{"\x1f\x8b", func(r io.Reader) (io.ReadCloser, error) { return inflate.NewGzip(r) }},
	{"\x28\xb5\x2f\xfd", func(r io.Reader) (io.ReadCloser, error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}},
	{"\xfd7zXZ\x00", func(r io.Reader) (io.ReadCloser, error) {
		z, err := xz.NewReader(r, maxWindow)
		return io.NopCloser(z), err
	}},
	{"BZh91AY&SY", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
}

// maxWindow is the maximum history window of a decoder, in bytes, whatever a header requests.
const maxWindow = 128 << 20

// compression returns the decompressor for data that begins with head, or nil.
func compression(head []byte) func(io.Reader) (io.ReadCloser, error) {
	for _, c := range compressions {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return c.open
		}
	}
	return nil
}

// expanded marks the bytes of each part as counted by verified and limit.
func expanded(part func(scanners.Artifact, io.Reader) error) func(scanners.Artifact, io.Reader) error {
	return func(a scanners.Artifact, r io.Reader) error {
		a.Expanded = true
		return part(a, r)
	}
}

// inflated decompresses r, or returns it as it is if it is not compressed.
func (s *session) inflated(ctx context.Context, r *verified) (*peeker, error) {
	all := scanners.Surplus{Bounds: scanners.BoundsOf(ctx)}
	packed := bufio.NewReaderSize(r, 64<<10)
	head, _ := packed.Peek(longestMagic)
	open := compression(head)
	if open == nil {
		return &peeker{Reader: &limit{r: packed, in: &r.n, n: MaxLayer, free: MaxLayer, all: all}, peek: func(n int) []byte { b, _ := packed.Peek(n); return b }, Close: func() {}}, nil
	}
	z, err := open(packed)
	if err != nil {
		return nil, err
	}
	a := readAhead(&limit{r: z, in: &r.n, n: MaxLayer, free: cmp.Or(s.Free, 2<<30), all: all})
	return &peeker{Reader: a, peek: a.peek, Close: func() { a.Close(); _ = z.Close() }}, nil
}

// longestMagic is the length, in bytes, of the longest magic number in compressions.
const longestMagic = 10

// peeker is a stream whose next bytes can be inspected.
type peeker struct {
	io.Reader
	peek  func(n int) []byte
	Close func()
}

// isTar recognises a tar by its header's checksum, and an empty tar.
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

// Whiteouts (OCI image specification): .wh.NAME removes NAME from the layers below,
// .wh..wh..opq removes everything that they have in its folder.
const (
	whiteoutPrefix = ".wh."
	opaque         = ".wh..wh..opq"
)

func (s *session) walk(t *archive.TarReader, loc rules.Location, have *layer, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	var names scanners.Names
	tell := func() error {
		text := names.Take()
		if text == nil {
			return nil
		}
		l := loc
		l.Path = archive.NamesMember
		return part(scanners.Artifact{Location: l}, scanners.AsIs{Reader: bytes.NewReader(text)})
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
		names.Add(archive.TarWords(h)...)
		if names.Full() {
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
			if h.Size == 0 {
				continue
			}
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		s.mu.Lock()
		have.whiteout["="+file] = true // overwrites the file of lower layers
		s.mu.Unlock()
		if !archive.HasContent(h) {
			continue
		}
		l := loc
		l.Path = file
		in, holes := t.Content(h)
		var id uint64
		if h.Size <= maxSmall {
			if small, err = readInto(small, t, h.Size); err != nil {
				gap(scanners.Gap{Location: l, Reason: "read to its middle only", Err: err})
				if err := part(scanners.Artifact{Location: l}, bytes.NewReader(small)); err != nil {
					return err
				}
				return fmt.Errorf("damaged layer: %w", err)
			}
			// The path is part of the id, because some rules use it.
			id = maphash.Comparable(s.seed, contentAt{file, maphash.Bytes(s.seed, small)})
			s.mu.Lock()
			known := s.clean[id]
			s.mu.Unlock()
			if known {
				continue
			}
			in = scanners.InMemory(small)
		}
		before := have.hits.Load()
		if err := part(scanners.Artifact{Location: l}, in); err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, scanners.ErrTime) {
				return err
			}
			gap(scanners.Gap{Location: l, Reason: "read to its middle only", Err: err})
			return fmt.Errorf("damaged layer: %w", err)
		}
		if err := holes.Err(); err != nil {
			gap(scanners.Gap{Location: l, Err: err})
		}
		if h.Size <= maxSmall && have.hits.Load() == before {
			s.mu.Lock()
			s.clean[id] = true
			s.mu.Unlock()
		}
	}
}

// maxSmall is the maximum size, in bytes, of a file that is scanned only once however many
// layers contain it. Such a file fits one chunk, so its scan is complete when the read ends.
const maxSmall = 256 << 10

// contentAt is a file's path and a hash of its content.
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
