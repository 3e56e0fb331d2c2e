package git

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
)

// maxBundleHead limits the size of a bundle's head, which has a line for each ref.
const maxBundleHead = 64 << 20

// bundle reads a file that contains a pack and the refs to its objects.
func (s *session) bundle(file string, yield func(scanners.Artifact, error) bool) {
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		yield(scanners.Artifact{}, s.gap("", err))
		return
	}
	name := filepath.Base(file)
	b, err := head(root, name)
	if err != nil {
		yield(scanners.Artifact{}, s.gap("", err))
		return
	}
	if s.partly() || s.Worktree || s.Objects != "" && s.Objects != All {
		yield(scanners.Artifact{}, s.gap("", errors.New("a bundle is read whole: it has no branches checked out, no index and no reflogs")))
		return
	}
	st := &store{dir: filepath.Dir(file), root: root, hashLen: b.HashLen, bundle: &b}
	st.getters.New = func() any { return &pack.Getter{} }
	r := s.add(&repository{store: st, private: "."})
	r.addNames()
	p, err := pack.IndexAt(root, name, b.Pack, b.HashLen, nil)
	if err != nil {
		why := s.gap("bundle", err)
		if len(b.Prerequisites) > 0 {
			why = s.gap("bundle", fmt.Errorf("%w; it builds on %d commits that it does not hold", err, len(b.Prerequisites)))
		}
		if !yield(scanners.Artifact{}, why) || p == nil {
			return
		}
	}
	st.packs = []*pack.Pack{p}
	for _, w := range r.walkers() {
		if !yield(w, nil) {
			return
		}
	}
}

// head reads as much of a file as a bundle's head may need.
func head(root *os.Root, name string) (pack.Bundle, error) {
	f, err := root.Open(name)
	if err != nil {
		return pack.Bundle{}, err
	}
	defer f.Close()
	for size := int64(64 << 10); ; size *= 16 {
		b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
		if err != nil {
			return pack.Bundle{}, err
		}
		h, err := pack.ParseBundle(b)
		if err == nil || int64(len(b)) < size || size > maxBundleHead || !errors.Is(err, pack.ErrCut) {
			return h, err
		}
	}
}

// bundleRefs are the refs of a bundle.
func bundleRefs(b *pack.Bundle) (out []ref) {
	for name, h := range b.Refs {
		if i, ok := parseID(h, b.HashLen); ok {
			out = append(out, ref{name, i})
		}
	}
	return out
}
