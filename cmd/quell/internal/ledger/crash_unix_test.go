//go:build linux

package ledger

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A file size limit simulates a disk that fills up at any write: of the database, of its log,
// of the checkpoint file.
func TestNoFailedWriteLosesAnEntry(t *testing.T) {
	if p := os.Getenv("QUELL_TEST_LEDGER"); p != "" {
		limit, _ := strconv.ParseUint(os.Getenv("QUELL_TEST_LIMIT"), 10, 64)
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), p, Options{Key: testKey("one")})
		for i := 0; err == nil && i < 200; i++ {
			if err = l.Append(context.Background(), Entry{Incident: "x", Body: Notice{Message: strings.Repeat("x", 300)}}); err == nil {
				fmt.Println("durable")
			}
		}
		fmt.Println("ended:", err)
		return
	}
	step := 23_000
	if testing.Short() {
		step = 90_000
	}
	failed := 0
	for limit := 100; limit < 400_000; limit += step {
		path := filepath.Join(t.TempDir(), "ledger.db")
		out, _ := child(t, "QUELL_TEST_LEDGER="+path, fmt.Sprintf("QUELL_TEST_LIMIT=%d", limit)).Output()
		if !strings.Contains(string(out), "ended: <nil>") {
			failed++
		}
		durable := strings.Count(string(out), "durable")
		l := openAs(t, path, "one")
		r := whole(t, l)
		if got := r.Entries; durable > 0 && got < int64(durable)+1 || got > int64(durable)+2 {
			t.Errorf("limit %d: %d appends were acknowledged, %d entries are there\n%s", limit, durable, got, out)
		}
		add(t, l, entriesOf("later")...)
		whole(t, l)
	}
	if failed == 0 {
		t.Error("no write failed")
	}
}
