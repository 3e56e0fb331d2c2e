//go:build !unix

package pack

import (
	"errors"
	"fmt"
	"os"
)

// mapping is a file that is read on demand.
type mapping struct {
	stamp string
	f     *os.File
	b     []byte // used instead of a file
	from  int64
	n     int64
}

// skip drops the bytes before a pack.
func (m *mapping) skip(n int64) error {
	if n < 0 || n > m.n {
		return errors.New("ends before the pack")
	}
	m.from, m.n = m.from+n, m.n-n
	return nil
}

func openMapping(fs FS, name string) (mapping, error) {
	f, err := fs.Open(name)
	if err != nil {
		return mapping{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return mapping{}, err
	}
	return mapping{f: f, n: info.Size(), stamp: fmt.Sprint(info.Size(), "/", info.ModTime().UnixNano())}, nil
}

func (m mapping) size() int64 { return m.n }

func (m mapping) at(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > m.n || n > m.n-off {
		return nil, fmt.Errorf("ends before byte %d", off+n)
	}
	if m.b != nil {
		return m.b[m.from+off : m.from+off+n : m.from+off+n], nil
	}
	b := make([]byte, n)
	if n == 0 {
		return b, nil
	}
	_, err := m.f.ReadAt(b, m.from+off)
	return b, err
}

func (m mapping) close() {
	if m.f != nil {
		m.f.Close()
	}
}

func inMemory(b []byte) mapping { return mapping{b: b, n: int64(len(b))} }
