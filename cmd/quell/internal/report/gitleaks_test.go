package report

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	gitleaksreport "github.com/zricethezav/gitleaks/v8/report"

	"github.com/quellhq/quell/rules"
)

// The names of the fields, their order and their types are those of gitleaks itself, of the
// version in go.mod, which reads the report without an unknown field.
func TestGitleaksReportIsGitleaks(t *testing.T) {
	ref := rules.Ref{Rule: "gitlab-pat", Fingerprint: "f", Redacted: "glpa…(26 bytes)"}
	l := rules.Location{Source: "git", Path: "a/b \"c\".env", Line: 3, Column: 9, EndLine: 3, EndColumn: 35, Commit: "abc", Notes: map[string]string{"author": "A B <a@example.com>", "date": "2026-05-04T03:02:01Z", "subject": "first"}}
	text := written(t, "gitleaks", Config{}, Finding{Ref: ref, Description: "GitLab", Secret: "aabb", Location: l}, Finding{Ref: ref, Location: l}, Credential{Ref: ref, Locations: []rules.Location{l, l}}, Summary{})
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var got []gitleaksreport.Finding
	if err := d.Decode(&got); err != nil || len(got) != 2 {
		t.Fatalf("%d, %v: %s", len(got), err, text)
	}
	want := gitleaksreport.Finding{RuleID: "gitlab-pat", Description: "GitLab", StartLine: 3, EndLine: 3, StartColumn: 9, EndColumn: 34, Match: "aabb", Secret: "aabb", File: l.Path, Commit: "abc", Entropy: 1,
		Author: "A B", Email: "a@example.com", Date: "2026-05-04T03:02:01Z", Message: "first", Tags: []string{}, Fingerprint: "abc:a/b \"c\".env:gitlab-pat:3"}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("%+v", got[0])
	}
	if got[1].Secret != "glpa…(26 bytes)" || got[1].Match != got[1].Secret || got[1].Entropy != 0 {
		t.Errorf("%+v", got[1])
	}
	// As gitleaks writes the same.
	if its, err := json.MarshalIndent(got, "", " "); err != nil || string(its)+"\n" != text {
		t.Errorf("gitleaks writes\n%s\nand quell\n%s", its, text)
	}
	if got := written(t, "gitleaks", Config{}, Summary{}); got != "[]\n" {
		t.Errorf("%q", got)
	}
}
