package rules

import (
	"regexp"
	"testing"
)

// A fact of a built-in file names the document that it is taken from, and when that was read.
func TestFactsOfBuiltInFilesHaveSources(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	date := regexp.MustCompile(`^20[0-9]{2}-[0-9]{2}-[0-9]{2}$`)
	for _, p := range set.Providers {
		for name, s := range p.Sources {
			if !date.MatchString(s.Date) || s.Grade == "" {
				t.Errorf("%s: source %s has no date or grade", p.ID, name)
			}
		}
	}
	for _, r := range set.Rules {
		if r.Probe != nil {
			for i, a := range r.Probe.When {
				if a.Then == "dead" && a.Condition() && a.Source == "" {
					t.Errorf("%s: dead arm %d has a condition and no source", r.ID, i+1)
				}
			}
		}
		for _, v := range r.Revokes {
			if v.Source == "" && v.Grade == "P" {
				t.Errorf("%s: revoke %s has no source", r.ID, v.ID)
			}
		}
	}
}
