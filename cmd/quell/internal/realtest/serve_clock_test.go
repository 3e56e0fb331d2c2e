package realtest

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// offset is what a quell with a clock of its own has besides: the seconds in a file are added to
// the time of day. The time by which Go measures how long something takes goes on as it did, as
// when somebody sets a machine's clock.
const offset = `package time

import (
	"sync/atomic"
	"syscall"
)

var (
	offsetFile, _ = syscall.Getenv("CLOCK_OFFSET_FILE")
	offsetNow     atomic.Int64
)

func init() {
	if offsetFile != "" {
		go readOffset() // Now runs where no file may be read: a timer calls it
	}
}

func offset() int64 { return offsetNow.Load() }

func readOffset() {
	for ; ; Sleep(20 * Millisecond) {
		fd, err := open(offsetFile)
		if err != nil {
			continue
		}
		var b [24]byte
		n, _ := read(fd, b[:])
		closefd(fd)
		v, sign := int64(0), int64(1)
		for _, c := range b[:max(n, 0)] {
			if c == '-' {
				sign = -1
			} else if '0' <= c && c <= '9' {
				v = 10*v + int64(c-'0')
			}
		}
		offsetNow.Store(sign * v)
	}
}
`

// clocked builds quell with a clock that CLOCK_OFFSET_FILE sets. A library that is loaded before
// others cannot do this: a program in Go asks the kernel itself.
func clocked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root := strings.TrimSpace(command(t, nil, "", "go", "env", "GOROOT"))
	src := filepath.Join(root, "src", "time")
	text, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), now) != 1 {
		t.Fatalf("time.Now of %s is another one", runtime.Version())
	}
	replaced := map[string]string{}
	for name, text := range map[string]string{"time.go": strings.Replace(string(text), now, now+"\tsec += offset()\n", 1), "offset.go": offset} {
		replaced[filepath.Join(src, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replaced})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "quell")
	command(t, nil, "../../../..", "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", exe, "./cmd/quell")
	return exe
}

// jump sets the clock of a machine to one that is d ahead.
func (p *clusterProcess) jump(d time.Duration) {
	p.o.t.Helper()
	file := p.o.env["CLOCK_OFFSET_FILE"]
	err := os.WriteFile(file+".new", []byte(strconv.Itoa(int(d/time.Second))), 0o600)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		p.o.t.Fatal(err)
	}
}

// clock is the time of a machine, to a second.
func (p *clusterProcess) clock() time.Time {
	p.o.t.Helper()
	r, err := http.Get(serveAddress.FindString(p.out.String()) + "/healthz")
	if err != nil {
		p.o.t.Fatal(err)
	}
	_ = r.Body.Close()
	at, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		p.o.t.Fatal(err)
	}
	return at
}

// anyJump is a jump by seconds, minutes, hours or days, to either side.
func anyJump(random *rand.Rand) time.Duration {
	d := []time.Duration{10 * time.Second, 5 * time.Minute, 3 * time.Hour, 3 * 24 * time.Hour}[random.IntN(4)]
	return (time.Duration(random.Int64N(int64(2*d))) - d).Truncate(time.Second)
}
