package ledger

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// The head is stored twice. The row in the table head is written in the
// transaction of an append, so that a crash leaves no entry unsigned. The
// checkpoint file follows after the commit and may lag after a crash, by entries
// that a signed row covers; the next open or append writes it. The file never
// precedes the database, and is never moved to a head that does not continue it.

// heads reads the signed heads of all installations.
func (l *Ledger) heads(ctx context.Context, q querier) ([]Checkpoint, error) {
	rows, err := q.QueryContext(ctx, `SELECT key, id, hash, count, at, signature FROM head ORDER BY key`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Checkpoint
	for rows.Next() {
		var c Checkpoint
		var key, at, sig string
		if err := rows.Scan(&key, &c.ID, &c.Hash, &c.Count, &at, &sig); err != nil {
			return nil, err
		}
		// An entry that does not decode does not verify either.
		c.Key, _ = decodeKey(key)
		c.At, _ = time.Parse(checkpointTime, at)
		c.Signature, _ = base64.StdEncoding.DecodeString(sig)
		out = append(out, c)
	}
	return out, rows.Err()
}

// signHead writes this installation's row.
func (l *Ledger) signHead(ctx context.Context, tx *sql.Tx, s *state) error {
	c := newCheckpoint(s.count, s.id, s.hash, time.Now(), l.key)
	_, err := tx.ExecContext(ctx, l.engine.bind(`INSERT INTO head(key, id, hash, count, at, signature) VALUES (?,?,?,?,?,?)
ON CONFLICT(key) DO UPDATE SET id = excluded.id, hash = excluded.hash, count = excluded.count, at = excluded.at, signature = excluded.signature`),
		encodeKey(c.Key), c.ID, c.Hash, c.Count, c.At.Format(checkpointTime), base64.StdEncoding.EncodeToString(c.Signature))
	return err
}

// checkFile compares the checkpoint file with the ledger before an append. Before
// an installation's first append it writes an empty checkpoint: if the process
// ends between commit and file, the file is not missing.
func (l *Ledger) checkFile(ctx context.Context, tx *sql.Tx, s *state) error {
	if l.file == "" {
		return nil
	}
	c, found, err := l.file.read()
	switch {
	case err != nil && !found && l.engine.shared():
		s.noFile = true // HeadError reports it after the append
		return nil
	case err != nil && !found:
		return fmt.Errorf("read the checkpoint file: %w", err)
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrTampered, l.file, err)
	case found:
		ok, err := l.inChain(ctx, tx, c, s)
		if err == nil && !ok {
			err = fmt.Errorf("%w: entry %d is missing or was changed since %s", ErrTampered, c.ID, c.At.Format(time.RFC3339))
		}
		return err
	case l.hasSigned(s.keys, s.heads):
		s.noFile = true
		return nil
	}
	if err := l.engine.lockHead(ctx, tx, l.PublicKey()); err != nil {
		return err
	}
	if _, found, err := l.file.read(); found || err != nil {
		return err // another process of this installation was first
	}
	// A shared ledger works without the file, for a state folder that is read-only.
	if err := l.file.write(newCheckpoint(0, 0, "", time.Now(), l.key)); err != nil && !l.engine.shared() {
		return fmt.Errorf("write the checkpoint file: %w", err)
	}
	return nil
}

// hasSigned reports whether the ledger has an entry or a head of this installation.
// Another one may have listed it before its first append.
func (l *Ledger) hasSigned(k keyring, heads []Checkpoint) bool {
	self := l.PublicKey()
	if k.wrote[self] {
		return true
	}
	for _, h := range heads {
		if encodeKey(h.Key) == self {
			return true
		}
	}
	return false
}

// replace is what writeHead may do to a checkpoint file.
type replace int

const (
	lagging replace = iota // move one that the ledger continues
	missing                // or create one
	always                 // or replace one that the ledger contradicts
)

// writeHead moves the checkpoint file to this installation's newest signed head.
func (l *Ledger) writeHead(ctx context.Context, may replace) {
	if l.file == "" || l.key == nil {
		return
	}
	// The entries are durable: the file must follow even if the caller is cancelled.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer stop()
	err := l.moveHead(ctx, may)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.headErr = err
}

func (l *Ledger) moveHead(ctx context.Context, may replace) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	if err := l.engine.lockHead(ctx, tx, l.PublicKey()); err != nil {
		return err
	}
	heads, err := l.heads(ctx, tx)
	if err != nil {
		return err
	}
	var own Checkpoint
	for _, h := range heads {
		if h.valid() && encodeKey(h.Key) == l.PublicKey() {
			own = h
		}
	}
	if own.ID == 0 {
		return nil
	}
	if may != always {
		old, found, err := l.file.read()
		switch {
		case err != nil:
			return err
		case !found && may != missing:
			return errors.New("the checkpoint file is missing")
		case found && old.ID >= own.ID:
			return nil
		}
		for _, c := range []Checkpoint{old, own} {
			if ok, err := l.inChain(ctx, tx, c, nil); err != nil || !ok {
				return errors.Join(err, errors.New("the ledger does not continue the checkpoint file"))
			}
		}
	}
	return l.file.write(own)
}

// syncHead updates a checkpoint file that is older than the ledger. Where file and ledger
// differ it changes nothing: Append and Verify report that.
func (l *Ledger) syncHead(ctx context.Context) {
	if l.key == nil {
		return
	}
	if c, found, err := l.file.read(); err == nil && found {
		heads, err := l.heads(ctx, l.db)
		if err != nil {
			return
		}
		for _, h := range heads {
			if encodeKey(h.Key) == l.PublicKey() && h.ID > c.ID {
				l.writeHead(ctx, lagging)
			}
		}
	}
}
