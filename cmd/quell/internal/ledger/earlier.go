package ledger

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/quellhq/quell/rules"
)

// This file decodes the bodies that releases before the table schema_version
// existed wrote, and keeps machine-readable values in one spelling.

// UnmarshalJSON reads the struct, or a list of locations.
func (f *Found) UnmarshalJSON(b []byte) error {
	if first(b) == '{' {
		type plain Found
		return json.Unmarshal(b, (*plain)(f))
	}
	*f = Found{}
	var l []rules.Location
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	f.Exposures = l
	return nil
}

// MarshalJSON writes reasons as identifiers.
func (v Verdict) MarshalJSON() ([]byte, error) {
	type plain Verdict
	b, err := json.Marshal(plain(v))
	return words(b), err
}

// UnmarshalJSON reads reasons in either spelling.
func (v *Verdict) UnmarshalJSON(b []byte) error {
	type plain Verdict
	b, err := compact(b)
	if err != nil {
		return err
	}
	return json.Unmarshal(words(b), (*plain)(v))
}

// MarshalJSON writes reasons and controls as identifiers.
func (o Observation) MarshalJSON() ([]byte, error) {
	type plain Observation
	b, err := json.Marshal(plain(o))
	return words(b), err
}

// UnmarshalJSON reads reasons and controls in either spelling.
func (o *Observation) UnmarshalJSON(b []byte) error {
	type plain Observation
	b, err := compact(b)
	if err != nil {
		return err
	}
	return json.Unmarshal(words(b), (*plain)(o))
}

// UnmarshalJSON reads the struct, its former key "lever", or a bare string.
func (h *Held) UnmarshalJSON(b []byte) error {
	*h = Held{}
	if first(b) == '"' {
		return json.Unmarshal(b, &h.Reason)
	}
	type plain Held
	s := struct {
		*plain
		Lever string `json:"lever"`
	}{plain: (*plain)(h)}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if h.Remedy == "" {
		h.Remedy = s.Lever
	}
	return nil
}

// UnmarshalJSON reads the struct, or its form with "together" for "batch".
func (i *Intent) UnmarshalJSON(b []byte) error {
	*i = Intent{}
	type plain Intent
	s := struct {
		*plain
		Together int `json:"together"`
	}{plain: (*plain)(i)}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if i.Batch == 0 {
		i.Batch = s.Together
	}
	return nil
}

// UnmarshalJSON reads the struct, or the form with "outcome" that recorded the
// deletion of a log.
func (r *Receipt) UnmarshalJSON(b []byte) error {
	*r = Receipt{}
	type plain Receipt
	s := struct {
		*plain
		Outcome string `json:"outcome"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Outcome != "" {
		r.Detail, r.Accepted = s.Outcome, strings.HasPrefix(s.Outcome, "deleted")
	}
	return nil
}

func first(b []byte) byte {
	if b = bytes.TrimLeft(b, " \t\r\n"); len(b) > 0 {
		return b[0]
	}
	return 0
}

func compact(b []byte) ([]byte, error) {
	var out bytes.Buffer
	err := json.Compact(&out, b)
	return out.Bytes(), err
}
