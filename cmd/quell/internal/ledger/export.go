package ledger

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// exportFormat is the version of exported files.
const exportFormat = 1

// exportHead is the first line of an exported file.
type exportHead struct {
	Format   int    `json:"quell_ledger"`
	Incident string `json:"incident,omitempty"` // the file proves this one; empty: it is the whole ledger
	// After is the hash of the entry before the first line, "" if there is none.
	After string `json:"after"`
	// Checkpoint is signed, and covers the last line. It is empty if the ledger
	// does not continue its checkpoint file.
	Checkpoint string `json:"checkpoint"`
}

// exportLine is an entry with its columns as text, which is what the hash covers.
type exportLine struct {
	ID       int64  `json:"id"`
	At       string `json:"at"`
	Incident string `json:"incident"`
	Type     string `json:"type"`
	Actor    string `json:"actor"`
	Run      string `json:"run"`
	Body     string `json:"body"`
	Hash     string `json:"hash"`
}

// Export is a range of entries in a file, and the checkpoint that covers it.
type Export struct {
	Incident    string
	Entries     int64
	First, Last int64 // ids
	// Checkpoint covers the last entry; its Key is empty if there is none.
	Checkpoint Checkpoint
	// Kept is set if the checkpoint that the caller gave covers entries of the
	// file; they are proven up to its ID.
	Kept bool
}

// Export writes the whole ledger as JSON lines, with a checkpoint of its last
// entry. A ledger that was changed is written too, without a checkpoint; the error
// is ErrTampered then.
func (l *Ledger) Export(ctx context.Context, w io.Writer) (Export, error) {
	c, err := l.Checkpoint(ctx)
	if err != nil && !errors.Is(err, ErrTampered) {
		return Export{}, err
	}
	x, failed := l.export(ctx, w, Export{Checkpoint: c}, "", 0)
	return x, errors.Join(err, failed)
}

// Prove writes the entries of an incident, and all others from its first one to
// the checkpoint, since a hash chain is checked entry by entry. Without a checkpoint
// that the caller keeps it signs one. A prefix of the incident's name suffices.
func (l *Ledger) Prove(ctx context.Context, w io.Writer, incident string, kept *Checkpoint) (Export, error) {
	name, err := l.resolve(ctx, incident)
	if err != nil {
		return Export{}, fmt.Errorf("ledger: incident %q: %w", incident, err)
	}
	x := Export{Incident: name}
	var first, last int64
	var before string
	if err := l.db.QueryRowContext(ctx, l.engine.bind(`SELECT min(id), max(id) FROM ledger WHERE incident = ?`), name).Scan(&first, &last); err != nil {
		return Export{}, fmt.Errorf("ledger: prove: %w", err)
	}
	if err := l.db.QueryRowContext(ctx, l.engine.bind(`SELECT coalesce((SELECT hash FROM ledger WHERE id < ? ORDER BY id DESC LIMIT 1), '')`), first).Scan(&before); err != nil {
		return Export{}, fmt.Errorf("ledger: prove: %w", err)
	}
	if kept == nil {
		c, err := l.Checkpoint(ctx)
		if err != nil {
			return Export{}, err
		}
		kept = &c
	}
	if kept.ID < last {
		return Export{}, fmt.Errorf("ledger: prove: the checkpoint covers entries up to %d, and the incident has entry %d (hint: use a later checkpoint, or none)", kept.ID, last)
	}
	x.Checkpoint = *kept
	return l.export(ctx, w, x, before, first)
}

func (l *Ledger) export(ctx context.Context, w io.Writer, x Export, after string, from int64) (Export, error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	head := exportHead{Format: exportFormat, Incident: x.Incident, After: after}
	if len(x.Checkpoint.Key) > 0 {
		head.Checkpoint = x.Checkpoint.String()
	}
	if err := enc.Encode(head); err != nil {
		return x, fmt.Errorf("ledger: export: %w", err)
	}
	where, args := ` AND id >= ?`, []any{from}
	if from == 0 {
		where, args = "", nil
	}
	for s, err := range l.stored(ctx, l.db, where, args...) {
		if err != nil {
			return x, fmt.Errorf("ledger: export: %w", err)
		}
		if head.Checkpoint != "" && s.id > x.Checkpoint.ID {
			break // it was appended after the checkpoint was signed
		}
		if err := enc.Encode(exportLine{s.id, s.at, s.incident, s.kind, s.actor, s.run, s.body, s.hash}); err != nil {
			return x, fmt.Errorf("ledger: export: %w", err)
		}
		x.add(s.id)
	}
	return x, nil
}

func (x *Export) add(id int64) {
	if x.Entries == 0 {
		x.First = id
	}
	x.Entries, x.Last = x.Entries+1, id
}

// CheckExport reads a file that Export or Prove wrote, without the ledger. It checks each
// entry's hash, that the signed checkpoint covers the last entry, and that the entry of the
// caller's own checkpoint has the hash that it names. An error names the check that failed. The
// caller must compare whose key signed.
func CheckExport(r io.Reader, kept *Checkpoint) (Export, error) {
	lines := bufio.NewReader(r)
	var head exportHead
	if err := readLine(lines, &head); err != nil || head.Format != exportFormat {
		return Export{}, errors.New("ledger: check: this is no exported ledger of a format that this quell reads")
	}
	x := Export{Incident: head.Incident}
	if head.Checkpoint != "" {
		c, err := ParseCheckpoint(head.Checkpoint)
		if err != nil {
			return x, fmt.Errorf("ledger: check: %w", err)
		}
		x.Checkpoint = c
	}
	prev := head.After
	for {
		var e exportLine
		err := readLine(lines, &e)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return x, fmt.Errorf("ledger: check: line %d: %w", x.Entries+2, err)
		}
		if (row{e.At, e.Incident, e.Type, e.Actor, e.Run, e.Body}).hash(prev) != e.Hash || x.Entries > 0 && e.ID <= x.Last {
			return x, fmt.Errorf("ledger: check: entry %d does not follow from the one before it", e.ID)
		}
		x.add(e.ID)
		prev = e.Hash
		if kept != nil && kept.ID == e.ID {
			if kept.Hash != e.Hash {
				return x, fmt.Errorf("ledger: check: entry %d is not the one that the given checkpoint covers", e.ID)
			}
			x.Kept = true
		}
	}
	switch {
	case head.Checkpoint != "" && (x.Last != x.Checkpoint.ID || prev != x.Checkpoint.Hash):
		return x, errors.New("ledger: check: the last entry is not the one that the checkpoint covers")
	case kept != nil && !x.Kept:
		return x, fmt.Errorf("ledger: check: the file has entries %d to %d, and the given checkpoint covers entry %d", x.First, x.Last, kept.ID)
	}
	return x, nil
}

// readLine decodes one line strictly.
func readLine(r *bufio.Reader, into any) error {
	b, err := r.ReadBytes('\n')
	if len(bytes.TrimSpace(b)) == 0 {
		if err == nil {
			err = io.EOF
		}
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
