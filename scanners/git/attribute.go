package git

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
)

// Attribute finds, for the objects of the findings: the commits that introduced each of them at
// each path, with author and date; the branches and tags that reach these commits; whether HEAD
// still has the object; and what keeps an unreachable object.
func (s *session) Attribute(ctx context.Context, findings []*rules.Finding) error {
	of := map[*repo][]*rules.Finding{}
	for _, f := range findings {
		if r := s.repoOf(f.Location); r != nil {
			of[r] = append(of[r], f)
		}
	}
	for _, r := range s.repos.all() {
		if err := r.attribute(ctx, of[r]); err != nil {
			return err
		}
	}
	return nil
}

// Attribution implements scanners.Session. The blob that points to a large file may be read
// after it, and everything else can be attributed at once.
func (s *session) Attribution(at rules.Location) scanners.Attribution {
	if strings.HasPrefix(at.Artifact, lfsObject) {
		return scanners.Late
	}
	return scanners.Early
}

// lfsObject begins the name of the artifact of a large file.
const lfsObject = "LFS object "

func (r *repo) attribute(ctx context.Context, findings []*rules.Finding) error {
	want, byName := map[id]bool{}, map[string][]*rules.Finding{}
	for _, f := range findings {
		if x := r.names.resolve(&f.Location); x != nil {
			switch {
			case x.from != nil:
				r.place(&f.Location, origin{x.from.commit, x.path})
			case x.artifact == fileName && x.path == "":
				byName[x.text] = append(byName[x.text], f)
			}
			continue
		}
		if i, ok := r.subject(f); ok && r.origins[i].path == "" {
			want[i] = true
		}
	}
	if len(want) == 0 && len(byName) == 0 {
		return nil
	}
	wanted := slices.Sorted(maps.Keys(byName))
	stories, ok := r.recallStories(ctx, want, wanted)
	if !ok {
		var err error
		if stories, err = r.stories(ctx, want, wanted); err != nil {
			return err
		}
		r.keepStories(ctx, stories)
	}
	for text, list := range byName {
		for _, f := range list {
			stories[nameKey(text)].tell(&f.Location)
		}
	}
	for _, f := range findings {
		i, ok := r.subject(f)
		if story, told := stories[i.String()]; ok && told && want[i] {
			story.tell(&f.Location)
		}
	}
	return nil
}

// story is what is known of an object: for a blob, the first commit that introduced it.
type story struct {
	Path   string            `json:"path,omitempty"`
	Commit string            `json:"commit,omitempty"`
	Notes  map[string]string `json:"notes"`
}

func (s story) tell(l *rules.Location) {
	notes := maps.Clone(l.Notes)
	if notes == nil {
		notes = map[string]string{}
	}
	maps.Copy(notes, s.Notes)
	l.Notes = notes
	if s.Path != "" {
		// The name of a file inside an archive in a blob follows a "!".
		_, in, opened := strings.Cut(l.Path, "!")
		if l.Path = s.Path; opened {
			l.Path += "!" + in
		}
	}
	if s.Commit != "" {
		l.Commit = s.Commit
	}
}

// stories collects everything that is requested in one pass: each tree is read once.
func (r *repo) stories(ctx context.Context, want map[id]bool, byName []string) (map[string]story, error) {
	a := attribution{repo: r, intro: map[int32][]introduction{}, wanted: map[int32]bool{}, named: map[int32]int32{}, commits: map[int32]*commit{}}
	texts := map[string]bool{}
	for _, t := range byName {
		texts[t] = true
	}
	// Most entries are not wanted: two bytes of their ids show it.
	maybe := make([]bool, 1<<16)
	for i := range want {
		maybe[binary.LittleEndian.Uint16([]byte(i))] = true
	}
	if err := r.loadHistory(ctx); err != nil {
		return nil, err
	}
	a.graph = r.history
	defer func() { a.graph.links = nil }()
	if err := a.graph.trees(ctx, func(name, b []byte) bool {
		return maybe[binary.LittleEndian.Uint16(b)] && want[id(b)] || len(texts) > 0 && texts[string(name)]
	}); err != nil {
		return nil, err
	}
	a.has = make([]containment, a.n.total)
	for k, t := range byName {
		if n, ok := a.index[t]; ok {
			a.named[n] = subjectName - int32(k)
		}
	}
	for i := range want {
		if k := a.n.of([]byte(i)); k >= 0 {
			a.wanted[k] = true
		}
	}
	a.introduce()
	a.reach()
	a.current()
	out := map[string]story{}
	for i := range want {
		out[i.String()] = a.story(i)
	}
	for k, t := range byName {
		out[nameKey(t)] = a.storyOf(subjectName-int32(k), "", t)
	}
	return out, nil
}

// subject is the object whose history is reported for a finding: for a finding in a large file,
// the pointer.
func (r *repo) subject(f *rules.Finding) (id, bool) {
	if oid, ok := strings.CutPrefix(f.Location.Artifact, lfsObject); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		i, ok := r.lfs[oid]
		return i, ok
	}
	if !strings.HasPrefix(f.Location.Artifact, "blob ") && !strings.HasPrefix(f.Location.Artifact, "commit ") && !strings.HasPrefix(f.Location.Artifact, "tag ") {
		return "", false
	}
	return objectOf(f.Location, r.hashLen)
}

// subjectName is the number of the first wanted name; a blob's own number is not negative.
// Further names count down.
const subjectName = -2

// maxPlaces limits the paths that one commit introduces, in addition to one for each wanted
// object: a few trees can contain a blob at more paths than could ever be listed.
const maxPlaces = 4096

// introduction is a commit that has a blob at a path where none of its parents has it.
type introduction struct {
	commit int32
	path   string
}

type attribution struct {
	*graph
	repo   *repo
	wanted map[int32]bool
	named  map[int32]int32 // a name's number -> the number of its subject
	has    []containment   // by number, of trees
	intro  map[int32][]introduction
	names  []refName
	by     [][]uint16 // which names reach a commit, the best first
	inHead map[int32]bool
	kept   map[id]string // what keeps an object that no commit has

	commits map[int32]*commit // that were read for a report
}

// containment says whether a tree contains something wanted.
type containment uint8

const (
	notKnown containment = iota
	nothing
	something
)

// refName is a name that reaches commits: a ref or an entry of a reflog.
type refName struct {
	name string
	log  bool
}

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

// story returns what is known of an object.
func (a *attribution) story(i id) story {
	s := story{Notes: map[string]string{}}
	k := a.n.of([]byte(i))
	if k >= 0 && a.at[k] >= 0 {
		a.describe(&s, a.at[k])
		return s
	}
	return a.storyOf(k, i, "")
}

// storyOf returns what is known of a blob, or of a name, by the paths at which commits have it.
func (a *attribution) storyOf(k int32, i id, name string) story {
	s := story{Notes: map[string]string{}}
	list := a.intro[k]
	if len(list) == 0 {
		if name != "" {
			s.Path, s.Notes["kept_by"] = name, "no commit: a dangling tree"
			return s
		}
		switch how, ok := a.kept[i]; {
		case ok && strings.HasPrefix(how, "index: "):
			s.Path, s.Notes["kept_by"] = strings.TrimPrefix(how, "index: "), "the index: it was staged and never committed"
		case ok:
			s.Notes["refs"] = how
		default:
			s.Notes["kept_by"] = "nothing: a dangling object"
		}
		return s
	}
	first := list[0]
	s.Path, s.Commit = first.path, a.id(first.commit).String()
	a.describe(&s, first.commit)
	s.Notes["first_exposed"] = at(a.all[first.commit].when)
	if a.inHead[k] {
		s.Notes["in_head"] = "yes"
	} else {
		s.Notes["in_head"] = "no"
	}
	if more := list[1:]; len(more) > 0 {
		var also []string
		for _, x := range more[:min(len(more), maxNames)] {
			also = append(also, x.path+" in "+a.id(x.commit).String()[:12])
		}
		if n := len(more) - maxNames; n > 0 {
			also = append(also, fmt.Sprintf("%d more", n))
		}
		s.Notes["also"] = strings.Join(also, ", ")
	}
	return s
}

func at(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

func (a *attribution) describe(s *story, k int32) {
	c := a.commits[k]
	if c == nil {
		read := a.commit(k)
		c = &read
		a.commits[k] = c
	}
	about(s.Notes, c)
	var refs, logs []string
	for _, n := range a.by[k] {
		if a.names[n].log {
			logs = append(logs, a.names[n].name)
		} else {
			refs = append(refs, a.names[n].name)
		}
	}
	switch {
	case len(refs) > maxNames:
		s.Notes["refs"] = strings.Join(refs[:maxNames], ", ") + " and others"
	case len(refs) > 0:
		s.Notes["refs"] = strings.Join(refs, ", ")
	case len(logs) > 0:
		s.Notes["kept_by"] = "no ref, the reflog alone: " + logs[0]
	default:
		s.Notes["kept_by"] = "no ref: a dangling commit"
	}
}

// about records a commit's author and date, and the beginning of its message.
func about(notes map[string]string, c *commit) {
	notes["author"] = c.author
	notes["date"] = c.date.Format(time.RFC3339)
	if c.subject != "" {
		notes["subject"] = c.subject
	}
}

// place records an origin that was known beforehand.
func (r *repo) place(l *rules.Location, from origin) {
	l.Path = from.path
	l.Notes = maps.Clone(l.Notes)
	if l.Notes == nil {
		l.Notes = map[string]string{}
	}
	if from.commit.id == "" {
		l.Notes["kept_by"] = "the index: it is staged"
		return
	}
	l.Commit = from.commit.id.String()
	about(l.Notes, &from.commit)
	l.Notes["first_exposed"] = at(from.commit.when)
}

// loadHistory reads the commits, once: attributions follow each other while the scan goes on.
func (r *repo) loadHistory(ctx context.Context) error {
	if r.history != nil {
		return nil
	}
	g, err := r.store.history(ctx)
	if err == nil {
		r.history = g
	}
	return err
}
