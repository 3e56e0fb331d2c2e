package rules

import (
	"regexp"
	"regexp/syntax"
	"sync"
)

// Expression is a regular expression of Go's syntax that is compiled when it is
// first needed: most rules of a scan never meet their literals.
type Expression struct {
	text   string
	groups int
	re     func() *regexp.Regexp
}

// NewExpression checks the expression.
func NewExpression(text string) (*Expression, error) {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return &Expression{text, re.MaxCap(), sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}, nil
}

func (x *Expression) String() string { return x.text }

// Groups is the number of capturing groups.
func (x *Expression) Groups() int { return x.groups }

// Regexp compiles the expression, once.
func (x *Expression) Regexp() *regexp.Regexp { return x.re() }
