package scanners

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/rules"
)

// Patience limits the time for a file: Own plus PerByte for each of its bytes. Time beyond that
// is taken from Shared, which is for all files of a target together. Ordinary files need about a
// hundredth of their limit.
//
// All files of a target together get Pool of their Own time, plus perPooledByte for each of
// their bytes; after that, each gets Least instead of Own. If Pool is 0, it has no limit.
type Patience struct {
	Own, PerByte, Shared time.Duration
	Least, Pool          time.Duration
}

// perPooledByte is a tenth of PerByte, and more than the scan of ordinary text needs.
const perPooledByte = 100 * time.Nanosecond

// DefaultPatience keeps a hostile file of 100 KB far below a minute of CPU time.
var DefaultPatience = Patience{
	Own:     2 * time.Second,
	PerByte: time.Microsecond,
	Shared:  10 * time.Second,
	Least:   20 * time.Millisecond,
	Pool:    20 * time.Second,
}

// ErrTime is the error of a file that exceeds Patience.
var ErrTime = OfKind(GapLimitTime, errors.New("takes more time than its size justifies: the rest of it was not read"))

// Limits of the findings of one run. The first place of a secret is always reported, for up to
// maxSecrets secrets.
const (
	maxPlaces   = 100_000 // per secret and artifact: all lines of a log of some 10 MB
	maxFindings = 300_000
	maxSecrets  = 1_000_000
)

// Meter measures the time of one artifact, including everything nested in it. Its methods are
// safe for concurrent use. A nil Meter has no limit.
type Meter struct {
	patience Patience
	bounds   *Bounds
	in       atomic.Int64 // bytes
	busy     atomic.Int64 // nanoseconds
	drawn    atomic.Int64 // nanoseconds taken from bounds.shared
	lent     atomic.Int64 // nanoseconds taken from bounds.pool
	over     atomic.Bool
	cpu      time.Duration // CPU time of the process at the start
}

func newMeter(p Patience, b *Bounds) *Meter {
	cpu, _ := cpuTime()
	return &Meter{patience: p, bounds: b, cpu: cpu}
}

// Read adds n bytes of the file itself.
func (m *Meter) Read(n int64) {
	if m != nil {
		m.in.Add(n)
		if m.bounds.pooled {
			m.bounds.pool.Add(n * int64(perPooledByte))
		}
	}
}

// Expand is Bounds.Expand for the file's target.
func (m *Meter) Expand(n int) error {
	if m == nil {
		return nil
	}
	return m.bounds.Expand(int64(n))
}

// Spend adds time.
func (m *Meter) Spend(d time.Duration) {
	if m == nil || d <= 0 {
		return
	}
	busy := m.busy.Add(int64(d))
	m.borrow(busy)
	beyond := m.took(busy) - m.allowed() - m.drawn.Load()
	if beyond > 0 {
		m.drawn.Add(beyond)
		if m.bounds.shared.Add(-beyond) < 0 {
			m.over.Store(true)
		}
	}
}

// busyMachine is the maximum ratio of wall-clock time to counted time.
const busyMachine = 4

// took returns how much of the wall-clock time counts. On a busy machine that is only the CPU
// time of the process, but at least a quarter of the wall-clock time.
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
	if !m.bounds.pooled || m.bounds.pool.Load() > 0 {
		return int64(m.patience.Own) + m.in.Load()*int64(m.patience.PerByte)
	}
	return m.least() + m.lent.Load()
}

// least is the time that does not depend on the other files of the target.
func (m *Meter) least() int64 {
	return int64(m.patience.Least) + m.in.Load()*int64(m.patience.PerByte)
}

// borrow takes the time beyond least from the pool. Only CPU time counts: a slow disk takes
// nothing from the other files.
func (m *Meter) borrow(busy int64) {
	had, most := m.lent.Load(), int64(m.patience.Own-m.patience.Least)
	if !m.bounds.pooled || had >= most || busy <= m.least()+had {
		return
	}
	if cpu, ok := cpuTime(); ok {
		busy = min(busy, int64(cpu-m.cpu))
	}
	if more := min(busy-m.least(), most) - had; more > 0 && m.bounds.pool.Load() > 0 {
		m.lent.Add(more)
		m.bounds.pool.Add(-more)
	}
}

// Over reports whether the file's time is over, including uncounted work since began.
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
	return m.took(m.busy.Load()+int64(time.Since(began))) > m.allowed()+m.drawn.Load()+max(0, m.bounds.shared.Load())
}

// Err returns ErrTime if the file's time is over.
func (m *Meter) Err() error {
	if m.Over(time.Time{}) {
		return ErrTime
	}
	return nil
}

// account records the time of one artifact and the limits that it reached.
type account struct {
	*Meter
	mu     sync.Mutex
	limits map[string]int64
	places map[string]int // by fingerprint of the secret
}

// limitWords describes what each limit of the detector or the pool left out.
var limitWords = map[string]string{
	GapLimitDecoding: "encoded text was not decoded to its end: too much comes of it",
	GapLimitDepth:    "encoded text was not decoded: encodings are nested too deep",
	GapLimitMatch:    "what may be a match longer than 32 KiB was cut or left out",
	GapLimitFindings: "further places of findings are not listed",
	GapLimitTime:     ErrTime.Error(),
	GapDamaged:       "compressed text that is encoded is damaged",
	GapUnsupported:   "an archive that is encoded as base64 was not opened: encrypted, or of a form that is not supported there",
}

func (x *account) reached(kind string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.limits == nil {
		x.limits = map[string]int64{}
	}
	x.limits[kind]++
}

// report reports a gap for each limit that was reached.
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

// lists reports whether to emit a finding rather than only count it.
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
