package detect

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/gob"
	"slices"

	"github.com/quellhq/quell/rules"
)

//go:generate go test -run TablesAreCurrent -update

// builtinTables is what analysis finds out about the built-in rules: doing it
// anew takes longer than all else before the first byte is read.
//
//go:embed builtin.tables
var builtinTables []byte

// tables are the anchors of a set of rules, by rule, and their grams, in order.
type tables struct {
	Rules   []analyzed
	Entries []storedEntry
}

// analyzed is one rule's analysis.
type analyzed struct {
	Key     key
	Slow    bool // no usable literal
	Anchors []storedAnchor
}

type storedAnchor struct {
	Literals      []string
	Path          []int
	Elem          int
	Before, After storedExtent
	Leading       bool
	Bound         bool
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

// key names a rule by all that analysis looks at.
type key [16]byte

func keyOf(r *rules.Rule) (k key) {
	h := sha256.New()
	for _, s := range append([]string{r.Regex.String()}, r.Keywords...) {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	copy(k[:], h.Sum(nil))
	return k
}

// load reads tables. exact: they are those of the set.
func load(b []byte, set []*rules.Rule) (t *tables, exact bool) {
	t = &tables{}
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(t); err != nil {
		return &tables{}, false
	}
	return t, slices.EqualFunc(t.Rules, set, func(x analyzed, r *rules.Rule) bool { return x.Key == keyOf(r) })
}

func (t *tables) encode() ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(t)
	return b.Bytes(), err
}

// build analyses the rules; what known has of them is taken from there.
func build(set []*rules.Rule, known *tables) *tables {
	at := map[key]int{}   // rules of known
	var first, rule []int // the number of a rule's first anchor, the rule of an anchor
	for i, x := range known.Rules {
		at[x.Key] = i
		first = append(first, len(rule))
		rule = append(rule, slices.Repeat([]int{i}, len(x.Anchors))...)
	}
	stored := make([][]storedEntry, len(known.Rules))
	for _, e := range known.Entries {
		stored[rule[e.Anchor]] = append(stored[rule[e.Anchor]], e)
	}
	t := &tables{}
	grams := gramSet{}
	n := 0
	for _, r := range set {
		k := keyOf(r)
		if i, ok := at[k]; ok {
			t.Rules = append(t.Rules, known.Rules[i])
			for _, e := range stored[i] {
				grams[gramEntry{gram: e.Gram, anchor: uint16(int(e.Anchor) - first[i] + n), off: int8(e.Off)}] = struct{}{}
			}
			n += len(known.Rules[i].Anchors)
			continue
		}
		anchors, ok := analyze(r.Regex.String())
		x := analyzed{Key: k, Slow: !ok}
		if !ok {
			anchors = nil
			for _, k := range r.Keywords {
				anchors = append(anchors, keyword(k, r.Regex.String()))
			}
		}
		for _, a := range anchors {
			x.Anchors = append(x.Anchors, storedAnchor{a.literals, a.path, a.elem, a.before.store(), a.after.store(), a.leading, a.bound, a.least, storedHead{a.head.known, a.head.folds, members(a.head.class), a.head.most}, a.needle})
			for _, g := range a.grams {
				grams[gramEntry{gram: g.gram, anchor: uint16(n), off: int8(g.off)}] = struct{}{}
			}
			n++
		}
		t.Rules = append(t.Rules, x)
	}
	sorted := grams.sorted()
	for _, e := range sorted {
		t.Entries = append(t.Entries, storedEntry{e.gram, e.anchor, int16(e.off)})
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
