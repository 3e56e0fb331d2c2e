package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// suites is what Jenkins and GitLab read.
type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Suites   []struct {
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Cases    []struct {
			Class   string `xml:"classname,attr"`
			Name    string `xml:"name,attr"`
			File    string `xml:"file,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
			Error *struct {
				Message string `xml:"message,attr"`
				Type    string `xml:"type,attr"`
			} `xml:"error"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// readSuites reads the report, and checks that its numbers are those of its test cases.
func readSuites(t *testing.T, text string) (s suites, results []string) {
	t.Helper()
	if err := xml.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var tests, failures, errors int
	for _, u := range s.Suites {
		f, e := 0, 0
		for _, c := range u.Cases {
			result := "passed"
			switch {
			case c.Failure != nil:
				result, f = "failed", f+1
			case c.Error != nil:
				result, e = "error", e+1
			}
			results = append(results, fmt.Sprintf("%s/%s %s", u.Name, c.Name, result))
		}
		if u.Tests != len(u.Cases) || u.Failures != f || u.Errors != e {
			t.Errorf("%s: the numbers are wrong", u.Name)
		}
		tests, failures, errors = tests+u.Tests, failures+f, errors+e
	}
	if s.Tests != tests || s.Failures != failures || s.Errors != errors {
		t.Errorf("the numbers are wrong: %d %d %d", s.Tests, s.Failures, s.Errors)
	}
	return s, results
}

func TestJUnitFailsWhatCounts(t *testing.T) {
	ref := func(f, rule string) rules.Ref {
		return rules.Ref{Rule: rule, Kind: rules.KindAPIKey, Confidence: rules.High, Fingerprint: f, Redacted: "glpa…"}
	}
	live := revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Authenticated, Host: "gitlab.com"}
	at := []rules.Location{{Path: "a.env", Line: 3, Column: 1}}
	s, got := readSuites(t, written(t, "junit", Config{},
		Finding{Ref: ref("p", "b"), Location: at[0], Partial: true, Counts: true},
		Credential{Ref: ref("1", "a"), Locations: at, Counts: true}, Verdict{"1", live},
		Credential{Ref: ref("2", "a"), Locations: at}, Verdict{"2", revokers.Verdict{Liveness: revokers.Dead, Reason: revokers.Revoked}},
		Credential{Ref: ref("3", "a"), Locations: at, Unanswered: true}, Verdict{"3", revokers.Verdict{Reason: revokers.Throttled}},
		Credential{Ref: ref("4", "b"), Locations: at, Counts: true}, Verdict{"4", live},
		Action{Ref: ref("4", "b"), Outcome: prove.Confirmed},
		Action{Ref: ref("5", "b"), Outcome: prove.StillAlive, Detail: "answers live"},
		Action{Ref: ref("6", "b"), Outcome: prove.Held, Code: CodeNothing},
		Action{Ref: ref("7", "b"), Outcome: prove.Held, Code: CodeUnanswered},
		Notice{Message: "x.zip: damaged", Kind: "damaged", Path: "x.zip", Incomplete: true}, Notice{Message: "a remark"},
		Summary{Incomplete: 1}))
	slices.Sort(got)
	want := []string{"a/API key 1 failed", "a/API key 2 passed", "a/API key 3 error", "b/API key 4 passed", "b/API key 5 failed", "b/API key 6 passed", "b/API key 7 error", "b/API key p failed", "quell/not read: x.zip error"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if c := s.Suites[1].Cases[0]; c.Name != "API key 1" || c.File != "a.env" || c.Failure.Message != "API key: live (authenticated) at a.env:3:1" || !strings.Contains(c.Failure.Text, "fingerprint: 1\n") {
		t.Errorf("%+v", c)
	}
	// Jenkins rejects a report without tests.
	if _, got := readSuites(t, written(t, "junit", Config{}, Summary{})); !slices.Equal(got, []string{"quell/everything was read passed"}) {
		t.Errorf("%q", got)
	}
}

// Whatever the text is, the report is well-formed XML 1.0, without characters that it forbids.
func FuzzJUnitIsWellFormed(f *testing.F) {
	for _, s := range []string{"a", "\x00\x01\x08\x0b\x1b", "]]>", "<!--", "&#0;", "\ufffe\uffff", "\xff\xfe", "\u2028\u0085", "\ud7ff\U0010ffff", "a\nb\tc\r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref := rules.Ref{Rule: s, Kind: rules.KindJWT, Fingerprint: "f", Redacted: s}
		text := written(t, "junit", Credential{Ref: ref, Locations: []rules.Location{{Path: s, Job: s}}, Counts: true}, Verdict{"f", revokers.Verdict{Detail: s, Remedy: s, Host: s}}, Notice{Message: s, Path: s, Kind: "other", Incomplete: true}, Summary{})
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v: %q", err, text)
			}
		}
		readSuites(t, text)
	})
}
