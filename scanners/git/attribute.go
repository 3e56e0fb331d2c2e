package git

import (
	"context"
	"maps"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/quellhq/quell/rules"
)

// Attribute finds, for the blobs of the findings, the commit that brought each
// in first, its path, author and date, whether HEAD still has it, and how an
// unreachable one is kept.
func (s *Source) Attribute(ctx context.Context, findings []*rules.Finding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &walk{s: s, want: map[plumbing.Hash]bool{}, trees: map[plumbing.Hash][]place{}, commits: map[plumbing.Hash]*object.Commit{}, first: map[plumbing.Hash]intro{}, more: map[plumbing.Hash]int{}}
	for _, f := range findings {
		if h, ok := strings.CutPrefix(f.Location.Artifact, "blob "); ok {
			w.want[plumbing.NewHash(h)] = true
		}
	}
	if s.store == nil || len(findings) == 0 {
		return nil
	}
	if err := w.run(ctx); err != nil {
		return err
	}
	for _, f := range findings {
		l := &f.Location
		l.Notes = maps.Clone(l.Notes)
		if l.Notes == nil {
			l.Notes = map[string]string{}
		}
		if h, ok := strings.CutPrefix(l.Artifact, "commit "); ok {
			if c := w.commits[plumbing.NewHash(h)]; c != nil {
				w.describe(l, c)
			}
			continue
		}
		h, ok := strings.CutPrefix(l.Artifact, "blob ")
		if !ok {
			continue
		}
		in, ok := w.first[plumbing.NewHash(h)]
		if !ok {
			l.Notes["kept_by"] = "no commit: a dangling object"
			continue
		}
		// What an opener saw in the blob stands behind a "!".
		_, inside, opened := strings.Cut(l.Path, "!")
		l.Path, l.Commit = in.path, in.commit.Hash.String()
		if opened {
			l.Path += "!" + inside
		}
		w.describe(l, in.commit)
		if n := w.more[plumbing.NewHash(h)]; n > 0 {
			l.Notes["also"] = plural(n, "other introduction")
		}
		if w.inHead[plumbing.NewHash(h)] {
			l.Notes["in_head"] = "yes"
		} else {
			l.Notes["in_head"] = "no"
		}
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

type place struct {
	path string
	blob plumbing.Hash
}

type intro struct {
	commit *object.Commit
	path   string
}

type walk struct {
	s       *Source
	want    map[plumbing.Hash]bool
	trees   map[plumbing.Hash][]place // wanted blobs below a tree
	commits map[plumbing.Hash]*object.Commit
	first   map[plumbing.Hash]intro
	more    map[plumbing.Hash]int
	reach   map[plumbing.Hash]string // commit -> a ref that reaches it
	inHead  map[plumbing.Hash]bool
}

func (w *walk) run(ctx context.Context) error {
	for _, h := range w.s.commits {
		if c, err := object.GetCommit(w.s.store, h); err == nil {
			w.commits[h] = c
		}
	}
	w.reachable()
	for _, c := range w.commits {
		if err := ctx.Err(); err != nil {
			return err
		}
		here := w.below(c.TreeHash, 0)
		if len(here) == 0 {
			continue
		}
		old := map[place]bool{}
		for _, p := range c.ParentHashes {
			if pc := w.commits[p]; pc != nil {
				for _, x := range w.below(pc.TreeHash, 0) {
					old[x] = true
				}
			}
		}
		for _, x := range here {
			if old[x] {
				continue
			}
			if have, ok := w.first[x.blob]; ok {
				w.more[x.blob]++
				if !before(c, x.path, have) {
					continue
				}
			}
			w.first[x.blob] = intro{c, x.path}
		}
	}
	w.inHead = map[plumbing.Hash]bool{}
	if ref, err := w.s.store.Reference(plumbing.HEAD); err == nil {
		h := ref.Hash()
		if ref.Type() == plumbing.SymbolicReference {
			if t, err := w.s.store.Reference(ref.Target()); err == nil {
				h = t.Hash()
			}
		}
		if c := w.commits[h]; c != nil {
			for _, x := range w.below(c.TreeHash, 0) {
				w.inHead[x.blob] = true
			}
		}
	}
	return nil
}

// before orders introductions: the earlier commit, then, so that the result
// does not depend on the order of the store, the smaller id and path.
func before(c *object.Commit, p string, have intro) bool {
	if !c.Committer.When.Equal(have.commit.Committer.When) {
		return c.Committer.When.Before(have.commit.Committer.When)
	}
	if c.Hash != have.commit.Hash {
		return c.Hash.String() < have.commit.Hash.String()
	}
	return p < have.path
}

// maxDepth bounds the nesting of folders: git itself fails at a few thousand.
const maxDepth = 1024

func (w *walk) below(h plumbing.Hash, depth int) []place {
	if got, ok := w.trees[h]; ok || depth > maxDepth {
		return got
	}
	w.trees[h] = nil // a damaged tree that holds itself ends here
	t, err := object.GetTree(w.s.store, h)
	if err != nil {
		return nil
	}
	var out []place
	for _, e := range t.Entries {
		switch {
		case w.want[e.Hash]:
			out = append(out, place{e.Name, e.Hash})
		case !e.Mode.IsFile():
			for _, x := range w.below(e.Hash, depth+1) {
				out = append(out, place{path.Join(e.Name, x.path), x.blob})
			}
		}
	}
	w.trees[h] = out
	return out
}

// reachable marks the commits that a ref reaches, with that ref's name.
func (w *walk) reachable() {
	w.reach = map[plumbing.Hash]string{}
	refs, err := w.s.store.IterReferences()
	if err != nil {
		return
	}
	_ = refs.ForEach(func(r *plumbing.Reference) error {
		if r.Type() != plumbing.HashReference {
			return nil
		}
		h := r.Hash()
		for range 8 { // a tag of a tag
			t, err := object.GetTag(w.s.store, h)
			if err != nil {
				break
			}
			h = t.Target
		}
		todo := []plumbing.Hash{h}
		for len(todo) > 0 {
			h := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			c := w.commits[h]
			if c == nil || w.reach[h] != "" {
				continue
			}
			w.reach[h] = r.Name().String()
			todo = append(todo, c.ParentHashes...)
		}
		return nil
	})
}

func (w *walk) describe(l *rules.Location, c *object.Commit) {
	l.Notes["author"] = c.Author.Name + " <" + c.Author.Email + ">"
	l.Notes["date"] = c.Author.When.UTC().Format(time.RFC3339)
	if ref := w.reach[c.Hash]; ref != "" {
		l.Notes["ref"] = ref
	} else {
		l.Notes["kept_by"] = "no ref: the commit is unreachable"
	}
}
