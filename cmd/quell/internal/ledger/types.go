package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Type names what an entry records.
type Type string

// The types of entries.
const (
	TypeFound       Type = "found"       // where the credential was exposed
	TypeVerdict     Type = "verdict"     // what the issuer answered
	TypeHeld        Type = "held"        // why nothing was sent
	TypeIntent      Type = "intent"      // what is about to be sent
	TypeReceipt     Type = "receipt"     // what the issuer answered to it
	TypeRotation    Type = "rotation"    // a step of a rotation that is done
	TypeObservation Type = "observation" // the observations of a proof
	TypeDerived     Type = "derived"     // the state of a related credential
	TypeOutcome     Type = "outcome"     // how the incident ended, for now
	TypeOverride    Type = "override"    // an operator's decision against a rule
	TypeKey         Type = "key"         // an installation's public key
	TypeRestore     Type = "restore"     // a reversible kill that was undone
	TypeDeletion    Type = "deletion"    // a deleted log or artifact
	TypeApproval    Type = "approval"    // what a person decided about a plan
	TypeNotice      Type = "notice"      // a message that was sent, or a fact about the ledger
)

// Body is the content of an entry: one of the structs in bodies.go, or Unknown.
type Body interface{ Type() Type }

// table maps each type to its struct.
var table = map[Type]func([]byte) (Body, error){
	TypeFound:       decode[Found],
	TypeVerdict:     decode[Verdict],
	TypeHeld:        decode[Held],
	TypeIntent:      decode[Intent],
	TypeReceipt:     decode[Receipt],
	TypeRotation:    decode[Rotation],
	TypeObservation: decode[Observation],
	TypeDerived:     decode[Derived],
	TypeOutcome:     decode[Outcome],
	TypeOverride:    decode[Override],
	TypeKey:         decode[Key],
	TypeRestore:     decode[Restore],
	TypeDeletion:    decode[Deletion],
	TypeApproval:    decode[Approval],
	TypeNotice:      decode[Notice],
}

// Types returns all types in alphabetical order.
func Types() []Type {
	var out []Type
	for t := range table {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

func decode[B Body](raw []byte) (Body, error) {
	var b B
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, err
	}
	return b, nil
}

// Unknown is the body of an entry whose type this release does not know, or
// whose body it cannot decode.
type Unknown struct {
	Name Type
	Raw  json.RawMessage
}

// Type implements Body.
func (u Unknown) Type() Type { return u.Name }

// MarshalJSON returns the body as it was read.
func (u Unknown) MarshalJSON() ([]byte, error) { return u.Raw, nil }

// Decode reads a body. For a type of a later release it returns Unknown and no
// error; for a body that does not fit its type, Unknown and an error.
func Decode(t Type, raw []byte) (Body, error) {
	read, ok := table[t]
	if !ok {
		return Unknown{t, raw}, nil
	}
	b, err := read(raw)
	if err != nil {
		return Unknown{t, raw}, fmt.Errorf("ledger: body of type %s: %w", t, err)
	}
	return b, nil
}

// encode writes a body as compact JSON.
func encode(b Body) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(b); err != nil {
		return nil, fmt.Errorf("ledger: body of type %s: %w", b.Type(), err)
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}
