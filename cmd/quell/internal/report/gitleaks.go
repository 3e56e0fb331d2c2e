package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/quellhq/quell/rules"
)

var gitleaksFormat = Format{Name: "gitleaks", New: func(o Options) Sink { return &gitleaks{w: o.W, found: map[string]bool{}} }, NoGaps: true}

// gitleaks writes the JSON report of gitleaks v8: a list of findings, with its names of the
// fields (https://github.com/gitleaks/gitleaks, report/finding.go). It has no place for
// verdicts, outcomes and what was not read. A credential without a finding, as those of
// quell recheck, has an entry for each place.
type gitleaks struct {
	w     *bufio.Writer
	n     int
	found map[string]bool // fingerprints with an entry
}

// gitleaksFinding is an entry. Columns count bytes from 1, EndColumn is the last byte.
type gitleaksFinding struct {
	RuleID      string
	Description string
	StartLine   int
	EndLine     int
	StartColumn int
	EndColumn   int
	Match       string
	Secret      string
	File        string
	SymlinkFile string
	Commit      string
	Entropy     float32
	Author      string
	Email       string
	Date        string
	Message     string
	Tags        []string
	Fingerprint string // "COMMIT:FILE:RULE:LINE", as a .gitleaksignore has it
}

func (g *gitleaks) Emit(e Event) error {
	switch e := e.(type) {
	case Finding:
		if e.Partial {
			e.Secret = "" // a reader would take it for the whole value
		}
		return g.entry(e.Ref, e.Description, e.Secret, e.Location)
	case Credential:
		if g.found[e.Fingerprint] {
			return nil
		}
		for _, l := range e.Locations {
			if err := g.entry(e.Ref, "", e.Secret, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *gitleaks) entry(ref rules.Ref, description, secret string, l rules.Location) error {
	g.found[ref.Fingerprint] = true
	author, email, _ := strings.Cut(strings.TrimSuffix(l.Notes["author"], ">"), " <")
	f := gitleaksFinding{
		RuleID: ref.Rule, Description: description, Secret: cmp.Or(secret, ref.Redacted),
		StartLine: l.Line, EndLine: l.EndLine, StartColumn: l.Column, EndColumn: max(l.EndColumn-1, 0),
		File: cmp.Or(l.Path, l.Artifact), Commit: l.Commit, Entropy: entropy(secret),
		Author: author, Email: email, Date: l.Notes["date"], Message: l.Notes["subject"], Tags: []string{},
	}
	// The text around a secret is not kept. A cookie is none without its name.
	if f.Match = f.Secret; ref.Cookie != "" {
		f.Match = "Cookie: " + ref.Cookie + "=" + f.Secret
	}
	if f.Fingerprint = fmt.Sprintf("%s:%s:%d", f.File, f.RuleID, f.StartLine); f.Commit != "" {
		f.Fingerprint = f.Commit + ":" + f.Fingerprint
	}
	before := ",\n "
	if g.n++; g.n == 1 {
		before = "[\n "
	}
	_, _ = g.w.WriteString(before)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent(" ", " ")
	if err := enc.Encode(f); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := g.w.Write(bytes.TrimSpace(b.Bytes()))
	return err
}

func (g *gitleaks) Close() error {
	end := "\n]\n"
	if g.n == 0 {
		end = "[]\n"
	}
	_, _ = g.w.WriteString(end)
	return g.w.Flush()
}

// entropy is Shannon's, in bits a byte; 0 for a value that is not shown.
func entropy(secret string) float32 {
	var count [256]float64
	for i := range len(secret) {
		count[secret[i]]++
	}
	h := 0.0
	for _, n := range count {
		if n > 0 {
			p := n / float64(len(secret))
			h -= p * math.Log2(p)
		}
	}
	return float32(h)
}
