package git

import (
	"cmp"
	"context"
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
	a := attribution{repo: r, places: map[int32][]place{}, intro: map[int32][]introduction{}, wanted: map[int32]bool{}, named: map[int32]int32{}}
	texts := map[string]bool{}
	for _, t := range byName {
		texts[t] = true
	}
	var err error
	if a.graph, err = r.graph(ctx, true, func(name, b []byte) bool { return want[id(b)] || texts[string(name)] }); err != nil {
		return nil, err
	}
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

// place is the path of a wanted blob, or of a wanted name, below a tree.
type place struct {
	path string
	blob int32
}

// maxPlaces limits the paths below one tree: a few trees can contain a blob at more paths than
// could ever be listed.
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
	named  map[int32]int32   // a name's number -> the number of its subject
	places map[int32][]place // by tree
	intro  map[int32][]introduction
	names  []refName
	by     [][]uint16 // which names reach a commit, the best first
	inHead map[int32]bool
	kept   map[id]string // what keeps an object that no commit has
}

// refName is a name that reaches commits: a ref or an entry of a reflog.
type refName struct {
	name string
	log  bool
}

// maxDepth limits the nesting of folders: git itself fails at a few thousand.
const maxDepth = 1024

// below lists where the wanted blobs are in a tree.
func (a *attribution) below(k int32, depth int) []place {
	if k < 0 || depth > maxDepth {
		return nil
	}
	if got, ok := a.places[k]; ok {
		return got
	}
	a.places[k] = nil // a damaged tree that contains itself ends here
	var out []place
	for _, l := range a.links[k] {
		if len(out) >= maxPlaces {
			break
		}
		name := a.graph.names[l.name]
		if n, ok := a.named[l.name]; ok {
			out = append(out, place{name, n})
		}
		if a.wanted[l.to] {
			out = append(out, place{name, l.to})
			continue
		}
		for _, x := range a.below(l.to, depth+1) {
			if len(out) >= maxPlaces {
				break
			}
			out = append(out, place{path.Join(name, x.path), x.blob})
		}
	}
	a.places[k] = out
	return out
}

// introduce finds the commits that introduced the wanted blobs, the earliest first.
func (a *attribution) introduce() {
	for k := range a.all {
		c := &a.all[k]
		here := a.below(a.n.of([]byte(c.tree)), 0)
		if len(here) == 0 {
			continue
		}
		old := map[place]bool{}
		for _, p := range c.parents {
			if pk, ok := a.commitOf(p); ok {
				for _, x := range a.below(a.n.of([]byte(a.all[pk].tree)), 0) {
					old[x] = true
				}
			}
		}
		for _, x := range here {
			if !old[x] {
				a.intro[x.blob] = append(a.intro[x.blob], introduction{int32(k), x.path})
			}
		}
	}
	for _, list := range a.intro {
		slices.SortFunc(list, func(x, y introduction) int {
			c, d := &a.all[x.commit], &a.all[y.commit]
			return cmp.Or(cmp.Compare(c.when, d.when), strings.Compare(string(c.id), string(d.id)), strings.Compare(x.path, y.path))
		})
	}
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
		i, kind := a.s.tip(i)
		k, ok := a.commitOf(i)
		if kind != pack.Commit || !ok || len(a.names) == 1<<16 {
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
		for _, p := range a.all[k].parents {
			if c, ok := a.commitOf(p); ok {
				waits[c]++
			}
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
		for _, p := range a.all[k].parents {
			if c, ok := a.commitOf(p); ok {
				a.by[c] = merged(a.by[c], a.by[k])
				if waits[c]--; waits[c] == 0 {
					todo = append(todo, c)
				}
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
			for _, x := range a.below(a.n.of([]byte(a.all[k].tree)), 0) {
				a.inHead[x.blob] = true
			}
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

// story returns what is known of an object.
func (a *attribution) story(i id) story {
	s := story{Notes: map[string]string{}}
	k := a.n.of([]byte(i))
	if c, ok := a.at[k]; ok {
		a.describe(&s, c)
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
	s.Path, s.Commit = first.path, a.all[first.commit].id.String()
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
			also = append(also, x.path+" in "+a.all[x.commit].id.String()[:12])
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
	about(s.Notes, &a.all[k])
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
