//go:build !unix

package scanners

import "time"

func cpuTime() (time.Duration, bool) { return 0, false }
