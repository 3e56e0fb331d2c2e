//go:build unix

package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// only fails where the folder contains anything else.
func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range list {
		have = append(have, e.Name())
	}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("the folder holds %v, want %v", have, want)
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(t *testing.T, dir string) (target string)
		after func(t *testing.T, dir, target string)
	}{
		{"a new file has the mode that was asked for", func(_ *testing.T, dir string) string { return filepath.Join(dir, "x") }, func(t *testing.T, dir, p string) {
			info, _ := os.Stat(p)
			if read(t, p) != "new" || info.Mode().Perm() != 0o600 {
				t.Errorf("%q, mode %o", read(t, p), info.Mode().Perm())
			}
			only(t, dir, "x")
		}},
		{"a file that is replaced keeps its mode", func(t *testing.T, dir string) string {
			put(t, filepath.Join(dir, "x"), "old and longer", 0o664)
			return filepath.Join(dir, "x")
		}, func(t *testing.T, dir, p string) {
			info, _ := os.Stat(p)
			if read(t, p) != "new" || info.Mode().Perm() != 0o664 {
				t.Errorf("%q, mode %o", read(t, p), info.Mode().Perm())
			}
			only(t, dir, "x")
		}},
		{"a file with two names keeps both", func(t *testing.T, dir string) string {
			put(t, filepath.Join(dir, "x"), "old and longer", 0o644)
			if err := os.Link(filepath.Join(dir, "x"), filepath.Join(dir, "y")); err != nil {
				testenv.Missing(t, "links")
			}
			return filepath.Join(dir, "x")
		}, func(t *testing.T, dir, p string) {
			if got := read(t, filepath.Join(dir, "y")); got != "new" {
				t.Errorf("the other name has %q", got)
			}
			only(t, dir, "x", "y")
		}},
		{"a link stays one and its target is written", func(t *testing.T, dir string) string {
			put(t, filepath.Join(dir, "x"), "old and longer", 0o644)
			if err := os.Symlink("x", filepath.Join(dir, "y")); err != nil {
				testenv.Missing(t, "links")
			}
			return filepath.Join(dir, "y")
		}, func(t *testing.T, dir, p string) {
			info, _ := os.Lstat(p)
			if info.Mode()&fs.ModeSymlink == 0 || read(t, filepath.Join(dir, "x")) != "new" {
				t.Errorf("mode %s, target %q", info.Mode(), read(t, filepath.Join(dir, "x")))
			}
		}},
		{"a link to nothing yet makes its target", func(t *testing.T, dir string) string {
			if err := os.Symlink("x", filepath.Join(dir, "y")); err != nil {
				testenv.Missing(t, "links")
			}
			return filepath.Join(dir, "y")
		}, func(t *testing.T, dir, p string) {
			info, _ := os.Lstat(p)
			if info.Mode()&fs.ModeSymlink == 0 || read(t, filepath.Join(dir, "x")) != "new" {
				t.Errorf("mode %s", info.Mode())
			}
		}},
		{"a file called like a temporary one is not touched", func(t *testing.T, dir string) string {
			put(t, filepath.Join(dir, "x.partial"), "mine", 0o600)
			return filepath.Join(dir, "x")
		}, func(t *testing.T, dir, p string) {
			if read(t, filepath.Join(dir, "x.partial")) != "mine" {
				t.Error("it was changed")
			}
			only(t, dir, "x", "x.partial")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			p := c.make(t, dir)
			if err := WriteFile(p, []byte("new"), Mode); err != nil {
				t.Fatal(err)
			}
			c.after(t, dir, p)
		})
		t.Run("discarded: "+c.name, func(t *testing.T) {
			dir := t.TempDir()
			p := c.make(t, dir)
			before := snapshot(t, dir)
			f, err := Create(p, Mode)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("half")); err != nil {
				t.Fatal(err)
			}
			f.Discard()
			if after := snapshot(t, dir); before != after {
				t.Errorf("the folder was %s and is %s", before, after)
			}
		})
	}
}

func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var out bytes.Buffer
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		info, _ := e.Info()
		b, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		fmt.Fprintf(&out, "%s %s %q\n", e.Name(), info.Mode(), b)
	}
	return out.String()
}

func TestAFileKeepsItsOwner(t *testing.T) {
	p := filepath.Join(t.TempDir(), "x")
	put(t, p, "old", 0o640)
	if err := os.Chown(p, 1234, 1234); err != nil {
		t.Skip("changing owners needs root")
	}
	if err := WriteFile(p, []byte("new"), Mode); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(p)
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 1234 || s.Gid != 1234 || read(t, p) != "new" {
		t.Errorf("owner %d:%d, %q", s.Uid, s.Gid, read(t, p))
	}
}

func TestAFIFOGetsTheBytesAndStays(t *testing.T) {
	p := filepath.Join(t.TempDir(), "x")
	if err := syscall.Mkfifo(p, 0o600); err != nil {
		testenv.Missing(t, "a FIFO")
	}
	got := make(chan string, 1)
	go func() {
		f, err := os.Open(p)
		if err != nil {
			got <- err.Error()
			return
		}
		defer f.Close()
		b, _ := io.ReadAll(f)
		got <- string(b)
	}()
	if err := WriteFile(p, []byte("new"), Mode); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Lstat(p)
	if s := <-got; s != "new" || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("%q, mode %s", s, info.Mode())
	}
}

func TestASocketGetsTheBytes(t *testing.T) {
	p := filepath.Join(t.TempDir(), "x")
	l, err := net.Listen("unix", p)
	if err != nil {
		testenv.Missing(t, "a socket")
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		got <- string(b)
	}()
	if err := WriteFile(p, []byte("new"), Mode); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "new" {
		t.Errorf("%q", s)
	}
}

func TestADescriptorIsWrittenWhereItIs(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, dir := range []string{"/dev/fd", "/proc/self/fd"} {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(fmt.Sprintf("%s/%d", dir, w.Fd()), link); err != nil {
			testenv.Missing(t, "links")
		}
		for _, p := range []string{fmt.Sprintf("%s/%d", dir, w.Fd()), link} {
			if err := WriteFile(p, []byte("new"), Mode); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 3)
			if _, err := io.ReadFull(r, b); err != nil || string(b) != "new" {
				t.Errorf("%s: %q %v", p, b, err)
			}
		}
	}
	w.Close()
}

func TestADeviceStaysOne(t *testing.T) {
	p := filepath.Join(t.TempDir(), "zero")
	if err := syscall.Mknod(p, syscall.S_IFCHR|0o666, 1<<8|5); err != nil {
		t.Skip("devices need root")
	}
	if f, err := os.OpenFile(p, os.O_WRONLY, 0); err != nil {
		t.Skip("devices can't be opened here")
	} else {
		f.Close()
	}
	if err := WriteFile(p, []byte("new"), Mode); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Lstat(p); info.Mode()&fs.ModeCharDevice == 0 {
		t.Errorf("it is %s now", info.Mode())
	}
}

func TestWhatCannotBeWrittenIsKnownBeforehand(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "x", 0o600)
	if err := os.Symlink("none/x", filepath.Join(dir, "link")); err != nil {
		testenv.Missing(t, "links")
	}
	for _, p := range []string{"", ".", "none/x", "file/x", "link"} {
		if f, err := Create(filepath.Join(dir, p), Mode); err == nil {
			f.Discard()
			t.Errorf("%q was taken", p)
		}
	}
	only(t, dir, "file", "link")
}

func TestTwoWritersLeaveOneWholeFile(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "x")
	var all sync.WaitGroup
	for k := range 8 {
		all.Go(func() {
			if err := WriteFile(p, bytes.Repeat([]byte{byte('a' + k)}, 10_000), Mode); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if b := read(t, p); len(b) != 10_000 || len(bytes.Trim([]byte(b), b[:1])) != 0 {
		t.Error("the file is a mixture")
	}
	only(t, dir, "x")
}

func TestANewFileReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "x")
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for k := range 8 {
		all.Go(func() {
			err := WriteNew(p, []byte{byte('a' + k)}, 0o600)
			if err != nil && !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			}
		})
	}
	all.Wait()
	if made != 1 {
		t.Errorf("%d of 8 made the file", made)
	}
	only(t, dir, "x")
}

func TestPathsOfOneTarget(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "x"), "", 0o600)
	if err := os.Symlink("x", filepath.Join(dir, "y")); err != nil {
		testenv.Missing(t, "links")
	}
	if err := os.Symlink("new", filepath.Join(dir, "z")); err != nil {
		testenv.Missing(t, "links")
	}
	if err := os.Link(filepath.Join(dir, "x"), filepath.Join(dir, "w")); err != nil {
		testenv.Missing(t, "links")
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{{"x", "x", true}, {"x", "y", true}, {"x", "w", true}, {"new", "z", true}, {"new", "./a/../new", true}, {"x", "new", false}, {"other", "new", false}} {
		if got := Same(dir+"/"+c.a, dir+"/"+c.b); got != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
	if Same(os.DevNull, os.DevNull) {
		t.Error("two results may go to the null device")
	}
}
