// Package evidence keeps sealed copies of what is about to be deleted: a tar archive, compressed
// with zstd and encrypted with age, which age -d and tar open.
package evidence

import (
	"archive/tar"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/quellhq/quell/cmd/quell/internal/config"
)

// Writer writes one copy. It is safe for concurrent use.
type Writer struct {
	mu      sync.Mutex
	dir     string
	file    *os.File
	sum     hash.Hash // of the sealed bytes
	sealed  io.WriteCloser
	packed  *zstd.Encoder
	archive *tar.Writer
	key     []byte
	members []string // of what each member is, for the name
	done    bool
}

// Copy is a copy that is kept.
type Copy struct {
	File   string // the path
	SHA256 string // of the file, in hex
	Fresh  bool   // it was not kept before
}

// New begins a copy in a folder, which is made if it is missing. key makes a copy's name begin with
// that of its content, so that a second copy of the same is not kept.
func New(dir string, sealer *config.Sealer, key []byte) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	f, err := os.CreateTemp(dir, ".copy-*")
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	w := &Writer{dir: dir, file: f, sum: sha256.New(), key: key}
	if w.sealed, err = sealer.Encrypt(io.MultiWriter(f, w.sum)); err == nil {
		w.packed, err = zstd.NewWriter(w.sealed, zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		w.Discard()
		return nil, fmt.Errorf("evidence: %w", err)
	}
	w.archive = tar.NewWriter(w.packed)
	return w, nil
}

// Add adds a member of size bytes. sum names its content.
func (w *Writer) Add(name string, size int64, sum []byte, r io.Reader) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	name = strings.TrimLeft(filepath.ToSlash(name), "/")
	err := w.archive.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: time.Now().UTC().Truncate(time.Second), Typeflag: tar.TypeReg, Format: tar.FormatPAX})
	if err == nil {
		_, err = io.CopyN(w.archive, r, size)
	}
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	w.members = append(w.members, name+"\x00"+string(sum))
	return nil
}

// Members is the number of members.
func (w *Writer) Members() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.members)
}

// Commit makes the copy durable. known are the hashes of copies by their path that are kept
// already: one of the same content whose file still has its hash is returned instead.
func (w *Writer) Commit(known map[string]string) (Copy, error) {
	err := errors.Join(w.archive.Close(), w.packed.Close(), w.sealed.Close(), w.file.Sync(), w.file.Close())
	w.done = true
	if err != nil {
		_ = os.Remove(w.file.Name())
		return Copy{}, fmt.Errorf("evidence: %w", err)
	}
	slices.Sort(w.members)
	m := hmac.New(sha256.New, w.key)
	fmt.Fprintf(m, "quell evidence\n%d\n", len(w.members))
	for _, x := range w.members {
		fmt.Fprintf(m, "%d\n%s", len(x), x)
	}
	content, sealed := hex.EncodeToString(m.Sum(nil)[:16]), hex.EncodeToString(w.sum.Sum(nil))
	for file, had := range known {
		if strings.HasPrefix(filepath.Base(file), content) && Intact(file, had) == nil {
			_ = os.Remove(w.file.Name())
			return Copy{File: file, SHA256: had}, nil
		}
	}
	// Sealed again the same content is another file: the one that another incident names stays.
	c := Copy{File: filepath.Join(w.dir, content+"-"+sealed[:16]+".tar.zst.age"), SHA256: sealed, Fresh: true}
	if err := os.Rename(w.file.Name(), c.File); err != nil {
		_ = os.Remove(w.file.Name())
		return Copy{}, fmt.Errorf("evidence: %w", err)
	}
	if err := syncDir(w.dir); err != nil {
		return Copy{}, fmt.Errorf("evidence: %w", err)
	}
	return c, nil
}

// Discard drops a copy that was not committed.
func (w *Writer) Discard() {
	if w.done {
		return
	}
	w.done = true
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

// Remove removes a copy that is kept elsewhere.
func Remove(file string) error { return os.Remove(file) }

// Intact reports whether a file has a hash (SHA-256, in hex).
func Intact(file, hash string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != hash {
		return fmt.Errorf("evidence: %s has the hash %s, and the ledger says %s", file, got, hash)
	}
	return nil
}
