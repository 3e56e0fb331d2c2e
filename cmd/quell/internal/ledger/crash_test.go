package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// child runs this test again as a process of its own.
func child(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	return c
}

// writeForever appends an intent together with its receipt, again and again, and prints the
// number of each pair that is durable.
func writeForever(path string) {
	l, err := Open(context.Background(), path, Options{Key: testKey("one")})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%d-%d", os.Getpid(), i)
		leases, err := l.Acquire(context.Background(), time.Minute, name)
		if err != nil || len(leases) != 1 {
			fmt.Println("acquire", err)
			os.Exit(1)
		}
		if err := l.Append(context.Background(), Entry{Incident: name, Body: Intent{Fence: leases[0].Fence}}, Entry{Incident: name, Body: Receipt{}}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(name)
	}
}

// Two processes append. Killing both at any moment loses nothing for which Append has returned,
// leaves no half of an append, and does not look like tampering.
func TestKilledProcessesLoseNothing(t *testing.T) {
	if p := os.Getenv("QUELL_TEST_LEDGER"); p != "" {
		writeForever(p)
	}
	path := filepath.Join(t.TempDir(), "ledger.db")
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	var said []string
	for round := range rounds {
		var heard [2]chan []string
		for i := range heard {
			c := child(t, "QUELL_TEST_LEDGER="+path)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			heard[i] = make(chan []string, 1)
			go func() {
				var list []string
				for lines := bufio.NewScanner(out); lines.Scan(); {
					if list = append(list, lines.Text()); len(list) == 1+round {
						time.Sleep(time.Duration(round*i) * time.Millisecond / 3)
						_ = c.Process.Kill() // in the middle of whatever it does now
					}
				}
				_ = c.Wait()
				heard[i] <- list
			}()
		}
		for i := range heard {
			said = append(said, <-heard[i]...)
		}
		l := openAs(t, path, "one")
		whole(t, l)
		for _, name := range said {
			all, err := l.Incident(t.Context(), name)
			if err != nil || len(all) != 2 {
				t.Fatalf("of %s, which was acknowledged, %d entries are there: %v", name, len(all), err)
			}
		}
		pairs := map[string]int{}
		for e, err := range l.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			pairs[e.Incident]++
		}
		for name, n := range pairs {
			if name != "" && n != 2 {
				t.Errorf("%s has %d entries", name, n)
			}
		}
		_ = l.Close()
	}
}

// A full disk is an error before anything is sent, and what was recorded before
// is still there.
func TestAFullDiskIsAnErrorAndLosesNothing(t *testing.T) {
	l, _ := open(t)
	add(t, l, entriesOf("abc")...)
	var pages int
	if err := l.db.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := l.db.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), Entry{Incident: "abc", Body: Intent{Method: strings.Repeat("x", 1<<16)}}); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("a full disk gives %v", err)
	}
	whole(t, l)
	if _, err := l.db.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	add(t, l, Entry{Incident: "abc", Body: Intent{Method: strings.Repeat("x", 1<<16)}})
	whole(t, l)
}

func TestAnAppendThatIsCancelledLeavesNothing(t *testing.T) {
	l, _ := open(t)
	add(t, l, entriesOf("abc")...)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := l.Append(ctx, entriesOf("def")...); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := l.Incident(t.Context(), "def"); !errors.Is(err, ErrNoIncident) {
		t.Error(err)
	}
	whole(t, l)
}
