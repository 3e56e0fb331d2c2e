package run

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers/prove"
)

// limitFiles limits the size of files, to simulate a full disk. Zero is
// no limit.
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

// smallDisk mounts a file system of its own until end is called. fill leaves only a number of
// free bytes on it, and room makes it empty but for what the test wrote.
func smallDisk(t *testing.T) (dir string, fill func(free int), room, end func()) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a file system can't be mounted here: %v", err)
	}
	end = sync.OnceFunc(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	filler := filepath.Join(dir, "filler")
	room = func() {
		if err := os.Remove(filler); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	fill = func(free int) {
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for page := make([]byte, 4096); ; {
			var s syscall.Statfs_t
			if err := syscall.Statfs(dir, &s); err != nil {
				t.Error(err)
				return
			}
			if int(s.Bavail)*int(s.Bsize) <= free {
				return
			}
			if _, err := f.Write(page); err != nil {
				return // it is full
			}
		}
	}
	return dir, fill, room, end
}

// A file system without room, as opposed to a limit of one process: nothing on it can be
// written, and its room comes back while an apply runs or before the next one.
func TestAFileSystemThatIsFull(t *testing.T) {
	n := campaignSize(t, 12)
	var f figures
	stopped := 0
	for i := range n {
		managed, tokens := i%4 == 3, 3
		if managed {
			tokens = 1
		}
		dir, fill, room, unmount := smallDisk(t)
		c := begin(t, filepath.Join(dir, "ledger.db"), tokens, managed, byte(i))
		afterwards, over := i%3 == 0, false
		if afterwards { // nothing can be recorded after the request
			c.issuer.set(func(g *github) {
				before := g.revoked
				g.revoked = func() {
					if before(); !over {
						fill(4096 * (i / 3 % 8))
					}
				}
			})
		} else {
			fill(4096 * (i % 100))
		}
		p, out := c.start(nil)
		if i%2 == 1 {
			ended := make(chan struct{})
			go func() { _ = p.Wait(); close(ended) }()
			select {
			case <-ended:
			case <-time.After(time.Duration(50+i%10*60) * time.Millisecond):
			}
			room()
			<-ended
		} else {
			_ = p.Wait()
		}
		acts, failed := childActions(out.Bytes())
		if failed != "" || len(acts) == 0 {
			stopped++
		}
		confirmed := 0
		for _, a := range acts {
			if prove.Outcome(a.Outcome) == prove.Confirmed {
				confirmed++
			}
		}
		if afterwards && confirmed != tokens {
			t.Errorf("round %d: %d outcomes were printed of what was sent\n%s", i, confirmed, out)
		}
		c.issuer.set(func(*github) { over = true })
		room()
		c.end(&f)
		_ = c.applier.Ledger.Close()
		unmount()
		if t.Failed() {
			t.Fatalf("round %d: %s\n%s", i, failed, out)
		}
	}
	if stopped == 0 {
		t.Error("no write failed")
	}
	t.Logf("%d rounds, %d applies ended with an error: %d Confirmed afterwards, %d Held with a remedy, %d requests", n, stopped, f.confirmed, f.held, f.requests)
}
