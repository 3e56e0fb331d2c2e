package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Errors of Append. It wraps them with what happened and what to do.
var (
	// ErrFence: another actor took over the incident of an intent.
	ErrFence = errors.New("the lease of the incident is no longer held")
	// ErrTampered: the ledger is not the one that this installation signed.
	ErrTampered = errors.New("the ledger is not the one that this installation signed")
)

var errNoKey = errors.New("ledger: the installation has no signing key, so that nothing can be appended")

// Append records facts, all or none. When it returns nil they survive a crash, and their signed
// head is in the database. It sets ID, At and Hash of the entries if the caller passes a slice.
//
// After an error nothing was recorded, with one exception: if the connection to a PostgreSQL
// server ends during the commit, the entries may be there. A caller that gets an error for an
// intent sends nothing; a crash also leaves an intent without a receipt.
//
// An intent with an outdated fence, or without one while another actor holds the incident's
// lease, fails with ErrFence. If the entry that the checkpoint file names is missing or was
// changed, Append fails with ErrTampered; see Accept.
func (l *Ledger) Append(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	return l.append(ctx, func(tx *sql.Tx, _ *state) ([]Entry, error) {
		return entries, l.checkFences(ctx, tx, entries)
	}, false)
}

// append adds the entries that produce returns, preceded by those that the ledger itself must
// record. accept means that the operator accepts that the ledger was changed.
func (l *Ledger) append(ctx context.Context, produce func(*sql.Tx, *state) ([]Entry, error), accept bool) error {
	if l.key == nil {
		return errNoKey
	}
	var added, dst []Entry
	may := lagging
	err := l.update(ctx, func(tx *sql.Tx) error {
		s, err := l.load(ctx, tx)
		if err != nil {
			return err
		}
		if accept {
			may = always
		} else {
			if err := l.checkFile(ctx, tx, s); err != nil {
				return err
			}
			if s.noFile || l.engine.shared() {
				may = missing
			}
		}
		if dst, err = produce(tx, s); err != nil || len(dst) == 0 {
			return err
		}
		own, err := l.prelude(ctx, tx, s)
		if err != nil {
			return err
		}
		added = append(own, dst...)
		if err := l.insert(ctx, tx, s, added); err != nil {
			return err
		}
		return l.signHead(ctx, tx, s)
	})
	if err != nil {
		return appendError(err)
	}
	copy(dst, added[len(added)-len(dst):])
	if len(dst) > 0 {
		l.writeHead(ctx, may)
	}
	return nil
}

func appendError(err error) error {
	if errors.Is(err, ErrTampered) {
		return fmt.Errorf("ledger: append: %w (hint: `quell ledger --verify` lists the differences; `quell ledger --accept --reason TEXT` accepts them, so that quell can go on)", err)
	}
	return fmt.Errorf("ledger: append: %w", err)
}

// state is what an append starts from, and where the next entry goes.
type state struct {
	id    int64 // of the last entry
	hash  string
	count int64
	keys  keyring
	heads []Checkpoint // the signed heads in the database whose signature fits
	// noFile: this installation signed entries, and its checkpoint file is missing.
	noFile bool
}

func (l *Ledger) load(ctx context.Context, tx *sql.Tx) (*state, error) {
	s := &state{}
	err := tx.QueryRowContext(ctx, `SELECT id, hash FROM ledger ORDER BY id DESC LIMIT 1`).Scan(&s.id, &s.hash)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if s.keys, err = l.keys(ctx, tx); err != nil {
		return nil, err
	}
	heads, err := l.heads(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, h := range heads {
		if h.valid() {
			s.heads = append(s.heads, h)
		}
	}
	for _, h := range s.heads {
		if h.ID == s.id && h.Hash == s.hash {
			s.count = h.Count
			return s, nil
		}
	}
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM ledger`).Scan(&s.count)
	return s, err
}

// prelude returns the entries that the ledger itself must record before an append: this
// installation's key, unsigned entries, a missing file.
func (l *Ledger) prelude(ctx context.Context, tx *sql.Tx, s *state) ([]Entry, error) {
	var out []Entry
	self := l.PublicKey()
	if len(s.keys.order) == 0 {
		earlier, err := earlierIDs(ctx, tx)
		if err != nil {
			return nil, err
		}
		return []Entry{{Body: newKey(self, l.key, earlier)}}, nil
	}
	if _, known := s.keys.listed[self]; !known {
		out = append(out, Entry{Body: newKey(self, l.key, "")})
	}
	if s.noFile && !l.engine.shared() {
		out = append(out, Entry{Body: Notice{Kind: Word(HeadMissing), Message: "the checkpoint file was missing"}})
	}
	signed, listed, err := l.signedUpTo(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	if listed < signed {
		out = append(out, Entry{Body: Notice{Kind: Word(Unlisted), First: listed + 1, Last: signed, Message: "an installation that is not listed signed these entries"}})
	}
	if signed < s.id {
		out = append(out, Entry{Body: Notice{Kind: Word(Unsigned), First: signed + 1, Last: s.id, Message: "no installation signed these entries"}})
	}
	return out, nil
}

// signedUpTo returns up to which entry any introduced installation signed the
// ledger, and up to which one a listed one or this one did.
func (l *Ledger) signedUpTo(ctx context.Context, q querier, s *state) (any, listed int64, err error) {
	for _, h := range s.heads {
		key := encodeKey(h.Key)
		isListed, known := s.keys.listed[key]
		if !known && key != l.PublicKey() {
			continue
		}
		if ok, err := l.inChain(ctx, q, h, s); err != nil {
			return 0, 0, err
		} else if !ok {
			continue
		}
		any = max(any, h.ID)
		if isListed || key == l.PublicKey() {
			listed = max(listed, h.ID)
		}
	}
	return any, listed, nil
}

// inChain reports whether the entry that a checkpoint names has the hash that it
// names. s may be nil.
func (l *Ledger) inChain(ctx context.Context, q querier, c Checkpoint, s *state) (bool, error) {
	if c.ID == 0 {
		return true, nil
	}
	if s != nil && c.ID == s.id {
		return c.Hash == s.hash, nil
	}
	var hash string
	err := q.QueryRowContext(ctx, l.engine.bind(`SELECT hash FROM ledger WHERE id = ?`), c.ID).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return hash == c.Hash, err
}

func earlierIDs(ctx context.Context, tx *sql.Tx) (string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id FROM ledger ORDER BY id`)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var d idsDigest
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return "", err
		}
		d.add(id)
	}
	return d.sum, rows.Err()
}

func (l *Ledger) insert(ctx context.Context, tx *sql.Tx, s *state, entries []Entry) error {
	add, err := tx.PrepareContext(ctx, l.engine.bind(l.engine.insert()))
	if err != nil {
		return err
	}
	defer add.Close()
	for i := range entries {
		e := &entries[i]
		if e.Body == nil {
			return errors.New("an entry has no body")
		}
		if e.At.IsZero() {
			e.At = time.Now()
		}
		e.At = e.At.UTC()
		if e.row, err = rowOf(*e); err != nil {
			return err
		}
		s.id, s.count, s.hash = s.id+1, s.count+1, e.row.hash(s.hash)
		e.ID, e.Hash = s.id, s.hash
		r := e.row
		if _, err := add.ExecContext(ctx, e.ID, r.at, r.incident, r.kind, r.actor, r.run, r.body, e.Hash); err != nil {
			return err
		}
	}
	return l.engine.inserted(ctx, tx, s.id)
}
