package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// The clock is set back and forth while two actors acquire leases and send. Only the one that
// acquired an incident last can record an intent, and where the time since boot is known a
// lease is not taken over before its time.
func TestTheClockIsSetBackAndForth(t *testing.T) {
	for _, boot := range []string{"b1", ""} {
		t.Run(fmt.Sprintf("boot %q", boot), func(t *testing.T) {
			a, b, clock := pair(t)
			clock.boot = boot
			r := rand.New(rand.NewPCG(7, uint64(len(boot))))
			actors := []*Ledger{a, b}
			const ttl = 15 * time.Second
			var fence, until int64
			held := []Lease{{}, {}} // the last lease of each actor
			owner := -1
			sent, refused, taken := 0, 0, 0
			for range 600 {
				clock.wall = clock.wall.Add(time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour)
				clock.ticks += r.Int64N((10 * time.Second).Microseconds())
				i := r.IntN(2)
				switch r.IntN(3) {
				case 0:
					got, err := actors[i].Acquire(t.Context(), ttl, "x")
					if err != nil {
						t.Fatal(err)
					}
					if len(got) == 0 {
						continue
					}
					if got[0].Fence <= fence {
						t.Fatalf("fence %d after %d", got[0].Fence, fence)
					}
					if boot != "" && clock.ticks < until {
						t.Fatalf("a lease was taken over %d microseconds early", until-clock.ticks)
					}
					fence, owner, held[i], until = got[0].Fence, i, got[0], clock.ticks+ttl.Microseconds()
					taken++
				case 1:
					still, err := actors[i].Renew(t.Context(), ttl, held[i])
					if err != nil {
						t.Fatal(err)
					}
					if len(still) > 0 {
						if i != owner {
							t.Fatal("a lease that somebody else acquired was renewed")
						}
						until = clock.ticks + ttl.Microseconds()
					}
				case 2:
					if held[i].Fence == 0 {
						continue
					}
					err := actors[i].Append(t.Context(), Entry{Incident: "x", Body: Intent{Fence: held[i].Fence}})
					if i == owner && err != nil || i != owner && !errors.Is(err, ErrFence) {
						t.Fatalf("actor %d of %d: %v", i, owner, err)
					}
					if err == nil {
						sent++
					} else {
						refused++
					}
				}
			}
			if sent == 0 || refused == 0 || taken < 5 {
				t.Errorf("%d intents, %d refused, %d acquisitions", sent, refused, taken)
			}
			whole(t, a)
		})
	}
}
