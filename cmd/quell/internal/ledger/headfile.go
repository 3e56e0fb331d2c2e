package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// headFile is the path of the file that holds an installation's newest
// checkpoint, "" for none. Only the holder of the engine's lockHead writes it.
type headFile string

// read returns the checkpoint, or false if there is no file.
func (f headFile) read() (Checkpoint, bool, error) {
	if f == "" {
		return Checkpoint{}, false, nil
	}
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return Checkpoint{}, false, nil
	}
	if err != nil {
		return Checkpoint{}, false, err
	}
	c, err := ParseCheckpoint(string(b))
	return c, true, err
}

// write replaces the file. When it returns nil, the content and the name are on
// the disk.
func (f headFile) write(c Checkpoint) error {
	if f == "" {
		return nil
	}
	dir := filepath.Dir(string(f))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The name is fixed, so that a killed process leaves one file at most.
	fresh := string(f) + ".new"
	out, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.WriteString(c.String() + "\n")
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, string(f)); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // not every system can
		_ = d.Close()
	}
	return nil
}
