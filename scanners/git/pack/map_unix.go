//go:build unix

package pack

import (
	"errors"
	"fmt"
	"io"
	"math"
	"syscall"
)

// mapping is a memory-mapped file, or its content if it can't be mapped.
type mapping struct {
	stamp string
	b     []byte // from the beginning of the pack
	whole []byte // the whole mapping
}

// skip drops the bytes before a pack.
func (m *mapping) skip(n int64) error {
	if n < 0 || n > int64(len(m.b)) {
		return errors.New("ends before the pack")
	}
	m.b = m.b[n:]
	return nil
}

func openMapping(fs FS, name string) (mapping, error) {
	f, err := fs.Open(name)
	if err != nil {
		return mapping{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return mapping{}, err
	}
	if !info.Mode().IsRegular() {
		return mapping{}, errors.New("not a regular file")
	}
	n := info.Size()
	stamp := fmt.Sprint(n, "/", info.ModTime().UnixNano())
	if n == 0 {
		return mapping{}, nil
	}
	if n > math.MaxInt {
		return mapping{}, errors.New("larger than the address space")
	}
	if b, err := syscall.Mmap(int(f.Fd()), 0, int(n), syscall.PROT_READ, syscall.MAP_PRIVATE); err == nil {
		return mapping{b: b, whole: b, stamp: stamp}, nil
	}
	b, err := io.ReadAll(f)
	return mapping{b: b, stamp: stamp}, err
}

func (m mapping) size() int64 { return int64(len(m.b)) }

// at returns n bytes at off. Using them panics if the file was truncated meanwhile; guard turns
// that into an error.
func (m mapping) at(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > int64(len(m.b)) || n > int64(len(m.b))-off {
		return nil, fmt.Errorf("ends before byte %d", off+n)
	}
	return m.b[off : off+n : off+n], nil
}

func (m mapping) close() {
	if m.whole != nil {
		_ = syscall.Munmap(m.whole)
	}
}

func inMemory(b []byte) mapping { return mapping{b: b} }
