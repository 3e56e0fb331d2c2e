package allow

import (
	"bufio"
	"bytes"
	"crypto/sha1" // the digest that detect-secrets keeps
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
)

// Place accepts one finding that another scanner's file lists: at a path, with the value
// if the file has it, else with the rule and the line.
type Place struct {
	Path   string
	Rule   string
	Line   int
	Commit string // empty: in every commit
	Secret rules.Secret
	SHA1   string // of the value, in hex
}

// accepts reports whether the entry is about a finding.
func (p Place) accepts(f rules.Finding) bool {
	if p.Path != report.Name(f.Location.Path) || p.Commit != "" && f.Location.Commit != "" && p.Commit != f.Location.Commit {
		return false
	}
	switch {
	case p.SHA1 != "":
		sum := sha1.Sum([]byte(f.Secret.Reveal()))
		return p.SHA1 == hex.EncodeToString(sum[:])
	case !p.Secret.IsZero():
		return p.Secret.Equal(f.Secret)
	}
	return p.Rule == f.Rule && p.Line == f.Location.Line
}

// ignored reads a .gitleaksignore: on each line a fingerprint, FILE:RULE:LINE or
// COMMIT:FILE:RULE:LINE (gitleaks, detect/utils.go). ok is false if the text has another form.
func ignored(b []byte) (out []Place, ok bool) {
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, MaxBytes)
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, ":")
		if len(parts) < 3 {
			return nil, false
		}
		n, err := strconv.Atoi(parts[len(parts)-1])
		if err != nil || n < 0 {
			return nil, false
		}
		p := Place{Rule: parts[len(parts)-2], Line: max(n, 1)}
		parts = parts[:len(parts)-2]
		if len(parts) > 1 && isCommit(parts[0]) {
			p.Commit, parts = parts[0], parts[1:]
		}
		// A file's name may contain colons.
		p.Path = path.Clean(strings.Join(parts, ":"))
		out = append(out, p)
	}
	return out, len(out) > 0 && sc.Err() == nil
}

func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// baseline reads a baseline in JSON: a report of gitleaks or betterleaks, or the file of
// detect-secrets, of which entries that an audit found to be secrets accept nothing.
func baseline(b []byte) (out []Place, err error) {
	if b[0] == '[' {
		var list []struct {
			RuleID, File, Commit, Secret string
			StartLine                    int
		}
		if err := json.Unmarshal(b, &list); err != nil {
			return nil, fmt.Errorf("no baseline of gitleaks: %w", shape(err))
		}
		for n, f := range list {
			if f.RuleID == "" || f.File == "" {
				return nil, fmt.Errorf("no baseline of gitleaks: entry %d has no RuleID or no File", n+1)
			}
			p := Place{Path: path.Clean(f.File), Rule: f.RuleID, Line: max(f.StartLine, 1), Commit: f.Commit}
			if f.Secret != "" && f.Secret != "REDACTED" && !strings.HasSuffix(f.Secret, "...") {
				p.Secret = rules.NewSecretString(f.Secret)
			}
			out = append(out, p)
		}
		return out, nil
	}
	var f struct {
		Results map[string][]struct {
			Hash     string `json:"hashed_secret"`
			IsSecret *bool  `json:"is_secret"`
		} `json:"results"`
	}
	if err := json.Unmarshal(b, &f); err != nil || f.Results == nil {
		return nil, fmt.Errorf("JSON, but no baseline of gitleaks, betterleaks or detect-secrets")
	}
	for name, list := range f.Results {
		for _, x := range list {
			if len(x.Hash) == 2*sha1.Size && (x.IsSecret == nil || !*x.IsSecret) {
				out = append(out, Place{Path: path.Clean(name), SHA1: x.Hash})
			}
		}
	}
	return out, nil
}

// shape is an error of encoding/json without the value that caused it.
func shape(err error) error {
	if t, ok := err.(*json.UnmarshalTypeError); ok {
		return fmt.Errorf("key %q is of another type", t.Field)
	}
	return fmt.Errorf("not JSON")
}

// foreign reads the file of another scanner. ok is false if the text has another form.
func foreign(b []byte) (list []Place, ok bool, err error) {
	b = bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	if len(b) > 0 && (b[0] == '{' || b[0] == '[' && json.Valid(b)) {
		list, err = baseline(b)
		return list, true, err
	}
	list, ok = ignored(b)
	return list, ok, nil
}

// Join returns a list that accepts what any of the lists accepts.
func Join(lists ...*List) *List {
	out := &List{Version: 1}
	for _, l := range lists {
		if l != nil {
			out.Finding, out.Gap, out.Places = append(out.Finding, l.Finding...), append(out.Gap, l.Gap...), append(out.Places, l.Places...)
		}
	}
	return out
}

// listed reports whether an entry of another scanner's file is about a finding.
func (l *List) listed(f rules.Finding) bool {
	return slices.ContainsFunc(l.Places, func(p Place) bool { return p.accepts(f) })
}
