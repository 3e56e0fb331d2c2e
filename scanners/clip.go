package scanners

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clip shortens a title or a message to at most n bytes. It cuts at white space only: part of a
// secret would not be recognised as one, so a secret that crosses the limit must be dropped
// whole.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	if next, _ := utf8.DecodeRuneInString(s[n:]); !unicode.IsSpace(next) {
		n = strings.LastIndexFunc(s[:n], unicode.IsSpace) + 1
	}
	return strings.TrimRightFunc(s[:n], unicode.IsSpace) + "…"
}
