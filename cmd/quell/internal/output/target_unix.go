//go:build unix

package output

import (
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// descriptor opens a path that names a descriptor of this process (/dev/stdout, /dev/fd/N),
// which may be a pipe or a socket that has no other name. ok is false for any other path.
func descriptor(path string) (w io.WriteCloser, ok bool, err error) {
	for range 40 {
		if n, ok := number(path); ok {
			fd, err := syscall.Dup(n)
			if err != nil {
				return nil, true, err
			}
			syscall.CloseOnExec(fd)
			return os.NewFile(uintptr(fd), path), true, nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return nil, false, nil
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return nil, false, nil
}

func number(path string) (int, bool) {
	path = filepath.Clean(path)
	switch path {
	case "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if rest, ok := strings.CutPrefix(path, dir); ok {
			n, err := strconv.Atoi(rest)
			return n, err == nil && n >= 0
		}
	}
	return 0, false
}

// dial connects to a socket that is a file.
func dial(path string) (io.WriteCloser, error) {
	return (&net.Dialer{}).Dial("unix", path)
}

// names is the number of names (hard links) of a file.
func names(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 1
}

// ownerOf gives a file the owner and group of info.
func ownerOf(info fs.FileInfo) func(*os.File) error {
	return func(f *os.File) error {
		want, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		have, err := f.Stat()
		if err != nil {
			return err
		}
		if s, ok := have.Sys().(*syscall.Stat_t); ok && s.Uid == want.Uid && s.Gid == want.Gid {
			return nil
		}
		return f.Chown(int(want.Uid), int(want.Gid))
	}
}
