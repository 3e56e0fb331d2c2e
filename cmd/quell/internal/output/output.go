// Package output writes the output files of a run: reports, plans, keys. It replaces a regular
// file in one step and keeps its mode and owner. It writes in place to everything that must
// stay what it is: a link, a file with several names, a device, a FIFO, a socket, an inherited
// descriptor.
package output

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Mode is the mode of a file that did not exist: reports may hold sealed
// values, paths and host names.
const Mode fs.FileMode = 0o600

// File is an open target. Commit or Discard ends it; a later write is an error.
type File struct {
	path   string
	stage  *os.File       // content waits here until Commit; nil for a stream
	stream io.WriteCloser // FIFO, device, socket or descriptor: bytes leave at once
	target *os.File       // regular file that Commit writes to in place
	rename bool           // Commit renames stage to path
	mode   fs.FileMode
	owner  func(*os.File) error // gives stage the owner of the file it replaces
	done   bool
}

// Create opens the target at path without changing it, and reports what would
// prevent writing before any work is done. mode is that of a new file.
func Create(path string, mode fs.FileMode) (*File, error) {
	f, err := create(path, mode)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, reason(err))
	}
	return f, nil
}

func create(path string, mode fs.FileMode) (*File, error) {
	f := &File{path: path, mode: mode}
	if s, ok, err := descriptor(path); ok || err != nil {
		f.stream = s
		return f, err
	}
	link, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, f.stageInFolder()
	case err != nil:
		return nil, err
	}
	isLink := link.Mode()&fs.ModeSymlink != 0
	info, err := os.Stat(path)
	if isLink && errors.Is(err, fs.ErrNotExist) {
		return f, f.dangling()
	}
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return nil, errors.New("is a directory")
	case info.Mode()&fs.ModeSocket != 0:
		f.stream, err = dial(path)
		return f, err
	case !info.Mode().IsRegular():
		f.stream, err = os.OpenFile(path, os.O_WRONLY, 0)
		return f, err
	}
	if f.target, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
		return nil, err
	}
	f.mode = info.Mode().Perm()
	if isLink || names(info) > 1 {
		return f, f.stageElsewhere()
	}
	f.owner = ownerOf(info)
	if err := f.stageInFolder(); err != nil {
		// The folder accepts no new file, and the file itself may be written.
		return f, f.stageElsewhere()
	}
	if err := f.owner(f.stage); err != nil {
		f.dropStage()
		return f, f.stageElsewhere()
	}
	_ = f.target.Close()
	f.target = nil
	return f, nil
}

// stageInFolder stages in the folder of the target, so that Commit can rename.
func (f *File) stageInFolder() (err error) {
	f.rename = true
	f.stage, err = os.CreateTemp(filepath.Dir(f.path), ".quell-*")
	return err
}

// stageElsewhere stages in the temporary folder: Commit copies.
func (f *File) stageElsewhere() (err error) {
	f.rename = false
	if f.stage, err = os.CreateTemp("", ".quell-*"); err != nil && f.target != nil {
		_ = f.target.Close()
	}
	return err
}

// dangling prepares a link whose target does not exist. Commit creates it.
func (f *File) dangling() error {
	to, err := os.Readlink(f.path)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(f.path), to)
	}
	if info, err := os.Stat(filepath.Dir(to)); err != nil || !info.IsDir() {
		return errors.New("is a link into a folder that does not exist")
	}
	return f.stageElsewhere()
}

// Write implements io.Writer. A regular file shows nothing before Commit.
func (f *File) Write(b []byte) (int, error) {
	switch {
	case f.done:
		return 0, fs.ErrClosed
	case f.stream != nil:
		return f.stream.Write(b)
	}
	return f.stage.Write(b)
}

// Commit makes the content visible under the path. After an error the target is unchanged,
// except a target that is written in place, which may be incomplete.
func (f *File) Commit() (err error) {
	if f.done {
		return nil
	}
	f.done = true
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", f.path, reason(err))
		}
	}()
	if f.stream != nil {
		return f.stream.Close()
	}
	defer f.dropStage()
	if !f.rename {
		return f.copy()
	}
	if err := errors.Join(f.stage.Chmod(f.mode), f.stage.Sync(), f.stage.Close()); err != nil {
		return err
	}
	return os.Rename(f.stage.Name(), f.path)
}

// copy writes the staged content over the target.
func (f *File) copy() (err error) {
	if f.target == nil {
		if f.target, err = os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE, f.mode); err != nil {
			return err
		}
	}
	if _, err := f.stage.Seek(0, io.SeekStart); err != nil {
		_ = f.target.Close()
		return err
	}
	if err := f.target.Truncate(0); err != nil {
		_ = f.target.Close()
		return err
	}
	_, err = io.Copy(f.target, f.stage)
	return errors.Join(err, f.target.Sync(), f.target.Close())
}

// Discard ends f and leaves the target unchanged. Bytes that were written to a stream have
// already left. Discard after Commit does nothing.
func (f *File) Discard() {
	if f == nil || f.done {
		return
	}
	f.done = true
	if f.stream != nil {
		_ = f.stream.Close()
	}
	if f.target != nil {
		_ = f.target.Close()
	}
	f.dropStage()
}

func (f *File) dropStage() {
	if f.stage != nil {
		_ = f.stage.Close()
		_ = os.Remove(f.stage.Name()) // gone already where Commit renamed it
	}
}

// WriteFile writes b to path with Create and Commit.
func WriteFile(path string, b []byte, mode fs.FileMode) error {
	f, err := Create(path, mode)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	return f.Commit()
}

// Same reports whether two paths name one target, so that one result would overwrite the other.
// Devices such as the null device accept several.
func Same(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	if err == nil && err2 == nil {
		return os.SameFile(x, y) && x.Mode()&fs.ModeCharDevice == 0
	}
	return resolved(a) == resolved(b)
}

// resolved is the path of a file, which need not exist, with links resolved.
func resolved(path string) string {
	for range 40 { // the limit of Linux for links in a path
		to, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		dir = filepath.Dir(path)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Join(dir, filepath.Base(path))
}

// reason removes the path from an error, because it may be a temporary one.
func reason(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

// WriteNew writes b to path unless something is there: of several processes
// that call it at once, one succeeds. The others get an fs.ErrExist.
func WriteNew(path string, b []byte, mode fs.FileMode) error {
	f := &File{path: path, mode: mode}
	if err := f.stageInFolder(); err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	defer f.Discard()
	_, err := f.stage.Write(b)
	if err = errors.Join(err, f.stage.Chmod(mode), f.stage.Sync()); err == nil {
		// Link fails where another process was first; a rename would replace its file.
		err = os.Link(f.stage.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	return nil
}
