// Package regex compiles expressions on first use. Most runs need few of those that quell
// contains, and compiling all of them takes longer than a small scan.
package regex

import (
	"regexp"
	"sync"
)

// Lazy returns a function that compiles expr when it is called first, and panics if expr is not
// valid.
func Lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
