//go:build unix

package scanners

import (
	"syscall"
	"time"
)

// cpuTime returns the CPU time used by the process. ok is false if it is unknown.
func cpuTime() (d time.Duration, ok bool) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
