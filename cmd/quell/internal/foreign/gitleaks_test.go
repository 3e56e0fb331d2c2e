package foreign

import (
	"bytes"
	"testing"

	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"
)

type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

// The output of gitleaks itself, of the version in go.mod.
func TestReportsThatGitleaksWrites(t *testing.T) {
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	secret := "glpat-" + "aZ3kQ9xW7LmB2" + "pRt5VnY"
	found := d.DetectString("first line\nexport GITLAB_TOKEN=" + secret + "\n")
	if len(found) != 1 || found[0].Secret != secret {
		t.Fatalf("gitleaks found %d", len(found))
	}
	found[0].File, found[0].Commit = "deploy.sh", "0123456789abcdef"
	var asJSON, asSARIF buffer
	if err := (&report.JsonReporter{}).Write(&asJSON, found); err != nil {
		t.Fatal(err)
	}
	if err := (&report.SarifReporter{}).Write(&asSARIF, found); err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string][]byte{"gitleaks": asJSON.Bytes(), "SARIF": asSARIF.Bytes()} {
		name, list, err := Read(b)
		if err != nil || name != want || len(list) != 1 {
			t.Fatalf("%s: %s, %d, %v", want, name, len(list), err)
		}
		if e := list[0]; e.Rule != "gitlab-pat" || e.Values[0] != secret || e.Path != "deploy.sh" || e.Line != found[0].StartLine || e.Commit != "0123456789abcdef" {
			t.Errorf("%s: line %d of %s, rule %s", want, e.Line, e.Path, e.Rule)
		}
	}
	if err := (&report.JsonReporter{}).Write(&asJSON, nil); err != nil {
		t.Fatal(err)
	}
	found[0].Redact(100)
	var masked buffer
	if err := (&report.JsonReporter{}).Write(&masked, found); err != nil {
		t.Fatal(err)
	}
	if _, list, err := Read(masked.Bytes()); err != nil || !Redacted(list[0].Values[0]) {
		t.Errorf("a masked value passes for one: %v", err)
	}
}
