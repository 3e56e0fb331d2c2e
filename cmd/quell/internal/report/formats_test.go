package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
)

// TestFormatsAreListed checks that formats.go has every Format of the package, and writes it
// with -update: to add a format, add one file and run go generate.
func TestFormatsAreListed(t *testing.T) {
	testenv.FormatsAreListed(t, "cmd/quell/internal/report", *update)
}

// Each format renders every kind of event, also with the text of strangers in it, and what a
// terminal or a log would obey is escaped.
func TestEveryFormatRendersHostileText(t *testing.T) {
	const hostile = "=cmd|'/c calc'!A1 \x1b[2J\u202e\r\n::error::<script>alert(1)</script>\",\x00"
	ref := rules.Ref{Rule: "github-pat", Provider: "github", Kind: rules.KindAPIKey, Fingerprint: strings.Repeat("a", 32), Redacted: "ghp_…" + hostile, Confidence: rules.High}
	events := []Event{
		Config{Protocol: Protocol, Version: "v"},
		Finding{Ref: ref, Location: rules.Location{Source: "path", Path: hostile, Line: 1, Column: 1, EndLine: 1, EndColumn: 2}},
		Credential{Ref: ref, Findings: 1, Locations: []rules.Location{{Source: "path", Path: hostile, Line: 1, Column: 1}}},
		Verdict{Fingerprint: ref.Fingerprint, Verdict: revokers.Verdict{Reason: revokers.Refused, Detail: hostile, Remedy: "quell check", Identity: map[string]string{"login": hostile}}},
		Action{Ref: ref, Outcome: "Confirmed", Detail: hostile},
		Notice{Message: hostile, Kind: "unreadable", Path: hostile, Incomplete: true},
		Summary{ExitCode: 4},
	}
	seen := map[string]bool{}
	for _, f := range formats {
		if f.Name == "" || seen[f.Name] {
			t.Errorf("the name %q is empty or not unique", f.Name)
		}
		seen[f.Name] = true
		var b bytes.Buffer
		s, err := New(f.Name, &b, &rules.Set{}, Style{Show: Show{All: true}})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if err := s.Emit(e); err != nil {
				t.Errorf("%s: %T: %v", f.Name, e, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		out := b.String()
		for _, bad := range []string{"\x1b", "\u202e", "\x00", "\r\n::error::", "\n::error::"} {
			if bad == "\u202e" && (strings.HasPrefix(f.Name, "json") || f.Name == "gitleaks" || f.Name == "ocsf") {
				continue // data for programs
			}
			if strings.Contains(out, bad) {
				t.Errorf("%s: %q is not escaped", f.Name, bad)
			}
		}
		if !utf8.ValidString(out) || !strings.Contains(out, "aaaa") && !strings.Contains(out, "ghp_") {
			t.Errorf("%s: %q", f.Name, out)
		}
		if strings.HasPrefix(out, "{") || strings.HasPrefix(out, "[") {
			for d := json.NewDecoder(&b); d.More(); {
				var v any
				if err := d.Decode(&v); err != nil {
					t.Errorf("%s: %v", f.Name, err)
					break
				}
			}
		}
	}
	if got := Formats(); got[0] != "text" || len(got) != len(formats) {
		t.Errorf("%q", got)
	}
	if _, err := New("made-up", &bytes.Buffer{}, nil, Style{}); err == nil || !strings.Contains(err.Error(), "sarif") {
		t.Error(err)
	}
}
