//go:build linux || darwin || freebsd

package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// minHole is the least number of bytes without disk blocks for which the walk looks for holes.
const minHole = 1 << 20

// hasHoles reports whether a file occupies less space than its size.
func hasHoles(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	const block = 512 // the unit of st_blocks
	return ok && int64(s.Blocks)*block < info.Size()-minHole
}

// sparse reads a file with holes. Read stops where a hole begins.
type sparse struct {
	*os.File
	at, data, size int64 // data is the end of the data that contains at
	plain          bool  // the file system does not report holes
}

func (s *sparse) Read(b []byte) (int, error) {
	if s.plain {
		return s.File.Read(b)
	}
	if s.at >= s.data {
		if err := s.next(); err != nil {
			return 0, err
		}
		if s.at >= s.data {
			return 0, io.EOF
		}
	}
	n, err := s.File.ReadAt(b[:min(int64(len(b)), s.data-s.at)], s.at)
	s.at += int64(n)
	if err == io.EOF && n > 0 {
		err = nil
	}
	return n, err
}

// next determines whether there is data at s.at, and where it ends.
func (s *sparse) next() error {
	if s.at >= s.size {
		return nil
	}
	end, err := unix.Seek(int(s.Fd()), s.at, unix.SEEK_HOLE)
	if err != nil {
		if errors.Is(err, unix.ENXIO) {
			return nil // the file was truncated
		}
		if _, err := s.File.Seek(s.at, io.SeekStart); err != nil {
			return err
		}
		s.data, s.plain = s.size, true
		return nil
	}
	s.data = end
	return nil
}

// Hole implements scanners.Holed.
func (s *sparse) Hole() (int64, bool) {
	if s.plain || s.at >= s.size {
		return 0, false
	}
	from := s.at
	to, err := unix.Seek(int(s.Fd()), s.at, unix.SEEK_DATA)
	if err != nil || to <= from { // ENXIO: the hole extends to the end of the file
		s.at, s.data = s.size, s.size
		return 0, false
	}
	s.at, s.data = to, to
	return to - from, true
}
