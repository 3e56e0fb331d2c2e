// Command quell finds leaked bearer tokens and session cookies, asks their
// issuers whether they are alive, kills them, and proves that they are dead.
package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/quellhq/quell/cmd/quell/internal/cli"
	"github.com/quellhq/quell/cmd/quell/internal/config"
)

func main() {
	collectLater()
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, config.Environment(os.Environ(), os.Unsetenv)))
}

// firstCollection is the heap's growth in percent of 4 MiB before the first garbage collection.
const firstCollection = 600

// collectLater delays the first garbage collection until the heap has 24 MiB, and then restores
// Go's default. Most of what is allocated before that are rules, which stay: collections take a
// fifth of the time of a small scan and free little.
func collectLater() {
	if os.Getenv("GOGC") != "" {
		return
	}
	before := debug.SetGCPercent(firstCollection)
	first := new([64]byte) // large enough to be freed alone
	runtime.AddCleanup(first, func(percent int) { debug.SetGCPercent(percent) }, before)
}
