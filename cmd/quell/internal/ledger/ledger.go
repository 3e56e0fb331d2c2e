package ledger

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Options are an installation's part of a ledger.
type Options struct {
	// Key signs the head of the ledger at each append. Without one a ledger can
	// be read, and nothing can be appended.
	Key ed25519.PrivateKey
	// State is the folder for the checkpoint file of a PostgreSQL ledger. Empty:
	// no file is kept, so that truncation goes unnoticed. The checkpoint of a
	// SQLite ledger is a file next to it, with the suffix .checkpoint.
	State string
}

// Ledger is an open ledger. Its methods may be called from several goroutines.
type Ledger struct {
	db     *sql.DB
	engine engine
	key    ed25519.PrivateKey
	file   headFile
	holder string

	mu      sync.Mutex
	headErr error
}

// Open opens or creates the ledger at a path, or at an address postgres://…, and
// migrates its schema. It adds no entry.
func Open(ctx context.Context, path string, o Options) (*Ledger, error) {
	l := &Ledger{key: o.Key}
	if Remote(path) {
		db, u, err := openPostgres(path)
		if err != nil {
			return nil, err
		}
		l.db, l.engine = db, postgres{}
		if o.State != "" {
			l.file = headFile(filepath.Join(o.State, nameOf(u)))
		}
		if err := l.start(ctx); err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("ledger at %s: %w", u.Host, hide(err, u))
		}
		return l, nil
	}
	db, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	l.db, l.engine, l.file = db, sqlite{machineClock()}, headFile(path+".checkpoint")
	if err := l.start(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	return l, nil
}

func (l *Ledger) start(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := migrate(ctx, l.db, l.engine); err != nil {
		return err
	}
	l.holder = newHolder()
	// An earlier process may have ended between a commit and its checkpoint.
	l.syncHead(ctx)
	return nil
}

// Close closes the database.
func (l *Ledger) Close() error { return l.db.Close() }

// PublicKey returns this installation's key as key entries write it, or "".
func (l *Ledger) PublicKey() string {
	if l.key == nil {
		return ""
	}
	return encodeKey(l.key.Public().(ed25519.PublicKey))
}

// CheckpointFile returns the path of the checkpoint file, or "".
func (l *Ledger) CheckpointFile() string { return string(l.file) }

// HeadError returns why the checkpoint file could not be written after the last
// append, or nil. The entries themselves are durable and signed in the database;
// the next append writes the file again.
func (l *Ledger) HeadError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.headErr
}

func encodeKey(k ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(k) }

func decodeKey(s string) (ed25519.PublicKey, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil && len(b) == ed25519.PublicKeySize
}

// update runs f in a transaction that is the only writer of the ledger.
func (l *Ledger) update(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := l.engine.lock(ctx, tx); err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// view runs f on one state of the ledger; others can write meanwhile.
func (l *Ledger) view(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, &sql.TxOptions{Isolation: l.engine.snapshot(), ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	return f(tx)
}
