package revokers

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
)

// literal matches the values in a script: strings, numbers and comments. A
// regular expression that has quotes is cut at odd places, which are the same
// in each copy of the page.
var literal = regexp.MustCompile("\"(?:[^\"\\\\\n]|\\\\.)*\"|'(?:[^'\\\\\n]|\\\\.)*'|`(?:[^`\\\\]|\\\\.)*`|//[^\n]*|(?s:/\\*.*?\\*/)|\\b[0-9][0-9A-Za-z_.]*")

// opaque is a value that is one word: a nonce, a code, an address.
var opaque = regexp.MustCompile(`^["'` + "`" + `]?[A-Za-z0-9_+/=.:~-]*["'` + "`" + `]?$`)

// maxLiterals bounds the values of one script; the rest of a longer one counts
// as its code.
const maxLiterals = 2000

// addScript adds a script that is no document: its code, and each value by its
// place in it. A value that differs from request to request, such as a nonce, is
// then left out and the others are compared; see Noisy.
func addScript(text string, add func(name, spelt string)) {
	at := literal.FindAllStringIndex(text, maxLiterals)
	var code strings.Builder
	last := 0
	for _, m := range at {
		code.WriteString(strings.Join(strings.Fields(text[last:m[0]]), " ") + mask)
		last = m[1]
	}
	code.WriteString(strings.Join(strings.Fields(text[last:]), " "))
	if code.Len() == 0 {
		return
	}
	sum := sha256.Sum256([]byte(code.String()))
	name := "script " + hex.EncodeToString(sum[:8])
	add(name, "")
	for i, m := range at {
		v := text[m[0]:m[1]]
		place := name + " " + strconv.Itoa(i)
		if !opaque.MatchString(v) {
			// A text or a document within a string: what differs is a part of it.
			place += " " + plainBlock(v)
		}
		add(place, v)
	}
}
