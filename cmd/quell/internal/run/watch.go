package run

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/scanners"
)

// Watch counts what a run has done so far, for a person who waits. The nil Watch
// counts nothing.
type Watch struct {
	Read  scanners.Watch
	Asked atomic.Int64 // credentials that issuers were asked about
	ToAsk atomic.Int64 // those that will be, as far as that is known

	mu         sync.Mutex
	confirming int
	until      time.Time
}

func (w *Watch) read() *scanners.Watch {
	if w == nil {
		return nil
	}
	return &w.Read
}

func (w *Watch) toAsk(n int) {
	if w != nil {
		w.ToAsk.Add(int64(n))
	}
}

func (w *Watch) asked() {
	if w != nil {
		w.Asked.Add(1)
	}
}

// confirm counts a confirmation that takes up to d. The caller calls done at its end.
func (w *Watch) confirm(d time.Duration) (done func()) {
	if w == nil {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.confirming++
	if t := time.Now().Add(d); t.After(w.until) {
		w.until = t
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.confirming--
	}
}

// Confirming is the number of kills that are being confirmed, and until when that
// takes at most unless an answer resets it.
func (w *Watch) Confirming() (int, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.confirming, w.until
}
