package rules

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
)

// Expression is a regular expression in Go syntax that is compiled on first use: in most scans,
// the literals of most rules do not occur.
type Expression struct {
	text   string
	parsed func() parsedExpression
	re     func() *regexp.Regexp
}

// parsedExpression has the properties of an expression that parsing shows.
type parsedExpression struct {
	groups int
	names  []string
}

// NewExpression checks the syntax of the expression.
func NewExpression(text string) (*Expression, error) { return expression(text, false) }

// expression does not check the syntax of a trusted expression.
func expression(text string, trusted bool) (*Expression, error) {
	x := &Expression{
		text:   text,
		parsed: sync.OnceValue(func() parsedExpression { return parsedOf(syntax.Parse(text, syntax.Perl)) }),
		re:     sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) }),
	}
	if trusted {
		return x, nil
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	known := parsedOf(re, nil)
	x.parsed = func() parsedExpression { return known }
	return x, nil
}

func parsedOf(re *syntax.Regexp, err error) (p parsedExpression) {
	if err != nil {
		return p
	}
	p.groups = re.MaxCap()
	p.names = groupNames(re)
	return p
}

func (x *Expression) String() string { return x.text }

// Groups returns the number of capturing groups.
func (x *Expression) Groups() int { return x.parsed().groups }

// Names returns the names of the named groups.
func (x *Expression) Names() []string {
	if !namesGroups(x.text) {
		return nil
	}
	return x.parsed().names
}

// Regexp compiles the expression once.
func (x *Expression) Regexp() *regexp.Regexp { return x.re() }

// namesGroups reports whether an expression can have named groups.
func namesGroups(text string) bool {
	return strings.Contains(text, "(?P<") || strings.Contains(text, "(?<")
}

func groupNames(re *syntax.Regexp) []string {
	return slices.DeleteFunc(re.CapNames(), func(n string) bool { return n == "" })
}

// group returns the expression of capturing group n, anchored at both ends, or nil if there is
// no such group.
func (x *Expression) group(n int) *Expression {
	re, err := syntax.Parse(x.text, syntax.Perl)
	if err != nil {
		return nil
	}
	var find func(*syntax.Regexp) *syntax.Regexp
	find = func(re *syntax.Regexp) *syntax.Regexp {
		if re.Op == syntax.OpCapture && re.Cap == n {
			return re
		}
		for _, s := range re.Sub {
			if f := find(s); f != nil {
				return f
			}
		}
		return nil
	}
	f := find(re)
	if f == nil {
		return nil
	}
	out, err := NewExpression(`\A(?:` + f.String() + `)\z`)
	if err != nil {
		return nil
	}
	return out
}

// named returns the named groups of a match.
func named(re *regexp.Regexp, s string) map[string]string {
	m := re.FindStringSubmatch(s)
	if m == nil {
		return nil
	}
	out := map[string]string{}
	for i, n := range re.SubexpNames() {
		if n != "" && m[i] != "" {
			out[n] = m[i]
		}
	}
	return out
}

// Named returns the named groups of the rule's expression in a secret.
func (r *Rule) Named(secret string) map[string]string {
	if r.whole == nil {
		return nil
	}
	return named(r.whole.Regexp(), secret)
}

// Names returns the named groups inside the secret.
func (r *Rule) Names() []string {
	if r.whole == nil {
		return nil
	}
	return r.whole.Names()
}

// nameGroups prepares Named for rules whose expression has named groups. Groups outside of the
// secret are not part of it.
func (r *Rule) nameGroups() error {
	text := r.Regex
	if r.Cookie != nil {
		if !namesGroups(r.Cookie.Value) {
			return nil
		}
		value, err := NewExpression(`\A(?:` + r.Cookie.Value + `)\z`)
		if err != nil {
			return r.errorf("value: %v", err)
		}
		if len(value.Names()) > 0 {
			r.whole = value
		}
		return nil
	}
	if text == nil || len(text.Names()) == 0 {
		return nil
	}
	if r.whole = text.group(max(r.SecretGroup, 1)); r.whole == nil || len(r.whole.Names()) == 0 {
		r.whole = nil
		return nil
	}
	for _, n := range r.whole.Names() {
		if slices.Contains([]string{"last8", "sha256", "base64", "jwt"}, n) {
			return r.errorf("a group can't be called %q, which is a function", n)
		}
	}
	return nil
}
