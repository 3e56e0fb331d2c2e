package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
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
		Finding{Ref: rules.Ref{Rule: "r", Redacted: evil}, Location: l},
		Credential{Ref: rules.Ref{Fingerprint: "f", Rule: "r", Redacted: evil, Cookie: evil}, Locations: []rules.Location{l}},
		Verdict{Fingerprint: "f", Verdict: revokers.Verdict{Detail: evil, Identity: map[string]string{"subject": evil}}},
		Notice{Message: evil, Path: evil, Incomplete: true},
		Action{Ref: rules.Ref{Fingerprint: "f", Redacted: evil}, Held: evil, Lever: evil, Collateral: evil, Detail: evil, Receipt: &revokers.Receipt{Detail: evil}, Requests: []revokers.Preview{{Method: "GET", URL: evil, Header: map[string]string{"A": evil}}}, Derived: []Derived{{Redacted: evil}}},
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

// A report is written into no file that a link in its place leads to.
func TestReportsFollowNoLinks(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"r.sarif", "r.sarif.partial"} {
		if err := os.Symlink(other, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	s, err := File("jsonl", filepath.Join(dir, "r.sarif"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Emit(Notice{Message: "x"}), s.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(other); err != nil || string(b) != "untouched" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "r.sarif")); err != nil || len(b) == 0 {
		t.Errorf("%q, %v", b, err)
	}
}
