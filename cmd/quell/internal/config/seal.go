package config

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/quellhq/quell/rules"
)

// runMark begins a value that a Sealer made: then come the length of the wrapped data key
// (two bytes, big endian), the wrapped data key (an age file), a nonce of 24 bytes and the
// text, encrypted with XChaCha20-Poly1305 and authenticated together with all before it.
const runMark = "quell-sealed-1\n"

// Sealer seals the values of one run. It wraps one data key for the recipients, which takes
// two multiplications on X25519 for each of them, and encrypts every value with that key.
// Each value can be opened without the others. It is safe for concurrent use.
type Sealer struct {
	to   []age.Recipient
	once sync.Once
	err  error
	head []byte // runMark, the length and the wrapped key
	aead cipher.AEAD
}

// NewSealer returns a Sealer whose values the recipients can open.
func NewSealer(to []age.Recipient) *Sealer { return &Sealer{to: to} }

// Seal encrypts b, in base64.
func (s *Sealer) Seal(b []byte) (string, error) {
	s.once.Do(s.start)
	if s.err != nil {
		return "", fmt.Errorf("seal: %w", s.err)
	}
	out := make([]byte, len(s.head)+chacha20poly1305.NonceSizeX, len(s.head)+chacha20poly1305.NonceSizeX+len(b)+chacha20poly1305.Overhead)
	copy(out, s.head)
	nonce := out[len(s.head):]
	rand.Read(nonce)
	return base64.StdEncoding.EncodeToString(s.aead.Seal(out, nonce, b, s.head)), nil
}

// Encrypt gives a writer of an age file (age-encryption.org/v1) that the recipients can open. It
// is whole once it is closed.
func (s *Sealer) Encrypt(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, s.to...) }

func (s *Sealer) start() {
	key := make([]byte, chacha20poly1305.KeySize)
	rand.Read(key)
	wrapped, err := encrypt(key, s.to)
	if err != nil {
		s.err = err
		return
	}
	if len(wrapped) > 1<<16-1 {
		s.err = errors.New("too many recipients")
		return
	}
	s.head = append(binary.BigEndian.AppendUint16([]byte(runMark), uint16(len(wrapped))), wrapped...)
	s.aead, s.err = chacha20poly1305.NewX(key)
}

// encrypt makes an age file (age-encryption.org/v1).
func encrypt(b []byte, to []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(b)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// decrypt opens an age file.
func decrypt(b []byte, with []age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(b), with...)
	if err != nil {
		return nil, errors.New("the value is sealed to another key (hint: name the identity with --identity)")
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return nil, errDamaged
	}
	return out, nil
}

var errDamaged = errors.New("the sealed value is damaged")

// Open decrypts what a Sealer made, or an age file as earlier releases made one for each value.
func Open(sealed string, with ...age.Identity) (rules.Secret, error) {
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return rules.Secret{}, errDamaged
	}
	rest, ofRun := bytes.CutPrefix(b, []byte(runMark))
	if !ofRun {
		out, err := decrypt(b, with)
		return rules.NewSecret(out), err
	}
	if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest))+chacha20poly1305.NonceSizeX {
		return rules.Secret{}, errDamaged
	}
	n := 2 + int(binary.BigEndian.Uint16(rest))
	key, err := decrypt(rest[2:n], with)
	if err != nil {
		return rules.Secret{}, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return rules.Secret{}, errDamaged
	}
	nonce, text := rest[n:n+chacha20poly1305.NonceSizeX], rest[n+chacha20poly1305.NonceSizeX:]
	out, err := aead.Open(nil, nonce, text, b[:len(runMark)+n])
	if err != nil {
		return rules.Secret{}, errDamaged
	}
	return rules.NewSecret(out), nil
}
