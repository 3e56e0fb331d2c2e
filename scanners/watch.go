package scanners

import "sync/atomic"

// Watch counts what a pool has read so far, to show progress. It includes nested files. The nil
// Watch counts nothing.
type Watch struct {
	Artifacts atomic.Int64
	Bytes     atomic.Int64
}

func (w *Watch) artifact() {
	if w != nil {
		w.Artifacts.Add(1)
	}
}

func (w *Watch) bytes(n int) {
	if w != nil {
		w.Bytes.Add(int64(n))
	}
}
