package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

func names(leases []Lease) []string {
	var out []string
	for _, x := range leases {
		out = append(out, x.Incident)
	}
	return out
}

func acquire(t testing.TB, l *Ledger, ttl time.Duration, incidents ...string) []Lease {
	t.Helper()
	got, err := l.Acquire(t.Context(), ttl, incidents...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// settable is a clock that a test moves.
type settable struct {
	wall  time.Time
	boot  string
	ticks int64
}

// at replaces the engine's clock and wall clock.
type at struct {
	engine
	moment *settable
}

func (a at) now(context.Context, *sql.Tx) (instant, error) {
	return instant{a.moment.wall, a.moment.boot, a.moment.ticks}, nil
}

// pair returns two handles that share a settable clock.
func pair(t testing.TB) (a, b *Ledger, c *settable) {
	t.Helper()
	a, path := open(t)
	b = openAs(t, path, "one")
	c = &settable{wall: time.Date(2026, 5, 3, 0, 0, 0, 0, time.UTC), boot: "b1", ticks: 1_000_000}
	a.engine, b.engine = at{a.engine, c}, at{b.engine, c}
	return a, b, c
}

func TestAcquireReturnsWhatIsFree(t *testing.T) {
	a, b, _ := pair(t)
	if got := names(acquire(t, a, time.Minute, "3", "1", "2", "1")); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("a got %v", got)
	}
	if got := names(acquire(t, b, time.Minute, "4", "2", "3")); !slices.Equal(got, []string{"4"}) {
		t.Errorf("b got %v", got)
	}
	if got := acquire(t, a, time.Minute, "1"); len(got) != 0 {
		t.Errorf("a got what it holds: %v", got)
	}
	if held, err := b.Leases(t.Context(), "1", "4", "5"); err != nil || len(held) != 2 || held[0].Holder != a.holder || held[1].Holder != b.holder {
		t.Errorf("%+v %v", held, err)
	}
	if got := acquire(t, a, time.Minute); got != nil {
		t.Errorf("nothing was asked for: %v", got)
	}
}

func TestAReleasedLeaseIsFreeAndItsFenceGrows(t *testing.T) {
	a, b, _ := pair(t)
	mine := acquire(t, a, time.Minute, "x")
	if err := a.Release(t.Context(), mine...); err != nil {
		t.Fatal(err)
	}
	theirs := acquire(t, b, time.Minute, "x")
	if len(theirs) != 1 || theirs[0].Fence <= mine[0].Fence {
		t.Fatalf("%+v after %+v", theirs, mine)
	}
	if err := a.Release(t.Context(), mine...); err != nil {
		t.Fatal(err)
	}
	if held, _ := a.Leases(t.Context(), "x"); len(held) != 1 {
		t.Error("an old holder released the new one's lease")
	}
}

func TestWhenALeaseIsFreeByTheClock(t *testing.T) {
	const second = 1_000_000
	for _, c := range []struct {
		name string
		move func(*settable)
		free bool
	}{
		{"before it expires", func(c *settable) { c.ticks += 59 * second; c.wall = c.wall.Add(59 * time.Second) }, false},
		{"after it expires", func(c *settable) { c.ticks += 60 * second; c.wall = c.wall.Add(60 * time.Second) }, true},
		{"the wall clock is set forward", func(c *settable) { c.wall = c.wall.Add(24 * time.Hour) }, false},
		{"the wall clock is set back, and it has expired", func(c *settable) { c.wall = c.wall.Add(-24 * time.Hour); c.ticks += 61 * second }, true},
		{"the machine was restarted", func(c *settable) { c.boot, c.ticks = "b2", 5 }, true},
		{"only the wall clock is known, before it expires", func(c *settable) { c.boot = ""; c.wall = c.wall.Add(59 * time.Second) }, false},
		{"only the wall clock is known, after it expires", func(c *settable) { c.boot = ""; c.wall = c.wall.Add(60 * time.Second) }, true},
		{"only the wall clock is known, and it was set far back", func(c *settable) { c.boot = ""; c.wall = c.wall.Add(-24 * time.Hour) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b, clock := pair(t)
			mine := acquire(t, a, time.Minute, "x")
			c.move(clock)
			got := acquire(t, b, time.Minute, "x")
			if (len(got) == 1) != c.free {
				t.Fatalf("%+v after %+v", got, mine)
			}
			if c.free && got[0].Fence != mine[0].Fence+1 {
				t.Errorf("fence %d after %d", got[0].Fence, mine[0].Fence)
			}
			still, err := a.Renew(t.Context(), time.Minute, mine...)
			if err != nil || (len(still) == 0) != c.free {
				t.Errorf("the old holder renewed %v: %v", still, err)
			}
		})
	}
}

func TestRenewExtendsAnExpiredLeaseThatIsFree(t *testing.T) {
	a, b, clock := pair(t)
	mine := acquire(t, a, time.Minute, "x", "y")
	clock.ticks += 120_000_000
	acquire(t, b, time.Minute, "y")
	still, err := a.Renew(t.Context(), time.Minute, mine...)
	if err != nil || !slices.Equal(names(still), []string{"x"}) {
		t.Fatalf("%v %v", still, err)
	}
	if got := acquire(t, b, time.Minute, "x"); len(got) != 0 {
		t.Errorf("b got %v", got)
	}
}

func TestWhichIntentsAFenceAccepts(t *testing.T) {
	intent := func(fence int64) Entry { return Entry{Incident: "x", Body: Intent{Action: "revoke", Fence: fence}} }
	a, b, clock := pair(t)
	try := func(name string, l *Ledger, ok bool, e ...Entry) {
		t.Helper()
		before := whole(t, a).Entries
		err := l.Append(t.Context(), e...)
		if ok && err != nil || !ok && !errors.Is(err, ErrFence) {
			t.Errorf("%s: %v", name, err)
		}
		if after := whole(t, a).Entries; !ok && after != before {
			t.Errorf("%s: %d entries were appended all the same", name, after-before)
		}
	}
	try("no lease exists", a, true, intent(0))
	try("a fence that was never issued", a, false, intent(1))
	mine := acquire(t, a, time.Minute, "x")[0].Fence
	try("the holder's", a, true, intent(mine))
	try("somebody else without a lease", b, false, intent(0))
	try("one of several is outdated", a, false, intent(mine), Entry{Incident: "x", Body: &Intent{Fence: mine + 1}})
	clock.ticks += 120_000_000
	try("expired, and not taken over", a, true, intent(mine))
	theirs := acquire(t, b, time.Minute, "x")
	try("taken over", a, false, intent(mine))
	try("a receipt is never refused", a, true, Entry{Incident: "x", Body: Receipt{}})
	try("the new holder's", b, true, intent(theirs[0].Fence))
	if err := b.Release(t.Context(), theirs...); err != nil {
		t.Fatal(err)
	}
	try("released", b, false, intent(theirs[0].Fence))
	try("no lease is held", b, true, intent(0))
}

func TestALeaseHasALongestTime(t *testing.T) {
	l, _ := open(t)
	for _, ttl := range []time.Duration{0, -time.Second, MaxLease + 1} {
		if _, err := l.Acquire(t.Context(), ttl, "x"); err == nil {
			t.Errorf("%s was accepted", ttl)
		}
	}
}

// applyAll leases batches until every incident has an outcome, as two applies of
// one plan do.
func applyAll(t testing.TB, l *Ledger, order []string, batch int, sent func(string)) {
	done := map[string]bool{}
	for len(done) < len(order) {
		var open []string
		for _, i := range order {
			if !done[i] {
				open = append(open, i)
			}
		}
		for some := range slices.Chunk(open, batch) {
			leases, err := l.Acquire(t.Context(), time.Minute, some...)
			if err != nil {
				t.Error(err)
				return
			}
			var work []Lease
			var intents, receipts []Entry
			for _, x := range leases {
				if past, err := l.Incident(t.Context(), x.Incident); err == nil && slices.ContainsFunc(past, func(e Entry) bool { return e.Type() == TypeReceipt }) {
					done[x.Incident] = true
					continue
				} else if err != nil && !errors.Is(err, ErrNoIncident) {
					t.Error(err)
					return
				}
				work = append(work, x)
				intents = append(intents, Entry{Incident: x.Incident, Body: Intent{Action: "revoke", Fence: x.Fence, Batch: len(leases)}})
				receipts = append(receipts, Entry{Incident: x.Incident, Body: Receipt{Accepted: true}})
			}
			if err := l.Append(t.Context(), intents...); err != nil {
				t.Error(err)
				return
			}
			for _, x := range work {
				sent(x.Incident)
				done[x.Incident] = true
			}
			if err := l.Append(t.Context(), receipts...); err != nil {
				t.Error(err)
				return
			}
			if err := l.Release(t.Context(), leases...); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// bothWays has two applies work through the incidents in opposite order.
func bothWays(t testing.TB, a, b *Ledger, incidents, batch int) {
	t.Helper()
	var there, back []string
	for i := range incidents {
		there = append(there, fmt.Sprintf("%04d", i))
	}
	back = slices.Clone(there)
	slices.Reverse(back)
	var mu sync.Mutex
	sent := map[string]int{}
	count := func(i string) {
		mu.Lock()
		defer mu.Unlock()
		sent[i]++
	}
	var wg sync.WaitGroup
	wg.Go(func() { applyAll(t, a, there, batch, count) })
	wg.Go(func() { applyAll(t, b, back, batch, count) })
	wg.Wait()
	for _, i := range there {
		if sent[i] != 1 {
			t.Errorf("%s was sent %d times", i, sent[i])
		}
		all, err := a.Incident(t.Context(), i)
		if err != nil || len(all) != 2 {
			t.Errorf("%s has %d entries, not an intent and a receipt: %v", i, len(all), err)
		}
	}
	whole(t, a)
}

func TestTwoAppliesInOppositeOrderSendEachOnce(t *testing.T) {
	a, path := open(t)
	bothWays(t, a, openAs(t, path, "one"), 500, 100)
}

func TestAnOutdatedLeaseOfTheSameHolderIsNotHeld(t *testing.T) {
	a, _, clock := pair(t)
	old := acquire(t, a, time.Minute, "x")
	clock.ticks += 120_000_000
	acquire(t, a, time.Minute, "x")
	if still, err := a.Renew(t.Context(), time.Minute, old...); err != nil || len(still) != 0 {
		t.Errorf("%+v %v", still, err)
	}
	if err := a.Release(t.Context(), old...); err != nil {
		t.Fatal(err)
	}
	if held, err := a.Leases(t.Context(), "x"); err != nil || len(held) != 1 || held[0].Fence != 2 {
		t.Errorf("%+v %v", held, err)
	}
}
