package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// ownLimits are the limits of hosts of one process.
type ownLimits struct {
	mu sync.Mutex
	by map[string]*ownLimit
}

type ownLimit struct{ next, held time.Time }

func (o *ownLimits) get(name string) *ownLimit {
	if o.by == nil {
		o.by = map[string]*ownLimit{}
	}
	if o.by[name] == nil {
		o.by[name] = &ownLimit{}
	}
	return o.by[name]
}

func (o *ownLimits) take(name string, perSecond float64, burst int) (wait, held time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l, now := o.get(name), time.Now()
	if d := l.held.Sub(now); d > 0 {
		return 0, d, nil
	}
	place := time.Duration(float64(time.Second) / perSecond)
	if l.next.Before(now) {
		l.next = now
	}
	l.next = l.next.Add(place)
	return max(0, l.next.Sub(now)-time.Duration(burst)*place), 0, nil
}

func (o *ownLimits) hold(name string, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l, until := o.get(name), time.Now().Add(d); until.After(l.held) {
		l.held = until
	}
}

func (o *ownLimits) held(name string) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return max(0, time.Until(o.get(name).held))
}

// Limit is what is known about the limit of a host.
type Limit struct {
	Kind   string        // issuer, registry or target
	Target string        // of kind target: whose API it is
	Host   string        // of kind target: its address
	Held   time.Duration // how long it still asks to wait, or is left alone
	Queued time.Duration // until the next request may be sent because of the rate
}

func limitOf(name string, held, queued time.Duration) Limit {
	l := Limit{Held: max(0, held), Queued: max(0, queued)}
	l.Kind, l.Host, _ = strings.Cut(name, " ")
	if i := strings.LastIndexByte(l.Host, ' '); l.Kind == strings.TrimSpace(kindTarget) && i >= 0 {
		l.Target, l.Host = l.Host[:i], l.Host[i+1:]
	}
	return l
}

// maxShown is how many hosts are listed.
const maxShown = 200

// Limits lists the hosts that requests were sent to, those first that ask to wait.
func (s *Store) Limits(ctx context.Context) (out []Limit, err error) {
	if s.pool == nil {
		s.own.mu.Lock()
		defer s.own.mu.Unlock()
		for name, l := range s.own.by {
			out = append(out, limitOf(name, time.Until(l.held), time.Until(l.next)))
		}
		slices.SortFunc(out, func(a, b Limit) int {
			return cmp.Or(cmp.Compare(b.Held, a.Held), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Host, b.Host))
		})
		return out[:min(len(out), maxShown)], nil
	}
	rows, err := s.read.QueryContext(ctx, `SELECT name, least(greatest(held - `+clock+`, 0), $1::bigint), least(greatest(next - `+clock+`, 0), $2::bigint) FROM serve_limit ORDER BY 2 DESC, name LIMIT $3`, mostHeld.Microseconds(), mostAhead.Microseconds(), maxShown)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var held, queued int64
		if err := rows.Scan(&name, &held, &queued); err != nil {
			return nil, err
		}
		out = append(out, limitOf(name, time.Duration(held)*time.Microsecond, time.Duration(queued)*time.Microsecond))
	}
	return out, rows.Err()
}
