package run

import (
	"os/signal"
	"syscall"
	"testing"
)

// limitFiles bounds the size of files, which stands for a disk that is full. Zero is
// no bound.
func limitFiles(t *testing.T, bytes uint64) {
	t.Helper()
	if bytes == 0 {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: bytes}); err != nil {
		t.Fatal(err)
	}
}

// The disk is full at any write: no request leaves without its intent, and the plan
// ends right once there is room.
func TestADiskThatIsFullAtAnyWrite(t *testing.T) {
	const from, to = 1 << 12, 400 << 10
	n := campaignSize(t, 8)
	var f figures
	stopped := 0
	for i := range n {
		c := begin(t, fileOf(t)(i), 3, false, byte(i))
		p, out := c.start(func(x *childConfig) { x.Limit = uint64(from + (to-from)*i/n) })
		_ = p.Wait()
		if acts, failed := childActions(out.Bytes()); failed != "" || len(acts) == 0 {
			stopped++
		}
		c.end(&f)
		_ = c.applier.Ledger.Close()
	}
	if stopped == 0 {
		t.Error("no write failed")
	}
	t.Logf("%d sizes of the disk, %d of them too small: %d Confirmed afterwards, %d requests", n, stopped, f.confirmed, f.requests)
}
