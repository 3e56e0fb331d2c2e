package git

import (
	"context"
	"fmt"

	"github.com/quellhq/quell/scanners/git/pack"
)

// choose determines the requested objects. An object that is missing is a problem; an error
// means that the request does not apply to this repository.
func (r *repo) choose(ctx context.Context) ([]problem, error) {
	s := r.src
	switch {
	case s.Staged:
		return nil, r.chooseStaged()
	case s.Release != "":
		return r.chooseRelease(ctx)
	case s.Range != "":
		return r.chooseRange(ctx, s.Range, s.Not)
	case s.Branch != "" || !s.Since.IsZero() || s.Objects == Reachable || s.Objects == Refs:
		return r.chooseReachable(ctx)
	}
	return nil, nil
}

// chooseReachable marks the objects that the chosen names reach.
func (r *repo) chooseReachable(ctx context.Context) ([]problem, error) {
	g, err := r.graph(ctx, nil)
	if err != nil {
		return nil, err
	}
	var problems []problem
	marked := make([]bool, g.n.total)
	commits := make([]bool, len(g.all))
	var from []int32
	start := func(i id) {
		for {
			k := g.n.of([]byte(i))
			if k < 0 {
				problems = append(problems, problem{"object " + i.String(), errMissing})
				return
			}
			kind, b, err := r.get([]byte(i))
			if err != nil {
				problems = append(problems, problem{"object " + i.String(), err})
				return
			}
			switch kind {
			case pack.Tag:
				marked[k] = true
				if to, ok := tagTarget(b, r.hashLen); ok {
					i = to
					continue
				}
			case pack.Commit:
				if g.at[k] >= 0 {
					from = append(from, g.at[k])
				}
			default:
				g.below(k, marked)
			}
			return
		}
	}
	if name := r.src.Branch; name != "" {
		i, err := r.revision(name)
		if err != nil {
			return nil, err
		}
		start(i)
	} else {
		for _, x := range r.refs() {
			start(x.id)
		}
		if r.src.Objects != Refs {
			for _, e := range r.reflogs() {
				for _, i := range []id{e.id, e.old} {
					// A reflog may outlive the objects in it.
					if g.n.of([]byte(i)) >= 0 {
						start(i)
					}
				}
			}
			for _, dir := range r.heads() {
				x, _ := r.readIndex(dir)
				for _, f := range x.files {
					if k := g.n.of([]byte(f.id)); k >= 0 && f.mode&0o170000 != 0o160000 {
						marked[k] = true
					}
				}
			}
		}
	}
	g.ancestors(from, commits)
	since := int64(0)
	if !r.src.Since.IsZero() {
		since = r.src.Since.Unix()
	}
	// The objects of the last commits before the date are not new.
	old := make([]bool, g.n.total)
	for k, on := range commits {
		c := &g.all[k]
		if !on || c.when >= since {
			continue
		}
		commits[k] = false
		if since > 0 {
			g.below(c.tree, old)
		}
	}
	for k, on := range commits {
		if !on {
			continue
		}
		c := &g.all[k]
		marked[c.object] = true
		g.below(c.tree, marked)
	}
	r.want = map[id]bool{}
	for k := range marked {
		if marked[k] && !old[k] && g.links[k] == nil {
			r.want[g.n.id(int32(k))] = true
		}
	}
	if n := len(g.missing); n > 0 && !r.promisor {
		problems = append(problems, problem{fmt.Sprintf("%d objects that trees name", n), errMissing})
	}
	return problems, nil
}
