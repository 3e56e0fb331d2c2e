package archive

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
)

// unbundle opens a git bundle, as forges export them: blobs, commits and tags, each named by
// its id. It reports objects whose base is not in the bundle.
func unbundle(o *opening) error {
	b, err := o.all()
	if err != nil {
		return err
	}
	h, err := pack.ParseBundle(b)
	if err != nil {
		return err
	}
	for name := range h.Refs {
		o.note(name)
	}
	return objects(o, b[h.Pack:], h.HashLen)
}

// unpack opens a git pack of a repository in an image or an archive.
func unpack(o *opening) error {
	b, err := o.all()
	if err != nil {
		return err
	}
	// The pack does not state its hash algorithm; only its trailing checksum shows it.
	n := sha1.Size
	if k := len(b) - sha256.Size; k > 0 && sha256.Sum256(b[:k]) == [sha256.Size]byte(b[k:]) {
		n = sha256.Size
	}
	return objects(o, b, n)
}

// maxPack is the largest pack, in bytes, that is read into memory.
const maxPack = 1 << 30

// all reads a whole pack or bundle.
func (o *opening) all() ([]byte, error) {
	if o.size > maxPack {
		return nil, limitOf(scanners.GapLimitMemory, "over %d MiB of git's objects: quell scan git reads them from the repository", maxPack>>20)
	}
	return io.ReadAll(io.NewSectionReader(o.at, 0, o.size))
}

// objects reads a pack's commits, blobs and tags, each named by its id.
func objects(o *opening, b []byte, hashLen int) error {
	p, err := pack.IndexBytes(b, hashLen)
	if p == nil {
		return err
	}
	if err != nil {
		o.gap("", err)
	}
	w := p.NewWalk(pack.Visitor{Kinds: []pack.Kind{pack.Commit, pack.Blob, pack.Tag}, Bad: func(id []byte, err error) { o.gap(fmt.Sprintf("%x", id), err) }})
	return w.Run(o.ctx, func(x pack.Object) error {
		var r io.Reader = bytes.NewReader(x.Data)
		if x.Data == nil {
			r = x.Stream
		}
		return o.member(fmt.Sprintf("%s %x", x.Kind, x.ID), r)
	})
}
