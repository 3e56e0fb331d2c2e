package git

import (
	"context"
	"slices"

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
	at    map[int32]int32 // an object's number -> its commit below
	all   []commit
	links [][]link // by number, of trees
	names []string
	index map[string]int32
	// missing counts names of objects that are not in the store.
	missing map[id]bool
}

// each calls f, one at a time, with every object of the given kind: first those of packs, in
// bulk, then the loose ones. Unreadable objects were already reported by the scan.
func (g *graph) each(ctx context.Context, kind pack.Kind, f func(id []byte, data []byte)) error {
	for _, p := range g.n.packs {
		w := p.NewWalk(pack.Visitor{Kinds: []pack.Kind{kind}, Base: g.s.get})
		if err := w.Run(ctx, func(o pack.Object) error {
			b := o.Data
			if b == nil && o.Size <= MaxObject {
				b, _ = readAll(o.Stream, o.Size)
			}
			f(o.ID, b)
			return nil
		}); err != nil {
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
					f([]byte(i), b)
				}
			}
			r.Close()
			break
		}
	}
	return nil
}

// graph reads all commits, and of all trees the folders and the blobs that keep selects; keep
// nil: all of them.
func (s *store) graph(ctx context.Context, trees bool, keep func(name, blob []byte) bool) (*graph, error) {
	g := &graph{s: s, n: s.number(), at: map[int32]int32{}, index: map[string]int32{}, missing: map[id]bool{}}
	err := g.each(ctx, pack.Commit, func(i, b []byte) {
		k := g.n.of(i)
		if _, dup := g.at[k]; k >= 0 && !dup {
			g.at[k] = int32(len(g.all))
			g.all = append(g.all, parseCommit(id(i), b, s.hashLen))
		}
	})
	if err != nil || !trees {
		return g, err
	}
	g.links = make([][]link, g.n.total)
	var block []link // many lists in one allocation
	err = g.each(ctx, pack.Tree, func(i, b []byte) {
		k := g.n.of(i)
		if k < 0 || g.links[k] != nil {
			return
		}
		from := len(block)
		eachEntry(b, s.hashLen, func(mode, name, child []byte) {
			isTree := string(mode) == "40000"
			if string(mode) == "160000" || !isTree && keep != nil && !keep(name, child) {
				return
			}
			to := g.n.of(child)
			if to < 0 {
				g.missing[id(child)] = true
				return
			}
			block = append(block, link{to, g.name(name)})
		})
		g.links[k] = block[from:len(block):len(block)]
		if len(block) > 1<<16 {
			block = nil
		}
	})
	return g, err
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
	k, ok := g.at[g.n.of([]byte(i))]
	return k, ok
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
		for _, p := range g.all[k].parents {
			if c, ok := g.commitOf(p); ok && !marked[c] {
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
