//go:build !linux

package ledger

import (
	"os"
	"strconv"
	"strings"
)

// machineClock uses the wall clock only: a holder that has ended keeps its leases until they
// expire.
func machineClock() clock { return clock{} }

func thisProcess() string { return hostname() + "-" + strconv.Itoa(os.Getpid()) }

func hostname() string {
	h, _ := os.Hostname()
	return strings.ReplaceAll(h, "/", "_")
}
