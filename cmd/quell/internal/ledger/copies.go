package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// copyPart is how many bytes of a copy one row holds.
const copyPart = 1 << 20

// maxCopy is how many bytes of a copy a database takes.
const maxCopy = 4 << 30

// PutCopy stores the sealed copy in a file, whose SHA-256 (hex) is hash, under a name. It is not
// part of the chain; the chain's entry about it has the hash. A copy that is there stays.
func (l *Ledger) PutCopy(ctx context.Context, name, hash, file string) error {
	if err := l.copies(ctx); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("ledger: copy: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() > maxCopy {
		return fmt.Errorf("ledger: copy: a database takes up to %d GiB (hint: evidence = DIR in the policy)", maxCopy>>30)
	}
	err = l.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, l.engine.bind(`DELETE FROM evidence WHERE name = ?`), name); err != nil {
			return err
		}
		b := make([]byte, copyPart)
		for n := 0; ; n++ {
			got, err := io.ReadFull(f, b)
			if got > 0 {
				if _, err := tx.ExecContext(ctx, l.engine.bind(`INSERT INTO evidence(name, part, data) VALUES (?,?,?)`), name, n, b[:got]); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("ledger: copy: %w", err)
	}
	h := sha256.New()
	if err := l.Copy(ctx, name, h); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != hash {
		return fmt.Errorf("ledger: the database gives the copy %s with the hash %s instead of %s", name, got, hash)
	}
	return nil
}

// Copy writes the sealed copy of a name to w.
func (l *Ledger) Copy(ctx context.Context, name string, w io.Writer) error {
	if err := l.copies(ctx); err != nil {
		return err
	}
	for n := 0; ; n++ {
		var b []byte
		err := l.db.QueryRowContext(ctx, l.engine.bind(`SELECT data FROM evidence WHERE name = ? AND part = ?`), name, n).Scan(&b)
		switch {
		case errors.Is(err, sql.ErrNoRows) && n > 0:
			return nil
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("ledger: there is no copy %s", name)
		case err != nil:
			return fmt.Errorf("ledger: copy: %w", err)
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("ledger: copy: %w", err)
		}
	}
}

// copies makes the table of copies, which only few ledgers have.
func (l *Ledger) copies(ctx context.Context) error {
	kind := "BLOB"
	if l.engine.shared() {
		kind = "BYTEA"
	}
	if _, err := l.db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS evidence(name TEXT NOT NULL, part INTEGER NOT NULL, data `+kind+` NOT NULL, PRIMARY KEY(name, part))`); err != nil {
		return fmt.Errorf("ledger: copy: %w", err)
	}
	return nil
}
