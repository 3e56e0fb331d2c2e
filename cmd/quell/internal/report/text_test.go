package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// File names, job names, commit authors, history lines and issuers' answers are untrusted:
// none of them may contain terminal codes or break a line.
func TestHostileTextReachesNoTerminal(t *testing.T) {
	const evil = "a\x1b]0;owned\x07\x1b[2J\r\nquell: clean\u202e\u2028\x9b1mz"
	l := rules.Location{Path: evil, Artifact: evil, Job: evil, Step: evil, Group: evil, Line: 1, Column: 1, Notes: map[string]string{"author": evil, "created_by": evil, "ref": evil}}
	events := []Event{
		Finding{Ref: rules.Ref{Rule: "r", Redacted: evil}, Location: l},
		Credential{Ref: rules.Ref{Fingerprint: "f", Rule: "r", Redacted: evil, Cookie: evil}, Locations: []rules.Location{l}},
		Verdict{Fingerprint: "f", Verdict: revokers.Verdict{Detail: evil, Identity: map[string]string{"subject": evil}}},
		Notice{Message: evil, Path: evil, Incomplete: true},
		Action{Ref: rules.Ref{Fingerprint: "f", Redacted: evil}, Held: evil, Remedy: evil, Collateral: evil, Detail: evil, Receipt: &revokers.Acknowledgement{Detail: evil}, Requests: []revokers.Effect{{Method: "GET", URL: evil, Header: map[string]string{"A": evil}}}, Derived: []Derived{{Redacted: evil}}},
		Summary{},
	}
	for _, format := range Formats() {
		var b bytes.Buffer
		s, err := New(format, &b, &rules.Set{}, Style{Width: 60, Color: false, Show: Show{All: true, Incomplete: true}})
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
		if format == "csv" { // the line breaks of RFC 4180
			text := strings.ReplaceAll(b.String(), "\r\n", "\n")
			b.Reset()
			b.WriteString(text)
		}
		for _, bad := range []string{"\x1b", "\x07", "\r", "\nquell:", "\x9b"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s lets %q through", format, bad)
			}
		}
		if format == "text" && strings.ContainsAny(b.String(), "\u202e\u2028") {
			t.Error("text can be reordered")
		}
		if format == "sarif" || format == "json" || format == "gitleaks" {
			if !json.Valid(b.Bytes()) {
				t.Errorf("%s is no JSON", format)
			}
		}
	}
}

func TestAReportFileIsWholeOrAsItWas(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []Event
		whole  bool
	}{
		{"with its summary last", []Event{Config{}, Notice{Message: "x"}, Summary{}}, true},
		{"without a summary", []Event{Config{}, Notice{Message: "x"}}, false},
		{"without any event", nil, false},
	} {
		for _, format := range Formats() {
			t.Run(c.name+", "+format, func(t *testing.T) {
				p := filepath.Join(t.TempDir(), "r")
				if err := os.WriteFile(p, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				f, err := File(format, p, &rules.Set{}, Show{})
				if err != nil {
					t.Fatal(err)
				}
				s := Redacting(Tee{Others: []Sink{f}}, NewRedactor())
				for _, e := range c.events {
					if err := s.Emit(e); err != nil {
						t.Fatal(err)
					}
				}
				if err := errors.Join(s.Close(), s.Close()); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(p)
				if err != nil || (string(b) == "old") == c.whole {
					t.Errorf("%q, %v", b, err)
				}
				if list, _ := os.ReadDir(filepath.Dir(p)); len(list) != 1 {
					t.Errorf("%d files are left", len(list))
				}
			})
		}
	}
}

// Text on a screen sums up what is not urgent; a file lists all of it, unless --show has chosen.
func TestATextFileListsEverything(t *testing.T) {
	const n = fewSuspect + 50
	for _, c := range []struct {
		show Show
		want int
	}{{Show{}, n}, {Show{Live: true}, 0}} {
		p := filepath.Join(t.TempDir(), "r.txt")
		f, err := File("text", p, &rules.Set{}, c.show)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			ref := rules.Ref{Fingerprint: fmt.Sprintf("%032x", i+1), Rule: "made-up", Confidence: rules.High}
			err = errors.Join(err, f.Emit(Credential{Ref: ref, Findings: 1, Locations: []rules.Location{{Path: "a"}}}))
		}
		if err = errors.Join(err, f.Emit(Summary{}), f.Close()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(b), "fingerprint "); got != c.want {
			t.Errorf("%+v: %d of %d are listed", c.show, got, n)
		}
	}
}
