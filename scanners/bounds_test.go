package scanners

import (
	"errors"
	"testing"
	"time"
)

func TestExpansionIsBoundedByTheTargetsOwnBytes(t *testing.T) {
	var b Bounds
	if err := b.Expand(freeExpansion); err != nil {
		t.Fatal(err)
	}
	if err := b.Expand(1); !errors.Is(err, ErrExpansion) || KindOf(err) != GapLimitBytes {
		t.Errorf("beyond what is free: %v", err)
	}
	b.Read(10)
	if err := b.Expand(10*ExpansionRatio + 1); err == nil {
		t.Error("more than the bytes justify")
	}
	if err := b.Expand(10 * ExpansionRatio); err != nil {
		t.Errorf("what was refused is counted: %v", err)
	}
	var none *Bounds
	none.Read(1)
	if none.Expand(1<<60) != nil {
		t.Error("no bounds, and a limit")
	}
}

// A container of stored files expands to nothing beyond its size, so it is read whatever the
// others are.
func TestOnlyBytesBeyondTheFilesSizeCount(t *testing.T) {
	var b Bounds
	s := Surplus{Bounds: &b}
	for _, out := range []int64{50, 100, 130, 120, 150} {
		if err := s.Expand(out, 100); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.out.Load(); n != 50 {
		t.Errorf("%d bytes are charged, not 50", n)
	}
	b.out.Store(freeExpansion)
	stored := Surplus{Bounds: &b}
	if err := stored.Expand(100, 100); err != nil {
		t.Error(err)
	}
	if err := stored.Expand(101, 100); !errors.Is(err, ErrExpansion) {
		t.Errorf("%v", err)
	}
}

// Many small files that each stay within their own time do not get it without end.
func TestManyFilesShareTheirOwnTime(t *testing.T) {
	p := Patience{Own: 2 * time.Second, PerByte: time.Microsecond, Least: 50 * time.Millisecond, Pool: 20 * time.Second}
	bounds := NewBounds(p)
	begin := func(bytes int64) *Meter {
		m := newMeter(p, bounds)
		m.cpu = -time.Hour // the process had CPU time for everything that the test spends
		m.Read(bytes)
		return m
	}
	var total time.Duration
	over := 0
	for range 200 {
		m := begin(500)
		for spent := time.Duration(0); spent < 1900*time.Millisecond && m.Err() == nil; spent += 10 * time.Millisecond {
			m.Spend(10 * time.Millisecond)
			total += 10 * time.Millisecond
		}
		if m.Err() != nil {
			over++
		}
	}
	if total > 35*time.Second || over < 180 {
		t.Errorf("200 files took %v, %d were stopped", total, over)
	}
	// A file that needs little is read after them, and one of many bytes.
	if m := begin(500); m.Err() != nil {
		t.Error("the next file gets no time")
	} else if m.Spend(40 * time.Millisecond); m.Err() != nil {
		t.Error("an ordinary file is stopped")
	}
	m := begin(50_000_000)
	if m.Spend(5 * time.Second); m.Err() != nil {
		t.Error("a large file is stopped")
	}
}

// The time for which a file waits on its disk takes nothing from the others.
func TestASlowDiskTakesNoTimeFromOtherFiles(t *testing.T) {
	if _, ok := cpuTime(); !ok {
		t.Skip("the system does not report CPU time")
	}
	p := Patience{Own: 2 * time.Second, PerByte: time.Microsecond, Least: time.Millisecond, Pool: 20 * time.Second}
	bounds := NewBounds(p)
	for range 100 {
		m := newMeter(p, bounds)
		m.cpu = time.Hour // the process has used no CPU time since
		m.Spend(1900 * time.Millisecond)
		if m.Err() != nil {
			t.Fatal("stopped")
		}
	}
	if left := time.Duration(bounds.pool.Load()); left < p.Pool {
		t.Errorf("%v are left of %v", left, p.Pool)
	}
}
