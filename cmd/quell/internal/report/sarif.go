package report

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
)

var sarifFormat = Format{Name: "sarif", New: func(o Options) Sink { return &sarif{w: o.W, set: o.Rules} }}

// sarif writes SARIF 2.1.0: results with rule metadata, made from the same
// rules files as everything else.
type sarif struct {
	w        *bufio.Writer
	set      *rules.Set
	findings []Finding
	verdicts map[string]Verdict
	notices  []Notice
	version  string
}

func (s *sarif) Emit(e Event) error {
	switch e := e.(type) {
	case Config:
		s.version = e.Version
	case Finding:
		s.findings = append(s.findings, e)
	case Verdict:
		if s.verdicts == nil {
			s.verdicts = map[string]Verdict{}
		}
		s.verdicts[e.Fingerprint] = e
	case Notice:
		s.notices = append(s.notices, e)
	}
	return nil
}

type object = map[string]any

func (s *sarif) Close() error {
	// Findings come as they are read; a file that is compared with an earlier one
	// has them in the order of their places.
	slices.SortStableFunc(s.findings, func(a, b Finding) int {
		x, y := a.Location, b.Location
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Artifact, y.Artifact), cmp.Compare(x.Offset, y.Offset), strings.Compare(a.Rule, b.Rule))
	})
	var ids []string
	for _, f := range s.findings {
		if !slices.Contains(ids, f.Rule) {
			ids = append(ids, f.Rule)
		}
	}
	slices.Sort(ids)
	meta := make([]object, len(ids))
	for i, id := range ids {
		// By these, code scanning treats a rule as a security rule and shows its severity. The level
		// of a result depends on whether the credential is alive.
		o := object{"id": id, "properties": object{"tags": []string{"security"}, "security-severity": "8.0", "precision": "high"}}
		if r := s.set.Rule(id); r != nil && r.Description != "" {
			o["shortDescription"] = object{"text": r.Description}
			if r.Provider != nil && r.Provider.Docs != "" {
				o["helpUri"] = r.Provider.Docs
			}
		}
		meta[i] = o
	}
	results := make([]object, len(s.findings))
	for i, f := range s.findings {
		v := s.verdicts[f.Fingerprint]
		level := map[rules.Confidence]string{rules.Low: "note", rules.Medium: "warning", rules.High: "error"}[f.Confidence]
		switch v.Liveness.String() {
		case "live":
			level = "error"
		case "dead":
			level = "note"
		}
		text := string(f.Kind) + " " + f.Rule + " " + Clean(f.Redacted)
		if v.Fingerprint != "" {
			text += ": " + v.Liveness.String() + " (" + string(v.Reason) + ")"
		}
		where := f.Location.Path
		if where == "" {
			where = f.Location.Artifact
		}
		// Code scanning shows only results in files of the repository.
		inside := f.Location.Source == "git" && f.Location.Path != "" && f.Location.Notes["repository"] == "" && !strings.Contains(where, "!") ||
			f.Location.Source == "path" && filepath.IsLocal(filepath.FromSlash(where)) && !strings.Contains(where, "!") && !strings.HasPrefix(where, "actions-run/")
		results[i] = object{
			"ruleId": f.Rule, "ruleIndex": slices.Index(ids, f.Rule), "level": level,
			"message":             object{"text": text},
			"partialFingerprints": object{"quell/v1": f.Fingerprint},
			"properties":          object{"inRepository": inside},
			"locations": []object{{"physicalLocation": object{
				"artifactLocation": object{"uri": (&url.URL{Path: where}).EscapedPath()},
				"region":           object{"startLine": f.Location.Line, "startColumn": f.Location.Column - f.Location.Excess, "endLine": f.Location.EndLine, "endColumn": f.Location.EndColumn - f.Location.EndExcess},
			}}},
		}
	}
	notes := []object{}
	for _, n := range s.notices {
		level := "note"
		if n.Incomplete {
			level = "error"
		}
		notes = append(notes, object{"level": level, "message": object{"text": Clean(n.Message)}})
	}
	// Code scanning takes at most so many results of a run; the runs of a file need
	// categories of their own.
	runs := []object{}
	for i := 0; i == 0 || i < len(results); i += maxResults {
		run := object{
			"tool": object{"driver": object{"name": "quell", "version": s.version, "informationUri": "https://github.com/quellhq/quell", "rules": meta}},
			// Unread input is a notification. Code scanning rejects a file with all its results if
			// the execution is marked as failed.
			"invocations": []object{{"executionSuccessful": true, "toolExecutionNotifications": notes}},
			"columnKind":  "utf16CodeUnits",
			"results":     results[i:min(i+maxResults, len(results))],
		}
		if len(results) > maxResults {
			run["automationDetails"] = object{"id": fmt.Sprintf("quell/part-%d/", i/maxResults+1)}
		}
		runs = append(runs, run)
	}
	enc := json.NewEncoder(s.w)
	enc.SetIndent("", " ")
	if err := enc.Encode(object{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": runs}); err != nil {
		return err
	}
	return s.w.Flush()
}

// maxResults is the most results of one run that GitHub's code scanning takes
// (https://docs.github.com/code-security/code-scanning/troubleshooting-sarif-uploads/results-exceed-limit).
const maxResults = 25_000
