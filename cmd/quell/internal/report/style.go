package report

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Conventions of the text report. Live credentials come first, then suspect ones: high
// confidence and not known to be dead. The others are listed if they are few, else summed up
// by kind; --show lists all of them. The first word of a result is its state, the second a
// short id that quell ledger and --only accept. Lines are wrapped only on a terminal, so that
// other programs read one fact per line; a word longer than a line is never broken, so that it
// can be copied. Colour carries no information of its own.

// Style is how text looks. The zero value is for a file.
type Style struct {
	Width int  // columns of the terminal; 0: lines are not wrapped
	Color bool // use ANSI colours
	Show  Show
}

// Show is what text lists one by one instead of summing it up.
type Show struct {
	Live       bool // nothing but live credentials
	Suspect    bool // every suspect one, and none of the rest
	All        bool // every credential and every item
	Incomplete bool // everything that was not read
}

// ParseShow reads the values of --show.
func ParseShow(values []string) (s Show, err error) {
	for _, v := range values {
		switch v {
		case "live":
			s.Live = true
		case "suspect":
			s.Suspect = true
		case "all":
			s.All = true
		case "incomplete":
			s.Incomplete = true
		default:
			return s, fmt.Errorf("--show %q is not live, suspect, all or incomplete", v)
		}
	}
	return s, nil
}

// colour names ANSI colours (ECMA-48, SGR).
type colour string

const (
	plain  colour = ""
	red    colour = "1;31"
	yellow colour = "33"
	green  colour = "32"
	bold   colour = "1"
)

// paint colours a word that holds no control character.
func (s Style) paint(c colour, word string) string {
	if !s.Color || c == plain {
		return word
	}
	return "\x1b[" + string(c) + "m" + word + "\x1b[0m"
}

// wrap breaks a text at spaces so that no line is wider than Width, unless a single
// word is. The first line begins at column start, the others are indented.
func (s Style) wrap(start, indent int, text string) string {
	if s.Width <= 0 || start+runewidth.StringWidth(text) <= s.Width {
		return text
	}
	indent = min(indent, s.Width/3)
	var b []byte
	at := start
	for i, word := range strings.Split(text, " ") {
		w := runewidth.StringWidth(word)
		switch {
		case i == 0:
		case at+1+w <= s.Width || at < indent+label:
			b = append(b, ' ')
			at++
		default:
			b = append(bytes.TrimRight(b, " "), "\n"+strings.Repeat(" ", indent)...)
			at = indent
		}
		b = append(b, word...)
		at += w
	}
	return string(b)
}

// Wrap breaks a text as wrap does, for lines that are not part of a stream.
func (s Style) Wrap(start, indent int, text string) string { return s.wrap(start, indent, text) }

// label is the width of a word that stays with the next one, however long that is.
const label = 4

// cut shortens a list to the first n parts and counts the rest.
func cut(parts []string, n int, noun string) string {
	if len(parts) > n+1 {
		parts = append(parts[:n:n], fmt.Sprintf("%s more", Count(int64(len(parts)-n), noun)))
	}
	return strings.Join(parts, ", ")
}
