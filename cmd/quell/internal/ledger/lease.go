package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lease makes its holder the only actor of an incident until it expires. Fence grows with each
// acquisition of the incident; an intent carries it, and Append refuses the intent once another
// actor has acquired the incident.
type Lease struct {
	Incident string
	Fence    int64
	// Expires is by the clock of the PostgreSQL server, or this machine's.
	Expires time.Time
	Holder  string
}

// MaxLease is the longest time that a lease may be held without Renew. A lease
// that seems to have more left was written before its clock was set back, and
// counts as expired.
const MaxLease = time.Hour

// leaseRow is a row of the table lease. Rows stay when a lease is released, so
// that the fence never decreases.
type leaseRow struct {
	incident, holder string
	fence, expires   int64 // expires in microseconds of Unix time
	boot             string
	ticks            int64 // when it expires, as in instant
}

func (r leaseRow) lease() Lease {
	return Lease{r.incident, r.fence, time.UnixMicro(r.expires).UTC(), r.holder}
}

// held reports whether the lease excludes others at a moment.
func (r leaseRow) held(now instant) bool {
	left := r.expires - now.wall.UnixMicro()
	if r.boot != "" && now.boot != "" {
		// SQLite's log cannot be shared between machines, so another boot means
		// that the holder ended with it.
		if r.boot != now.boot {
			return false
		}
		left = r.ticks - now.ticks
	}
	return r.holder != "" && left > 0 && left <= MaxLease.Microseconds()
}

// Acquire leases the incidents that are free, all in one transaction, and returns them in the
// order of their names. An incident is free if it has no lease, its lease has expired, or the
// process that held it (on this machine) has ended. Incidents that this handle holds already
// are not free.
func (l *Ledger) Acquire(ctx context.Context, ttl time.Duration, incidents ...string) ([]Lease, error) {
	if err := checkTTL(ttl); err != nil {
		return nil, err
	}
	names := slices.Compact(slices.Sorted(slices.Values(incidents)))
	var out []Lease
	err := l.update(ctx, func(tx *sql.Tx) error {
		now, err := l.engine.now(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := l.leases(ctx, tx, names)
		if err != nil {
			return err
		}
		var write []leaseRow
		for _, name := range names {
			r := rows[name]
			if r.held(now) && !l.engine.gone(r.holder) {
				continue
			}
			r = l.extend(leaseRow{incident: name, holder: l.holder, fence: r.fence + 1}, now, ttl)
			write, out = append(write, r), append(out, r.lease())
		}
		return l.putLeases(ctx, tx, write)
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: acquire leases: %w", err)
	}
	return out, nil
}

// Renew extends leases and returns those that were still held. An expired lease counts as held
// if no other actor has acquired it since.
func (l *Ledger) Renew(ctx context.Context, ttl time.Duration, leases ...Lease) ([]Lease, error) {
	if err := checkTTL(ttl); err != nil {
		return nil, err
	}
	var out []Lease
	err := l.update(ctx, func(tx *sql.Tx) error {
		now, err := l.engine.now(ctx, tx)
		if err != nil {
			return err
		}
		mine, err := l.mine(ctx, tx, leases)
		if err != nil {
			return err
		}
		for i, r := range mine {
			mine[i] = l.extend(r, now, ttl)
			out = append(out, mine[i].lease())
		}
		return l.putLeases(ctx, tx, mine)
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: renew leases: %w", err)
	}
	return out, nil
}

// Release ends leases. A lease that another actor has acquired since is left unchanged.
func (l *Ledger) Release(ctx context.Context, leases ...Lease) error {
	err := l.update(ctx, func(tx *sql.Tx) error {
		mine, err := l.mine(ctx, tx, leases)
		if err != nil {
			return err
		}
		for i := range mine {
			mine[i].holder, mine[i].expires, mine[i].ticks = "", 0, 0
		}
		return l.putLeases(ctx, tx, mine)
	})
	if err != nil {
		return fmt.Errorf("ledger: release leases: %w", err)
	}
	return nil
}

// Leases returns the leases of the incidents that are held now.
func (l *Ledger) Leases(ctx context.Context, incidents ...string) ([]Lease, error) {
	var out []Lease
	err := l.view(ctx, func(tx *sql.Tx) error {
		now, err := l.engine.now(ctx, tx)
		if err != nil {
			return err
		}
		names := slices.Compact(slices.Sorted(slices.Values(incidents)))
		rows, err := l.leases(ctx, tx, names)
		for _, name := range names {
			if r := rows[name]; r.held(now) && !l.engine.gone(r.holder) {
				out = append(out, r.lease())
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: read leases: %w", err)
	}
	return out, nil
}

func checkTTL(ttl time.Duration) error {
	if ttl <= 0 || ttl > MaxLease {
		return fmt.Errorf("ledger: a lease of %s is not between 0 and %s", ttl, MaxLease)
	}
	return nil
}

func (l *Ledger) extend(r leaseRow, now instant, ttl time.Duration) leaseRow {
	r.expires = now.wall.Add(ttl).UnixMicro()
	r.boot, r.ticks = now.boot, 0
	if now.boot != "" {
		r.ticks = now.ticks + ttl.Microseconds()
	}
	return r
}

// mine returns the rows of leases that this handle still holds, by name.
func (l *Ledger) mine(ctx context.Context, tx *sql.Tx, leases []Lease) ([]leaseRow, error) {
	var names []string
	for _, x := range leases {
		names = append(names, x.Incident)
	}
	rows, err := l.leases(ctx, tx, names)
	if err != nil {
		return nil, err
	}
	var out []leaseRow
	for _, x := range leases {
		if r := rows[x.Incident]; r.holder == l.holder && r.fence == x.Fence {
			out = append(out, r)
			delete(rows, x.Incident)
		}
	}
	slices.SortFunc(out, func(a, b leaseRow) int { return strings.Compare(a.incident, b.incident) })
	return out, nil
}

// checkFences refuses intents whose actor is not, or no longer, the only one. It
// runs in the transaction that appends them.
func (l *Ledger) checkFences(ctx context.Context, tx *sql.Tx, entries []Entry) error {
	fences := map[string][]int64{}
	var names []string
	for _, e := range entries {
		var i Intent
		switch b := e.Body.(type) {
		case Intent:
			i = b
		case *Intent:
			i = *b
		default:
			continue
		}
		fences[e.Incident] = append(fences[e.Incident], i.Fence)
		names = append(names, e.Incident)
	}
	if len(names) == 0 {
		return nil
	}
	now, err := l.engine.now(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := l.leases(ctx, tx, names)
	if err != nil {
		return err
	}
	for name, list := range fences {
		r := rows[name]
		for _, f := range list {
			if f == 0 && r.held(now) && !l.engine.gone(r.holder) && r.holder != l.holder {
				return fmt.Errorf("incident %s: %w: an intent without a lease, and somebody else holds it", name, ErrFence)
			}
			if f != 0 && (f != r.fence || r.holder == "") {
				return fmt.Errorf("incident %s: %w (fence %d, now %d)", name, ErrFence, f, r.fence)
			}
		}
	}
	return nil
}
