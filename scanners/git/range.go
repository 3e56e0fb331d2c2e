package git

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
)

// byDate is the queue of a walk through history, the newest commit first.
type byDate []commit

func (q byDate) Len() int           { return len(q) }
func (q byDate) Less(i, j int) bool { return q[i].when > q[j].when }
func (q byDate) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *byDate) Push(x any)        { *q = append(*q, x.(commit)) }
func (q *byDate) Pop() any {
	c := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return c
}

// slop is how many more commits are read once the queue has only old ones, because clocks
// differ. git uses five; each costs one object.
const slop = 64

// between lists the commits that to reaches and none of not reaches, and those at which the
// local history ends.
func (r *repo) between(ctx context.Context, not []id, to id) (out []commit, ends []commit, err error) {
	const seen, old = 1, 2
	state := map[id]int{}
	q := &byDate{}
	queued := map[id]int{} // how often a commit is in the queue
	fresh := 0             // how many of the queue are not old
	load := func(i id, flags int) error {
		had, known := state[i]
		state[i] = had | flags
		if known && flags&old != 0 && had&old == 0 {
			fresh -= queued[i]
		}
		if known && had|flags == had {
			return nil
		}
		kind, b, err := r.get([]byte(i))
		if err != nil {
			return err
		}
		if kind != pack.Commit {
			return fmt.Errorf("a %s, not a commit", kind)
		}
		// A commit that turns out to be old is walked once more, to mark its parents as old.
		heap.Push(q, parseCommit(i, b, r.hashLen))
		queued[i]++
		if state[i]&old == 0 {
			fresh++
		}
		return nil
	}
	for _, i := range not {
		if err := load(i, seen|old); err != nil {
			return nil, nil, err
		}
	}
	if err := load(to, seen); err != nil {
		return nil, nil, err
	}
	shallow := r.boundaries()
	walked := map[id]int{}
	var order []commit
	left := slop
	oldest := int64(1 << 62)
	for q.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if fresh == 0 && (*q)[0].when < oldest {
			if left--; left < 0 {
				break
			}
		}
		c := heap.Pop(q).(commit)
		flags := state[c.id]
		queued[c.id]--
		if flags&old == 0 {
			fresh--
		}
		if walked[c.id] == flags {
			continue
		}
		if walked[c.id] == 0 {
			order = append(order, c)
		}
		walked[c.id] = flags
		if flags&old == 0 {
			oldest = min(oldest, c.when)
		}
		for _, p := range c.parents {
			if err := load(p, seen|flags&old); err != nil && !shallow[c.id] && !errors.Is(err, errMissing) {
				return nil, nil, err
			}
		}
	}
	for _, c := range order {
		if state[c.id]&old != 0 {
			continue
		}
		out = append(out, c)
		for _, p := range c.parents {
			if shallow[c.id] || !r.has([]byte(p)) {
				ends = append(ends, c)
				break
			}
		}
	}
	return out, ends, nil
}

// boundaries are the commits at which a shallow clone ends.
func (r *repo) boundaries() map[id]bool {
	out := map[id]bool{}
	if b, err := r.readFile("shallow", maxRefFile); err == nil {
		for _, f := range strings.Fields(string(b)) {
			if i, ok := parseID(f, r.hashLen); ok {
				out[i] = true
			}
		}
	}
	return out
}

// chooseRange selects what the commits of a range introduced.
func (r *repo) chooseRange(ctx context.Context, span string, not []string) ([]problem, error) {
	problems, err := r.localRange(ctx, span, not)
	if len(problems) == 0 || err != nil || r.src.Upstream == nil {
		return problems, err
	}
	// Something is not in the repository, but the upstream has it.
	from, to, _ := strings.Cut(span, "..")
	tip, err := r.revision(to)
	if i, ok := r.fullID(to); ok {
		tip, err = i, nil
	}
	if from == to {
		return nil, nil // commits that are already there introduce nothing
	}
	if err != nil {
		if tip, err = r.src.elsewhere(ctx, to); err != nil {
			return append(problems, problem{"range " + span, fmt.Errorf("fetch what is missing: %w", err)}), nil
		}
	}
	var bases []id
	for k, name := range append([]string{from}, not...) {
		if strings.Trim(name, "0") == "" && (name != "" || k > 0) {
			continue
		}
		i, ok := r.fullID(name)
		if !ok {
			var err error
			if i, err = r.revision(name); err == nil {
				i, _ = r.tip(i)
			} else if i, err = r.src.elsewhere(ctx, name); err != nil {
				return append(problems, problem{"range " + span, fmt.Errorf("fetch what is missing: %w", err)}), nil
			}
		}
		bases = append(bases, i)
	}
	fetched, err := r.fetchRange(ctx, span, tip, bases)
	if err != nil {
		return append(problems, problem{"range " + span, err}), nil
	}
	return fetched, nil
}

// localRange is chooseRange with the local objects.
func (r *repo) localRange(ctx context.Context, span string, others []string) ([]problem, error) {
	from, to, _ := strings.Cut(span, "..")
	r.want, r.origins = map[id]bool{}, map[id]origin{}
	tip, err := r.revision(to)
	if err != nil {
		return []problem{{"range " + span, err}}, nil
	}
	var problems []problem
	var not []id
	// A push that creates a branch names forty zeros as the commit before it.
	if strings.Trim(from, "0") != "" || from == "" {
		base, err := r.revision(from)
		if err == nil {
			base, _ = r.tip(base)
			not = append(not, base)
		} else {
			problems = append(problems, problem{"range " + span, fmt.Errorf("%w: all that %s reaches is read instead", err, to)})
		}
	}
	for _, name := range others {
		if base, err := r.revision(name); err == nil {
			base, _ = r.tip(base)
			not = append(not, base)
		} else {
			problems = append(problems, problem{"range " + span, fmt.Errorf("without %w", err)})
		}
	}
	if i, kind := r.tip(tip); i != tip {
		if kind != pack.Commit {
			return problems, fmt.Errorf("%s: a %s, not a commit", to, kind)
		}
		r.want[tip] = true // a tag's own message
		tip = i
	}
	commits, ends, err := r.between(ctx, not, tip)
	if err != nil {
		return append(problems, problem{"range " + span, err}), nil
	}
	for _, c := range ends {
		problems = append(problems, problem{"range " + span, scanners.OfKind(scanners.GapNotFetched, fmt.Errorf("history before %s is not here: fetch it", c.id))})
	}
	return append(problems, r.brought(ctx, commits, nil)...), nil
}

// brought adds what the commits, the newest first, introduced to the requested objects. fresh,
// if set, reports what is new: other objects need not be present.
func (r *repo) brought(ctx context.Context, commits []commit, fresh func(id) bool) (problems []problem) {
	// The oldest first: it is the one that introduced a blob.
	for k := len(commits) - 1; k >= 0; k-- {
		c := commits[k]
		r.want[c.id] = true
		if fresh != nil && !fresh(c.tree) {
			continue
		}
		var parents []id
		for _, p := range c.parents {
			if _, b, err := r.get([]byte(p)); err == nil {
				parents = append(parents, parseCommit(p, b, r.hashLen).tree)
			}
		}
		// An object that only moved isn't new.
		slices.Sort(parents)
		parents = slices.Compact(parents)
		d := &difference{repo: r, fresh: fresh, gone: map[id]bool{}, brought: map[id]string{}, compared: map[string]bool{}, goneTrees: map[id]bool{}}
		if err := d.walk(ctx, parents, c.tree, "", 0); err != nil {
			problems = append(problems, problem{"commit " + c.id.String(), err})
		}
		for _, p := range d.named {
			r.names.add(named{text: path.Base(p), artifact: fileName, path: p, from: &origin{commit: c}})
		}
		for i, p := range d.brought {
			if _, known := r.origins[i]; known || d.gone[i] {
				continue
			}
			if !r.has([]byte(i)) {
				problems = append(problems, problem{"object " + i.String(), errMissing})
				continue
			}
			r.want[i] = true
			r.origins[i] = origin{c, p}
		}
	}
	return problems
}

// difference is what a commit's tree has that its parents' trees don't have.
type difference struct {
	*repo
	fresh   func(id) bool // reports what may be new; nil: anything
	gone    map[id]bool   // what the parents have where this one differs
	brought map[id]string // blobs, with their paths
	named   []string      // paths whose last name is new there
	// A tree that was already compared adds nothing, whatever other paths lead to it.
	compared  map[string]bool
	goneTrees map[id]bool
}

// walk lists the blobs of a tree that none of the other trees has at the same path, and the
// blobs that they have in their place.
func (d *difference) walk(ctx context.Context, olds []id, tree id, dir string, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return scanners.OfKind(scanners.GapLimitDepth, errors.New("folders too deep"))
	}
	key := fmt.Sprintf("%s%s", tree, olds)
	if d.compared[key] {
		return nil
	}
	d.compared[key] = true
	_, b, err := d.get([]byte(tree))
	if err != nil {
		return fmt.Errorf("tree %s: %w", tree, err)
	}
	var before []map[string]entry
	for _, o := range olds {
		m := map[string]entry{}
		if _, b, err := d.get([]byte(o)); err == nil {
			for _, e := range entries(b, d.hashLen) {
				m[e.name] = e
			}
		}
		before = append(before, m)
	}
	here := map[string]bool{}
	for _, e := range entries(b, d.hashLen) {
		here[e.name] = true
		same, known := false, false
		var below []id
		for _, m := range before {
			o, ok := m[e.name]
			known = known || ok
			switch {
			case ok && o.id == e.id:
				same = true
			case ok && o.isTree():
				below = append(below, o.id)
			case ok:
				d.gone[o.id] = true
			}
		}
		p := path.Join(dir, e.name)
		if !known {
			d.named = append(d.named, p)
		}
		switch {
		case same || e.isLink() || d.fresh != nil && !d.fresh(e.id):
		case e.isTree():
			if err := d.walk(ctx, below, e.id, p, depth+1); err != nil {
				return err
			}
		default:
			if _, ok := d.brought[e.id]; !ok {
				d.brought[e.id] = p
			}
			for _, o := range below {
				d.under(o, depth+1)
			}
		}
	}
	for _, m := range before {
		for name, e := range m {
			switch {
			case here[name]:
			case e.isTree():
				d.under(e.id, depth+1)
			default:
				d.gone[e.id] = true
			}
		}
	}
	return nil
}

// under marks all blobs of a tree that was removed.
func (d *difference) under(tree id, depth int) {
	if d.goneTrees[tree] {
		return
	}
	d.goneTrees[tree] = true
	_, b, err := d.get([]byte(tree))
	if err != nil || depth > maxDepth {
		return
	}
	for _, e := range entries(b, d.hashLen) {
		switch {
		case e.isTree():
			d.under(e.id, depth+1)
		case !e.isLink():
			d.gone[e.id] = true
		}
	}
}
