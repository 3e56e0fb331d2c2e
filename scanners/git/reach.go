package git

import (
	"path"
	"slices"
	"strings"

	"github.com/quellhq/quell/scanners/git/pack"
)

// refName is a name that reaches commits: a ref or an entry of a reflog.
type refName struct {
	name string
	log  bool
}

// rank orders names by how useful they are to a reader.
func rank(name string) int {
	for i, pre := range []string{"refs/heads/", "refs/tags/", "refs/remotes/", "refs/stash", "refs/notes/", "refs/pull/", "refs/merge-requests/"} {
		if strings.HasPrefix(name, pre) {
			return i
		}
	}
	return 99
}

// maxNames is how many of the names that reach a commit are reported.
const maxNames = 8

// reach finds the refs that reach each commit, and for other commits the entries of reflogs.
func (a *attribution) reach() {
	refs := slices.Clone(a.repo.refs())
	slices.SortStableFunc(refs, func(x, y ref) int { return rank(x.name) - rank(y.name) })
	own := map[int32][]uint16{}
	put := func(name refName, i id) {
		k, ok := a.commitOf(i)
		if !ok {
			i, _ = a.s.tip(i)
			k, ok = a.commitOf(i)
		}
		if !ok || len(a.names) == 1<<16 {
			return
		}
		own[k] = append(own[k], uint16(len(a.names)))
		a.names = append(a.names, name)
	}
	for _, x := range refs {
		// The branch that HEAD points to has its own name; only a detached HEAD counts.
		if base := path.Base(x.name); base == "HEAD" && slices.ContainsFunc(refs, func(y ref) bool { return y.id == x.id && strings.HasPrefix(y.name, "refs/heads/") }) {
			continue
		}
		put(refName{name: x.name}, x.id)
	}
	for _, e := range a.repo.reflogs() {
		put(refName{name: e.name, log: true}, e.id)
	}
	a.by = make([][]uint16, len(a.all))
	// Children before parents.
	waits := make([]int32, len(a.all))
	for k := range a.all {
		for _, c := range a.all[k].parents {
			waits[c]++
		}
	}
	var todo []int32
	for k, n := range waits {
		if n == 0 {
			todo = append(todo, int32(k))
		}
	}
	for len(todo) > 0 {
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		a.by[k] = merged(a.by[k], own[k])
		for _, c := range a.all[k].parents {
			a.by[c] = merged(a.by[c], a.by[k])
			if waits[c]--; waits[c] == 0 {
				todo = append(todo, c)
			}
		}
	}
}

// merged is the union of two sorted lists, cut to one more than the number that is reported.
func merged(x, y []uint16) []uint16 {
	if len(y) == 0 {
		return x
	}
	if len(x) == 0 || slices.Equal(x, y) {
		return y
	}
	out := append(slices.Clone(x), y...)
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxNames+1)]
}

// current finds what HEAD has, and what keeps an object that no commit has.
func (a *attribution) current() {
	a.inHead = map[int32]bool{}
	if i, ok := a.repo.head(); ok {
		i, _ = a.s.tip(i)
		if k, ok := a.commitOf(i); ok {
			a.present(a.all[k].tree, map[int32]bool{}, 0)
		}
	}
	a.kept = map[id]string{}
	for _, dir := range a.repo.heads() {
		x, _ := a.repo.readIndex(dir)
		for _, f := range x.files {
			a.kept[f.id] = "index: " + f.path
		}
	}
	for _, x := range a.repo.refs() {
		a.kept[x.id] = x.name
		if _, ok := a.commitOf(x.id); ok {
			continue
		}
		// An outer tag keeps the tag that it points to.
		for i := x.id; ; {
			kind, b, err := a.s.get([]byte(i))
			if err != nil || kind != pack.Tag {
				break
			}
			to, ok := tagTarget(b, a.s.hashLen)
			if !ok || to == i || a.kept[to] != "" {
				break
			}
			i = to
			a.kept[i] = x.name
		}
	}
}

// present marks what is wanted and below a tree.
func (a *attribution) present(k int32, done map[int32]bool, depth int) {
	if done[k] || !a.contains(k, depth) {
		return
	}
	done[k] = true
	for _, l := range a.links[k] {
		if n, ok := a.named[l.name]; ok {
			a.inHead[n] = true
		}
		if a.wanted[l.to] {
			a.inHead[l.to] = true
		} else {
			a.present(l.to, done, depth+1)
		}
	}
}
