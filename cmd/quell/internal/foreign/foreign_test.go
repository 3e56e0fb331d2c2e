package foreign

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

// Each form as its scanner documents it.
func TestReportsOfOtherScanners(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Entry
	}{
		"gitleaks":            {`[{"RuleID":"gitlab-pat","Description":"x","StartLine":3,"EndLine":3,"StartColumn":9,"EndColumn":34,"Match":"token: VALUE","Secret":"VALUE","File":"a/b.env","SymlinkFile":"","Commit":"abc","Entropy":4,"Author":"","Email":"","Date":"","Message":"","Tags":[],"Fingerprint":"a/b.env:gitlab-pat:3"}]`, Entry{Rule: "gitlab-pat", Values: []string{"VALUE"}, Context: "token: VALUE", Path: "a/b.env", Line: 3, Column: 9, Commit: "abc"}},
		"TruffleHog":          {`{"SourceMetadata":{"Data":{"Git":{"commit":"abc","file":"a/b.env","email":"","repository":"","timestamp":"","line":3}}},"SourceID":1,"SourceType":16,"SourceName":"trufflehog - git","DetectorType":8,"DetectorName":"Github","DecoderName":"PLAIN","Verified":false,"Raw":"VALUE","RawV2":"","Redacted":"","ExtraData":null,"StructuredData":null}`, Entry{Rule: "Github", Values: []string{"VALUE"}, Path: "a/b.env", Line: 3, Commit: "abc"}},
		"TruffleHog's pairs":  {`{"SourceMetadata":{"Data":{"Filesystem":{"file":"a/b.env","line":3}}},"DetectorName":"AWS","Raw":"AKIAVALUE","RawV2":"AKIAVALUE:secretVALUE","SecretParts":{"access_key_id":"AKIAVALUE","secret_access_key":"secretVALUE"}}`, Entry{Rule: "AWS", Values: []string{"AKIAVALUE", "secretVALUE"}, Context: "aws_access_key_id=AKIAVALUE\naws_secret_access_key=secretVALUE\n", Path: "a/b.env", Line: 3}},
		"TruffleHog's before": {`{"SourceMetadata":{"Data":{"Filesystem":{"file":"a/b.env","line":3}}},"DetectorName":"AWS","Raw":"AKIAVALUE","RawV2":"AKIAVALUE:secretVALUE"}`, Entry{Rule: "AWS", Values: []string{"AKIAVALUE", "secretVALUE"}, Context: "aws_id=AKIAVALUE\naws_secret=secretVALUE\n", Path: "a/b.env", Line: 3}},
		"TruffleHog's hosts":  {`{"SourceMetadata":{"Data":{"Filesystem":{"file":"a/b.env","line":3}}},"DetectorName":"Gitlab","Raw":"VALUE","RawV2":"VALUEhttps://gitlab.com","SecretParts":{"host":"https://gitlab.com","key":"VALUE"}}`, Entry{Rule: "Gitlab", Values: []string{"VALUE"}, Context: "gitlab_host=https://gitlab.com\ngitlab_key=VALUE\n", Path: "a/b.env", Line: 3}},
		"Kingfisher":          {`{"findings":[{"rule":{"name":"GitLab token","id":"kingfisher.gitlab.1"},"finding":{"snippet":"VALUE","fingerprint":"1","confidence":"medium","entropy":"4","validation":{"status":"Not Attempted","response":""},"language":"Shell","line":3,"column_start":8,"column_end":33,"path":"a/b.env","git_metadata":{"commit":{"id":"abc"}}}}],"metadata":{}}`, Entry{Rule: "kingfisher.gitlab.1", Values: []string{"VALUE"}, Context: "gitlab_token=VALUE\n", Path: "a/b.env", Line: 3, Column: 9, Commit: "abc"}},
		"Kingfisher's lines":  {`{"rule":{"name":"GitLab token","id":"kingfisher.gitlab.1"},"finding":{"snippet":"VALUE","line":3,"column_start":0,"path":"a/b.env"}}`, Entry{Rule: "kingfisher.gitlab.1", Values: []string{"VALUE"}, Context: "gitlab_token=VALUE\n", Path: "a/b.env", Line: 3, Column: 1}},
		"Kingfisher's 1.10":   {`[{"id":"kingfisher.gitlab.1","matches":[{"rule":{"name":"GitLab token","id":"kingfisher.gitlab.1"},"finding":{"snippet":"VALUE","line":3,"column_start":8,"path":"","git_metadata":{"repository_url":"https://git.example.com/o/r","commit":{"id":"abc"},"file":{"path":"a/b.env"}}}}]}]`, Entry{Rule: "kingfisher.gitlab.1", Values: []string{"VALUE"}, Context: "gitlab_token=VALUE\n", Path: "a/b.env", Line: 3, Column: 9, Commit: "abc"}},
		"detect-secrets":      {`{"version":"1.5.0","plugins_used":[],"filters_used":[],"results":{"a/b.env":[{"type":"Secret Keyword","filename":"a/b.env","hashed_secret":"da39a3ee5e6b4b0d3255bfef95601890afd80709","is_verified":false,"line_number":3}]},"generated_at":"2026-01-01T00:00:00Z"}`, Entry{Rule: "Secret Keyword", SHA1: "da39a3ee5e6b4b0d3255bfef95601890afd80709", Path: "a/b.env", Line: 3}},
		"ggshield":            {`{"id":".","type":"path_scan","total_incidents":1,"total_occurrences":1,"entities_with_incidents":[{"mode":"FILE","filename":"a/b.env","incidents":[{"policy":"Secrets detection","occurrences":[{"match":"VALUE","type":"apikey","line_start":3,"line_end":3,"index_start":8,"index_end":33}],"type":"GitLab Token","validity":"no_checker"}]}],"secrets_engine_version":"2"}`, Entry{Rule: "GitLab Token", Values: []string{"VALUE"}, Context: "gitlab_apikey=VALUE\n", Path: "a/b.env", Line: 3, Column: 9}},
		"ggshield's git scan": {`{"id":"range","type":"commit_range","scans":[{"id":"abc","type":"commit","entities_with_incidents":[{"filename":"a/b.env","incidents":[{"occurrences":[{"match":"VALUE","line_start":3,"index_start":8}],"type":"GitLab Token"}]}]}]}`, Entry{Rule: "GitLab Token", Values: []string{"VALUE"}, Context: "gitlab=VALUE\n", Path: "a/b.env", Line: 3, Column: 9}},
		"SARIF":               {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[{"ruleId":"gitlab-pat","message":{"text":"m"},"partialFingerprints":{"commitSha":"abc"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a/b.env"},"region":{"startLine":3,"startColumn":9,"snippet":{"text":"VALUE"}}}}]}]}]}`, Entry{Rule: "gitlab-pat", Values: []string{"VALUE"}, Context: "VALUE", Path: "a/b.env", Line: 3, Column: 9, Commit: "abc"}},
		"GitHub alerts":       {`[{"number":2,"created_at":"2020-11-06T18:48:51Z","html_url":"https://github.com/o/r/security/secret-scanning/2","state":"open","secret_type":"gitlab_access_token","secret":"VALUE","first_location_detected":{"path":"a/b.env","start_line":3,"start_column":9,"commit_sha":"abc"}}]`, Entry{Rule: "gitlab_access_token", Values: []string{"VALUE"}, Context: "gitlab_access_token=VALUE\n", Path: "a/b.env", Line: 3, Column: 9, Commit: "abc"}},
	} {
		scanner, got, err := Read([]byte(c.text))
		if err != nil || len(got) != 1 || !strings.HasPrefix(name, scanner) || !equal(got[0], c.want) {
			t.Errorf("%s: read as %s: %+v, %v", name, scanner, got, err)
		}
		// As another program writes it again.
		for _, reversed := range []bool{false, true} {
			for _, indent := range []string{"", "\t"} {
				again, got, err := Read([]byte(testenv.Rewrite(t, c.text, reversed, indent)))
				if err != nil || again != scanner || len(got) != 1 || !equal(got[0], c.want) {
					t.Errorf("%s with its keys in another order: read as %s: %+v, %v", name, again, got, err)
				}
			}
		}
		if strings.HasPrefix(c.text, "{") && !strings.Contains(c.text, "results") {
			// JSON lines of the same.
			if _, got, err := Read([]byte("\xef\xbb\xbf" + c.text + "\n" + c.text + "\n")); err != nil || len(got) != 2 {
				t.Errorf("%s as lines: %d, %v", name, len(got), err)
			}
		}
	}
}

func equal(a, b Entry) bool {
	return slices.Equal(a.Values, b.Values) && a.Rule == b.Rule && a.Context == b.Context && a.Path == b.Path && a.Line == b.Line && a.Column == b.Column && a.Commit == b.Commit && a.SHA1 == b.SHA1
}

func TestWhatIsNoReport(t *testing.T) {
	for _, text := range []string{"", "{", "[1,2]", `{"a":1}`, `[[]]`, `"text"`, "null", `{"RuleID":"x","Secret":"y"}{`} {
		if _, _, err := Read([]byte(text)); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if name, list, err := Read([]byte("[]")); err != nil || len(list) != 0 || name == "" {
		t.Errorf("a scanner that found nothing: %v", err)
	}
	// ggshield without incidents has no list of them.
	if name, list, err := Read([]byte(`{"id":".","type":"path_scan","total_incidents":0,"total_occurrences":0}`)); err != nil || len(list) != 0 || name != "ggshield" {
		t.Errorf("a scan of ggshield that found nothing: %s, %v", name, err)
	}
	if name, list, err := Read([]byte(`{"access_map":[]}` + "\n" + `{"audit":{}}` + "\n")); err != nil || len(list) != 0 || name != "Kingfisher" {
		t.Errorf("JSON lines of Kingfisher that found nothing: %s, %v", name, err)
	}
	for _, masked := range []string{"", "REDACTED", "[REDACTED:4f2a91]", "glpat-****************", "glp...", "gl…"} {
		if !Redacted(masked) {
			t.Errorf("%q passes for a value", masked)
		}
	}
	// Alerts that were read with hide_secret=true.
	if name, list, err := Read([]byte(`[{"html_url":"https://github.com/o/r/security/secret-scanning/2","secret_type":"gitlab_access_token","secret_type_display_name":"GitLab Access Token"}]`)); err != nil || len(list) != 1 || name != "GitHub alerts" || !Redacted(list[0].Values[0]) {
		t.Errorf("an alert without its secret: %s, %v", name, err)
	}
	_, _, err := Read([]byte(`[{"RuleID":"x","Secret":["made-up-value"]}]`))
	if err == nil || strings.Contains(err.Error(), "made-up-value") {
		t.Errorf("an error prints a value: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`[{"RuleID":"a","Secret":"b"}]`))
	f.Add([]byte(`{"runs":[{"results":[{"locations":[{}]}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, _, err := Read(b)
		if err == nil && name == "" {
			t.Error("a report without a name")
		}
	})
}
