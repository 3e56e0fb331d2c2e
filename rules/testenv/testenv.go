// Package testenv names the programs and servers that a test needs, and has the checks that
// tests of several packages share.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// Need returns the path of a program, and skips the test if there is none; see Missing.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program)
	}
	return path
}

// Missing skips a test that can't run without a program or server. It fails the test if
// QUELL_REAL=1, which make test sets after it has installed them.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("QUELL_REAL") == "1" {
		t.Fatalf("%s is missing: run testdata/servers/install.sh", what)
	}
	t.Skipf("%s is missing: testdata/servers/install.sh installs it", what)
}

// Sequential skips a test of code without goroutines under the race detector, which can find
// nothing there and makes it ten times slower. make test runs the packages that call it without
// the detector too.
func Sequential(t testing.TB) {
	t.Helper()
	if Fewer > 1 {
		t.Skip("no goroutines; make test runs it without the race detector")
	}
}
