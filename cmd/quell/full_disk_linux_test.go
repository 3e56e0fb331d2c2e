package main

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// limited is quell on a disk that takes only so many bytes of each file.
const limited = "quell-limited"

func init() {
	commands[limited] = func() {
		n, err := strconv.ParseUint(os.Getenv("QUELL_TEST_LIMIT"), 10, 64)
		if err != nil {
			panic(err)
		}
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			panic(err)
		}
		main()
	}
}

// A text report that the disk has no room for is exit 2. No part of it passes for the whole:
// --output and --report leave the file as it was.
func TestATextReportOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	for i := range 300 {
		b.WriteString(citest.Cookie(i))
	}
	log := filepath.Join(dir, "app.log")
	if err := os.WriteFile(log, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "report.txt")
	// scan returns the exit code, standard error, and the report's text without its time.
	scan := func(limit int, args string) (code int, stderr, report string) {
		t.Helper()
		c := exec.Command("sh", "-c", limited+" scan path "+log+" --offline --fail-on found --show all "+args)
		c.Env = append(os.Environ(), "QUELL_TEST_LIMIT="+strconv.Itoa(limit), "XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
		var e strings.Builder
		c.Stderr = &e
		_ = c.Run()
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return c.ProcessState.ExitCode(), e.String(), regexp.MustCompile(`[0-9.]+ m?s\b`).ReplaceAllString(string(text), "TIME")
	}
	const before = "a report of before\n"
	ways := map[string]struct {
		args string
		kept bool // the file keeps its content if the report is not written
	}{
		"--output":        {"--output " + out, true},
		"--report":        {"--report text=" + out + " --format jsonl >" + os.DevNull, true},
		"standard output": {">" + out, false},
	}
	for name, w := range ways {
		write := func() {
			if err := os.WriteFile(out, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write()
		code, _, whole := scan(100<<20, w.args)
		if code != 1 || len(whole) < 4<<10 {
			t.Fatalf("%s without a limit: exit %d, %d bytes", name, code, len(whole))
		}
		failed := 0
		for _, limit := range []int{0, 1, 100, 1000, len(whole) / 2, len(whole) - 200, len(whole) + 200} {
			write()
			code, stderr, report := scan(limit, w.args)
			switch {
			case code == 1 && report == whole:
				continue
			case code != 2:
				t.Errorf("%s, room for %d of %d bytes: exit %d, %d bytes", name, limit, len(whole), code, len(report))
			case w.kept && report != before:
				t.Errorf("%s, room for %d bytes: the file has %d bytes", name, limit, len(report))
			case !strings.Contains(stderr, "file too large"):
				t.Errorf("%s, room for %d bytes: the error is not reported: %s", name, limit, stderr)
			}
			failed++
		}
		if failed < 5 {
			t.Errorf("%s: only %d reports had no room", name, failed)
		}
		if code, _, report := scan(len(whole)+200, w.args); code == 1 && report != whole {
			t.Errorf("%s with just enough room: another report", name)
		}
	}
}
