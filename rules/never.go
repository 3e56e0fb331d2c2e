package rules

import (
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

var (
	escapeRE = regex.Lazy(`%[0-9A-Fa-f]{2}`)
	uuidFix  = regex.Lazy(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-([0-9a-fA-F])[0-9a-fA-F]{3}-([0-9a-fA-F])[0-9a-fA-F]{3}-[0-9a-fA-F]{12}`)
)

// fixedBytes are those that a value of the form can't have otherwise: a percent
// escape, and the version and variant of a UUID (RFC 9562, 4). What is malformed
// is refused in other words than what was never issued.
func fixedBytes(s []byte) []bool {
	out := make([]bool, len(s))
	for _, m := range escapeRE().FindAllIndex(s, -1) {
		for i := m[0]; i < m[1]; i++ {
			out[i] = true
		}
	}
	for _, m := range uuidFix().FindAllSubmatchIndex(s, -1) {
		out[m[2]], out[m[4]] = true, true
	}
	return out
}

// hexAt reports whether the run of letters and digits around i has hex digits
// alone, of one case, and enough of them that this is no accident. A percent
// escape ends the run.
func hexAt(s []byte, i int) bool {
	alnum := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	a, b := i, i
	for a > 0 && alnum(s[a-1]) {
		a--
	}
	for b < len(s) && alnum(s[b]) {
		b++
	}
	if a > 0 && s[a-1] == '%' {
		a = min(a+2, b)
	}
	// Four are enough between the hyphens of a UUID.
	least := 12
	if a > 0 && s[a-1] == '-' || b < len(s) && s[b] == '-' {
		least = 4
	}
	return b-a >= least && (strings.Trim(string(s[a:b]), "0123456789abcdef") == "" || strings.Trim(string(s[a:b]), "0123456789ABCDEF") == "")
}
