package report

import (
	"bufio"
	"cmp"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

var junitFormat = Format{Name: "junit", New: func(o Options) Sink { return &junit{w: o.W} }}

// junit writes JUnit XML as Jenkins and GitLab read it: a suite for each rule, a test case for
// each credential, a failure where it counts for --fail-on or a kill left it alive, and an error
// for what was not read or not answered. The suite "quell" is never empty, because Jenkins
// rejects a report without tests
// (https://github.com/jenkinsci/xunit-plugin, model/xsd/junit-10.xsd;
// https://docs.gitlab.com/ci/testing/unit_test_reports/).
type junit struct {
	w       *bufio.Writer
	records records
	gaps    []Notice // the first
	nGaps   int64    // all
	config  Config
	seconds float64
}

type junitCase struct {
	XMLName xml.Name    `xml:"testcase"`
	Class   string      `xml:"classname,attr"`
	Name    string      `xml:"name,attr"`
	File    string      `xml:"file,attr,omitempty"`
	Time    string      `xml:"time,attr"`
	Failure *junitFault `xml:"failure"`
	Error   *junitFault `xml:"error"`
}

type junitFault struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func (j *junit) Emit(e Event) error {
	j.records.take(e)
	switch e := e.(type) {
	case Config:
		j.config = e
	case Notice:
		if !e.Incomplete {
			break
		}
		if j.nGaps += max(e.Count, 1); len(j.gaps) < maxKept {
			j.gaps = append(j.gaps, e)
		}
	case Summary:
		j.seconds = e.Seconds
	}
	return nil
}

func (j *junit) Close() error {
	rules := map[string][]*record{}
	for _, r := range inOrder(j.records.list) {
		rules[r.rule] = append(rules[r.rule], r)
	}
	_, _ = j.w.WriteString(xml.Header)
	enc := xml.NewEncoder(j.w)
	enc.Indent("", " ")
	failures, errors := 0, len(j.gaps)
	for _, r := range j.records.list {
		f, e := r.faults()
		failures, errors = failures+f, errors+e
	}
	tests := len(j.records.list) + max(len(j.gaps), 1)
	root := xml.StartElement{Name: xml.Name{Local: "testsuites"}, Attr: junitCounts("quell", tests, failures, errors)}
	root.Attr = append(root.Attr, attribute("time", strconv.FormatFloat(j.seconds, 'f', 3, 64)))
	if err := enc.EncodeToken(root); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	err := j.suite(enc, "quell", 0, len(j.gaps), max(len(j.gaps), 1), func(add func(junitCase) error) error {
		if len(j.gaps) == 0 {
			return add(junitCase{Class: "quell", Name: "everything was read"})
		}
		for i, n := range j.gaps {
			text := n.Message
			if i == maxKept-1 && j.nGaps > maxKept {
				text += fmt.Sprintf("\n%s were not read in all; --report jsonl=FILE lists them", Count(j.nGaps, "thing"))
			}
			c := junitCase{Class: "quell", Name: "not read: " + Clean(cmp.Or(n.Path, n.Message)), File: Clean(n.Path)}
			c.Error = &junitFault{Message: Clean(n.Message), Type: cmp.Or(n.Kind, "not_read"), Text: cleanLines(text)}
			if err := add(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		failures, errors := 0, 0
		for _, r := range rules[rule] {
			f, e := r.faults()
			failures, errors = failures+f, errors+e
		}
		err := j.suite(enc, rule, failures, errors, len(rules[rule]), func(add func(junitCase) error) error {
			for _, r := range rules[rule] {
				if err := add(r.testcase()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := enc.EncodeToken(root.End()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := enc.Flush(); err != nil {
		return err
	}
	_, _ = j.w.WriteString("\n")
	return j.w.Flush()
}

func (j *junit) suite(enc *xml.Encoder, name string, failures, errors, tests int, cases func(add func(junitCase) error) error) error {
	start := xml.StartElement{Name: xml.Name{Local: "testsuite"}, Attr: junitCounts(Clean(name), tests, failures, errors)}
	start.Attr = append(start.Attr, attribute("time", "0"))
	if !j.config.At.IsZero() {
		// ISO 8601 without a zone, in UTC, as the schema has it.
		start.Attr = append(start.Attr, attribute("timestamp", j.config.At.UTC().Format("2006-01-02T15:04:05")))
	}
	if err := enc.EncodeToken(start); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	err := cases(func(c junitCase) error {
		c.Time = "0"
		return enc.Encode(c)
	})
	if err == nil {
		err = enc.EncodeToken(start.End())
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func attribute(name, value string) xml.Attr {
	return xml.Attr{Name: xml.Name{Local: name}, Value: value}
}

func junitCounts(name string, tests, failures, errors int) []xml.Attr {
	return []xml.Attr{attribute("name", name), attribute("tests", strconv.Itoa(tests)), attribute("failures", strconv.Itoa(failures)), attribute("errors", strconv.Itoa(errors)), attribute("skipped", "0")}
}

// faults counts the failures and the errors of a credential's test case.
func (r *record) faults() (failures, errors int) {
	switch {
	case r.counts:
		return 1, 0
	case r.unanswered:
		return 0, 1
	}
	return 0, 0
}

func (r *record) testcase() junitCase {
	// Jenkins and GitLab follow a test from run to run by its name.
	c := junitCase{Class: Clean(r.rule), Name: Clean(string(r.kind) + " " + r.fingerprint), File: Clean(r.file)}
	fault := &junitFault{Message: Clean(string(r.kind) + ": " + r.state()), Type: r.state()}
	if len(r.places) > 0 {
		fault.Message += Clean(" at " + r.places[0])
	}
	text := []string{fault.Message}
	add := func(label, s string) {
		if s != "" {
			text = append(text, label+": "+s)
		}
	}
	add("fingerprint", r.fingerprint)
	add("redacted", r.redacted)
	add("value", r.secret)
	add("confidence", r.confidence.String())
	add("verdict", r.verdict())
	add("asked", r.host)
	add("identity", r.identity)
	add("expires", r.expiry)
	add("because", r.why())
	for _, p := range r.where() {
		add("at", p)
	}
	add("next", r.todo())
	fault.Text = cleanLines(text...)
	switch failures, errors := r.faults(); {
	case failures > 0:
		c.Failure = fault
	case errors > 0:
		c.Error = fault
	}
	return c
}

// cleanLines joins lines after Clean: encoding/xml replaces what XML 1.0 forbids, and
// Clean has escaped control characters before that.
func cleanLines(lines ...string) string {
	for i, l := range lines {
		lines[i] = Clean(l)
	}
	return strings.Join(lines, "\n")
}
