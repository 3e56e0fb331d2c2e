package ledger

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// keyring holds the keys that the ledger's key entries introduce.
type keyring struct {
	order  []string
	listed map[string]bool // false: the installation requested to be listed
	wrote  map[string]bool // keys that signed an entry for themselves
}

func (k Key) signed() []byte {
	return fmt.Appendf(nil, "quell ledger key v1\n%s\n%s\n", k.PublicKey, k.Earlier)
}

func newKey(public string, by ed25519.PrivateKey, earlier string) Key {
	k := Key{PublicKey: public, SignedBy: encodeKey(by.Public().(ed25519.PublicKey)), Earlier: earlier}
	k.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(by, k.signed()))
	return k
}

// add takes in the next key entry. The first one must be signed by its own key,
// and lists it. A later one lists a key if a listed key signed it; signed by its
// own key it is a request. Anything else is an error.
func (r *keyring) add(k Key) error {
	_, ok := decodeKey(k.PublicKey)
	by, ok2 := decodeKey(k.SignedBy)
	sig, err := base64.StdEncoding.DecodeString(k.Signature)
	if !ok || !ok2 || err != nil || !ed25519.Verify(by, k.signed(), sig) {
		return errors.New("the signature of a key does not fit")
	}
	if r.listed == nil {
		r.listed, r.wrote = map[string]bool{}, map[string]bool{}
	}
	self := k.SignedBy == k.PublicKey
	if !self && !r.listed[k.SignedBy] {
		return errors.New("a key that is not listed signed another one")
	}
	r.wrote[k.PublicKey] = r.wrote[k.PublicKey] || self
	if _, known := r.listed[k.PublicKey]; !known {
		r.order = append(r.order, k.PublicKey)
	}
	r.listed[k.PublicKey] = r.listed[k.PublicKey] || !self || len(r.order) == 1
	return nil
}

// keys reads the key entries. Their incident is empty, which the index finds.
func (l *Ledger) keys(ctx context.Context, q querier) (keyring, error) {
	var r keyring
	rows, err := q.QueryContext(ctx, l.engine.bind(`SELECT body FROM ledger WHERE incident = '' AND type = ? ORDER BY id`), string(TypeKey))
	if err != nil {
		return r, err
	}
	defer rows.Close()
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return r, err
		}
		if b, err := Decode(TypeKey, []byte(body)); err == nil {
			_ = r.add(b.(Key)) // Verify reports a key that does not fit
		}
	}
	return r, rows.Err()
}

// Installation is one that a key entry introduces.
type Installation struct {
	PublicKey string // Ed25519, base64
	// Listed means that a listed key admitted it, or that it is the first one. Otherwise it
	// requested to be admitted, and its signature proves nothing yet.
	Listed bool
	Self   bool // this installation
}

// Installations lists the keys in the order in which they came.
func (l *Ledger) Installations(ctx context.Context) ([]Installation, error) {
	r, err := l.keys(ctx, l.db)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	var out []Installation
	for _, k := range r.order {
		out = append(out, Installation{k, r.listed[k], k == l.PublicKey()})
	}
	return out, nil
}

// Admit lists another installation's key, and records why. Only a listed installation can call
// it.
func (l *Ledger) Admit(ctx context.Context, actor, publicKey, reason string) error {
	if _, ok := decodeKey(publicKey); !ok {
		return errors.New("ledger: admit: the text is not a public key in base64")
	}
	if l.key == nil {
		return errNoKey
	}
	return l.append(ctx, func(tx *sql.Tx, s *state) ([]Entry, error) {
		if len(s.keys.order) > 0 && !s.keys.listed[l.PublicKey()] {
			return nil, errors.New("ledger: admit: this installation is not listed itself (hint: run the command on a listed one)")
		}
		if s.keys.listed[publicKey] {
			return nil, nil
		}
		k := newKey(publicKey, l.key, "")
		k.Reason = reason
		return []Entry{{Actor: actor, Body: k}}, nil
	}, false)
}

// idsDigest digests ids in their order, "" for none.
type idsDigest struct{ sum string }

func (d *idsDigest) add(id int64) {
	s := sha256.Sum256(fmt.Appendf(nil, "%s %d", d.sum, id))
	d.sum = hex.EncodeToString(s[:])
}
