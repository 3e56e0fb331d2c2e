package detect

import (
	"math"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules/regex"
	"github.com/quellhq/quell/rules/token"
)

//go:generate go run letters_gen.go

// evidence is the lower weight of a value as written and in lower case: mixed case within words
// is not randomness.
func evidence(s string) float64 { return min(weigh(s), weigh(strings.ToLower(s))) }

// weigh estimates, in bits, how much more likely a value is random than written by a person:
// above zero is random, below is words. Letters are weighed by how they follow each other in
// words. Short alternating runs of letters and digits count as random, because people don't
// type them.
func weigh(s string) float64 {
	var bits float64
	if hexadecimal(s) {
		bits = 4 // names that people choose use more letters than these six
	}
	for i := 0; i < len(s); {
		j := i + 1
		switch c := s[i]; {
		case isDigit(c):
			for j < len(s) && isDigit(s[j]) {
				j++
			}
			// Ascending or repeated digits were typed. A number is usual at the end of a name
			// and rarer between letters.
			if !typed(s[i:j]) {
				bits += 0.5 + min(3, 0.25*float64(j-i))
				if i > 0 && isLetter(s[i-1]) && j < len(s) && isLetter(s[j]) {
					bits++
					if j-i >= 4 {
						bits++
					}
				}
			}
		case isLetter(c):
			for j < len(s) && isLetter(s[j]) && sameWord(s, i, j) {
				j++
			}
			bits += letters(s[i:j])
		}
		i = j
	}
	return bits
}

// hexadecimal reports ten or more hex digits with both figures and letters.
func hexadecimal(s string) bool {
	figures, letters := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			figures++
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			letters++
		default:
			return false
		}
	}
	return len(s) >= 10 && figures > 0 && letters > 0
}

// sameWord reports whether the letter at j continues the word that begins at i: Word, word and
// WORD are one word, aB and ABc are two.
func sameWord(s string, i, j int) bool {
	if isUpper(s[j]) {
		return isUpper(s[j-1]) && (j+1 == len(s) || !isLower(s[j+1]))
	}
	return isLower(s[j-1]) || j == i+1
}

func letters(w string) float64 {
	if len(w) < 3 {
		return 1.5
	}
	var bits float64
	low := strings.ToLower(w)
	for i := 1; i < len(low); i++ {
		bits -= (float64(follows[int(low[i-1]-'a')*26+int(low[i]-'a')]) - 'Q') / 4
	}
	if typed(low) {
		return min(bits, 0)
	}
	return bits
}

// typed reports a sequence of the keyboard or the alphabet: 1234, abcd, 9876, 0000.
func typed(s string) bool {
	if len(s) < 3 {
		return false
	}
	var steps [3]int // of -1, 0 and 1
	for i := 1; i < len(s); i++ {
		if d := int(s[i]) - int(s[i-1]) + 1; d >= 0 && d <= 2 {
			steps[d]++
		}
	}
	return max(steps[0], steps[1], steps[2])*3 >= (len(s)-1)*2
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLower(c byte) bool  { return c >= 'a' && c <= 'z' }
func isUpper(c byte) bool  { return c >= 'A' && c <= 'Z' }
func isLetter(c byte) bool { return isLower(c | 0x20) }

var (
	notValueRE = newTest(`^(?:https?:|urn:|/|\./|\.\./|0x[0-9A-Fa-f]{1,16}$|arn:)|\$\(|\$\{|\{\{|%\(|%[sdv]\b|<|>|\(|\.{2,}$|…|^[0-9.,:/T+Z-]+$|^[0-9]+e[0-9]+$|^0x[0-9A-Fa-f]+\.\.|\.(?:go|js|ts|py|rb|java|php|json|ya?ml|toml|html?|xml|txt|md|sh|png|svg|css|com|org|net|io|local)$`)
	// Words that occur only in examples.
	exampleRE = newTest(`(?i)example|sample|dummy|fake|mock|placeholder|change.?me|your[-_ ]|insert|todo|foobar|lorem|secret.?token|my.?token|test.?token|token.?test|deadbeef|abcdef|012345|123456789`)
	pieceRE   = regex.Lazy(`[A-Za-z0-9_-]+`)
)

// unguessable reports whether a value that only its name makes a secret is one: long enough,
// and not words, numbers, code, a path or a placeholder.
func unguessable(s string) bool {
	if notValueRE.MatchString(s) || exampleRE.MatchString(s) {
		if s[0] != '{' {
			return false
		}
	}
	if s[0] == '{' { // an object: one of its strings must be the secret
		for _, p := range pieceRE().FindAllString(s, 16) {
			if len(p) >= 16 && !exampleRE.MatchString(p) && diced(p) {
				return true
			}
		}
		return false
	}
	if len(s)%4 == 0 || len(s) > 20 {
		if b := token.Unbase64(s); len(b) >= 8 && printable([]byte(b)) {
			return diced(b)
		}
	}
	return diced(s)
}

// diced reports whether a value, or a part of it between separators, has enough evidence of
// randomness: an issuer may put words before the random part.
func diced(s string) bool {
	return evidence(s) >= enough(s) || slices.ContainsFunc(strings.FieldsFunc(s, func(r rune) bool { return r == '_' || r == '-' || r == '.' }),
		func(p string) bool { return len(p) >= minDiced && evidence(p) >= enough(p) })
}

// minDiced is the shortest part that counts alone: abbreviations are shorter.
const minDiced = 16

// enough is the required evidence: abbreviations in a long text of words add some by chance.
func enough(s string) float64 { return 4 + math.Max(0, float64(len(s)-16))/8 }
