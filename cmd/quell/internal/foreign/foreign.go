// Package foreign reads the reports of other scanners: gitleaks and betterleaks,
// TruffleHog, Kingfisher, detect-secrets, ggshield, GitHub's secret-scanning alerts
// and SARIF.
package foreign

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Entry is a finding of another scanner.
type Entry struct {
	Rule   string // the scanner's own name of the kind
	Values []string
	// Context is more of the text around the value, where the report has it: a
	// cookie's name, the other half of a pair.
	Context string
	Path    string
	Line    int
	Column  int
	Commit  string
	// SHA1 is the value's digest in hex if the report has no value (detect-secrets).
	SHA1 string
}

// ErrUnknown is returned for a report of no form that this package knows.
var ErrUnknown = errors.New("no report of a scanner that quell knows (gitleaks, betterleaks, TruffleHog, Kingfisher, detect-secrets, ggshield, SARIF, GitHub's alerts)")

// Read reads a report. name is the scanner's.
func Read(b []byte) (name string, entries []Entry, err error) {
	b = bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	var docs []json.RawMessage
	d := json.NewDecoder(bytes.NewReader(b))
	for d.More() {
		var m json.RawMessage
		if err := d.Decode(&m); err != nil {
			return "", nil, fmt.Errorf("%w: document %d is not JSON", ErrUnknown, len(docs)+1)
		}
		docs = append(docs, m)
	}
	// A list, JSON lines and one object are read alike.
	if len(docs) == 1 && docs[0][0] == '[' {
		if err := json.Unmarshal(docs[0], &docs); err != nil {
			return "", nil, ErrUnknown
		}
		if len(docs) == 0 {
			return "empty", nil, nil
		}
	}
	if len(docs) == 0 {
		return "", nil, ErrUnknown
	}
	for _, f := range formats {
		if !f.is(keysOf(docs[0])) {
			continue
		}
		for i, doc := range docs {
			list, err := f.read(doc)
			if err != nil {
				return "", nil, fmt.Errorf("%s: entry %d: %w", f.name, i+1, err)
			}
			entries = append(entries, list...)
		}
		return f.name, entries, nil
	}
	return "", nil, ErrUnknown
}

func keysOf(doc json.RawMessage) func(...string) bool {
	var m map[string]json.RawMessage
	_ = json.Unmarshal(doc, &m)
	return func(names ...string) bool {
		for _, n := range names {
			if _, ok := m[n]; !ok {
				return false
			}
		}
		return true
	}
}

// formats are tried in order, by the keys of the first document.
var formats = []struct {
	name string
	is   func(has func(...string) bool) bool
	read func(json.RawMessage) ([]Entry, error)
}{
	// https://github.com/gitleaks/gitleaks, report/finding.go; betterleaks keeps the keys.
	{"gitleaks", func(has func(...string) bool) bool { return has("RuleID", "Secret") }, one(func(f struct {
		RuleID, Secret, Match, File, Commit string
		StartLine, StartColumn              int
	}) Entry {
		return Entry{Rule: f.RuleID, Values: []string{f.Secret}, Context: f.Match, Path: f.File, Line: f.StartLine, Column: f.StartColumn, Commit: f.Commit}
	})},
	// https://github.com/trufflesecurity/trufflehog, pkg/output/json.go
	{"TruffleHog", func(has func(...string) bool) bool { return has("DetectorName", "Raw") }, truffleHog},
	// https://github.com/mongodb/kingfisher, src/reporter.rs; lists of id and matches up to 1.10.
	// A report of JSON lines without findings has what else was looked at.
	{"Kingfisher", func(has func(...string) bool) bool {
		return has("rule", "finding") || has("findings") && !has("scans") || has("id", "matches") || has("access_map") || has("audit")
	}, kingfisher},
	// https://github.com/Yelp/detect-secrets, detect_secrets/core/baseline.py
	{"detect-secrets", func(has func(...string) bool) bool {
		return has("results", "plugins_used") || has("results", "generated_at")
	}, detectSecrets},
	// https://github.com/GitGuardian/ggshield, ggshield/verticals/secret/output/schemas.py
	{"ggshield", func(has func(...string) bool) bool {
		return has("entities_with_incidents") || has("scans") || has("total_incidents", "type")
	}, ggshield},
	// SARIF 2.1.0, https://docs.oasis-open.org/sarif/sarif/v2.1.0/
	{"SARIF", func(has func(...string) bool) bool { return has("runs") }, sarif},
	// https://docs.github.com/rest/secret-scanning/secret-scanning
	// With hide_secret=true they have no value.
	{"GitHub alerts", func(has func(...string) bool) bool {
		return has("secret_type", "secret") || has("secret_type", "html_url")
	}, one(func(f struct {
		Type   string `json:"secret_type"`
		Secret string `json:"secret"`
		URL    string `json:"html_url"`
		First  struct {
			Path   string `json:"path"`
			Line   int    `json:"start_line"`
			Column int    `json:"start_column"`
			Commit string `json:"commit_sha"`
		} `json:"first_location_detected"`
	}) Entry {
		e := Entry{Rule: f.Type, Values: []string{f.Secret}, Context: assignment(f.Type, f.Secret), Path: f.First.Path, Line: f.First.Line, Column: f.First.Column, Commit: f.First.Commit}
		if e.Path == "" {
			e.Path = f.URL
		}
		return e
	})},
}

// one reads documents that are one entry each.
func one[T any](entry func(T) Entry) func(json.RawMessage) ([]Entry, error) {
	return func(doc json.RawMessage) ([]Entry, error) {
		var f T
		if err := json.Unmarshal(doc, &f); err != nil {
			return nil, shape(err)
		}
		return []Entry{entry(f)}, nil
	}
}

// shape is an error without the value that caused it, which may be the secret.
func shape(err error) error {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Errorf("key %q is of another type", t.Field)
	}
	return errors.New("not the form that its first keys announce")
}

// places are the names of a credential's parts that state where it is valid, and are no secrets.
var places = map[string]bool{"host": true, "hostname": true, "endpoint": true, "url": true, "base_url": true, "domain": true, "subdomain": true, "region": true, "port": true, "database": true, "user": true, "username": true, "email": true, "token_name": true}

// minPart is the length in bytes of the shortest part of a credential that may be a secret.
const minPart = 8

func truffleHog(doc json.RawMessage) ([]Entry, error) {
	var f struct {
		DetectorName, Raw, RawV2 string
		SecretParts              map[string]string // since 3.95
		SourceMetadata           struct {
			Data map[string]struct {
				File   string `json:"file"`
				Path   string `json:"path"`
				Link   string `json:"link"`
				Commit string `json:"commit"`
				Line   int    `json:"line"`
			}
		}
	}
	if err := json.Unmarshal(doc, &f); err != nil {
		return nil, shape(err)
	}
	parts := f.SecretParts
	if rest, ok := strings.CutPrefix(f.RawV2, f.Raw); len(parts) == 0 && ok && rest != "" {
		// A pair is joined by a colon; a token and its host are not.
		parts = map[string]string{"id": f.Raw, "secret": strings.TrimPrefix(rest, ":")}
	}
	e := Entry{Rule: f.DetectorName, Values: []string{f.Raw}}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		v := parts[name]
		e.Context += assignment(f.DetectorName+" "+name, v)
		if !places[name] && len(v) >= minPart && !strings.HasPrefix(v, "http") && !strings.Contains(f.Raw, v) {
			e.Values = append(e.Values, v)
		}
	}
	if len(parts) == 0 && f.RawV2 != "" && f.RawV2 != f.Raw {
		e.Values = append(e.Values, f.RawV2)
		e.Context = f.Raw + "\n" + f.RawV2
	}
	for _, at := range f.SourceMetadata.Data {
		e.Path, e.Line, e.Commit = firstOf(at.File, at.Path, at.Link), at.Line, at.Commit
	}
	return []Entry{e}, nil
}

// assignment is a line like those that keep a secret in a file: the other scanner's name of the
// kind as the variable, so that rules of keywords find the value.
func assignment(name, value string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "_") + "=" + value + "\n"
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func kingfisher(doc json.RawMessage) (out []Entry, err error) {
	type finding struct {
		Rule struct {
			Name string `json:"name"`
			ID   string `json:"id"`
		} `json:"rule"`
		Finding struct {
			Snippet string `json:"snippet"`
			Path    string `json:"path"`
			Line    int    `json:"line"`
			Column  int    `json:"column_start"` // from 0
			Git     struct {
				Commit struct {
					ID string `json:"id"`
				} `json:"commit"`
				File struct {
					Path string `json:"path"`
				} `json:"file"`
			} `json:"git_metadata"`
		} `json:"finding"`
	}
	var all struct {
		Findings []finding `json:"findings"`
		Matches  []finding `json:"matches"`
		finding
	}
	if err := json.Unmarshal(doc, &all); err != nil {
		return nil, shape(err)
	}
	if all.Finding.Snippet != "" || all.Finding.Path != "" {
		all.Findings = append(all.Findings, all.finding)
	}
	for _, f := range append(all.Findings, all.Matches...) {
		out = append(out, Entry{Rule: firstOf(f.Rule.ID, f.Rule.Name), Values: []string{f.Finding.Snippet}, Context: assignment(f.Rule.Name, f.Finding.Snippet), Path: firstOf(f.Finding.Path, f.Finding.Git.File.Path), Line: f.Finding.Line, Column: f.Finding.Column + 1, Commit: f.Finding.Git.Commit.ID})
	}
	return out, nil
}

func detectSecrets(doc json.RawMessage) (out []Entry, err error) {
	var f struct {
		Results map[string][]struct {
			Type string `json:"type"`
			Hash string `json:"hashed_secret"`
			Line int    `json:"line_number"`
		} `json:"results"`
	}
	if err := json.Unmarshal(doc, &f); err != nil {
		return nil, shape(err)
	}
	for path, list := range f.Results {
		for _, x := range list {
			out = append(out, Entry{Rule: x.Type, SHA1: x.Hash, Path: path, Line: x.Line})
		}
	}
	return out, nil
}

func ggshield(doc json.RawMessage) ([]Entry, error) {
	type occurrence struct {
		Match string `json:"match"`
		Type  string `json:"type"`
		Line  int    `json:"line_start"`
		Index int    `json:"index_start"`
	}
	type entity struct {
		Filename  string `json:"filename"`
		Incidents []struct {
			Type        string       `json:"type"`
			Detector    string       `json:"detector"`
			Occurrences []occurrence `json:"occurrences"`
		} `json:"incidents"`
	}
	type scan struct {
		ID       string   `json:"id"`
		Entities []entity `json:"entities_with_incidents"`
	}
	var all struct {
		Scans []scan `json:"scans"`
		scan
	}
	if err := json.Unmarshal(doc, &all); err != nil {
		return nil, shape(err)
	}
	var out []Entry
	for _, s := range append(all.Scans, all.scan) {
		for _, e := range s.Entities {
			for _, i := range e.Incidents {
				context, kind := "", firstOf(i.Type, i.Detector)
				service, _, _ := strings.Cut(kind, " ")
				for _, o := range i.Occurrences {
					part := o.Type
					if service == "AWS" && part == "client_secret" {
						part = "secret_access_key"
					}
					context += assignment(service+" "+part, o.Match)
				}
				for _, o := range i.Occurrences {
					out = append(out, Entry{Rule: kind, Values: []string{o.Match}, Context: context, Path: e.Filename, Line: o.Line, Column: o.Index + 1})
				}
			}
		}
	}
	return out, nil
}

func sarif(doc json.RawMessage) (out []Entry, err error) {
	var f struct {
		Runs []struct {
			Results []struct {
				RuleID       string            `json:"ruleId"`
				Fingerprints map[string]string `json:"partialFingerprints"`
				Locations    []struct {
					Physical struct {
						Artifact struct {
							URI string `json:"uri"`
						} `json:"artifactLocation"`
						Region struct {
							Line    int `json:"startLine"`
							Column  int `json:"startColumn"`
							Snippet struct {
								Text string `json:"text"`
							} `json:"snippet"`
						} `json:"region"`
					} `json:"physicalLocation"`
				} `json:"locations"`
			} `json:"results"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(doc, &f); err != nil {
		return nil, shape(err)
	}
	for _, r := range f.Runs {
		for _, x := range r.Results {
			for _, l := range x.Locations {
				g := l.Physical.Region
				e := Entry{Rule: x.RuleID, Path: l.Physical.Artifact.URI, Line: g.Line, Column: g.Column, Commit: x.Fingerprints["commitSha"]}
				if g.Snippet.Text != "" {
					e.Values, e.Context = []string{g.Snippet.Text}, g.Snippet.Text
				}
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// Redacted reports a value that its scanner masked: nothing can be asked about it.
func Redacted(v string) bool {
	return v == "" || strings.Contains(v, "REDACTED") || strings.Contains(v, "***") || strings.Contains(v, "…") || strings.HasSuffix(v, "...")
}

// IsJSON reports whether a report begins as JSON does.
func IsJSON(r *bufio.Reader) bool {
	for n := 1; n <= 64; n++ {
		b, err := r.Peek(n)
		if len(b) < n || err != nil {
			return false
		}
		switch c := b[n-1]; {
		case c == '{' || c == '[':
			return true
		case c != ' ' && c != '\n' && c != '\r' && c != '\t' && c != 0xef && c != 0xbb && c != 0xbf:
			return false
		}
	}
	return false
}
