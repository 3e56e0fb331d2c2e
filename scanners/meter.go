package scanners

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/rules"
)

// Patience bounds the time that a file may take: Own, and PerByte for each byte of it. What a
// file takes beyond that comes out of Shared, which all files of one run have together.
// Ordinary files take a hundredth of it.
type Patience struct {
	Own, PerByte, Shared time.Duration
}

// DefaultPatience keeps a hostile file of 100 KB far below a minute of CPU time.
var DefaultPatience = Patience{Own: 2 * time.Second, PerByte: time.Microsecond, Shared: 10 * time.Second}

// ErrTime is the error of a file that takes more time than Patience allows.
var ErrTime = OfKind(GapLimitTime, errors.New("takes more time than its size justifies: the rest of it was not read"))

// Bounds of the findings of one run. The first place of a secret is always reported, up to
// maxSecrets.
const (
	maxPlaces   = 10_000 // of one secret in one artifact
	maxFindings = 300_000
	maxSecrets  = 1_000_000
)

// Meter measures the time that one artifact takes, with all that is inside it. Its methods are
// safe for concurrent use; a nil Meter has no limit.
type Meter struct {
	patience Patience
	shared   *atomic.Int64 // nanoseconds that the run has left
	in       atomic.Int64  // bytes
	busy     atomic.Int64  // nanoseconds
	drawn    atomic.Int64  // of shared
	over     atomic.Bool
	cpu      time.Duration // that the process had taken before
}

func newMeter(p Patience, shared *atomic.Int64) *Meter {
	cpu, _ := cpuTime()
	return &Meter{patience: p, shared: shared, cpu: cpu}
}

// Read counts bytes of the file itself.
func (m *Meter) Read(n int64) {
	if m != nil {
		m.in.Add(n)
	}
}

// Spend counts time.
func (m *Meter) Spend(d time.Duration) {
	if m == nil || d <= 0 {
		return
	}
	beyond := m.took(m.busy.Add(int64(d))) - m.allowed() - m.drawn.Load()
	if beyond > 0 {
		m.drawn.Add(beyond)
		if m.shared.Add(-beyond) < 0 {
			m.over.Store(true)
		}
	}
}

// busyMachine is how many times its CPU time a file may take on the clock.
const busyMachine = 4

// took is how much of the time on the clock counts: on a busy machine no more than the process
// had of its CPUs, within reason.
func (m *Meter) took(busy int64) int64 {
	if busy <= m.allowed() {
		return busy
	}
	if cpu, ok := cpuTime(); ok {
		return min(busy, max(int64(cpu-m.cpu), busy/busyMachine))
	}
	return busy
}

func (m *Meter) allowed() int64 {
	return int64(m.patience.Own) + m.in.Load()*int64(m.patience.PerByte)
}

// Over reports whether the file has no time left, if work that is not counted yet began at the
// given time.
func (m *Meter) Over(began time.Time) bool {
	if m == nil {
		return false
	}
	if m.over.Load() {
		return true
	}
	if began.IsZero() {
		return false
	}
	return m.took(m.busy.Load()+int64(time.Since(began))) > m.allowed()+m.drawn.Load()+max(0, m.shared.Load())
}

// Err is ErrTime where the file has no time left.
func (m *Meter) Err() error {
	if m.Over(time.Time{}) {
		return ErrTime
	}
	return nil
}

// account is what one artifact took, and the limits that it reached.
type account struct {
	*Meter
	mu     sync.Mutex
	limits map[string]int64
	places map[string]int // by the secret's fingerprint
}

// limitWords says what a limit of the detector or the pool left out.
var limitWords = map[string]string{
	GapLimitDecoding: "encoded text was not decoded to its end: too much comes of it",
	GapLimitDepth:    "encoded text was not decoded: encodings are nested too deep",
	GapLimitMatch:    "what may be a match longer than 32 KiB was cut or left out",
	GapLimitFindings: "further places of findings are not listed",
	GapLimitTime:     ErrTime.Error(),
	GapDamaged:       "compressed text that is encoded is damaged",
}

func (x *account) reached(kind string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.limits == nil {
		x.limits = map[string]int64{}
	}
	x.limits[kind]++
}

// report makes gaps of the limits that were reached.
func (x *account) report(at rules.Location, gap func(Gap)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for kind, n := range x.limits {
		words := limitWords[kind]
		if n > 1 {
			words = fmt.Sprintf("%s (%d times)", words, n)
		}
		gap(Gap{Location: at, Kind: kind, Reason: words, Count: n})
	}
}

// tally counts the findings of a run.
type tally struct {
	mu      sync.Mutex
	total   int
	secrets map[string]bool
}

// lists reports whether a finding is reported, or only counted.
func (t *tally) lists(x *account, fingerprint string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.places == nil {
		x.places = map[string]int{}
	}
	if x.places[fingerprint] >= maxPlaces {
		return false
	}
	known := t.secrets[fingerprint]
	if t.total >= maxFindings && (known || len(t.secrets) >= maxSecrets) {
		return false
	}
	if !known {
		if t.secrets == nil {
			t.secrets = map[string]bool{}
		}
		t.secrets[fingerprint] = true
	}
	x.places[fingerprint]++
	t.total++
	return true
}
