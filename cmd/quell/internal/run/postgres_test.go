package run

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules/testenv"
)

// postgresServer starts a throw-away PostgreSQL server on loopback. restart ends it
// as a crash does, and starts it again.
func postgresServer(t *testing.T) (address string, restart func()) {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		testenv.Missing(t, "PostgreSQL")
	}
	bin := bins[len(bins)-1]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	// The server's own user must reach the folder.
	dir, err := os.MkdirTemp("", "quell-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	do := func(name string, args ...string) {
		t.Helper()
		c := exec.Command(name, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("made-up-root"), 0o644); err != nil {
		t.Fatal(err)
	}
	as := func(line string) { do("bash", "-c", line) }
	if os.Getuid() == 0 {
		if _, err := user.Lookup("postgres"); err != nil {
			testenv.Missing(t, "the user postgres")
		}
		do("chown", "-R", "postgres", dir)
		as = func(line string) { do("su", "postgres", "-s", "/bin/bash", "-c", line) }
	}
	as(fmt.Sprintf("%s/initdb -D %s/data -A scram-sha-256 -U admin --pwfile=%s/pw -N", bin, dir, dir))
	start := func() {
		as(fmt.Sprintf("%s/pg_ctl -D %s/data -w -l %s/log -o '-c listen_addresses=127.0.0.1 -c port=%s -c unix_socket_directories=%s -c fsync=off' start", bin, dir, dir, port, dir))
	}
	stop := func() { as(fmt.Sprintf("%s/pg_ctl -D %s/data -m immediate stop", bin, dir)) }
	start()
	t.Cleanup(stop)
	return "postgres://admin:made-up-root@127.0.0.1:" + port + "/%s?sslmode=disable", func() { stop(); start() }
}

// freshLedgers returns a function that makes a database for each round.
func freshLedgers(t *testing.T, address string) func(int) string {
	return func(round int) string {
		t.Helper()
		name := fmt.Sprintf("round%d", round)
		c := exec.Command("psql", strings.Replace(address, "%s", "postgres", 1), "-qc", "CREATE DATABASE "+name)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
		return strings.Replace(address, "%s", name, 1)
	}
}

// Two machines with one ledger in PostgreSQL apply one plan, and are killed. A lease
// of a machine that is gone expires by the server's clock.
func TestTwoMachinesThatAreKilled(t *testing.T) {
	address, _ := postgresServer(t)
	second := t.TempDir()
	crash(t, campaignSize(t, 4), 2, freshLedgers(t, address), func(c *childConfig) { c.State = second })
}

// The server ends as in a crash while a plan is applied.
func TestPostgresThatRestartsDuringAnApply(t *testing.T) {
	address, restart := postgresServer(t)
	path := freshLedgers(t, address)
	n := min(campaignSize(t, 2), 50)
	var f figures
	interrupted := 0
	for round := range n {
		managed, tokens := round%2 == 1, 3
		if managed {
			tokens = 1
		}
		c := begin(t, path(round), tokens, managed, byte(round))
		p, out := c.start(nil)
		time.Sleep(time.Duration(50+450*round/n) * time.Millisecond)
		restart()
		_ = p.Wait()
		if _, failed := childActions(out.Bytes()); failed != "" {
			interrupted++
		}
		// The lease of the interrupted apply expires.
		time.Sleep(time.Second)
		c.end(&f)
		_ = c.applier.Ledger.Close()
	}
	t.Logf("%d restarts, %d applies ended with an error: %d Confirmed afterwards, %d Held with a remedy, %d requests", n, interrupted, f.confirmed, f.held, f.requests)
}
