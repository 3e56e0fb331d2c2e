//go:build unix

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// The limits for one scan of a hostile input of at most 100 KB.
const (
	hostileBytes = 100 << 10
	hostileCPU   = 60 * time.Second
	hostileRSS   = 1 << 30
	// hostileText is the size that a text has once it is decompressed, in bytes.
	hostileText = 32 << 20
)

// hostile is one kind of input: put writes it to a folder and returns the arguments of scan.
// A token comes after what is hostile, so that exit 1 means that the scan read all of it.
type hostile struct {
	kind string
	put  func(t *testing.T, dir, token string) []string
}

// written is a file of an input, whose folder is the target of scan path.
func written(kind, name string, content func(token string) string) hostile {
	return hostile{kind, func(t *testing.T, dir, token string) []string {
		putFile(t, filepath.Join(dir, name), content(token))
		return []string{"path", dir}
	}}
}

func putFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// No hostile input of at most 100 KB takes a process more than 60 s of CPU or 1 GiB of memory.
// The scan finds the token after it, or reports that it did not read all of it.
func TestHostileInputsAreBounded(t *testing.T) {
	if os.Getenv("QUELL_CAMPAIGN") == "" {
		t.Skip("make campaign-archives; TestHostileInputsEndInTime of scanners/archive has a short form")
	}
	if runtime.GOOS != "linux" {
		t.Fatal("memory is counted in other units")
	}
	token := "glpat" + "-" + "aK3fQ9xZ2mB7wR5tY8uE"
	kinds := hostileKinds(t)
	if len(kinds) < 60 {
		t.Errorf("%d kinds", len(kinds))
	}
	t.Logf("| kind | bytes | CPU s | RSS MiB | exit |")
	for _, k := range kinds {
		s := newScanner(t)
		dir := filepath.Join(s.dir, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		args := k.put(t, dir, token)
		size := bytesOnDisk(t, dir)
		c, out, errs := s.command(append([]string{"scan"}, append(args, "--offline", "--format", "jsonl", "--reveal", "--fail-on", "found")...)...)
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(10*time.Minute, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		late.Stop()
		u := c.ProcessState.SysUsage().(*syscall.Rusage)
		cpu, rss, code := c.ProcessState.UserTime()+c.ProcessState.SystemTime(), u.Maxrss<<10, c.ProcessState.ExitCode()
		t.Logf("| %s | %d | %.1f | %d | %d |", k.kind, size, cpu.Seconds(), rss>>20, code)
		found, gap := bytes.Contains(out.Bytes(), []byte(token)), code == 4 || bytes.Contains(out.Bytes(), []byte(`"incomplete":true`))
		switch {
		case size > hostileBytes:
			t.Errorf("%s: %d bytes", k.kind, size)
		case cpu > hostileCPU || rss > hostileRSS:
			t.Errorf("%s: %s of CPU and %d MiB", k.kind, cpu, rss>>20)
		case code != 1 && code != 4 || !found && !gap:
			t.Errorf("%s: exit %d, found %v: %.300s", k.kind, code, found, errs)
		}
	}
}

// bytesOnDisk is what the files of a folder occupy: of a sparse file, only what it has.
func bytesOnDisk(t *testing.T, dir string) (n int64) {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			n += min(i.Size(), i.Sys().(*syscall.Stat_t).Blocks*512)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
