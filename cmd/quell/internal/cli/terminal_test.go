//go:build unix

package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
)

// screen is what a terminal got.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// onTerminal runs quell with all three streams on a terminal of the given width.
func onTerminal(t *testing.T, ctx context.Context, env map[string]string, cols int, typed func(w io.Writer, s *screen), args ...string) (int, string) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		testenv.Missing(t, "a pseudo-terminal")
	}
	defer master.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: uint16(cols)}); err != nil {
		t.Fatal(err)
	}
	s := &screen{}
	read := make(chan struct{})
	go func() {
		_, _ = io.Copy(s, master)
		close(read)
	}()
	if typed != nil {
		go typed(master, s)
	}
	code := Run(ctx, args, tty, tty, tty, func(k string) string { return env[k] })
	tty.Close()
	select {
	case <-read:
	case <-time.After(5 * time.Second):
	}
	return code, s.String()
}

func TestATerminalIsWrappedColouredAndShowsProgress(t *testing.T) {
	env := home(t)
	file := filepath.Join(t.TempDir(), "a.env")
	if err := os.WriteFile(file, []byte("Cookie: _gitlab_session=39988b886e7577496a2c8773e130f7eb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ansi := regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]|\r`)
	for _, cols := range []int{60, 80, 200} {
		code, got := onTerminal(t, t.Context(), env, cols, nil, "scan", "path", file, "--offline")
		if code != exitFindings || !strings.Contains(got, "\x1b[33mnot asked") || !strings.Contains(got, "starting\r\x1b[K") {
			t.Errorf("%d columns: exit %d, %q", cols, code, got)
		}
		for _, line := range strings.Split(ansi.ReplaceAllString(strings.ReplaceAll(got, "\r\x1b[K", "\n"), ""), "\n") {
			if len([]rune(line)) > cols && !strings.Contains(line, file) {
				t.Errorf("%d columns: %q", cols, line)
			}
		}
	}
	env["NO_COLOR"] = "1"
	if _, got := onTerminal(t, t.Context(), env, 80, nil, "scan", "path", file, "--offline"); strings.Contains(got, "\x1b[3") || strings.Contains(got, "\x1b[1") {
		t.Errorf("NO_COLOR: %q", got)
	}
	if _, got := onTerminal(t, t.Context(), env, 80, nil, "scan", "path", file, "--offline", "--quiet"); strings.Contains(got, "starting") {
		t.Errorf("--quiet: %q", got)
	}
}

// Output that is not a terminal has no control characters, and no progress in its first seconds.
func TestAFileGetsNoControlCharacters(t *testing.T) {
	env := home(t)
	var out, errs bytes.Buffer
	if code := Run(t.Context(), []string{"scan", "path", t.TempDir(), "--offline"}, strings.NewReader(""), &out, &errs, func(k string) string { return env[k] }); code != exitClean {
		t.Fatal(code)
	}
	if strings.ContainsAny(out.String()+errs.String(), "\x1b\r") || errs.Len() > 0 {
		t.Errorf("%q %q", out.String(), errs.String())
	}
}

// A person who gave no file is asked for input, and can leave.
func TestReadingATerminalCanBeInterrupted(t *testing.T) {
	for _, args := range [][]string{{"scan", "log", "-", "--offline"}, {"check"}, {"scan", "path", "-", "--offline"}} {
		ctx, stop := context.WithCancel(t.Context())
		begun := time.Now()
		code, got := onTerminal(t, ctx, home(t), 80, func(_ io.Writer, s *screen) {
			for !strings.Contains(s.String(), "Ctrl-D") && time.Since(begun) < 20*time.Second {
				time.Sleep(10 * time.Millisecond)
			}
			stop()
		}, args...)
		stop()
		if code != exitInterrupted || !strings.Contains(got, "reading standard input; Ctrl-D") {
			t.Errorf("%v: exit %d, %q", args, code, got)
		}
	}
}

func TestWhatIsTypedIsScanned(t *testing.T) {
	code, got := onTerminal(t, t.Context(), home(t), 80, func(w io.Writer, s *screen) {
		for range 2000 {
			if strings.Contains(s.String(), "Ctrl-D") {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		_, _ = io.WriteString(w, "Cookie: _gitlab_session=39988b886e7577496a2c8773e130f7eb\n\x04")
	}, "scan", "log", "-", "--offline")
	if code != exitFindings || !strings.Contains(got, "at -:1:25") {
		t.Errorf("exit %d, %q", code, got)
	}
}

// Lists and explanations fit the terminal as results do; a word that is longer than a
// line stays whole.
func TestListsAreWrapped(t *testing.T) {
	i := newInstallation(t)
	l := i.ledger()
	ref := rules.Ref{Rule: "gitlab-session-cookie", Kind: rules.KindSessionCookie, Redacted: "3998…(32 bytes)"}
	at := rules.Location{Path: "logs/2026/build-and-deploy/attempt 2/step 14.txt", Line: 1204, Column: 25, Commit: "0123456789abcdef"}
	err := l.Append(t.Context(), ledger.Entry{Incident: "cc33dd44ee55ff66", Body: ledger.Found{Credential: &ref, Exposures: []rules.Location{at}}}, ledger.Entry{Incident: "cc33dd44ee55ff66", Body: ledger.Held{Reason: "not yours"}})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	i.env["TERM"] = "xterm"
	ansi := regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]|\r`)
	for _, args := range [][]string{{"ledger"}, {"rules", "explain", "gitlab-pat"}, {"policy", "check"}, {"ledger", "cc33"}} {
		for _, cols := range []int{60, 80, 200} {
			code, got := onTerminal(t, t.Context(), i.env, cols, nil, args...)
			if code != exitClean {
				t.Fatalf("%v: exit %d, %s", args, code, got)
			}
			got = ansi.ReplaceAllString(got, "")
			for _, line := range strings.Split(got, "\n") {
				if words := strings.Fields(line); len([]rune(line)) > cols && (len(words) > 1 && len([]rune(words[len(words)-1])) < cols-30) {
					t.Errorf("%v at %d columns: %q", args, cols, line)
				}
			}
			if args[0] == "ledger" && !strings.Contains(strings.Join(strings.Fields(got), " "), "session cookie") {
				t.Errorf("%v at %d columns: %s", args, cols, got)
			}
		}
	}
}
