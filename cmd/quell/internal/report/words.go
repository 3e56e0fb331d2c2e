package report

import (
	"slices"
	"strconv"
	"strings"
)

// Number writes n with a comma between each three digits.
func Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Count is a number of things, the noun in the plural where it has to be:
// "1 artifact", "1,207 artifacts", "2 addresses".
func Count(n int64, noun string) string { return Number(n) + " " + Plural(n, noun) }

// Plural is the noun in the form that n of it needs.
func Plural(n int64, noun string) string {
	switch {
	case n == 1:
		return noun
	case strings.HasSuffix(noun, "s"), strings.HasSuffix(noun, "x"), strings.HasSuffix(noun, "ch"):
		return noun + "es"
	case strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "ey"):
		return noun[:len(noun)-1] + "ies"
	}
	return noun + "s"
}

// ShortIDs returns a function that cuts an id of the list to the shortest prefix, of
// at least eight characters, that no other id of the list has.
func ShortIDs(ids []string) func(string) string {
	sorted := slices.Compact(slices.Sorted(slices.Values(ids)))
	n := 8
	for i := 1; i < len(sorted); i++ {
		a, b := sorted[i-1], sorted[i]
		same := 0
		for same < len(a) && same < len(b) && a[same] == b[same] {
			same++
		}
		n = max(n, same+1)
	}
	return func(id string) string { return id[:min(n, len(id))] }
}
