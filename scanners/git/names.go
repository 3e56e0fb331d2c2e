package git

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// named is a name that is scanned as text: of a file or a folder in a tree, of a ref, or of a
// nested repository.
type named struct {
	text     string
	artifact string // the thing that has the name
	path     string // empty for a name in a tree: Attribute finds where it was first
	from     *origin
}

// The kinds of things that have names.
const (
	fileName = "file name"
	refsName = "ref name"
	repoName = "repository name"
)

// names are the distinct names of a repository. They are scanned in batches, which is faster
// than one by one; the line of a finding identifies the name.
type names struct {
	mu      sync.Mutex
	seed    maphash.Seed
	known   map[uint64]bool // hashes of those that were added
	pending []named
	size    int
	batches []batch
}

type batch struct {
	names []named
	at    []int64 // the offset of each in the text
	hit   bool
}

// batchSize is how many bytes of names are scanned at a time.
const batchSize = 64 << 10

// apart prevents names from being joined: each begins two lines after the preceding one.
const apart = "\n\n"

func newNames() *names { return &names{seed: maphash.MakeSeed(), known: map[uint64]bool{}} }

// add adds a name to be scanned, the first of each text and kind.
func (n *names) add(x named) {
	h := maphash.Comparable(n.seed, [2]string{x.artifact, x.text})
	n.mu.Lock()
	defer n.mu.Unlock()
	if x.text == "" || n.known[h] {
		return
	}
	n.known[h] = true
	n.pending = append(n.pending, x)
	n.size += len(x.text) + len(apart)
}

// take makes a batch of the added names, if they have at least least bytes.
func (n *names) take(least int) (text []byte, number int, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.pending) == 0 || n.size < least {
		return nil, 0, false
	}
	b := batch{names: n.pending}
	for _, x := range n.pending {
		b.at = append(b.at, int64(len(text)))
		text = append(append(text, scanners.Apart(x.text)...), apart...)
	}
	n.pending, n.size = nil, 0
	n.batches = append(n.batches, b)
	return text, len(n.batches) - 1, true
}

const batchPrefix = "names "

func batchOf(artifact string) (int, bool) {
	rest, ok := strings.CutPrefix(artifact, batchPrefix)
	k, err := strconv.Atoi(rest)
	return k, ok && err == nil
}

// readNames scans the added names, if they have at least least bytes.
func (r *repo) readNames(least int, part func(scanners.Artifact, io.Reader) error) error {
	text, k, ok := r.names.take(least)
	if !ok {
		return nil
	}
	return part(scanners.Artifact{Location: r.location(batchPrefix + strconv.Itoa(k)), Uncounted: true}, bytes.NewReader(text))
}

// lastNames is the artifact for the names that no earlier one has scanned.
func (r *repo) lastNames() scanners.Artifact {
	return scanners.Artifact{Location: r.location(batchPrefix + "and refs"), Parts: func(_ context.Context, part func(scanners.Artifact, io.Reader) error, _ func(scanners.Gap)) error {
		return r.readNames(0, part)
	}}
}

// hit marks a batch with a finding.
func (n *names) hit(k int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k >= 0 && k < len(n.batches) {
		n.batches[k].hit = true
	}
}

// resolve moves a finding in a batch to its name, which it returns; nil: the finding is not in
// a batch.
func (n *names) resolve(l *rules.Location) *named {
	k, ok := batchOf(l.Artifact)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !ok || k < 0 || k >= len(n.batches) {
		return nil
	}
	b := n.batches[k]
	i := (l.Line - 1) / len(apart)
	if i < 0 || i >= len(b.names) {
		return nil
	}
	x, down := &b.names[i], i*len(apart)
	l.Line, l.EndLine = l.Line-down, l.EndLine-down
	l.Offset, l.EndOffset = l.Offset-b.at[i], l.EndOffset-b.at[i]
	for k := range l.Spans {
		l.Spans[k].Line -= down
		l.Spans[k].EndLine -= down
	}
	l.Artifact, l.Path = x.artifact, x.path
	if x.artifact == fileName && x.path == "" {
		l.Path = x.text
	}
	return x
}

// The memory keeps the names of batches with findings: a pack that was read before is not read
// again, but these names are.

func (r *repo) namesKey() string { return r.memory.key + "/names" }

func (r *repo) recallNames(ctx context.Context) {
	b, ok := r.src.Memory.Get(ctx, r.namesKey())
	var list [][]byte
	if !ok || json.Unmarshal(b, &list) != nil {
		return
	}
	for _, x := range list {
		r.names.add(named{text: string(x), artifact: fileName})
	}
}

func (r *repo) keepNames(ctx context.Context) {
	list := [][]byte{}
	r.names.mu.Lock()
	for _, b := range r.names.batches {
		for _, x := range b.names {
			if b.hit && x.artifact == fileName && x.path == "" {
				list = append(list, []byte(x.text))
			}
		}
	}
	r.names.mu.Unlock()
	if b, err := json.Marshal(list); err == nil {
		r.src.Memory.Put(ctx, r.namesKey(), b)
	}
}

// addNames adds the names that are not in objects.
func (r *repo) addNames() {
	r.names.add(named{text: r.name, artifact: repoName})
	for _, x := range r.refs() {
		r.names.add(named{text: x.name, artifact: refsName})
	}
	for _, f := range r.reflogFiles() {
		r.names.add(named{text: f.name, artifact: refsName})
	}
	for _, dir := range r.heads() {
		x, _ := r.readIndex(dir)
		for _, f := range x.files {
			for name := range strings.SplitSeq(f.path, "/") {
				r.names.add(named{text: name, artifact: fileName})
			}
		}
	}
}

// addPath adds the names in a known path, with its origin.
func (r *repo) addPath(p string, from *origin) {
	at := 0
	for name := range strings.SplitSeq(p, "/") {
		at += len(name)
		r.names.add(named{text: name, artifact: fileName, path: p[:at], from: from})
		at++
	}
}

// nameKey is the key of a name's provenance.
func nameKey(text string) string { return fmt.Sprintf("name %x", text) }
