// Package spill stores data that exceeds the memory limit in a temporary file that no other
// process can read: every block is sealed (ChaCha20-Poly1305) to a key that exists only in
// memory. On systems that allow it, the open file has no name.
package spill

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// File is an append-only file of sealed blocks. The first Append creates it. It is safe for
// concurrent use.
type File struct {
	dir string

	mu   sync.Mutex
	f    *os.File
	name string // set while the file has a name
	aead cipher.AEAD
	size int64
}

// NewFile returns a file in dir, or in the system's folder for temporary files if dir is empty.
func NewFile(dir string) *File { return &File{dir: dir} }

// head is the length in bytes of a block's header: the length of the sealed block, little
// endian.
const head = 4

// maxBlock is the maximum size of a block in bytes.
const maxBlock = 1 << 30

// Append stores b and returns its position.
func (f *File) Append(b []byte) (at int64, err error) {
	if len(b) > maxBlock {
		return 0, fmt.Errorf("spill: a record of %d bytes is too large", len(b))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		if err := f.open(); err != nil {
			return 0, fmt.Errorf("spill: %w (hint: TMPDIR names a folder with space)", err)
		}
	}
	at = f.size
	out := make([]byte, head, head+len(b)+f.aead.Overhead())
	binary.LittleEndian.PutUint32(out, uint32(len(b)+f.aead.Overhead()))
	out = f.aead.Seal(out, nonce(at), b, nil)
	n, err := f.f.WriteAt(out, at)
	f.size += int64(n)
	if err != nil {
		return 0, fmt.Errorf("spill: %w (hint: TMPDIR names a folder with space)", err)
	}
	return at, nil
}

// Read returns the block at a position that Append returned.
func (f *File) Read(at int64) ([]byte, error) {
	f.mu.Lock()
	file, aead := f.f, f.aead
	f.mu.Unlock()
	if file == nil {
		return nil, errors.New("spill: there is no such block")
	}
	var h [head]byte
	if _, err := file.ReadAt(h[:], at); err != nil {
		return nil, fmt.Errorf("spill: %w", err)
	}
	b := make([]byte, min(int64(binary.LittleEndian.Uint32(h[:])), maxBlock+int64(aead.Overhead())))
	if _, err := file.ReadAt(b, at+head); err != nil {
		return nil, fmt.Errorf("spill: %w", err)
	}
	b, err := aead.Open(b[:0], nonce(at), b, nil)
	if err != nil {
		return nil, errors.New("spill: the temporary file was changed by another process")
	}
	return b, nil
}

// Size returns the number of bytes on disk.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Close deletes the file. Its content is unreadable without the key.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	if f.name != "" {
		err = errors.Join(err, os.Remove(f.name))
	}
	f.f, f.aead = nil, nil
	return err
}

// open creates the file with mode 0600 and removes its name. Systems that can't remove the name
// of an open file keep it until Close.
func (f *File) open() error {
	key := make([]byte, chacha20poly1305.KeySize)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(f.dir, "quell-spill-*")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil {
		f.name = file.Name()
	}
	f.f, f.aead = file, aead
	return nil
}

// nonce is unique per key because no position of the file is written twice.
func nonce(at int64) []byte {
	n := make([]byte, chacha20poly1305.NonceSize)
	binary.LittleEndian.PutUint64(n, uint64(at))
	return n
}
