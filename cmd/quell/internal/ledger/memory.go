package ledger

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Memory implements scanners.Memory for one set of rules: it records which objects sources have
// read, and which commits and paths those come from. It contains no finding, and is encrypted
// nevertheless, since a path or a commit message may contain a secret.
type Memory struct {
	l      *Ledger
	scope  string
	seal   cipher.AEAD
	failed func(error)
	once   sync.Once
	swept  atomic.Int64 // Unix time of the last sweep; 0: none
}

const (
	// forget is how long the memory of another set of rules is kept.
	forget = 30 * 24 * time.Hour
	// sweep is how often what is older is erased. It reads the whole table, so that a sweep for
	// each value would make the cost of a scan quadratic.
	sweep = time.Hour
)

// Memory opens the memory of one set of rules, under a key of 32 bytes. It calls
// failed once if something could not be kept.
func (l *Ledger) Memory(scope string, key []byte, failed func(error)) (*Memory, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("scan memory: %w", err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("scan memory: %w", err)
	}
	return &Memory{l: l, scope: scope, seal: seal, failed: failed}, nil
}

// bound prevents a value from being read under another key or scope.
func (m *Memory) bound(key string) []byte { return []byte(m.scope + "\x00" + key) }

// Get implements scanners.Memory.
func (m *Memory) Get(ctx context.Context, key string) ([]byte, bool) {
	var b []byte
	err := m.l.db.QueryRowContext(ctx, m.l.engine.bind(`SELECT value FROM memory WHERE scope = ? AND key = ?`), m.scope, key).Scan(&b)
	if err == nil {
		b, err = m.seal.Open(nil, nil, b, m.bound(key))
	}
	return b, err == nil
}

// Put implements scanners.Memory.
func (m *Memory) Put(ctx context.Context, key string, value []byte) {
	now := time.Now()
	_, err := m.l.db.ExecContext(ctx, m.l.engine.bind(`INSERT INTO memory(scope, key, at, value) VALUES (?, ?, ?, ?) ON CONFLICT(scope, key) DO UPDATE SET at = excluded.at, value = excluded.value`), m.scope, key, now.Unix(), m.seal.Seal(nil, nil, value, m.bound(key)))
	if last := m.swept.Load(); err == nil && now.Unix()-last >= int64(sweep/time.Second) && m.swept.CompareAndSwap(last, now.Unix()) {
		_, err = m.l.db.ExecContext(ctx, m.l.engine.bind(`DELETE FROM memory WHERE scope <> ? AND at < ?`), m.scope, now.Add(-forget).Unix())
	}
	if err != nil && m.failed != nil {
		m.once.Do(func() { m.failed(err) })
	}
}

// ForgetOthers erases the values under keys with a prefix that other sets of rules and other
// builds kept: what they knew to leave out, this one can't know.
func (m *Memory) ForgetOthers(ctx context.Context, prefix string) {
	if _, err := m.l.db.ExecContext(ctx, m.l.engine.bind(`DELETE FROM memory WHERE scope <> ? AND key >= ? AND key < ?`), m.scope, prefix, prefix+"\U0010FFFF"); err != nil && m.failed != nil {
		m.once.Do(func() { m.failed(err) })
	}
}
