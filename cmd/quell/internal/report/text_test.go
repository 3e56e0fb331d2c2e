package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// A stranger chooses file names, job names, commit authors, history lines and
// what an issuer answers: none of it may speak to a terminal or break a line.
func TestHostileTextReachesNoTerminal(t *testing.T) {
	const evil = "a\x1b]0;owned\x07\x1b[2J\r\nquell: clean\u202e\u2028\x9b1mz"
	l := rules.Location{Path: evil, Artifact: evil, Job: evil, Step: evil, Line: 1, Column: 1, Notes: map[string]string{"author": evil, "created_by": evil, "ref": evil}}
	events := []Event{
		Finding{Rule: "r", Location: l, Redacted: evil},
		Credential{Fingerprint: "f", Rule: "r", Redacted: evil, Cookie: evil, Locations: []rules.Location{l}},
		Verdict{Fingerprint: "f", Verdict: revokers.Verdict{Detail: evil, Identity: map[string]string{"subject": evil}}},
		Notice{Message: evil, Path: evil, Incomplete: true},
		Action{Fingerprint: "f", Redacted: evil, Held: evil, Lever: evil, Collateral: evil, Detail: evil, Receipt: &revokers.Receipt{Detail: evil}, Requests: []revokers.Preview{{Method: "GET", URL: evil, Header: map[string]string{"A": evil}}}, Derived: []Derived{{Redacted: evil}}},
		Summary{},
	}
	for _, format := range Formats() {
		var b bytes.Buffer
		s, err := New(format, &b, &rules.Set{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if err := s.Emit(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"\x1b", "\x07", "\r", "\nquell:", "\x9b"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s lets %q through", format, bad)
			}
		}
		if format == "text" && strings.ContainsAny(b.String(), "\u202e\u2028") {
			t.Error("text can be reordered")
		}
		if format == "sarif" || format == "json" {
			if !json.Valid(b.Bytes()) {
				t.Errorf("%s is no JSON", format)
			}
		}
	}
}
