package git

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
)

func (r *repo) artifacts(ctx context.Context, yield func(scanners.Artifact, error) bool) bool {
	r.count(scanners.BoundsOf(ctx))
	gaps, err := r.choose(ctx)
	if !r.src.ranged() && !r.src.Staged {
		r.refs() // whose problems are reported with the others
	}
	gaps = append(r.takeProblems(), gaps...)
	for _, g := range gaps {
		if !yield(scanners.Artifact{}, r.src.gap(g.what, g.err)) {
			return false
		}
	}
	if err != nil {
		return yield(scanners.Artifact{}, r.src.gap("", err))
	}
	if r.src.ranged() || r.src.Staged {
		return r.each(yield) && (!r.src.Worktree || r.workFiles(ctx, yield)) && yield(r.lastNames(), nil)
	}
	r.ends = r.boundaries()
	if n := len(r.ends); n > 0 && !yield(scanners.Artifact{}, r.src.gap("shallow clone", scanners.OfKind(scanners.GapNotFetched, fmt.Errorf("history before %d boundary commits is not here", n)))) {
		return false
	}
	r.remember(ctx)
	r.addNames()
	r.links.refs()
	for _, w := range r.walkers() {
		if !yield(w, nil) {
			return false
		}
	}
	for _, o := range r.all() {
		for d := range 256 {
			ids := o.looseIDs(d)
			if len(ids) == 0 {
				continue
			}
			if !yield(scanners.Artifact{Location: r.location("loose objects"), Parts: r.looseParts(o, ids)}, nil) {
				return false
			}
		}
	}
	if !r.src.partly() {
		for _, a := range append(r.files(), r.largeFiles()...) {
			if !yield(a, nil) {
				return false
			}
		}
	}
	if r.src.Worktree && !r.workFiles(ctx, yield) {
		return false
	}
	return yield(r.lastNames(), nil)
}

// count makes the compressed bytes of all objects count towards b, loose ones when they are read.
func (r *repo) count(b *scanners.Bounds) {
	for _, o := range r.all() {
		o.own = b
		for _, p := range o.packs {
			b.Read(p.Size())
		}
	}
}

// walkers are the artifacts of the packs: for each pack as many as may run at once.
func (r *repo) walkers() (out []scanners.Artifact) {
	var earlier []*pack.Pack
	for _, o := range r.all() {
		for _, p := range o.packs {
			before := slices.Clone(earlier)
			earlier = append(earlier, p)
			hits, known := r.memory.pack(p)
			if known && len(hits) <= fewHits {
				// A few objects are read one by one, without reading all headers.
				for list := range slices.Chunk(slices.Sorted(maps.Keys(hits)), 16) {
					out = append(out, scanners.Artifact{Location: r.location("pack " + p.Name), Parts: r.single(list)})
				}
				continue
			}
			want := func(i []byte) bool {
				if r.want != nil && !r.want[id(i)] || known && !hits[id(i)] || r.memory.clean(i) {
					return false
				}
				// Objects of an earlier pack are read there.
				return !slices.ContainsFunc(before, func(b *pack.Pack) bool { _, ok := b.Find(i); return ok })
			}
			// The first walker that runs reads the headers for all.
			walk := sync.OnceValue(func() *pack.Walk {
				v := pack.Visitor{Kinds: []pack.Kind{pack.Commit, pack.Tree, pack.Blob, pack.Tag}, Want: want, Bad: r.damaged, Base: r.get, Verify: maxVerified}
				return p.NewWalk(v)
			})
			for range maxWalkers {
				out = append(out, scanners.Artifact{Location: r.location("pack " + p.Name),
					Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, _ func(scanners.Gap)) error {
						if err := walk().Run(ctx, func(o pack.Object) error { return r.part(o, part) }); err != nil {
							return err
						}
						return r.readNames(0, part)
					}})
			}
		}
	}
	return out
}

// fewHits is the number of objects up to which each is made from its chain of deltas alone. A walk
// reads a base once for all objects that are made of it.
const fewHits = 32

// maxVerified is how many bytes of a pack's objects are hashed: all of a small pack. Damage to
// the rest shows in the checksums of the index; hashing it would take more than a tenth of a
// scan's time.
const maxVerified = 128 << 20

// maxWalkers is how many goroutines share a pack. More than there are processors does no harm:
// a late one finds nothing left to do.
const maxWalkers = 16

// part scans one object of a pack.
func (r *repo) part(o pack.Object, part func(scanners.Artifact, io.Reader) error) error {
	if o.Data != nil {
		r.links.object(o.Kind, id(o.ID), o.Data)
	}
	if o.Kind == pack.Tree {
		if o.Data == nil {
			r.damaged(o.ID, errLargeTree)
		}
		return r.readNames(batchSize, part)
	}
	a := r.object(o.Kind, id(o.ID))
	if o.Data == nil {
		if err := part(a, o.Stream); err != nil {
			r.damaged(o.ID, err)
		}
		return nil
	}
	if o.Kind == pack.Blob {
		r.pointer(id(o.ID), o.Data)
	}
	return part(a, scanners.InMemory(o.Data))
}

var errLargeTree = scanners.OfKind(scanners.GapLimitMemory, errors.New("a tree that is too large to be read"))

// object is the artifact of an object.
func (r *repo) object(kind pack.Kind, i id) scanners.Artifact {
	h := i.String()
	l := r.location(kind.String() + " " + h)
	if kind == pack.Commit {
		l.Commit = h
	}
	if from, ok := r.origins[i]; ok {
		r.place(&l, from)
	}
	return scanners.Artifact{Location: l, Expanded: true}
}

// damaged counts an object that can't be read.
func (r *repo) damaged(i []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.bad[err.Error()]
	if t == nil {
		t = &trouble{first: hex.EncodeToString(i), err: err}
		r.bad[err.Error()] = t
	}
	t.n++
	r.matched[id(i)] = true
}

// looseParts scans loose objects.
func (r *repo) looseParts(o *store, ids []id) func(context.Context, func(scanners.Artifact, io.Reader) error, func(scanners.Gap)) error {
	return func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, _ func(scanners.Gap)) error {
		for _, i := range ids {
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.want != nil && !r.want[i] || r.memory.clean([]byte(i)) || slices.ContainsFunc(r.all(), func(o *store) bool { return o.packed([]byte(i)) }) {
				continue
			}
			r.looseOne(ctx, o, i, part)
		}
		return r.readNames(0, part)
	}
}

func (r *repo) looseOne(ctx context.Context, o *store, i id, part func(scanners.Artifact, io.Reader) error) {
	kind, size, b, err := o.loose(i)
	if err != nil {
		r.damaged([]byte(i), err)
		return
	}
	defer b.Close()
	var from io.Reader = b
	switch {
	case kind != pack.Blob && size > MaxObject:
		r.damaged([]byte(i), errLargeTree)
	case kind != pack.Blob || size <= maxPointer:
		text, err := io.ReadAll(b)
		if err != nil {
			r.damaged([]byte(i), err)
		}
		r.links.object(kind, i, text)
		if kind == pack.Blob {
			r.pointer(i, text)
		}
		from = bytes.NewReader(text)
	}
	if kind == pack.Tree {
		return
	}
	if err := part(r.object(kind, i), from); err != nil && ctx.Err() == nil {
		r.damaged([]byte(i), err)
	}
}

// single scans objects one by one.
func (r *repo) single(ids []id) func(context.Context, func(scanners.Artifact, io.Reader) error, func(scanners.Gap)) error {
	return func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, _ func(scanners.Gap)) error {
		for _, i := range ids {
			if err := ctx.Err(); err != nil {
				return err
			}
			kind, b, err := r.get([]byte(i))
			if err != nil {
				r.damaged([]byte(i), err)
				continue
			}
			r.links.object(kind, i, b)
			if kind == pack.Tree {
				continue
			}
			if kind == pack.Blob {
				r.pointer(i, b)
			}
			if err := part(r.object(kind, i), scanners.InMemory(b)); err != nil {
				return err
			}
		}
		return r.readNames(0, part)
	}
}

// each yields the requested objects, where they are a list.
func (r *repo) each(yield func(scanners.Artifact, error) bool) bool {
	ids := slices.Sorted(maps.Keys(r.want))
	for list := range slices.Chunk(ids, 64) {
		if !yield(scanners.Artifact{Location: r.location("objects"), Parts: r.single(list)}, nil) {
			return false
		}
	}
	return true
}

// files are the store's other files, and the messages of its reflogs.
func (r *repo) files() []scanners.Artifact {
	var out []scanners.Artifact
	add := func(path, what string) {
		out = append(out, scanners.Artifact{
			Location: r.location(what),
			Open:     func(context.Context) (io.ReadCloser, error) { return r.Open(path) },
		})
	}
	for _, file := range r.plainFiles() {
		add(file, file)
	}
	for _, f := range r.reflogFiles() {
		add(f.file, "reflog "+f.name)
	}
	for _, dir := range r.heads() {
		t, err := r.reftable(path.Join(dir, "reftable"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.damaged(nil, fmt.Errorf("names in %s: %w", path.Join(dir, "reftable"), err))
		}
		texts := map[string]*bytes.Buffer{}
		for _, l := range t.logs {
			if texts[l.ref] == nil {
				texts[l.ref] = &bytes.Buffer{}
			}
			fmt.Fprintf(texts[l.ref], "%s %s %s\t%s\n", l.old, l.new, l.who, strings.TrimSuffix(l.message, "\n"))
		}
		for name, text := range texts {
			out = append(out, scanners.Artifact{Location: r.location("reflog " + own(dir, name)),
				Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(text), nil }})
		}
	}
	return out
}

// readAll reads n bytes, the declared length.
func readAll(r io.Reader, n int64) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, min(n, 1<<20)))
	_, err := io.Copy(b, r)
	return b.Bytes(), err
}
