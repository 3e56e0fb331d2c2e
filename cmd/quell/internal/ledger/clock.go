package ledger

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// instant is a moment by the clocks that leases are measured by.
type instant struct {
	wall  time.Time
	boot  string // identifies the machine's boot, empty if unknown
	ticks int64  // microseconds since then, by a clock that can't be set
}

// clock measures leases of a SQLite ledger, whose processes share a machine. On Linux that is
// the time since boot, which is the same for all processes and does not change when the wall
// clock is set. Elsewhere, and after a reboot, the wall clock decides.
type clock struct {
	boot  string
	ticks func() int64
	// processes identifies the table of processes that this one is in, empty if
	// unknown.
	processes string
	running   func(process string) bool
}

func (c clock) read(wall time.Time) instant {
	i := instant{wall: wall.UTC()}
	if c.boot != "" {
		i.boot, i.ticks = c.boot, c.ticks()
	}
	return i
}

// newHolder returns a name for this ledger handle: the table of processes, the
// process, and a random part.
func newHolder() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	c := machineClock()
	return fmt.Sprintf("%s/%s/%s", c.processes, thisProcess(), hex.EncodeToString(b))
}

// ended reports whether a holder was a process of this machine that has ended.
func (c clock) ended(holder string) bool {
	f := strings.Split(holder, "/")
	if len(f) != 3 || c.processes == "" || f[0] != c.processes {
		return false
	}
	return !c.running(f[1])
}
