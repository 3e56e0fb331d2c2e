package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func machineClock() clock {
	var c clock
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var ts unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return c
	}
	c.boot = strings.TrimSpace(string(boot))
	c.ticks = func() int64 {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // it worked above
		return ts.Nano() / 1000
	}
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil {
		c.processes = c.boot + " " + ns
		c.running = running
	}
	return c
}

// thisProcess returns the process id and the time at which the process started.
func thisProcess() string {
	started, _ := started(os.Getpid())
	return fmt.Sprintf("%d-%s", os.Getpid(), started)
}

// running reports whether a process that thisProcess named still runs. It returns true for a
// process that it cannot read.
func running(process string) bool {
	id, at, ok := strings.Cut(process, "-")
	pid, err := strconv.Atoi(id)
	if !ok || err != nil || at == "" {
		return true
	}
	now, err := started(pid)
	if err != nil {
		// A mount of /proc may hide the processes of other users.
		return !errors.Is(err, fs.ErrNotExist) || !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	}
	return now == at
}

// started returns the field starttime of /proc/PID/stat (proc(5)), in clock ticks
// since boot, or "" for a process that has ended and was not waited for.
func started(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The name, field 2, is in parentheses and may contain anything.
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 20 {
		return "", errors.New("stat: too short")
	}
	if f[0] == "Z" || f[0] == "X" {
		return "", nil
	}
	return f[19], nil
}
