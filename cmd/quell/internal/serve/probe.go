package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/rules"
)

// asking is what probes share, so that they honour each host's limits together and send
// never-issued credentials once for several.
type asking struct {
	mu    sync.Mutex
	asker *guard.Asker
	made  time.Time
}

// askerLasts is how long the answers to never-issued credentials are used.
const askerLasts = 10 * time.Minute

func (a *asking) get() *guard.Asker {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asker == nil || time.Since(a.made) > askerLasts {
		a.asker, a.made = &guard.Asker{}, time.Now()
	}
	return a.asker
}

// opened is a credential with a Runtime to act on it.
type opened struct {
	row  store.Credential
	cred rules.Credential
	rt   *run.Runtime
}

// open reads a credential and opens its value. ok is false if there is nothing to do: it is not
// known any more, or its value was deleted.
func (s *Server) open(ctx context.Context, fingerprint string, red *report.Redactor) (o opened, ok bool, err error) {
	o.row, err = s.store.Credential(ctx, fingerprint)
	if errors.Is(err, store.ErrUnknown) || err == nil && o.row.Sealed == "" {
		return o, false, nil
	}
	if err != nil {
		return o, false, err
	}
	var ref rules.Ref
	if err := json.Unmarshal([]byte(o.row.Ref), &ref); err != nil {
		return o, false, fmt.Errorf("the row of incident %s is damaged", fingerprint)
	}
	if o.rt, err = s.o.Runtime(false, red, s.own.all()); err != nil {
		return o, false, err
	}
	o.rt.Asker, o.rt.Stop = s.asking.get(), s.killsOff
	ids, err := o.rt.Identities()
	if err == nil {
		if o.cred, err = run.OpenCredential(o.rt.Rules, ref, o.row.Sealed, ids...); err != nil {
			err = fmt.Errorf("incident %s: %w", fingerprint, err)
		}
	}
	if err != nil {
		return o, false, errors.Join(err, o.rt.Close(context.WithoutCancel(ctx)))
	}
	o.cred.Fingerprint, o.cred.Redacted = fingerprint, o.cred.Secret.Hint()
	red.Add(o.cred.Secret)
	for _, p := range o.cred.Parts {
		red.Add(p)
	}
	return o, true, nil
}

// killsOff is the switch in the database, which stops the kills of all workers. It is read before
// each request that ends something.
func (s *Server) killsOff(ctx context.Context) *policy.Hold {
	by, err := s.store.KillsOff(ctx)
	switch {
	case err != nil:
		return &policy.Hold{Reason: "the kill switch in the database can't be read: " + report.Clean(err.Error()), Remedy: "check the database of quell serve"}
	case by != "":
		return &policy.Hold{Reason: "the kills of all workers are off (" + by + ")", Remedy: "quell serve --kills on"}
	}
	return nil
}

// busy makes a job wait for the actor that works on its incident.
func (s *Server) busy() error { return river.JobSnooze(3 * s.o.Tick) }

// probe asks the issuer of a credential and records the verdict, while no other actor works on the
// incident: an answer from before a revocation would be recorded after the outcome, and undo it.
func (s *Server) probe(ctx context.Context, a ProbeArgs, red *report.Redactor) error {
	var checked run.Checked
	var v revokers.Verdict
	asked := false
	free, err := run.Alone(ctx, s.ledger, a.Fingerprint, func(still func() (bool, error)) error {
		o, ok, err := s.open(ctx, a.Fingerprint, red)
		if err != nil || !ok {
			return err
		}
		defer o.rt.Close(context.WithoutCancel(ctx))
		checked = o.rt.Checker().One(ctx, o.cred)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if held, err := still(); err != nil || !held {
			return errors.Join(err, busyUnless(held))
		}
		v, asked = red.Verdict(checked.Verdict()), true
		return s.judged(ctx, o, v)
	})
	switch {
	case !free && err == nil, errors.Is(err, errBusy):
		return s.busy()
	case err != nil || !asked:
		return err
	}
	switch {
	case v.Liveness == revokers.Unknown && v.Reason == revokers.Throttled:
		wait := time.Minute
		if checked.Answer != nil {
			wait = max(wait, min(checked.Answer.RetryAfter, time.Hour))
		}
		return river.JobSnooze(wait)
	case v.Liveness == revokers.Unknown && v.Reason == revokers.Unreachable:
		return fmt.Errorf("incident %s: %s did not answer: %s", short(a.Fingerprint), v.Host, v.Detail)
	}
	return nil
}

var errBusy = errors.New("another actor works on the incident")

func busyUnless(held bool) error {
	if held {
		return nil
	}
	return errBusy
}

// judged records a verdict, while the caller has the incident's lease: in the ledger if it differs from the last one, and in the row, with
// the jobs that follow from it.
func (s *Server) judged(ctx context.Context, o opened, v revokers.Verdict) error {
	ctx = context.WithoutCancel(ctx)
	fp := o.row.Fingerprint
	if o.row.State != v.Liveness.String() || o.row.Reason != string(v.Reason) || o.row.Host != v.Host {
		if err := s.ledger.Append(ctx, ledger.Entry{Incident: fp, Actor: o.rt.Actor(), Run: "serve", Body: ledger.Verdict{Verdict: v}}); err != nil {
			return err
		}
	}
	live := v.Liveness == revokers.Live
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.Verdict(fp, v.Liveness.String(), string(v.Reason), v.Detail, v.Host, v.At); err != nil {
			return err
		}
		if !live {
			return nil
		}
		jobs := s.messages(fp, EventLive)
		if o.row.State == v.Liveness.String() {
			jobs = nil // it is known
		}
		if s.o.Config.Apply {
			jobs = append(jobs, job(KillArgs{fp}, queueKill, urgent))
		}
		return s.insert(ctx, tx, jobs...)
	})
	s.metrics.verdict(v.Liveness.String())
	return err
}

// short is enough of a fingerprint for a person to find the incident.
func short(fingerprint string) string { return fingerprint[:min(8, len(fingerprint))] }

// recheck adds probes of the credentials that were live, had no answer, or were ended in the last
// 90 days. A kill that was begun and whose job was given up goes on: its proof is still due.
func (s *Server) recheck(ctx context.Context, _ RecheckArgs, _ *report.Redactor) error {
	now := time.Now()
	if s.o.Config.Apply {
		begun, err := s.store.Begun(ctx)
		if err != nil {
			return err
		}
		var jobs []river.InsertManyParams
		for _, fp := range begun {
			jobs = append(jobs, job(KillArgs{fp}, queueKill, urgent))
		}
		if err := s.store.Update(ctx, func(tx *store.Tx) error { return s.insert(ctx, tx, jobs...) }); err != nil {
			return err
		}
	}
	list, err := s.store.DueRechecks(ctx, now.Add(-s.o.Config.Recheck.or(day)/2), now.Add(-90*day))
	if err != nil {
		return err
	}
	for len(list) > 0 {
		n := min(len(list), 500)
		err := s.store.Update(ctx, func(tx *store.Tx) error {
			var jobs []river.InsertManyParams
			for _, fp := range list[:n] {
				jobs = append(jobs, job(ProbeArgs{fp}, queueProbe, late))
			}
			return s.insert(ctx, tx, jobs...)
		})
		if err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}
