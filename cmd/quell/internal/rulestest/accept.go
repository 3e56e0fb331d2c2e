// Package rulestest is the suite that every rules file passes: its examples
// are found, its look-alikes are not, its cases run against an issuer that
// gives their replies, and an issuer that accepts anything is noticed.
package rulestest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

// Accept runs the suite on one rules file and lists what is wrong with it.
func Accept(ctx context.Context, name string, text []byte) []string {
	own, err := rules.Load(name, text)
	if err != nil {
		return []string{err.Error()}
	}
	base, err := rules.Builtin()
	if err != nil {
		return []string{err.Error()}
	}
	all := base.Clone()
	if err := all.Merge(own); err != nil {
		return []string{err.Error()}
	}
	t := &suite{ctx: ctx, set: all, engine: detect.New(all), random: rand.NewChaCha8([32]byte([]byte("quell rules accept, fixed seed 01")[:32]))}
	for _, r := range own.Rules {
		t.rule = r
		t.natives()
		t.parts()
		t.examples()
		for _, c := range r.Cases {
			t.run(c)
		}
		t.everyRevocationHasACase()
		t.negativeControl()
	}
	return t.problems
}

type suite struct {
	ctx      context.Context
	set      *rules.Set
	engine   *detect.Engine
	random   *rand.ChaCha8
	rule     *rules.Rule
	problems []string
}

func (t *suite) fail(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf("%s:%d: rule %s: %s", t.rule.File, t.rule.Line, t.rule.ID, fmt.Sprintf(format, args...)))
}

func (t *suite) natives() {
	verifiers, enders := natives.New(natives.Config{}).Names()
	if p := t.rule.Probe; p != nil && p.Native != "" && !slices.Contains(verifiers, p.Native) {
		t.fail("no native probe %q", p.Native)
	}
	for _, v := range t.rule.Revokes {
		if v.Native != "" && !slices.Contains(enders, v.Native) {
			t.fail("no native revocation %q", v.Native)
		}
	}
}

func (t *suite) parts() {
	for name, p := range t.rule.Parts {
		if t.set.Rule(p.Rule) == nil {
			t.fail("part %s: no rule %q", name, p.Rule)
		}
	}
}

func (t *suite) detect(line string) []scanners.Match {
	b := []byte("before\n" + line + "\nafter\n")
	return slices.Collect(t.engine.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}))
}

func (t *suite) examples() {
	if len(t.rule.Examples) == 0 || len(t.rule.Lookalikes) == 0 {
		t.fail("needs examples and look-alikes")
	}
	for i, e := range t.rule.Examples {
		line, err := rules.Generate(e, t.random)
		if err != nil {
			t.fail("example %d: %v", i+1, err)
			continue
		}
		found := t.detect(line)
		own := slices.DeleteFunc(slices.Clone(found), func(m scanners.Match) bool { return m.Rule.ID != t.rule.ID })
		switch {
		case len(own) == 0 && slices.ContainsFunc(found, t.knowsBetter):
			continue
		case len(own) == 0:
			var other []string
			for _, m := range found {
				other = append(other, m.Rule.ID)
			}
			t.fail("example %d (%s) is not found; other rules: %v", i+1, e, other)
			continue
		}
		// A value that may go on in the next line is reported in both forms.
		if !slices.ContainsFunc(own, func(m scanners.Match) bool { return strings.Contains(line, m.Secret.Reveal()) }) {
			t.fail("example %d: the secret is not in the text", i+1)
		}
		for _, m := range own {
			if strings.Contains(line, m.Secret.Reveal()) && !t.rule.ValidChecksum(m.Secret.Reveal()) {
				t.fail("example %d: its check digits are wrong", i+1)
			}
		}
	}
	for i, l := range t.rule.Lookalikes {
		line, err := rules.Generate(l, t.random)
		if err != nil {
			t.fail("look-alike %d: %v", i+1, err)
			continue
		}
		for _, m := range t.detect(line) {
			if m.Rule.ID == t.rule.ID {
				t.fail("look-alike %d (%s) is found", i+1, l)
			}
		}
	}
}

// knowsBetter reports whether a match of another rule is reported instead of
// this rule's: one that is surer of it, or that knows more than a fallback does.
func (t *suite) knowsBetter(m scanners.Match) bool {
	return m.Confidence > t.rule.Confidence || t.rule.Fallback && m.Rule.Specific() >= t.rule.Specific()
}

// credential makes a credential of a rule from its first example.
func (t *suite) credential(r *rules.Rule) (rules.Credential, bool) {
	for _, e := range r.Examples {
		line, err := rules.Generate(e, t.random)
		if err != nil {
			continue
		}
		for _, m := range t.detect(line) {
			if m.Rule.ID == r.ID {
				return rules.Credential{Ref: rules.Ref{Fingerprint: fmt.Sprint(t.random.Uint64()), Rule: r.ID, Provider: r.Provider.ID, Kind: r.Kind, Cookie: m.Cookie}, Secret: m.Secret}, true
			}
		}
	}
	return rules.Credential{}, false
}

// whole is a credential with its parts.
func (t *suite) whole() (rules.Credential, bool) {
	c, ok := t.credential(t.rule)
	if !ok {
		return c, false
	}
	for name, p := range t.rule.Parts {
		r := t.set.Rule(p.Rule)
		if r == nil || r.Provider == nil {
			continue
		}
		part, ok := t.credential(r)
		if !ok {
			continue
		}
		if c.Parts == nil {
			c.Parts = map[string]rules.Secret{}
		}
		c.Parts[name] = part.Secret
	}
	return c, true
}

// everyRevocationHasACase asks for a case in which a revocation of requests is
// accepted, with the requests that it sends.
func (t *suite) everyRevocationHasACase() {
	for i, v := range t.rule.Revokes {
		if v.Native != "" {
			continue
		}
		found := false
		for _, c := range t.rule.Cases {
			if (c.Revoke == v.ID || c.Revoke == "" && i == 0) && slices.Contains(c.Want, "accepted") && len(c.Requests) > 0 {
				found = true
			}
		}
		if !found {
			t.fail("no case with requests has the revocation %q accepted", v.ID)
		}
	}
}
