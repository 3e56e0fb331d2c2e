package detect

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/gob"

	"github.com/quellhq/quell/rules"
)

//go:generate go test -run TablesAreCurrent -update

// builtinTables is what analysis finds out about the built-in rules: doing it
// anew takes longer than all else before the first byte is read.
//
//go:embed builtin.tables
var builtinTables []byte

// tables are the anchors of a set of rules, and the set that they are of.
type tables struct {
	Digest  [sha256.Size]byte
	Rules   []analyzed
	Entries []storedEntry
	Buckets []byte
}

// analyzed is one rule's analysis.
type analyzed struct {
	Slow    bool // no usable literal
	Anchors []storedAnchor
}

type storedAnchor struct {
	Literals      []string
	Path          []int
	Elem          int
	Before, After storedExtent
	Leading       bool
	Least         int
	Head          storedHead
	Needle        string
}

type storedHead struct {
	Known, Folds bool
	Class        []byte
	Most         int
}

type storedExtent struct {
	Bytes     int
	Loop, All []byte // sets of bytes; no loop: empty
}

type storedEntry struct {
	Gram   uint32
	Anchor uint16
	Off    int16
}

// digest names a set of rules by all that analysis looks at.
func digest(set []*rules.Rule) (out [sha256.Size]byte) {
	h := sha256.New()
	for _, r := range set {
		for _, s := range append([]string{r.ID, r.Regex.String()}, r.Keywords...) {
			h.Write([]byte(s))
			h.Write([]byte{0})
		}
		h.Write([]byte{1})
	}
	h.Sum(out[:0])
	return out
}

// load reads tables, if they are those of the set.
func load(b []byte, set []*rules.Rule) (*tables, bool) {
	want := digest(set)
	if !bytes.HasPrefix(b, want[:]) {
		return nil, false
	}
	t := &tables{Digest: want}
	if err := gob.NewDecoder(bytes.NewReader(b[len(want):])).Decode(t); err != nil {
		return nil, false
	}
	return t, true
}

func (t *tables) encode() ([]byte, error) {
	b := bytes.NewBuffer(t.Digest[:])
	err := gob.NewEncoder(b).Encode(t)
	return b.Bytes(), err
}

// build analyses the rules.
func build(set []*rules.Rule) *tables {
	t := &tables{Digest: digest(set)}
	grams := gramSet{}
	n := 0
	for _, r := range set {
		anchors, ok := analyze(r.Regex.String())
		x := analyzed{Slow: !ok}
		if !ok {
			anchors = nil
			for _, k := range r.Keywords {
				anchors = append(anchors, keyword(k, r.Regex.String()))
			}
		}
		for _, a := range anchors {
			x.Anchors = append(x.Anchors, storedAnchor{a.literals, a.path, a.elem, a.before.store(), a.after.store(), a.leading, a.least, storedHead{a.head.known, a.head.folds, members(a.head.class), a.head.most}, a.needle})
			for _, g := range a.grams {
				grams[gramEntry{gram: g.gram, anchor: uint16(n), off: g.off}] = struct{}{}
			}
			n++
		}
		t.Rules = append(t.Rules, x)
	}
	sorted := grams.sorted()
	for _, e := range sorted {
		t.Entries = append(t.Entries, storedEntry{e.gram, e.anchor, e.off})
	}
	for _, set := range bucketTables(sorted) {
		t.Buckets = append(t.Buckets, set[:]...)
	}
	return t
}

func (x extent) store() storedExtent { return storedExtent{x.bytes, members(x.loop), members(x.all)} }

func (x storedExtent) extent() extent {
	out := extent{bytes: x.Bytes, all: set(x.All)}
	if len(x.Loop) > 0 {
		out.loop = set(x.Loop)
	}
	return out
}

func (x storedHead) head() head { return head{x.Known, x.Folds, set(x.Class), x.Most} }

func members(set *[256]bool) []byte {
	if set == nil {
		return nil
	}
	out := []byte{}
	for c, in := range set {
		if in {
			out = append(out, byte(c))
		}
	}
	return out
}

func set(members []byte) *[256]bool {
	var out [256]bool
	for _, c := range members {
		out[c] = true
	}
	return &out
}
