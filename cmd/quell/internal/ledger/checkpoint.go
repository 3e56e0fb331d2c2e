package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Checkpoint is a signed statement about the ledger's head: after Count entries the last one
// has this ID and Hash. Since entries form a hash chain, it covers all of them. The zero values
// of Count, ID and Hash state that the installation has not appended anything yet.
//
// The version in the text form and in the signed bytes allows a later log as in RFC 6962: Count
// is the size of its tree, and a version 2 would add the root of the Merkle tree over the
// entries' hashes, which can be computed from the rows of any ledger, to the fields of version
// 1.
type Checkpoint struct {
	Count     int64
	ID        int64
	Hash      string // hex, empty if ID is 0
	At        time.Time
	Key       ed25519.PublicKey
	Signature []byte
}

const (
	checkpointPrefix = "quell-checkpoint:1:"
	checkpointTime   = "20060102T150405Z"
	noHash           = "-"
)

// signed returns the bytes that the signature covers. The first line prevents the signature
// from being valid for anything else.
func (c Checkpoint) signed() []byte {
	return fmt.Appendf(nil, "quell ledger head v1\n%d\n%d\n%s\n%s\n", c.Count, c.ID, c.Hash, c.At.UTC().Format(checkpointTime))
}

func newCheckpoint(count, id int64, hash string, at time.Time, key ed25519.PrivateKey) Checkpoint {
	c := Checkpoint{Count: count, ID: id, Hash: hash, At: at.UTC().Truncate(time.Second), Key: key.Public().(ed25519.PublicKey)}
	c.Signature = ed25519.Sign(key, c.signed())
	return c
}

// valid reports whether Key signed the checkpoint.
func (c Checkpoint) valid() bool {
	return len(c.Key) == ed25519.PublicKeySize && ed25519.Verify(c.Key, c.signed(), c.Signature)
}

// String returns the text form: one line without spaces.
func (c Checkpoint) String() string {
	hash := c.Hash
	if hash == "" {
		hash = noHash
	}
	b64 := base64.RawURLEncoding
	return fmt.Sprintf("%s%d:%d:%s:%s:%s:%s", checkpointPrefix, c.Count, c.ID, hash, c.At.UTC().Format(checkpointTime), b64.EncodeToString(c.Key), b64.EncodeToString(c.Signature))
}

var errCheckpoint = errors.New("checkpoint: the text is not a checkpoint of a ledger, or part of it is missing")

// ParseCheckpoint reads the text form and checks its signature.
func ParseCheckpoint(text string) (Checkpoint, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), checkpointPrefix)
	f := strings.Split(rest, ":")
	if !ok || len(f) != 6 {
		return Checkpoint{}, errCheckpoint
	}
	var c Checkpoint
	var errs [5]error
	c.Count, errs[0] = strconv.ParseInt(f[0], 10, 64)
	c.ID, errs[1] = strconv.ParseInt(f[1], 10, 64)
	c.At, errs[2] = time.Parse(checkpointTime, f[3])
	b64 := base64.RawURLEncoding.Strict()
	var key []byte
	key, errs[3] = b64.DecodeString(f[4])
	c.Key = key
	c.Signature, errs[4] = b64.DecodeString(f[5])
	if f[2] != noHash {
		c.Hash = f[2]
	}
	hash, err := hex.DecodeString(c.Hash)
	if errors.Join(errs[:]...) != nil || err != nil || c.ID != 0 && len(hash) != 32 || len(c.Key) != ed25519.PublicKeySize {
		return Checkpoint{}, errCheckpoint
	}
	if !c.valid() {
		return Checkpoint{}, errors.New("checkpoint: the signature does not fit: the text was changed")
	}
	return c, nil
}

// LoadCheckpoint reads a checkpoint from its text, or from a file that holds the
// text.
func LoadCheckpoint(textOrFile string) (Checkpoint, error) {
	if strings.HasPrefix(strings.TrimSpace(textOrFile), checkpointPrefix) {
		return ParseCheckpoint(textOrFile)
	}
	b, err := os.ReadFile(textOrFile)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return ParseCheckpoint(string(b))
}
