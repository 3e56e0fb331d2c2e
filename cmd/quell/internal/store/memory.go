package store

import (
	"context"
	"time"
)

// Memory keeps what sources want to know at their next scan, each set of rules for
// itself. It holds ids of what was read, and no finding.
type Memory struct {
	l     *Ledger
	scope string
	// Failed is told why something could not be kept.
	failed func(error)
}

const memorySchema = `CREATE TABLE IF NOT EXISTS memory (scope TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (scope, key)) STRICT, WITHOUT ROWID;`

// forget is how long the memory of another set of rules is kept.
const forget = 30 * 24 * time.Hour

// Memory opens the memory of one set of rules. failed is told once why something
// could not be kept.
func (l *Ledger) Memory(scope string, failed func(error)) (*Memory, error) {
	if _, err := l.db.Exec(memorySchema); err != nil {
		return nil, err
	}
	return &Memory{l, scope, failed}, nil
}

// Recall implements scanners.Memory.
func (m *Memory) Recall(ctx context.Context, key string) ([]byte, bool) {
	var b []byte
	err := m.l.db.QueryRowContext(ctx, `SELECT value FROM memory WHERE scope = ? AND key = ?`, m.scope, key).Scan(&b)
	return b, err == nil
}

// Remember implements scanners.Memory.
func (m *Memory) Remember(ctx context.Context, key string, value []byte) {
	now := time.Now()
	if value == nil {
		value = []byte{}
	}
	_, err := m.l.db.ExecContext(ctx, `INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)`, m.scope, key, now.Unix(), value)
	if err == nil {
		_, err = m.l.db.ExecContext(ctx, `DELETE FROM memory WHERE scope <> ? AND at < ?`, m.scope, now.Add(-forget).Unix())
	}
	if err != nil && m.failed != nil {
		m.failed(err)
		m.failed = nil
	}
}
