package archive

import (
	"bytes"
	"fmt"
	"io"

	"github.com/quellhq/quell/scanners/git/pack"
)

// unbundle opens a git bundle, which the exports of forges hold: blobs, commits and
// tags, each by its id. What builds on commits that it lacks is said.
func unbundle(o *opening) error {
	b, err := io.ReadAll(io.NewSectionReader(o.at, 0, o.size))
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
	p, err := pack.IndexBytes(b[h.Pack:], h.HashLen)
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
