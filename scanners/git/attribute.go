package git

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
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
	known, ok := r.savedProvenanceOf(ctx, want, wanted)
	if !ok {
		var err error
		if known, err = r.collectProvenance(ctx, want, wanted); err != nil {
			return err
		}
		r.saveProvenance(ctx, known)
	}
	for text, list := range byName {
		for _, f := range list {
			known[nameKey(text)].annotate(&f.Location)
		}
	}
	for _, f := range findings {
		i, ok := r.subject(f)
		if p, has := known[i.String()]; ok && has && want[i] {
			p.annotate(&f.Location)
		}
	}
	return nil
}

// provenance is where an object comes from: for a blob, the first commit that introduced it.
type provenance struct {
	Path   string            `json:"path,omitempty"`
	Commit string            `json:"commit,omitempty"`
	Notes  map[string]string `json:"notes"`
}

func (s provenance) annotate(l *rules.Location) {
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

// collectProvenance collects everything that is requested in one pass: each tree is read once.
func (r *repo) collectProvenance(ctx context.Context, want map[id]bool, byName []string) (map[string]provenance, error) {
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
	out := map[string]provenance{}
	for i := range want {
		out[i.String()] = a.provenance(i)
	}
	for k, t := range byName {
		out[nameKey(t)] = a.provenanceOf(subjectName-int32(k), "", t)
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

// provenance returns that of an object.
func (a *attribution) provenance(i id) provenance {
	s := provenance{Notes: map[string]string{}}
	k := a.n.of([]byte(i))
	if k >= 0 && a.at[k] >= 0 {
		a.describe(&s, a.at[k])
		return s
	}
	return a.provenanceOf(k, i, "")
}

// provenanceOf returns that of a blob or of a name, by the paths at which commits have it.
func (a *attribution) provenanceOf(k int32, i id, name string) provenance {
	s := provenance{Notes: map[string]string{}}
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

func (a *attribution) describe(s *provenance, k int32) {
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
