package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/quellhq/quell/scanners/git/pack"
)

// memory records what earlier scans of all objects read completely. An object with a finding is
// read again each time: memory saves work and never hides findings.
type memory struct {
	packs map[*pack.Pack]map[id]bool // those that were read completely: their objects with findings
	seen  []byte                     // ids without findings, sorted
	size  int                        // length of one
	key   string                     // of seen
	whole bool                       // nothing is new in the packs
}

// pack returns the objects with findings of a pack that was read completely.
func (m *memory) pack(p *pack.Pack) (map[id]bool, bool) {
	hits, ok := m.packs[p]
	return hits, ok
}

// clean reports whether an object was read without a finding.
func (m *memory) clean(i []byte) bool {
	if len(m.seen) == 0 {
		return false
	}
	n := len(m.seen) / m.size
	k := sort.Search(n, func(k int) bool { return bytes.Compare(m.seen[k*m.size:(k+1)*m.size], i) >= 0 })
	return k < n && bytes.Equal(m.seen[k*m.size:(k+1)*m.size], i)
}

func (r *repo) remembers() bool {
	s := r.src
	return s.Memory != nil && !s.partly() && (s.Objects == "" || s.Objects == All)
}

// packKey identifies a pack of this repository: pack names of another repository are not
// trusted here.
func (r *repo) packKey(p *pack.Pack) string {
	return r.memory.key + "/pack/" + p.Checksum() + "/" + p.Stamp()
}

// remember loads the records of this repository.
func (r *repo) remember(ctx context.Context) {
	if !r.remembers() {
		return
	}
	m := &r.memory
	m.size, m.packs, m.whole = r.hashLen, map[*pack.Pack]map[id]bool{}, true
	dir, err := filepath.Abs(r.dir)
	if err != nil {
		dir = r.dir
	}
	sum := sha256.Sum256([]byte(dir))
	m.key = "git/objects/" + hex.EncodeToString(sum[:])
	for _, o := range r.all() {
		for _, p := range o.packs {
			b, ok := r.src.Memory.Get(ctx, r.packKey(p))
			if !ok {
				m.whole = false
				continue
			}
			hits := map[id]bool{}
			for i := range slices.Chunk(b, r.hashLen) {
				hits[id(i)] = true
			}
			m.packs[p] = hits
		}
	}
	if b, ok := r.src.Memory.Get(ctx, m.key); ok && len(b)%m.size == 0 {
		m.seen = b
	}
	if r.shrunk(ctx) {
		*m = memory{key: m.key, size: m.size, packs: map[*pack.Pack]map[id]bool{}}
	}
	r.recallNames(ctx)
}

func (r *repo) stateKey() string { return r.memory.key + "/state" }

// shrunk reports whether an object is gone that an earlier scan has read: the object that named
// it may be damaged now, which only a scan of all objects shows.
func (r *repo) shrunk(ctx context.Context) bool {
	m := &r.memory
	if len(m.seen) == 0 {
		return false
	}
	if b, ok := r.src.Memory.Get(ctx, r.stateKey()); ok && string(b) == r.state() {
		return false
	}
	for i := range slices.Chunk(m.seen, m.size) {
		if !r.has(i) {
			return true
		}
	}
	return false
}

// keep records what was read. What failed is read again.
func (r *repo) keep(ctx context.Context) {
	if !r.remembers() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.matched[""] {
		return // a part was not read to its end
	}
	r.keepNames(ctx)
	state := r.state()
	r.src.Memory.Put(ctx, r.stateKey(), []byte(state))
	if r.promisor {
		r.src.Memory.Put(ctx, r.promisesKey(), fmt.Appendf(nil, "%s %d", state, r.promises(ctx)))
	}
	fresh := false
	for _, o := range r.all() {
		for _, p := range o.packs {
			if _, known := r.memory.packs[p]; known || !p.Sure() {
				continue
			}
			fresh = true
			var hits []byte
			for i := range r.matched {
				if _, ok := p.Find([]byte(i)); ok {
					hits = append(hits, i...)
				}
			}
			r.src.Memory.Put(ctx, r.packKey(p), hits)
		}
	}
	// git repacks existing objects: ids outlive packs.
	ids := map[id]bool{}
	for _, o := range r.all() {
		for d := range 256 {
			for _, i := range o.looseIDs(d) {
				ids[i] = true
				fresh = fresh || !r.memory.clean([]byte(i)) && !r.matched[i]
			}
		}
	}
	if !fresh {
		return
	}
	all := slices.Grow([]byte(nil), len(r.memory.seen))
	var list []id
	for i := range maps.Keys(ids) {
		list = append(list, i)
	}
	for _, o := range r.all() {
		for _, p := range o.packs {
			for k := range p.Len() {
				if p.Sure() {
					list = append(list, id(p.ID(k)))
				}
			}
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	for _, i := range list {
		// An object with an earlier finding was read again, and the finding was made again.
		if !r.matched[i] {
			all = append(all, i...)
		}
	}
	r.src.Memory.Put(ctx, r.memory.key, all)
}

// savedProvenance is the provenance of a repository's objects in one state: it is not computed
// again while nothing is new.
type savedProvenance struct {
	State   string                `json:"state"`
	Objects map[string]provenance `json:"stories"`
}

func (r *repo) provenanceKey() string { return r.memory.key + "/stories" }

// state is unchanged while the sources of provenance are unchanged: the objects, the names, the
// reflogs and the indexes.
func (r *repo) state() string {
	h := sha256.New()
	for _, o := range r.all() {
		for _, p := range o.packs {
			fmt.Fprintln(h, r.packKey(p))
		}
		for d := range 256 {
			for _, i := range o.looseIDs(d) {
				h.Write([]byte(i))
			}
		}
	}
	for _, x := range r.refs() {
		fmt.Fprintln(h, x.name, x.id)
	}
	for _, e := range r.reflogs() {
		fmt.Fprintln(h, e.name, e.id)
	}
	for _, dir := range r.heads() {
		if info, err := r.root.Stat(own(dir, "index")); err == nil {
			fmt.Fprintln(h, info.Size(), info.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (r *repo) promisesKey() string { return r.memory.key + "/promises" }

// recallPromises returns how many objects the last scan missed in a partial clone, if nothing has
// changed since.
func (r *repo) recallPromises(ctx context.Context) (n int, ok bool) {
	if !r.remembers() || r.memory.key == "" {
		return 0, false
	}
	b, ok := r.src.Memory.Get(ctx, r.promisesKey())
	state, count, _ := strings.Cut(string(b), " ")
	if !ok || state != r.state() {
		return 0, false
	}
	n, err := strconv.Atoi(count)
	return n, err == nil
}

// savedProvenanceOf returns the provenance that the last scan saved, if it is still valid and has
// all requested objects.
func (r *repo) savedProvenanceOf(ctx context.Context, want map[id]bool, byName []string) (map[string]provenance, bool) {
	if !r.remembers() || r.memory.key == "" {
		return nil, false
	}
	b, ok := r.src.Memory.Get(ctx, r.provenanceKey())
	var t savedProvenance
	if !ok || json.Unmarshal(b, &t) != nil || t.State != r.state() {
		return nil, false
	}
	for i := range want {
		if _, ok := t.Objects[i.String()]; !ok {
			return nil, false
		}
	}
	for _, text := range byName {
		if _, ok := t.Objects[nameKey(text)]; !ok {
			return nil, false
		}
	}
	return t.Objects, true
}

func (r *repo) saveProvenance(ctx context.Context, known map[string]provenance) {
	if !r.remembers() || r.memory.key == "" {
		return
	}
	if b, err := json.Marshal(savedProvenance{r.state(), known}); err == nil {
		r.src.Memory.Put(ctx, r.provenanceKey(), b)
	}
}
