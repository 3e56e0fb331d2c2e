package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Report is what Verify found.
type Report struct {
	Entries int64 // in the ledger
	Last    int64 // id of the last entry
	// Proven is the id of the last entry that a counting signature covers with no problem
	// before it, 0 if there is none; By names the signer. Counting signatures are those of this
	// installation, of listed ones, and of the checkpoint that the caller gave.
	Proven int64
	By     string
	// Problems are the differences that were not accepted.
	Problems []Problem
	Accepted []Problem // see Accept
	// Unlisted are entries that only an unlisted installation signed. In a SQLite ledger whose
	// listed installation calls Verify, they are problems instead.
	Unlisted []Problem
	// Notes list what could not be compared.
	Notes []string
}

// OK reports whether there are no problems.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// maxChainProblems bounds the report of a ledger whose every entry was changed.
const maxChainProblems = 20

// Verify reads the whole ledger and compares it with what was signed: the chain of hashes, the
// heads in the database, the checkpoint file and, unless it is nil, a checkpoint that was kept
// elsewhere. Only the last one detects that the database and the checkpoint file were replaced
// together.
//
// An error means that the ledger could not be read.
func (l *Ledger) Verify(ctx context.Context, kept *Checkpoint) (Report, error) {
	v := &verification{l: l}
	if err := l.view(ctx, func(tx *sql.Tx) error { return v.read(ctx, tx, kept) }); err != nil {
		return Report{}, fmt.Errorf("ledger: verify: %w", err)
	}
	return v.report(), nil
}

// point is a checkpoint that the walk over the entries compares.
type point struct {
	Checkpoint
	by string
	// anchor: it was not read from the database, or this installation signed it.
	anchor  bool
	given   bool
	counts  bool // its signature counts
	matches bool
	count   int64 // of the entries up to its own
}

type verification struct {
	l      *Ledger
	keys   keyring
	points []*point
	// chain are problems of the entries, head those of signatures, both in order.
	chain, head []Problem
	unsigned    []Problem
	unlisted    []Problem
	accepts     map[int64][]Problem // by the id of the override
	count, last int64
	prev        string
	ids         idsDigest
	rooted      bool
	noFile      bool
}

func (v *verification) read(ctx context.Context, tx *sql.Tx, kept *Checkpoint) error {
	// The file comes first: a head that is written while the entries are read
	// must not be ahead of them.
	file, found, err := v.l.file.read()
	switch {
	case err != nil && !found && !v.l.engine.shared():
		return err
	case err != nil && !found:
		// As without a file: see Report.Notes.
	case err != nil:
		v.head = append(v.head, Problem{Kind: HeadDamaged, Detail: fmt.Sprintf("%s: %v", v.l.file, err)})
	case found:
		v.points = append(v.points, &point{Checkpoint: file, by: "the checkpoint file", anchor: true})
	}
	v.noFile = !found && (v.l.file != "" || v.l.engine.shared())
	if kept != nil {
		if !kept.valid() {
			return fmt.Errorf("the signature of the given checkpoint does not fit")
		}
		v.points = append(v.points, &point{Checkpoint: *kept, by: "the given checkpoint", anchor: true, given: true})
	}
	bad, err := v.l.engine.structure(ctx, tx)
	if err != nil {
		return err
	}
	v.head = append(v.head, bad...)
	heads, err := v.l.heads(ctx, tx)
	if err != nil {
		return err
	}
	for _, h := range heads {
		if !h.valid() {
			v.head = append(v.head, Problem{Kind: HeadDamaged, Detail: "the signature of a head in the database does not fit"})
			continue
		}
		v.points = append(v.points, &point{Checkpoint: h, by: "installation " + encodeKey(h.Key)})
	}
	at := map[int64][]*point{}
	for _, p := range v.points {
		at[p.ID] = append(at[p.ID], p)
	}
	for s, err := range v.l.stored(ctx, tx, "") {
		if err != nil {
			return err
		}
		v.entry(s)
		for _, p := range at[s.id] {
			p.matches, p.count = p.Hash == s.hash, v.count
		}
	}
	return nil
}

// entry checks the next entry.
func (v *verification) entry(s stored) {
	v.count++
	changed := func(kind ProblemKind, format string, args ...any) {
		if len(v.chain) < maxChainProblems {
			v.chain = append(v.chain, Problem{Kind: kind, Entry: s.id, Detail: fmt.Sprintf(format, args...)})
		}
	}
	var key *Key
	if s.incident == "" && s.kind == string(TypeKey) {
		if b, err := Decode(TypeKey, []byte(s.body)); err == nil {
			k := b.(Key)
			key = &k
		}
	}
	root := key != nil && !v.rooted
	for _, f := range []string{s.at, s.incident, s.kind, s.actor, s.run, s.body} {
		if !utf8.ValidString(f) {
			changed(Changed, "the text is not UTF-8")
		}
	}
	switch {
	case s.row.hash(v.prev) != s.hash:
		changed(Changed, "it does not follow from the entry before it: an entry was changed, removed or inserted")
	case (v.rooted || root) && s.id != v.last+1:
		changed(Renumbered, "its number does not follow %d", v.last)
	case root && key.Earlier != v.ids.sum:
		changed(Renumbered, "the numbers of the entries before it were changed")
	}
	if !v.rooted {
		v.ids.add(s.id)
	}
	v.rooted = v.rooted || root
	v.prev, v.last = s.hash, s.id
	if s.incident == "" {
		v.own(s, key, changed)
	}
}

// own takes in an entry about the ledger itself.
func (v *verification) own(s stored, key *Key, changed func(ProblemKind, string, ...any)) {
	if key != nil {
		if err := v.keys.add(*key); err != nil {
			changed(BadKey, "%v", err)
		}
		return
	}
	b, err := Decode(Type(s.kind), []byte(s.body))
	if err != nil {
		return
	}
	switch b := b.(type) {
	case Notice:
		switch p := (Problem{Kind: ProblemKind(b.Kind), Entry: b.First, Last: b.Last, Detail: b.Message}); p.Kind {
		case Unsigned:
			v.unsigned = append(v.unsigned, p)
		case Unlisted:
			v.unlisted = append(v.unlisted, p)
		case HeadMissing:
			p.Entry = s.id
			v.head = append(v.head, p)
		}
	case Override:
		if len(b.Accepts) > 0 {
			if v.accepts == nil {
				v.accepts = map[int64][]Problem{}
			}
			v.accepts[s.id] = b.Accepts
		}
	}
}

// report compares the checkpoints with the entries.
func (v *verification) report() Report {
	heads := v.trust()
	signed, listed := int64(0), int64(0)
	for _, p := range v.points {
		if !p.matches {
			continue
		}
		signed = max(signed, p.ID)
		if p.counts {
			listed = max(listed, p.ID)
		}
	}
	var notes []string
	switch {
	case v.noFile && v.l.engine.shared():
		notes = append(notes, "there is no checkpoint file on this machine: only a checkpoint that was kept elsewhere shows whether entries are missing at the end")
	case v.noFile && v.l.hasSigned(v.keys, heads):
		v.head = append(v.head, Problem{Kind: HeadMissing, Detail: fmt.Sprintf("the checkpoint file %s is missing", v.l.file)})
	}
	if len(v.keys.order) > 0 {
		if listed < signed {
			v.unlisted = append(v.unlisted, Problem{Unlisted, listed + 1, signed, "an installation that is not listed signed these entries"})
		}
		if signed < v.last {
			v.unsigned = append(v.unsigned, Problem{Unsigned, signed + 1, v.last, "no installation signed these entries"})
		}
	}
	r := Report{Entries: v.count, Last: v.last, Notes: notes}
	all := slices.Concat(v.chain, v.head, v.unsigned)
	if v.l.engine.shared() || !v.keys.listed[v.l.PublicKey()] {
		r.Unlisted = v.unlisted
	} else {
		all = append(all, v.unlisted...)
	}
	r.Problems, r.Accepted = v.divide(all)
	v.proven(&r)
	return r
}

// trust decides which signatures count, and reports those that contradict the
// entries. It returns this installation's heads.
func (v *verification) trust() (heads []Checkpoint) {
	self := v.l.PublicKey()
	anchors, anchored := false, false
	kept := v.points[:0]
	for _, p := range v.points {
		if p.ID == 0 {
			continue // nothing was appended before it
		}
		key := encodeKey(p.Key)
		if key == self {
			p.anchor = true
			heads = append(heads, p.Checkpoint)
		}
		if _, known := v.keys.listed[key]; !known && key != self && !p.given {
			v.head = append(v.head, Problem{Kind: HeadDamaged, Detail: p.by + " has the signature of a key that no entry introduces"})
			continue
		}
		kept = append(kept, p)
		anchors, anchored = anchors || p.anchor, anchored || p.anchor && p.matches
		v.compare(p)
	}
	v.points = kept
	// The ledger's own list of keys counts if an anchor covers it, or if there is no anchor.
	for _, p := range v.points {
		p.counts = p.given || encodeKey(p.Key) == self || v.keys.listed[encodeKey(p.Key)] && (anchored || !anchors)
	}
	return heads
}

func (v *verification) compare(p *point) {
	switch {
	case p.matches && p.count != p.Count && len(v.chain) == 0:
		v.head = append(v.head, Problem{Kind: Rewritten, Entry: p.ID, Detail: fmt.Sprintf("%s covers %d entries, and there are %d", p.by, p.Count, p.count)})
	case p.matches:
	case p.ID > v.last:
		v.head = append(v.head, Problem{Kind: Truncated, Entry: v.last + 1, Last: p.ID, Detail: fmt.Sprintf("%s covers entries up to %d, and the ledger ends at %d", p.by, p.ID, v.last)})
	default:
		v.head = append(v.head, Problem{Kind: Rewritten, Entry: p.ID, Detail: fmt.Sprintf("it is not the entry that %s of %s covers", p.by, p.At.Format(time.RFC3339))})
	}
}

// proven finds the last counting signature before the first problem.
func (v *verification) proven(r *Report) {
	bound := v.last + 1
	for _, p := range r.Problems {
		switch p.Kind {
		case Changed, Renumbered, BadKey, Unsigned, Unlisted:
			bound = min(bound, p.Entry)
		}
	}
	for _, p := range v.points {
		if p.counts && p.matches && p.ID < bound && p.ID > r.Proven {
			r.Proven, r.By = p.ID, p.by
		}
	}
}
