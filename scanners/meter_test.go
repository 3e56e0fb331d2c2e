package scanners

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

func meterOf(p Patience, shared time.Duration) *Meter {
	p.Shared = shared
	m := newMeter(p, NewBounds(p))
	m.cpu = -time.Hour // the process had CPU time for everything that the test spends
	return m
}

func TestAFileMayTakeWhatItsSizeAndTheRunAllow(t *testing.T) {
	p := Patience{Own: time.Second, PerByte: time.Microsecond}
	for _, c := range []struct {
		name         string
		bytes        int64
		shared, took time.Duration
		over         bool
	}{
		{"within its own time", 0, 0, time.Second, false},
		{"beyond its own time", 0, 0, time.Second + 1, true},
		{"a larger file may take more", 1_000_000, 0, 2 * time.Second, false},
		{"and not more than that", 1_000_000, 0, 2*time.Second + 1, true},
		{"what the run has left is drawn on", 0, time.Second, 2 * time.Second, false},
		{"until nothing is left", 0, time.Second, 2*time.Second + 1, true},
	} {
		m := meterOf(p, c.shared)
		m.Read(c.bytes)
		for range 4 {
			m.Spend(c.took / 4)
		}
		m.Spend(c.took % 4)
		if m.Over(time.Time{}) != c.over || (m.Err() != nil) != c.over {
			t.Errorf("%s: over %v", c.name, m.Over(time.Time{}))
		}
	}
	if m := meterOf(p, 0); !m.Over(time.Now().Add(-2 * time.Second)) {
		t.Error("work that is not counted yet is left out of account")
	}
	var none *Meter
	none.Spend(time.Hour)
	none.Read(1)
	if none.Over(time.Now()) || none.Err() != nil {
		t.Error("no meter, and a limit")
	}
}

func TestFindingsBeyondALimitAreCounted(t *testing.T) {
	var all tally
	x := &account{Meter: &Meter{}}
	listed := 0
	for range maxPlaces + 5 {
		if all.lists(x, "a") {
			listed++
		} else {
			x.reached(GapLimitFindings)
		}
	}
	if listed != maxPlaces {
		t.Errorf("%d are listed", listed)
	}
	if !all.lists(x, "b") {
		t.Error("another secret is not listed")
	}
	all.total = maxFindings
	if all.lists(x, "b") || !all.lists(x, "c") {
		t.Error("beyond the limit of a run a new secret is listed, and no other place")
	}
	var gaps []Gap
	x.report(rules.Location{Path: "f"}, func(g Gap) { gaps = append(gaps, g) })
	if len(gaps) != 1 || gaps[0].Kind != GapLimitFindings || gaps[0].Count != 5 {
		t.Errorf("%v", gaps)
	}
}

// broken is a file with holes between its parts.
type broken struct {
	parts []string
	holes []int64
	at    io.Reader
}

func (b *broken) Read(p []byte) (int, error) {
	if b.at == nil {
		b.at = strings.NewReader(b.parts[0])
		b.parts = b.parts[1:]
	}
	return b.at.Read(p)
}

func (b *broken) Hole() (int64, bool) {
	if len(b.parts) == 0 {
		return 0, false
	}
	n := b.holes[0]
	b.at, b.holes = nil, b.holes[1:]
	return n, true
}

func TestAChunkEndsAtAHole(t *testing.T) {
	type chunk struct {
		data         string
		offset       int64
		line, column int
	}
	var got []chunk
	r := &timed{ctx: t.Context(), r: &broken{parts: []string{"a\nb", "", "c\n"}, holes: []int64{100, 1000}}, x: &account{}}
	_, err := NewChunker(8).Each(r, &Artifact{}, func(c Chunk) error {
		got = append(got, chunk{string(c.Data), c.Offset, c.Line, c.Column})
		return nil
	})
	want := []chunk{{"a\nb", 0, 1, 1}, {"", 103, 2, 102}, {"c\n", 1103, 2, 1102}}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, not %+v", got[i], want[i])
		}
	}
	b, err := io.ReadAll(Filled(&broken{parts: []string{"a", "b"}, holes: []int64{3}}))
	if string(b) != "a\x00\x00\x00b" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
