package run

import (
	"context"
	"fmt"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
)

// UnrecordedError is returned by an apply whose outcomes were emitted, and whose
// ledger could not record all of them.
type UnrecordedError struct {
	Entries int
	Err     error
}

func (e UnrecordedError) Error() string {
	return fmt.Sprintf("the ledger could not record %s of what was done; the reported outcomes hold (hint: make the ledger writable, then apply again): %v", count(e.Entries, "fact"), e.Err)
}

// Unwrap returns why.
func (e UnrecordedError) Unwrap() error { return e.Err }

// append records entries after the facts that are still to be recorded, so that
// the order in the ledger is the order of events.
func (r *applying) append(ctx context.Context, entries ...ledger.Entry) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	all := append(r.pending[:len(r.pending):len(r.pending)], entries...)
	if err := r.Ledger.Append(ctx, all...); err != nil {
		return err
	}
	r.pending = nil
	return nil
}

// persist records facts that have happened. It outlives an interruption of the run,
// and tries a few times while the ledger can't be written. After an error it keeps
// the facts, and a later append or flush records them.
func (r *applying) persist(ctx context.Context, entries ...ledger.Entry) error {
	ctx = context.WithoutCancel(ctx)
	for i := range entries {
		if entries[i].At.IsZero() {
			entries[i].At = time.Now()
		}
	}
	var err error
	for i := range 3 {
		if err = r.append(ctx, entries...); err == nil {
			return nil
		}
		time.Sleep(time.Duration(i) * 200 * time.Millisecond)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	r.pending = append(r.pending, entries...)
	return err
}

// flush records the remaining facts once the ledger can be written.
func (r *applying) flush(ctx context.Context) error {
	patience := r.Patience
	if patience == 0 {
		patience = 30 * time.Second
	}
	ctx = context.WithoutCancel(ctx)
	for end := time.Now().Add(patience); ; time.Sleep(patience / 20) {
		r.writing.Lock()
		left := len(r.pending)
		r.writing.Unlock()
		if left == 0 {
			return nil
		}
		err := r.append(ctx)
		if err != nil && time.Now().After(end) {
			return UnrecordedError{left, err}
		}
	}
}
