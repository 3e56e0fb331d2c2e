package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers"
)

// retention deletes what the configuration keeps no longer: sealed values of dead credentials, and
// their rows. Each value that is deleted is an entry of the ledger, which stays.
func (s *Server) retention(ctx context.Context, _ RetentionArgs, red *report.Redactor) error {
	now := time.Now()
	rt, err := s.o.Runtime(true, red, s.own.all())
	if err != nil {
		return err
	}
	hold := rt.Policy.LegalHold
	if err := rt.Close(ctx); err != nil {
		return err
	}
	if hold {
		s.log("retention: nothing is deleted: legal_hold is set in the policy")
		return nil
	}
	if keep := time.Duration(s.o.Config.Retention.Sealed); keep > 0 {
		err := s.each(ctx, now.Add(-keep), true, func(fp string) error {
			return Forget(ctx, s.ledger, s.store, fp, "quell serve", "retention.sealed: it is dead, and was neither live nor found for "+keep.String())
		})
		if err != nil {
			return err
		}
	}
	if keep := time.Duration(s.o.Config.Retention.Incidents); keep > 0 {
		return s.each(ctx, now.Add(-keep), false, func(fp string) error {
			if err := Forget(ctx, s.ledger, s.store, fp, "quell serve", "retention.incidents: it is dead, and was neither live nor found for "+keep.String()); err != nil {
				return err
			}
			return s.store.Update(ctx, func(tx *store.Tx) error { return tx.Drop(fp) })
		})
	}
	return nil
}

// each calls do for all credentials that are over, some at a time. It is the one actor of each: an
// issuer that accepts it again at this moment keeps its value.
func (s *Server) each(ctx context.Context, before time.Time, sealed bool, do func(fp string) error) error {
	for {
		list, err := s.store.Over(ctx, before, sealed, 100)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, fp := range list {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			free, err := run.Alone(ctx, s.ledger, fp, func(func() (bool, error)) error {
				c, err := s.store.Credential(ctx, fp)
				switch {
				case errors.Is(err, store.ErrUnknown):
					return nil
				case err != nil:
					return err
				case c.State != revokers.Dead.String() || !c.Live.Before(before) || !c.Last.Before(before):
					return nil
				}
				return do(fp)
			})
			if err != nil {
				return fmt.Errorf("incident %s: %w", short(fp), err)
			}
			if !free {
				return s.busy()
			}
		}
	}
}

// Forget deletes the sealed value of an incident wherever the database has it, and records that in
// the ledger; the evidence stays. st may be nil. An incident without a value is left as it is.
//
// The entry comes first: a process that ends in between leaves a value that is deleted the next
// time, with another entry.
func Forget(ctx context.Context, l *ledger.Ledger, st *store.Store, incident, actor, why string) error {
	kept, err := l.Kept(ctx, incident)
	if err != nil {
		return err
	}
	sealed := len(kept) > 0
	if st != nil {
		had, err := st.Sealed(ctx, incident)
		if err != nil {
			return err
		}
		sealed = sealed || had
	}
	if !sealed {
		return nil
	}
	if err := l.Append(ctx, ledger.Deleted(incident, actor, why)); err != nil {
		return err
	}
	if _, err := l.Forget(ctx, incident); err != nil || st == nil {
		return err
	}
	return st.Update(ctx, func(tx *store.Tx) error { return tx.Forget(incident) })
}

// Store opens the tables of quell serve in the database of a ledger; nil: it has none.
func Store(ctx context.Context, state string) (*store.Store, error) {
	has, err := store.Exists(ctx, state)
	if err != nil || !has {
		return nil, err
	}
	return store.Open(ctx, state)
}

// Purge deletes the sealed values of incidents that ended before a time, and returns how many; left
// is the number of older incidents that have not ended, whose values are kept.
func Purge(ctx context.Context, l *ledger.Ledger, st *store.Store, actor string, before time.Time) (deleted, left int64, err error) {
	var ended []string
	for x, err := range l.Incidents(ctx) {
		if err != nil {
			return 0, 0, err
		}
		has, err := hasValue(ctx, l, st, x.Incident)
		if err != nil {
			return 0, 0, err
		}
		switch over := x.Outcome == "Confirmed" || x.Outcome == "AlreadyDead"; {
		case !has:
		case over && x.At.Before(before):
			again, err := liveAgain(ctx, l, x.Incident)
			if err != nil {
				return 0, 0, err
			}
			if again {
				left++
				continue
			}
			ended = append(ended, x.Incident)
		case !over && x.Began.Before(before):
			left++
		}
	}
	for _, name := range ended {
		if err := Forget(ctx, l, st, name, actor, "purged: it ended before "+before.UTC().Format(time.DateOnly)); err != nil {
			return deleted, left, err
		}
		deleted++
	}
	return deleted, left, nil
}

func hasValue(ctx context.Context, l *ledger.Ledger, st *store.Store, incident string) (bool, error) {
	kept, err := l.Kept(ctx, incident)
	if err != nil || len(kept) > 0 || st == nil {
		return len(kept) > 0, err
	}
	return st.Sealed(ctx, incident)
}

// liveAgain reports whether the issuer accepts a credential that was proven dead before.
func liveAgain(ctx context.Context, l *ledger.Ledger, incident string) (live bool, err error) {
	entries, err := l.Incident(ctx, incident)
	for _, e := range entries {
		switch b := e.Body.(type) {
		case ledger.Verdict:
			live = b.Liveness == revokers.Live
		case ledger.Outcome:
			live = b.Outcome != "Confirmed" && b.Outcome != "AlreadyDead"
		}
	}
	return live, err
}
