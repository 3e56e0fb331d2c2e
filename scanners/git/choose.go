package git

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/quellhq/quell/scanners/git/pack"
)

// choose finds out which objects are asked for. What is missing of them is a
// problem; an error means that the question makes no sense here.
func (r *repo) choose(ctx context.Context) ([]problem, error) {
	s := r.src
	switch {
	case s.Staged:
		return nil, r.chooseStaged()
	case s.Range != "":
		return r.chooseRange(ctx)
	case s.Branch != "" || !s.Since.IsZero() || s.Objects == Reachable || s.Objects == Refs:
		return r.chooseReachable(ctx)
	}
	return nil, nil
}

// chooseReachable marks what the chosen names reach.
func (r *repo) chooseReachable(ctx context.Context) ([]problem, error) {
	g, err := r.graph(ctx, true, nil)
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
				from = append(from, g.at[k])
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
					// A reflog may outlive what it remembers.
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
	// What the last commits before the date hold was there before.
	old := make([]bool, g.n.total)
	for k, on := range commits {
		c := &g.all[k]
		if !on || c.when >= since {
			continue
		}
		commits[k] = false
		if since > 0 {
			g.below(g.n.of([]byte(c.tree)), old)
		}
	}
	for k, on := range commits {
		if !on {
			continue
		}
		c := &g.all[k]
		marked[g.n.of([]byte(c.id))] = true
		g.below(g.n.of([]byte(c.tree)), marked)
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

// revision finds a commit, or another object, by how people name it: a ref or the
// end of one, an id or its beginning, and ~N and ^N behind it.
func (r *repo) revision(name string) (id, error) {
	base, steps := name, ""
	if i := strings.IndexAny(name, "~^"); i >= 0 {
		base, steps = name[:i], name[i:]
	}
	i, ok := r.named(base)
	if !ok {
		return "", fmt.Errorf("%s: no such branch, tag or commit here", name)
	}
	for steps != "" {
		op := steps[0]
		steps = strings.TrimPrefix(steps[1:], "{commit}")
		k := 0
		for k < len(steps) && steps[k] >= '0' && steps[k] <= '9' {
			k++
		}
		n := 1
		if k > 0 {
			n, _ = strconv.Atoi(steps[:k])
			steps = steps[k:]
		}
		i, _ = r.tip(i)
		for range map[bool]int{true: n, false: min(n, 1)}[op == '~'] {
			_, b, err := r.get([]byte(i))
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			which := 1
			if op == '^' {
				which = n
			}
			p := parseCommit(i, b, r.hashLen).parents
			if which > len(p) {
				return "", fmt.Errorf("%s: there is no such parent", name)
			}
			i = p[which-1]
		}
	}
	return i, nil
}

func (r *repo) named(name string) (id, bool) {
	if name == "" || name == "@" {
		name = "HEAD"
	}
	byName := map[string]id{}
	for _, x := range r.refs() {
		byName[x.name] = x.id
	}
	if name == "HEAD" {
		name = own(r.private, name)
	}
	for _, pre := range []string{"", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"} {
		if i, ok := byName[pre+name]; ok {
			return i, true
		}
	}
	if i, ok := parseID(strings.ToLower(name), r.hashLen); ok {
		return i, r.has([]byte(i))
	}
	return r.abbreviated(strings.ToLower(name))
}

// abbreviated finds the only object whose id begins with the digits.
func (r *repo) abbreviated(h string) (id, bool) {
	if len(h) < 4 || len(h) > 2*r.hashLen || strings.Trim(h, "0123456789abcdef") != "" {
		return "", false
	}
	match := func(i []byte) int { return strings.Compare(id(i).String()[:len(h)], h) }
	seen := map[id]bool{}
	for _, o := range r.all() {
		for _, p := range o.packs {
			for _, i := range p.Prefix(match) {
				seen[id(i)] = true
			}
		}
		first, _ := strconv.ParseUint(h[:2], 16, 8)
		for _, i := range o.looseIDs(int(first)) {
			if match([]byte(i)) == 0 {
				seen[i] = true
			}
		}
	}
	for i := range seen {
		return i, len(seen) == 1
	}
	return "", false
}

// byDate is the queue of a walk through history: the newest commit first.
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

// slop is how many more commits are looked at once only old ones are left in the
// queue: clocks differ. git takes five; each costs one object.
const slop = 64

// between lists the commits that to reaches and none of not does, and those that
// the history here ends at.
func (r *repo) between(ctx context.Context, not []id, to id) (out []commit, ends []commit, err error) {
	const seen, old = 1, 2
	state := map[id]int{}
	q := &byDate{}
	load := func(i id, flags int) error {
		had, known := state[i]
		state[i] = had | flags
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
		// One that turns out to be old is walked once more, to tell its parents.
		heap.Push(q, parseCommit(i, b, r.hashLen))
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
	shallow := map[id]bool{}
	if b, err := r.readFile("shallow", maxRefFile); err == nil {
		for _, f := range strings.Fields(string(b)) {
			if i, ok := parseID(f, r.hashLen); ok {
				shallow[i] = true
			}
		}
	}
	walked := map[id]int{}
	var order []commit
	fresh := 1 // how many of the queue are not old
	left := slop
	oldest := int64(1 << 62)
	for q.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		fresh = 0
		for _, c := range *q {
			if state[c.id]&old == 0 {
				fresh++
			}
		}
		if fresh == 0 && (*q)[0].when < oldest {
			if left--; left < 0 {
				break
			}
		}
		c := heap.Pop(q).(commit)
		flags := state[c.id]
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

// chooseRange finds what the commits of a range brought.
func (r *repo) chooseRange(ctx context.Context) ([]problem, error) {
	from, to, _ := strings.Cut(r.src.Range, "..")
	r.want, r.origins = map[id]bool{}, map[id]origin{}
	tip, err := r.revision(to)
	if err != nil {
		return []problem{{"range " + r.src.Range, err}}, nil
	}
	var problems []problem
	var not []id
	// A push that makes a branch names no commit before it: forty zeros.
	if strings.Trim(from, "0") != "" || from == "" {
		base, err := r.revision(from)
		if err == nil {
			base, _ = r.tip(base)
			not = append(not, base)
		} else {
			problems = append(problems, problem{"range " + r.src.Range, fmt.Errorf("%w: all that %s reaches is read instead", err, to)})
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
		return append(problems, problem{"range " + r.src.Range, err}), nil
	}
	for _, c := range ends {
		problems = append(problems, problem{"range " + r.src.Range, fmt.Errorf("history before %s is not here: fetch it", c.id)})
	}
	// The oldest first: it is the one that brought a blob.
	for k := len(commits) - 1; k >= 0; k-- {
		c := commits[k]
		r.want[c.id] = true
		var parents []id
		for _, p := range c.parents {
			if _, b, err := r.get([]byte(p)); err == nil {
				parents = append(parents, parseCommit(p, b, r.hashLen).tree)
			}
		}
		// What only moved isn't new.
		moved := map[id]bool{}
		brought := map[id]string{}
		if err := r.diff(ctx, parents, c.tree, "", moved, brought, 0); err != nil {
			problems = append(problems, problem{"commit " + c.id.String(), err})
		}
		for i, p := range brought {
			if _, known := r.origins[i]; known || moved[i] {
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
	return problems, nil
}

// diff lists the blobs of a tree that none of the other trees has at the same path,
// and those that they have in their place.
func (r *repo) diff(ctx context.Context, olds []id, tree id, dir string, gone map[id]bool, brought map[id]string, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return errors.New("folders too deep")
	}
	_, b, err := r.get([]byte(tree))
	if err != nil {
		return fmt.Errorf("tree %s: %w", tree, err)
	}
	var before []map[string]entry
	for _, o := range olds {
		m := map[string]entry{}
		if _, b, err := r.get([]byte(o)); err == nil {
			for _, e := range entries(b, r.hashLen) {
				m[e.name] = e
			}
		}
		before = append(before, m)
	}
	here := map[string]bool{}
	for _, e := range entries(b, r.hashLen) {
		here[e.name] = true
		same := false
		var below []id
		for _, m := range before {
			o, ok := m[e.name]
			switch {
			case ok && o.id == e.id:
				same = true
			case ok && o.isTree():
				below = append(below, o.id)
			case ok:
				gone[o.id] = true
			}
		}
		p := path.Join(dir, e.name)
		switch {
		case same || e.isLink():
		case e.isTree():
			if err := r.diff(ctx, below, e.id, p, gone, brought, depth+1); err != nil {
				return err
			}
		default:
			if _, ok := brought[e.id]; !ok {
				brought[e.id] = p
			}
			for _, o := range below {
				r.under(o, gone, depth+1)
			}
		}
	}
	for _, m := range before {
		for name, e := range m {
			switch {
			case here[name]:
			case e.isTree():
				r.under(e.id, gone, depth+1)
			default:
				gone[e.id] = true
			}
		}
	}
	return nil
}

// under lists all blobs of a tree.
func (r *repo) under(tree id, out map[id]bool, depth int) {
	_, b, err := r.get([]byte(tree))
	if err != nil || depth > maxDepth {
		return
	}
	for _, e := range entries(b, r.hashLen) {
		switch {
		case e.isTree():
			r.under(e.id, out, depth+1)
		case !e.isLink():
			out[e.id] = true
		}
	}
}

// chooseStaged finds what the index holds and HEAD does not.
func (r *repo) chooseStaged() error {
	x, err := r.readIndex(r.private)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	r.want, r.origins = map[id]bool{}, map[id]origin{}
	committed := map[string]id{}
	if h, ok := r.head(); ok {
		if i, kind := r.tip(h); kind == pack.Commit {
			if _, b, err := r.get([]byte(i)); err == nil {
				r.flatten(parseCommit(i, b, r.hashLen).tree, "", x.trees, committed, 0)
			}
		}
	}
	for _, f := range x.files {
		if f.mode&0o170000 == 0o160000 || committed[f.path] == f.id || cachedAbove(committed, f.path) {
			continue
		}
		r.want[f.id] = true
		r.origins[f.id] = origin{path: f.path}
	}
	return nil
}

// flatten lists the files of a tree, but not of folders of which the index
// remembers that they are as they were: those are marked by their name and a slash.
func (r *repo) flatten(tree id, dir string, cached map[string]id, out map[string]id, depth int) {
	if cached[dir] == tree && depth <= maxDepth {
		out[dir+"/"] = tree
		return
	}
	_, b, err := r.get([]byte(tree))
	if err != nil || depth > maxDepth {
		return
	}
	for _, e := range entries(b, r.hashLen) {
		p := path.Join(dir, e.name)
		if e.isTree() {
			r.flatten(e.id, p, cached, out, depth+1)
		} else {
			out[p] = e.id
		}
	}
}

// cachedAbove reports whether a file lies in a folder that is as it was.
func cachedAbove(committed map[string]id, file string) bool {
	for dir := path.Dir(file); ; dir = path.Dir(dir) {
		if dir == "." {
			_, ok := committed["/"]
			return ok
		}
		if _, ok := committed[dir+"/"]; ok {
			return true
		}
	}
}
