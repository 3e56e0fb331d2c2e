package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Entry is one fact of an incident. Append takes Incident, Actor, Run, Body and,
// optionally, At; it sets the rest.
type Entry struct {
	ID       int64
	At       time.Time
	Incident string // the credential's fingerprint; empty for facts about the ledger itself
	Actor    string
	Run      string // the id of a plan, a scan or a CI run
	Body     Body
	Hash     string // hex SHA-256 over this entry's columns and the hash of the entry before

	row row
}

// row holds an entry's columns as the database has them, which is what the hash
// covers.
type row struct{ at, incident, kind, actor, run, body string }

// hash links a row to the entry before it, whose hash is prev ("" for the first).
// This formula is part of the format: it never changes.
func (r row) hash(prev string) string {
	b, _ := json.Marshal([]string{prev, r.at, r.incident, r.kind, r.actor, r.run, r.body}) // strings always encode
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// rowOf encodes an entry. Databases refuse NUL and invalid UTF-8, and json
// replaces the latter, so that the hash would not cover it.
func rowOf(e Entry) (row, error) {
	body, err := encode(e.Body)
	if err != nil {
		return row{}, err
	}
	text := func(s string) string {
		return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	}
	return row{e.At.UTC().Format(time.RFC3339Nano), text(e.Incident), string(e.Body.Type()), text(e.Actor), text(e.Run), string(body)}, nil
}

// entry decodes a row. With an error the entry is complete but for its body,
// which is Unknown.
func (r row) entry(id int64, hash string) (Entry, error) {
	at, _ := time.Parse(time.RFC3339Nano, r.at)
	body, err := Decode(Type(r.kind), []byte(r.body))
	return Entry{ID: id, At: at, Incident: r.incident, Actor: r.actor, Run: r.run, Body: body, Hash: hash, row: r}, err
}

// Type returns the type of the entry.
func (e Entry) Type() Type {
	if e.Body == nil {
		return Type(e.row.kind)
	}
	return e.Body.Type()
}

// MarshalJSON writes the columns under their names; the body as it is stored.
func (e Entry) MarshalJSON() ([]byte, error) {
	body := json.RawMessage(e.row.body)
	if e.row.body == "" && e.Body != nil {
		b, err := encode(e.Body)
		if err != nil {
			return nil, err
		}
		body = b
	}
	if !json.Valid(body) {
		body, _ = json.Marshal(string(body))
	}
	return json.Marshal(struct {
		ID       int64           `json:"id"`
		At       time.Time       `json:"at"`
		Incident string          `json:"incident"`
		Type     Type            `json:"type"`
		Actor    string          `json:"actor"`
		Run      string          `json:"run"`
		Body     json.RawMessage `json:"body"`
		Hash     string          `json:"hash"`
	}{e.ID, e.At, e.Incident, e.Type(), e.Actor, e.Run, body, e.Hash})
}
