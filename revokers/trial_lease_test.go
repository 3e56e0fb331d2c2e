package revokers_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// errCrash ends the process of a trial at one of its calls to the store.
var errCrash = errors.New("crash")

// leases is a store that issues database users for a time, and keeps the one
// that consumers read. It crashes its caller around the nth call.
type leases struct {
	live   map[string]bool
	issued []string
	reads  string // what consumers read
	ended  []string

	calls, crash int
	late         bool // crash after the call has taken effect
}

// call runs f, unless the crash comes before it.
func (s *leases) call(f func()) error {
	s.calls++
	if s.calls == s.crash && !s.late {
		return errCrash
	}
	f()
	if s.calls == s.crash {
		return errCrash
	}
	return nil
}

// leaseRotator issues a lease, writes it where consumers read, and ends the old
// one.
type leaseRotator struct{ s *leases }

func (leaseRotator) Steps(_ context.Context, t revokers.Target) ([]revokers.Step, error) {
	step := func(name string, issues bool) revokers.Step {
		return revokers.Step{Name: name, Effect: revokers.Effect{Name: name, Method: "PUT", URL: t.URL() + "/" + name, Elements: []string{t.Fingerprint}}, Issues: issues}
	}
	return []revokers.Step{step("issue", true), step("write", false), step("end", false)}, nil
}

// holds is a digest of what the store holds for a step.
func (r leaseRotator) holds(t revokers.Target, step string) []byte {
	state := fmt.Sprint(r.s.issued)
	switch step {
	case "write":
		state = r.s.reads
	case "end":
		state = fmt.Sprint(r.s.live[t.Secret.Reveal()])
	}
	sum := sha256.Sum256([]byte(step + state))
	return sum[:]
}

func (r leaseRotator) Mark(_ context.Context, t revokers.Target, s revokers.Step) ([]byte, error) {
	return r.holds(t, s.Name), nil
}

func (r leaseRotator) Do(_ context.Context, t revokers.Target, s revokers.Step, fresh *credential.Secret) error {
	switch s.Name {
	case "issue":
		name := fmt.Sprintf("user-%d", len(r.s.issued)+1)
		err := r.s.call(func() { r.s.live[name], r.s.issued = true, append(r.s.issued, name) })
		if err == nil {
			*fresh = credential.NewSecretString(name)
		}
		return err
	case "write":
		if fresh.IsZero() {
			return errors.New("nothing was issued")
		}
		return r.s.call(func() { r.s.reads = fresh.Reveal() })
	}
	return r.s.call(func() { delete(r.s.live, t.Secret.Reveal()); r.s.ended = append(r.s.ended, t.Secret.Reveal()) })
}

func (r leaseRotator) Did(_ context.Context, t revokers.Target, s revokers.Step, mark []byte) (revokers.State, error) {
	switch changed := !slices.Equal(mark, r.holds(t, s.Name)); {
	case !changed:
		return revokers.NotDone, nil
	case s.Issues && !slices.Contains(r.s.issued, r.s.reads):
		return revokers.Lost, nil
	}
	return revokers.Done, nil
}

// Undo ends what the lost step issued: the last lease, which no consumer reads.
func (r leaseRotator) Undo(context.Context, revokers.Target, revokers.Step, []byte) error {
	return r.s.call(func() { delete(r.s.live, r.s.issued[len(r.s.issued)-1]) })
}

// rotate goes on from what the ledger has: the marks of the steps that were
// begun. It returns errCrash where the process ends.
func rotate(t *testing.T, r revokers.Rotator, x revokers.Target, ledger map[string][]byte) error {
	t.Helper()
	var fresh credential.Secret
	steps, err := r.Steps(t.Context(), x)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if mark, begun := ledger[s.Name]; begun {
			state, err := r.Did(t.Context(), x, s, mark)
			if err != nil {
				return err
			}
			switch state {
			case revokers.Done:
				continue
			case revokers.Lost:
				if err := r.Undo(t.Context(), x, s, mark); err != nil {
					return err
				}
			}
		}
		if ledger[s.Name], err = r.Mark(t.Context(), x, s); err != nil {
			return err
		}
		if err := r.Do(t.Context(), x, s, &fresh); err != nil {
			return err
		}
	}
	return nil
}

// A rotation is resumed after a crash around any of its calls: consumers read
// a lease that is live, the leaked one is ended once, and no other is left.
func TestTrialALeaseWithAResumableRotation(t *testing.T) {
	for crash := range 6 {
		for _, late := range []bool{false, true} {
			x := lot{}.target(t)
			old := x.Secret.Reveal()
			s := &leases{live: map[string]bool{old: true}, reads: old, crash: crash, late: late}
			ledger := map[string][]byte{}
			var err error
			for range 4 {
				// The ledger is what survives a crash.
				b, _ := json.Marshal(ledger)
				ledger = map[string][]byte{}
				_ = json.Unmarshal(b, &ledger)
				if err = rotate(t, leaseRotator{s}, x, ledger); !errors.Is(err, errCrash) {
					break
				}
			}
			if err != nil || s.live[old] || !s.live[s.reads] || len(s.live) != 1 || len(s.ended) != 1 {
				t.Errorf("crash at call %d, late %v: %v, live %v, consumers read %s, ended %v", crash, late, err, s.live, s.reads, s.ended)
			}
		}
	}
}
