package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// written renders events in a format.
func written(t *testing.T, format string, events ...Event) string {
	t.Helper()
	var b bytes.Buffer
	s, err := New(format, &b, &rules.Set{}, Style{})
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
	return b.String()
}

// sheet reads CSV into a map for each row, by the header.
func sheet(t *testing.T, text string) (rows []map[string]string) {
	t.Helper()
	if n := strings.Count(text, "\r\n"); n != strings.Count(text, "\n") || n == 0 {
		t.Errorf("lines do not end with CRLF (RFC 4180): %q", text)
	}
	list, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, cells := range list[1:] {
		row := map[string]string{}
		for i, c := range cells {
			row[list[0][i]] = c
		}
		rows = append(rows, row)
	}
	return rows
}

func TestCSVHasARowForEachFindingWithVerdictAndOutcome(t *testing.T) {
	ref := func(f string) rules.Ref {
		return rules.Ref{Rule: "gitlab-pat", Kind: rules.KindAPIKey, Confidence: rules.High, Fingerprint: f, Redacted: "glpa…"}
	}
	at := func(line int) rules.Location {
		return rules.Location{Source: "path", Path: "a,\"b\".txt", Line: line, Column: 3}
	}
	live := revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Authenticated, Host: "gitlab.com"}
	rows := sheet(t, written(t, "csv", Config{},
		Finding{Ref: ref("a"), Location: at(1)}, Finding{Ref: ref("b"), Location: at(2)}, Finding{Ref: ref("a"), Location: at(3)}, Finding{Ref: ref("c"), Location: at(4), Partial: true},
		Credential{Ref: ref("a"), Findings: 2, Locations: []rules.Location{at(1), at(3)}}, Verdict{"a", live}, Verdict{"a", revokers.Verdict{Liveness: revokers.Dead, Reason: revokers.Revoked}},
		Credential{Ref: ref("b"), Findings: 1, Locations: []rules.Location{at(2)}},
		Action{Ref: ref("a"), Action: "revoke", Outcome: prove.Confirmed},
		Action{Ref: ref("d"), Action: "held", Outcome: prove.Held, Held: "not yours"},
		Credential{Ref: ref("e"), Findings: 2, Locations: []rules.Location{at(8), at(9)}}, Verdict{"e", live},
		Summary{}))
	var got []string
	for _, r := range rows {
		if r["rule"] != "gitlab-pat" {
			t.Errorf("%q", r)
		}
		got = append(got, fmt.Sprintf("%s%s %s%s %s", r["fingerprint"], r["line"], r["liveness"], r["partial"], r["outcome"]))
	}
	if want := "a1 live Confirmed|b2  |a3 live Confirmed|c4 true |d  Held|e8 live |e9 live "; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
	if rows[0]["path"] != "a,\"b\".txt" || rows[4]["held"] != "not yours" {
		t.Errorf("%q", rows)
	}
	if header, _, _ := strings.Cut(written(t, "csv"), "\r\n"); header != strings.Join(tableColumns, ",") {
		t.Errorf("without findings: %q", header)
	}
}

// No cell is a formula, whatever the text is.
func FuzzCSVCellsAreNoFormulas(f *testing.F) {
	for _, s := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "a", "", "\"=1", ";=1", "=cmd|' /c calc'!A0", "\ufeff=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref := rules.Ref{Rule: s, Redacted: s, Fingerprint: "f"}
		text := written(t, "csv", Finding{Ref: ref, Secret: s, Location: rules.Location{Path: s, Job: s}}, Credential{Ref: ref}, Verdict{"f", revokers.Verdict{Detail: s, Host: s, Remedy: s}}, Action{Ref: ref, Held: s, Detail: s, Remedy: s})
		for _, row := range sheet(t, text) {
			for name, c := range row {
				if c := strings.TrimSpace(c); c != "" && strings.ContainsAny(c[:1], "=+-@\t\r\n") {
					t.Errorf("%s is the formula %q", name, c)
				}
			}
		}
	})
}
