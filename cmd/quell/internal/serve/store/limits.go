package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// The limits of hosts that all workers of a PostgreSQL database keep together; of a SQLite file, which
// one process uses, they are in its memory. next is when the
// place after the last one that was taken begins, held the end of a wait that the host asked for,
// both in microseconds of the database's clock.

// clock is that time in PostgreSQL, at the moment of the row's update and not of the transaction.
const clock = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

// The longest times that count: a clock that was set back does not stop all requests for longer.
const (
	mostAhead = time.Minute
	mostHeld  = 24 * time.Hour
)

// Take implements guard.Shared. The rate is that of a bucket of burst places which perSecond
// places a second fill.
func (s *Store) Take(ctx context.Context, host string, perSecond float64, burst int) (wait, held time.Duration, err error) {
	return s.take(ctx, kindIssuer+host, perSecond, burst)
}

// The names of limits begin with what the host is.
const (
	kindIssuer   = "issuer "
	kindRegistry = "registry "
	kindTarget   = "target "
)

func (s *Store) take(ctx context.Context, name string, perSecond float64, burst int) (wait, held time.Duration, err error) {
	if s.pool == nil {
		return s.own.take(name, perSecond, burst)
	}
	place := time.Duration(float64(time.Second) / perSecond)
	var next, until, now int64
	err = s.db.QueryRowContext(ctx, `INSERT INTO serve_limit(name, next, held) VALUES ($1, `+clock+` + $2::bigint, 0)
ON CONFLICT (name) DO UPDATE SET
	held = least(serve_limit.held, `+clock+` + $4::bigint),
	next = CASE WHEN serve_limit.held > `+clock+` THEN serve_limit.next ELSE greatest(least(serve_limit.next, `+clock+` + $3::bigint), `+clock+`) + $2::bigint END
RETURNING next, held, `+clock, name, place.Microseconds(), mostAhead.Microseconds(), mostHeld.Microseconds()).Scan(&next, &until, &now)
	if err != nil {
		return 0, 0, err
	}
	if until > now {
		return 0, time.Duration(until-now) * time.Microsecond, nil
	}
	return max(0, time.Duration(next-now)*time.Microsecond-time.Duration(burst)*place), 0, nil
}

// Hold implements guard.Shared.
func (s *Store) Hold(ctx context.Context, host string, d time.Duration) error {
	return s.hold(ctx, kindIssuer+host, d)
}

// Registries are the limits of registries of images, which all targets share.
type Registries struct{ s *Store }

// Registries returns them.
func (s *Store) Registries() Registries { return Registries{s} }

// Take is Store.Take of a registry.
func (r Registries) Take(ctx context.Context, host string, perSecond float64, burst int) (wait, held time.Duration, err error) {
	return r.s.take(ctx, kindRegistry+host, perSecond, burst)
}

// Hold records that a registry asks to wait.
func (r Registries) Hold(ctx context.Context, host string, d time.Duration) error {
	return r.s.hold(ctx, kindRegistry+host, d)
}

func (s *Store) hold(ctx context.Context, name string, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if s.pool == nil {
		s.own.hold(name, min(d, mostHeld))
		return nil
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO serve_limit(name, next, held) VALUES ($1, 0, `+clock+` + $2::bigint)
ON CONFLICT (name) DO UPDATE SET held = greatest(serve_limit.held, excluded.held)`, name, min(d, mostHeld).Microseconds())
	return err
}

// Holds are the waits of the API of one target, whose token has limits of its own.
type Holds struct {
	s      *Store
	target string
}

// Holds returns those of a target; they implement ci.Holds.
func (s *Store) Holds(target string) Holds { return Holds{s, target} }

// Hold records that a host asks to wait.
func (h Holds) Hold(ctx context.Context, host string, d time.Duration) error {
	return h.s.hold(ctx, kindTarget+h.target+" "+host, d)
}

// Held is the rest of a host's wait; zero: none.
func (h Holds) Held(ctx context.Context, host string) (time.Duration, error) {
	if h.s.pool == nil {
		return h.s.own.held(kindTarget + h.target + " " + host), nil
	}
	var us int64
	err := h.s.db.QueryRowContext(ctx, `SELECT least(held - `+clock+`, $2::bigint) FROM serve_limit WHERE name = $1`, kindTarget+h.target+" "+host, mostHeld.Microseconds()).Scan(&us)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return max(0, time.Duration(us)*time.Microsecond), err
}

// Live counts the workers that showed themselves in the last seconds.
func (s *Store) Live(ctx context.Context, now time.Time) (n int, err error) {
	err = s.db.QueryRowContext(ctx, s.bind(`SELECT count(*) FROM serve_worker WHERE seen >= ?`), Millis(now.Add(-Gone))).Scan(&n)
	return n, err
}

const metaKills = "kills"

// KillsOff reports who stopped the kills of all workers, and when; empty: they are on.
func (s *Store) KillsOff(ctx context.Context) (by string, err error) {
	err = s.db.QueryRowContext(ctx, s.bind(`SELECT value FROM serve_meta WHERE key = ?`), metaKills).Scan(&by)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return by, err
}

// SetKills stops the kills of all workers of this database, or permits them again.
func (s *Store) SetKills(ctx context.Context, on bool, who string) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	return s.Update(ctx, func(tx *Tx) error {
		if on {
			_, err := tx.Exec(`DELETE FROM serve_meta WHERE key = ?`, metaKills)
			return err
		}
		_, err := tx.Exec(`INSERT INTO serve_meta(key, value) VALUES (?,?) ON CONFLICT(key) DO NOTHING`, metaKills, fmt.Sprintf("%s, %s", who, now.UTC().Format(time.RFC3339)))
		return err
	})
}
