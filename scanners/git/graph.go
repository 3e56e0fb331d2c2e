package git

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/quellhq/quell/scanners/git/pack"
)

// numbers gives each object of a store one number, whichever packs contain it.
type numbers struct {
	packs []*pack.Pack
	first []int32 // each pack's first number
	loose map[id]int32
	ids   []id // of the loose ones
	total int
}

func (s *store) number() *numbers {
	n := &numbers{loose: map[id]int32{}}
	for _, o := range s.all() {
		for _, p := range o.packs {
			n.packs = append(n.packs, p)
			n.first = append(n.first, int32(n.total))
			n.total += p.Len()
		}
	}
	for _, o := range s.all() {
		for d := range 256 {
			for _, i := range o.looseIDs(d) {
				if n.of([]byte(i)) < 0 {
					n.loose[i] = int32(n.total)
					n.ids = append(n.ids, i)
					n.total++
				}
			}
		}
	}
	return n
}

// of is an object's number, or -1 where it is not here.
func (n *numbers) of(want []byte) int32 {
	for k, p := range n.packs {
		if i, ok := p.Find(want); ok {
			return n.first[k] + int32(i)
		}
	}
	if k, ok := n.loose[id(want)]; ok {
		return k
	}
	return -1
}

// id returns the id for a number.
func (n *numbers) id(k int32) id {
	if i := int(k) - (n.total - len(n.ids)); i >= 0 {
		return n.ids[i]
	}
	p := len(n.first) - 1
	for n.first[p] > k {
		p--
	}
	return id(n.packs[p].ID(int(k - n.first[p])))
}

// link is an entry of a tree: the object's number and the name's.
type link struct{ to, name int32 }

// graph is a history: its commits, and of its trees the requested entries.
type graph struct {
	s     *store
	n     *numbers
	at    []int32 // an object's number -> its commit below, or -1
	all   []node
	links [][]link // by number, of trees
	names []string
	index map[string]int32
	// missing has the requested names of objects that are not in the store.
	missing map[id]bool
	mu      sync.Mutex // guards links, names, index and missing while trees are read
}

// node is a commit. Its author and message are read where they are reported.
type node struct {
	object  int32
	tree    int32   // number, or -1 where it is not here
	parents []int32 // those that are here, as positions in graph.all
	when    int64   // the committer's date, in seconds
}

// maxReaders is how many goroutines read objects for a graph.
const maxReaders = 8

// each calls a function of reader with every object of the given kind: first those of packs, in
// bulk, then the loose ones. Several goroutines read at once, each with a function of its own.
// Unreadable objects were already reported by the scan.
func (g *graph) each(ctx context.Context, kind pack.Kind, reader func() func(id, data []byte)) error {
	first := reader()
	for _, p := range g.n.packs {
		w := p.NewWalk(pack.Visitor{Kinds: []pack.Kind{kind}, Base: g.s.get})
		run := func(f func(id, data []byte)) error {
			return w.Run(ctx, func(o pack.Object) error {
				b := o.Data
				if b == nil && o.Size <= MaxObject {
					b, _ = readAll(o.Stream, o.Size)
				}
				f(o.ID, b)
				return nil
			})
		}
		var others errgroup.Group
		for range min(runtime.GOMAXPROCS(0), maxReaders) - 1 {
			f := reader()
			others.Go(func() error { return run(f) })
		}
		if err := errors.Join(run(first), others.Wait()); err != nil {
			return err
		}
	}
	for _, i := range g.n.ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, o := range g.s.all() {
			k, size, r, err := o.loose(i)
			if err != nil {
				continue
			}
			if k == kind && size <= MaxObject {
				if b, err := readAll(r, size); err == nil {
					first([]byte(i), b)
				}
			}
			r.Close()
			break
		}
	}
	return nil
}

// history reads all commits.
func (s *store) history(ctx context.Context) (*graph, error) {
	g := &graph{s: s, n: s.number()}
	var all []node
	err := g.each(ctx, pack.Commit, func() func(i, b []byte) {
		return func(i, b []byte) {
			c := node{object: g.n.of(i)}
			tree, parents, when := commitLinks(b, s.hashLen)
			c.tree, c.when = g.n.of([]byte(tree)), when
			for _, p := range parents {
				if k := g.n.of([]byte(p)); k >= 0 {
					c.parents = append(c.parents, k)
				}
			}
			if c.object >= 0 {
				g.mu.Lock()
				all = append(all, c)
				g.mu.Unlock()
			}
		}
	})
	// Several goroutines have read them: this is their order in the packs.
	slices.SortFunc(all, func(a, b node) int { return cmp.Compare(a.object, b.object) })
	g.all = slices.CompactFunc(all, func(a, b node) bool { return a.object == b.object })
	g.at = slices.Repeat([]int32{-1}, g.n.total)
	for k := range g.all {
		g.at[g.all[k].object] = int32(k)
	}
	for k := range g.all {
		list := g.all[k].parents
		for i, p := range list {
			list[i] = g.at[p]
		}
		g.all[k].parents = slices.DeleteFunc(list, func(p int32) bool { return p < 0 })
	}
	return g, err
}

// graph reads all commits, and of all trees the folders and the blobs that keep selects; keep
// nil: all of them. Names are those of the selected entries; none if keep is nil.
func (s *store) graph(ctx context.Context, keep func(name, blob []byte) bool) (*graph, error) {
	g, err := s.history(ctx)
	if err != nil {
		return g, err
	}
	return g, g.trees(ctx, keep)
}

// trees reads the entries of all trees; the parameter is that of graph.
func (g *graph) trees(ctx context.Context, keep func(name, blob []byte) bool) error {
	g.links = make([][]link, g.n.total)
	g.names, g.index, g.missing = nil, map[string]int32{}, map[id]bool{}
	return g.each(ctx, pack.Tree, func() func(i, b []byte) {
		known := newNumberCache(g.n)
		names := map[string]int32{}
		var block, list []link // many lists in one allocation
		return func(i, b []byte) {
			k := g.n.of(i)
			if k < 0 {
				return
			}
			list = list[:0]
			eachEntry(b, g.s.hashLen, func(mode, name, child []byte) {
				isTree := string(mode) == "40000"
				if string(mode) == "160000" || !isTree && keep != nil && !keep(name, child) {
					return
				}
				x := link{to: known.of(child)}
				if x.to < 0 {
					g.mu.Lock()
					g.missing[id(child)] = true
					g.mu.Unlock()
					return
				}
				if keep != nil {
					n, ok := names[string(name)]
					if !ok {
						g.mu.Lock()
						n = g.name(name)
						text := g.names[n]
						g.mu.Unlock()
						names[text] = n
					}
					x.name = n
				}
				list = append(list, x)
			})
			if len(list) > cap(block)-len(block) {
				block = make([]link, 0, max(len(list), 1<<12))
			}
			from := len(block)
			block = append(block, list...)
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.links[k] == nil {
				g.links[k] = block[from:len(block):len(block)]
			}
		}
	})
}

// numberCache finds the numbers of objects. Most entries of a tree are also in the tree that was
// read before it.
type numberCache struct {
	n     *numbers
	slots [1 << 14]struct {
		id  [32]byte
		to  int32
		set bool
	}
}

func newNumberCache(n *numbers) *numberCache { return &numberCache{n: n} }

func (c *numberCache) of(want []byte) int32 {
	slot := &c.slots[binary.LittleEndian.Uint16(want)>>2]
	if !slot.set || !bytes.Equal(slot.id[:len(want)], want) {
		copy(slot.id[:], want)
		slot.to, slot.set = c.n.of(want), true
	}
	return slot.to
}

func (g *graph) name(b []byte) int32 {
	if k, ok := g.index[string(b)]; ok {
		return k
	}
	k := int32(len(g.names))
	g.names = append(g.names, string(b))
	g.index[g.names[k]] = k
	return k
}

// commitOf finds a commit by its id.
func (g *graph) commitOf(i id) (int32, bool) {
	k := g.n.of([]byte(i))
	if k < 0 || g.at[k] < 0 {
		return 0, false
	}
	return g.at[k], true
}

// id returns the id of a commit.
func (g *graph) id(commit int32) id { return g.n.id(g.all[commit].object) }

// commit reads what is reported of a commit.
func (g *graph) commit(k int32) commit {
	i := g.id(k)
	_, b, err := g.s.get([]byte(i))
	if err != nil {
		return commit{id: i}
	}
	return parseCommit(i, b, g.s.hashLen)
}

// tip is what a ref points to, through tags: a commit, or another object.
func (s *store) tip(i id) (id, pack.Kind) {
	for range 8 {
		kind, b, err := s.get([]byte(i))
		if err != nil || kind != pack.Tag {
			return i, kind
		}
		to, ok := tagTarget(b, s.hashLen)
		if !ok {
			return i, kind
		}
		i = to
	}
	return i, 0
}

// ancestors marks all commits that the given ones reach.
func (g *graph) ancestors(from []int32, marked []bool) {
	todo := slices.Clone(from)
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if marked[k] {
			continue
		}
		marked[k] = true
		for _, c := range g.all[k].parents {
			if !marked[c] {
				todo = append(todo, c)
			}
		}
	}
}

// below marks a tree and all that it contains.
func (g *graph) below(k int32, marked []bool) {
	todo := []int32{k}
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if k < 0 || marked[k] {
			continue
		}
		marked[k] = true
		for _, l := range g.links[k] {
			todo = append(todo, l.to)
		}
	}
}
