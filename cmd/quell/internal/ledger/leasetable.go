package ledger

import (
	"context"
	"database/sql"
	"slices"
)

// leaseBatch is how many rows a statement reads or writes: SQLite allows 32,766
// arguments, and six per row are few enough to parse quickly.
const leaseBatch = 200

// leases reads the rows of the named incidents.
func (l *Ledger) leases(ctx context.Context, tx *sql.Tx, names []string) (map[string]leaseRow, error) {
	out := map[string]leaseRow{}
	for some := range slices.Chunk(names, leaseBatch) {
		args := make([]any, len(some))
		for i, n := range some {
			args[i] = n
		}
		rows, err := tx.QueryContext(ctx, l.engine.bind(`SELECT incident, holder, fence, expires, boot, ticks FROM lease WHERE incident IN (`+places("?", len(some))+`)`), args...)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var r leaseRow
			if err := rows.Scan(&r.incident, &r.holder, &r.fence, &r.expires, &r.boot, &r.ticks); err != nil {
				_ = rows.Close()
				return nil, err
			}
			out[r.incident] = r
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// putLeases writes rows. The caller holds the engine's lock, and passes them in
// the order of their names.
func (l *Ledger) putLeases(ctx context.Context, tx *sql.Tx, rows []leaseRow) error {
	for some := range slices.Chunk(rows, leaseBatch) {
		var args []any
		for _, r := range some {
			args = append(args, r.incident, r.holder, r.fence, r.expires, r.boot, r.ticks)
		}
		_, err := tx.ExecContext(ctx, l.engine.bind(`INSERT INTO lease(incident, holder, fence, expires, boot, ticks) VALUES `+places("(?,?,?,?,?,?)", len(some))+`
ON CONFLICT(incident) DO UPDATE SET holder = excluded.holder, fence = excluded.fence, expires = excluded.expires, boot = excluded.boot, ticks = excluded.ticks`), args...)
		if err != nil {
			return err
		}
	}
	return nil
}
