package git

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// maxPlaces limits the paths that one commit introduces, in addition to one for each wanted
// object: a few trees can contain a blob at more paths than could ever be listed.
const maxPlaces = 4096

// introduction is a commit that has a blob at a path where none of its parents has it.
type introduction struct {
	commit int32
	path   string
}

// containment is whether a tree contains something wanted.
type containment uint8

const (
	notKnown containment = iota
	nothing
	something
)

// maxDepth limits the nesting of folders: git itself fails at a few thousand.
const maxDepth = 1024

// contains reports whether a wanted blob or name is below a tree.
func (a *attribution) contains(k int32, depth int) bool {
	if k < 0 || depth > maxDepth {
		return false
	}
	if got := a.has[k]; got != notKnown {
		return got == something
	}
	a.has[k] = nothing // a damaged tree that contains itself ends here
	for _, l := range a.links[k] {
		if _, ok := a.named[l.name]; ok || a.wanted[l.to] || a.contains(l.to, depth+1) {
			a.has[k] = something
			return true
		}
	}
	return false
}

// introduce finds the commits that introduced the wanted blobs, the earliest first.
func (a *attribution) introduce() {
	var olds []int32
	for k := range a.all {
		c := &a.all[k]
		olds = olds[:0]
		for _, p := range c.parents {
			olds = append(olds, a.all[p].tree)
		}
		left := maxPlaces + len(a.wanted) + len(a.named)
		a.difference(int32(k), c.tree, olds, "", 0, &left)
	}
	for _, list := range a.intro {
		slices.SortFunc(list, func(x, y introduction) int {
			return cmp.Or(cmp.Compare(a.all[x.commit].when, a.all[y.commit].when), strings.Compare(string(a.id(x.commit)), string(a.id(y.commit))), strings.Compare(x.path, y.path))
		})
	}
}

// difference records what a tree of a commit contains that none of the trees of its parents has
// at the same path. Trees that are equal are not read.
func (a *attribution) difference(commit, tree int32, olds []int32, dir string, depth int, left *int) {
	if slices.Contains(olds, tree) || !a.contains(tree, depth) {
		return
	}
	relevant := 0
	for _, l := range a.links[tree] {
		if _, named := a.named[l.name]; named || a.wanted[l.to] || a.contains(l.to, depth+1) {
			relevant++
		}
	}
	var before []entriesOf
	for _, o := range olds {
		if o >= 0 && len(a.links[o]) > 0 {
			before = append(before, newEntriesOf(a.links[o], relevant))
		}
	}
	found := func(subject int32, path string) {
		*left--
		a.intro[subject] = append(a.intro[subject], introduction{commit, path})
	}
	for i, l := range a.links[tree] {
		subject, named := a.named[l.name]
		blob := a.wanted[l.to]
		if !named && !blob && !a.contains(l.to, depth+1) {
			continue
		}
		// Most entries are where they were, and equal.
		if slices.ContainsFunc(before, func(b entriesOf) bool { return i+b.shift < len(b.list) && b.list[i+b.shift] == l }) {
			continue
		}
		same, known := false, false
		var below []int32
		for k := range before {
			for _, o := range before[k].named(l.name, i) {
				known = true
				same = same || o.to == l.to
				below = append(below, o.to)
			}
		}
		if *left <= 0 {
			return
		}
		at := path.Join(dir, a.graph.names[l.name])
		if named && !known {
			found(subject, at)
		}
		switch {
		case same:
		case blob:
			found(l.to, at)
		default:
			a.difference(commit, l.to, below, at, depth+1, left)
		}
	}
}

// entriesOf finds the entries of a tree by their names.
type entriesOf struct {
	list   []link // as the tree has them
	sorted []link // by name; nil: they are few, or few are searched for
	shift  int    // how many more entries preceded the last one that was found
}

// newEntriesOf prepares for a number of searches.
func newEntriesOf(list []link, searches int) entriesOf {
	const few = 16
	if searches <= few || len(list) <= few {
		return entriesOf{list: list}
	}
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(x, y link) int { return cmp.Compare(x.name, y.name) })
	return entriesOf{list: list, sorted: sorted}
}

// named lists the entries of a name, which another tree has at position at: more than one only in
// a damaged tree.
func (e *entriesOf) named(name int32, at int) (out []link) {
	if e.sorted == nil {
		for i, l := range e.list {
			switch {
			case l.name != name:
			case out == nil:
				out = e.list[i : i+1 : i+1]
				e.shift = max(0, i-at)
			default:
				out = append(out, l)
			}
		}
		return out
	}
	i, _ := slices.BinarySearchFunc(e.sorted, name, func(l link, name int32) int { return cmp.Compare(l.name, name) })
	k := i
	for k < len(e.sorted) && e.sorted[k].name == name {
		k++
	}
	return e.sorted[i:k]
}
