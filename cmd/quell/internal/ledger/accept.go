package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Accept records that an operator knows the problems that Verify reports now, and
// why, and signs the ledger as it is. Append works again; Verify lists the
// problems as accepted from then on.
func (l *Ledger) Accept(ctx context.Context, actor, reason string) (Report, error) {
	r, err := l.Verify(ctx, nil)
	if err != nil {
		return r, err
	}
	if r.OK() {
		return r, errors.New("ledger: accept: there are no problems")
	}
	err = l.append(ctx, func(tx *sql.Tx, _ *state) ([]Entry, error) {
		// The first migration creates what is missing of the triggers.
		if _, err := tx.ExecContext(ctx, l.engine.migrations()[0]); err != nil {
			return nil, fmt.Errorf("restore the triggers: %w", err)
		}
		return []Entry{{Actor: actor, Body: Override{Reason: reason, Accepts: r.Problems}}}, nil
	}, true)
	if err == nil {
		err = l.HeadError()
	}
	return r, err
}

// divide separates the problems that a valid override accepts. An override is
// valid if a signature that counts covers it, the chain is whole from it to that
// signature, and it was not itself appended without one.
func (v *verification) divide(all []Problem) (open, accepted []Problem) {
	var valid []Problem
	for id, list := range v.accepts {
		inside := func(p Problem) bool { return p.Entry <= id && id <= max(p.Entry, p.Last) }
		covered := slices.ContainsFunc(v.points, func(p *point) bool {
			return p.counts && p.matches && p.ID >= id && !slices.ContainsFunc(v.chain, func(c Problem) bool { return c.Entry >= id && c.Entry <= p.ID })
		})
		if !covered || slices.ContainsFunc(v.unsigned, inside) || slices.ContainsFunc(v.unlisted, inside) {
			continue
		}
		for _, p := range list {
			if p.Entry < id {
				valid = append(valid, p)
			}
		}
	}
	for _, p := range all {
		same := func(q Problem) bool {
			return p.Kind == q.Kind && p.Entry == q.Entry && p.Last == q.Last && (p.Entry != 0 || p.Detail == q.Detail)
		}
		if slices.ContainsFunc(valid, same) {
			accepted = append(accepted, p)
		} else {
			open = append(open, p)
		}
	}
	return open, accepted
}

// Checkpoint returns a checkpoint of the whole ledger, to be kept elsewhere. It
// fails with ErrTampered if the ledger does not continue the checkpoint file.
func (l *Ledger) Checkpoint(ctx context.Context) (Checkpoint, error) {
	if l.key == nil {
		return Checkpoint{}, errNoKey
	}
	var c Checkpoint
	err := l.view(ctx, func(tx *sql.Tx) error {
		// The file comes first, as in Verify.
		file, found, err := l.file.read()
		if err != nil && (found || !l.engine.shared()) {
			return fmt.Errorf("%s: %w", l.file, err)
		}
		s, err := l.load(ctx, tx)
		if err != nil {
			return err
		}
		if found {
			if ok, err := l.inChain(ctx, tx, file, s); err != nil || !ok {
				return errors.Join(err, fmt.Errorf("%w: entry %d is missing or was changed", ErrTampered, file.ID))
			}
		}
		c = newCheckpoint(s.count, s.id, s.hash, time.Now(), l.key)
		return nil
	})
	if err != nil {
		return Checkpoint{}, fmt.Errorf("ledger: checkpoint: %w", err)
	}
	return c, nil
}
