package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/quellhq/quell/scanners"
)

// maxPointer is the largest pointer of Git LFS (its specification: 1,024 bytes).
const maxPointer = 1024

// pointer records a blob that is a pointer to a large file (Git LFS).
func (r *repo) pointer(i id, b []byte) {
	const first = "version https://git-lfs.github.com/spec/v1\n"
	if len(b) > maxPointer || len(b) < len(first) || string(b[:len(first)]) != first {
		return
	}
	for line := range strings.Lines(string(b)) {
		if oid, ok := strings.CutPrefix(strings.TrimSpace(line), "oid sha256:"); ok && len(oid) == 64 {
			r.mu.Lock()
			r.lfs[oid] = i
			r.matched[i] = true // so that the next scan knows it too
			r.mu.Unlock()
			return
		}
	}
}

// largeFiles are the large files in the store.
func (r *repo) largeFiles() (out []scanners.Artifact) {
	const top = "lfs/objects"
	for _, a := range r.list(top) {
		for _, b := range r.list(path.Join(top, a.Name())) {
			for _, f := range r.list(path.Join(top, a.Name(), b.Name())) {
				if p := path.Join(top, a.Name(), b.Name(), f.Name()); f.Type().IsRegular() && len(f.Name()) == 64 {
					out = append(out, scanners.Artifact{Location: r.location(lfsObject + f.Name()),
						Open: func(context.Context) (io.ReadCloser, error) { return r.root.Open(p) }})
				}
			}
		}
	}
	return out
}

// absent reports what the repository promises and does not have.
func (r *repo) absent(ctx context.Context) (out []problem) {
	if ctx.Err() != nil || r.src.Range != "" || r.src.Staged {
		return nil
	}
	lost := 0
	for oid := range r.lfs {
		if len(oid) != 64 {
			continue
		}
		if _, err := r.root.Stat(path.Join("lfs/objects", oid[:2], oid[2:4], oid)); err != nil {
			lost++
		}
	}
	if lost > 0 {
		out = append(out, problem{fmt.Sprintf("%d files of Git LFS", lost), scanners.OfKind(scanners.GapNotFetched, errors.New("their pointers are here, they are not: fetch them"))})
	}
	if !r.promisor {
		return out
	}
	// A partial clone: objects that its trees name and that were never fetched.
	if n := r.promises(ctx); n > 0 {
		out = append(out, problem{fmt.Sprintf("%d promised objects", n), scanners.OfKind(scanners.GapNotFetched, errors.New("a partial clone: they are not here"))})
	}
	return out
}

// promises counts the objects that trees name and that are not here. The scan of all objects has
// counted them; other scans read the trees for it, unless nothing is new since the last count.
func (r *repo) promises(ctx context.Context) int {
	if r.want == nil && len(r.memory.packs) == 0 && len(r.memory.seen) == 0 {
		r.links.mu.Lock()
		defer r.links.mu.Unlock()
		return len(r.links.promised)
	}
	if r.promised == nil {
		n, ok := r.recallPromises(ctx)
		if !ok {
			g, err := r.graph(ctx, nil)
			if err != nil {
				return 0
			}
			n = len(g.missing)
		}
		r.promised = &n
	}
	return *r.promised
}
