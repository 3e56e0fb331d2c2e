//go:build unix

package scanners

import (
	"syscall"
	"time"
)

// cpuTime is the CPU time that the process has taken; ok is false where it is not known.
func cpuTime() (d time.Duration, ok bool) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
