package detect

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules/token"
)

//go:generate go run letters_gen.go

// evidence weighs a value as it is written and in one case: who wRiTeS so
// writes words.
func evidence(s string) float64 { return min(weigh(s), weigh(strings.ToLower(s))) }

// weigh is how far a value looks made by a machine's dice and not by a
// person, in bits: above zero is random, below is words. Letters are weighed by
// how they follow each other in words; short runs of letters and digits, one
// after another, are what nobody types.
func weigh(s string) float64 {
	var bits float64
	if hexadecimal(s) {
		bits = 4 // a person's names have other letters than six
	}
	for i := 0; i < len(s); {
		j := i + 1
		switch c := s[i]; {
		case isDigit(c):
			for j < len(s) && isDigit(s[j]) {
				j++
			}
			// Digits that count up or repeat were typed. A number stands at an end
			// of a name; between letters it is rarer.
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

// hexadecimal reports ten or more hex digits, figures and letters both.
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

// sameWord reports whether the letter at j goes on with the word that begins at
// i: Word, word and WORD are one word, aB and ABc are two.
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

// typed reports a run on the keyboard or in the alphabet: 1234, abcd, 9876, 0000.
func typed(s string) bool {
	if len(s) < 3 {
		return false
	}
	steps := map[int]int{}
	for i := 1; i < len(s); i++ {
		steps[int(s[i])-int(s[i-1])]++
	}
	for _, d := range []int{-1, 0, 1} {
		if steps[d]*3 >= (len(s)-1)*2 {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLower(c byte) bool  { return c >= 'a' && c <= 'z' }
func isUpper(c byte) bool  { return c >= 'A' && c <= 'Z' }
func isLetter(c byte) bool { return isLower(c | 0x20) }

var (
	notValueRE = regexp.MustCompile(`^(?:https?:|urn:|/|\./|\.\./|0x[0-9A-Fa-f]{1,16}$|arn:)|\$\(|\$\{|\{\{|%\(|%[sdv]\b|<|>|\(|\.{2,}$|…|^[0-9.,:/T+Z-]+$|\.(?:go|js|ts|py|rb|java|php|json|ya?ml|toml|html?|xml|txt|md|sh|png|svg|css|com|org|net|io|local)$`)
	// Words that only who makes an example writes.
	exampleRE = regexp.MustCompile(`(?i)example|sample|dummy|fake|mock|placeholder|change.?me|your[-_ ]|insert|todo|foobar|lorem|secret.?token|my.?token|test.?token|token.?test|deadbeef|abcdef|012345|123456789`)
	pieceRE   = regexp.MustCompile(`[A-Za-z0-9_-]+`)
)

// unguessable reports whether a value that only its name makes a secret is one:
// long enough, and not words, numbers, code, a path or what stands for a value.
func unguessable(s string) bool {
	if notValueRE.MatchString(s) || exampleRE.MatchString(s) {
		if s[0] != '{' {
			return false
		}
	}
	if s[0] == '{' { // an object: one of its strings must be it
		for _, p := range pieceRE.FindAllString(s, 16) {
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

// diced reports whether a value, or a part of it between separators, has enough
// evidence: an issuer may put words before what it rolled.
func diced(s string) bool {
	return evidence(s) >= enough(s) || slices.ContainsFunc(strings.FieldsFunc(s, func(r rune) bool { return r == '_' || r == '-' || r == '.' }),
		func(p string) bool { return len(p) >= minDiced && evidence(p) >= enough(p) })
}

// minDiced is the shortest part that counts by itself: an abbreviation is shorter.
const minDiced = 16

// enough is the evidence that is asked for: a long text of words has a chance of
// some by its abbreviations.
func enough(s string) float64 { return 4 + math.Max(0, float64(len(s)-16))/8 }
