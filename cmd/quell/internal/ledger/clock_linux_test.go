package ledger

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/quellhq/quell/rules/testenv"
)

func TestRunningProcesses(t *testing.T) {
	if !running(thisProcess()) {
		t.Error("this one does not run")
	}
	for process, want := range map[string]bool{fmt.Sprintf("%d-1", os.Getpid()): false, "4194305-77": false, "unreadable": true, "12-": true, "": true} {
		if running(process) != want {
			t.Errorf("%q: %v", process, !want)
		}
	}
}

func TestTicksGrow(t *testing.T) {
	c := machineClock()
	if c.boot == "" {
		testenv.Missing(t, "a boot id in /proc")
	}
	a := c.read(time.Now())
	time.Sleep(2 * time.Millisecond)
	if b := c.read(time.Now()); b.boot != a.boot || b.ticks < a.ticks+1000 || b.ticks > a.ticks+60_000_000 {
		t.Errorf("%+v then %+v", a, b)
	}
}

// The leases of a killed process need not expire first.
func TestALeaseOfAKilledProcessIsFreeAtOnce(t *testing.T) {
	if p := os.Getenv("QUELL_TEST_LEASE"); p != "" {
		l := openAs(t, p, "one")
		fmt.Println("leased", len(acquire(t, l, time.Hour, "x")))
		time.Sleep(time.Minute)
		return
	}
	l, path := open(t)
	if machineClock().processes == "" {
		testenv.Missing(t, "/proc")
	}
	c := exec.Command(os.Args[0], "-test.run=TestALeaseOfAKilledProcessIsFreeAtOnce")
	c.Env = append(os.Environ(), "QUELL_TEST_LEASE="+path)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "leased 1" {
		t.Errorf("the child said %q", lines.Text())
	}
	if got := acquire(t, l, time.Minute, "x"); len(got) != 0 {
		t.Error("the lease of a running process was free")
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	if got := acquire(t, l, time.Minute, "x"); len(got) != 1 || got[0].Fence != 2 {
		t.Errorf("%+v", got)
	}
}
