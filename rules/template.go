package rules

import (
	"fmt"
	"slices"
	"strings"
)

// A template is text of a rules file with {variables}. "{{" and "}}" escape braces, as in {{
// viewer {{ id }} }} of a GraphQL query. Braces around quoted text, as in JSON, need no escape.

// piece is a part of a template: text, or the name of a variable.
type piece struct {
	text     string
	variable bool
}

// pieces splits a template.
func pieces(s string) []piece {
	var out []piece
	var text strings.Builder
	open := 0 // doubled braces that are still open
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "{{") && !strings.HasPrefix(s[i:], "{{{"), strings.HasPrefix(s[i:], "{{{") && open == 0:
			text.WriteByte('{')
			open++
			i += 2
		case strings.HasPrefix(s[i:], "}}") && open > 0:
			text.WriteByte('}')
			open--
			i += 2
		case s[i] == '{':
			n := strings.IndexAny(s[i+1:], "{}\"'\n")
			if n <= 0 || s[i+1+n] != '}' {
				text.WriteByte('{')
				i++
				continue
			}
			if text.Len() > 0 {
				out = append(out, piece{text: text.String()})
				text.Reset()
			}
			out = append(out, piece{s[i+1 : i+1+n], true})
			i += n + 2
		default:
			text.WriteByte(s[i])
			i++
		}
	}
	if text.Len() > 0 {
		out = append(out, piece{text: text.String()})
	}
	return out
}

// Vars lists the variables of a template.
func Vars(s string) []string {
	if !strings.Contains(s, "{") {
		return nil
	}
	var out []string
	for _, p := range pieces(s) {
		if p.variable {
			out = append(out, p.text)
		}
	}
	return out
}

// Expand replaces the variables of a template. ok is false if one is not set.
func Expand(s string, get func(string) (string, bool)) (out string, ok bool) {
	if !strings.ContainsAny(s, "{}") {
		return s, true
	}
	var b strings.Builder
	ok = true
	for _, p := range pieces(s) {
		if !p.variable {
			b.WriteString(p.text)
			continue
		}
		v, found := get(p.text)
		ok = ok && found
		b.WriteString(v)
	}
	return b.String(), ok
}

// nearest returns the candidate most similar to s, or "" if none is similar.
func nearest(s string, candidates []string) string {
	best, most := "", 2+len(s)/3
	slices.Sort(candidates)
	for _, c := range candidates {
		if d := distance(s, c); d < most {
			best, most = c, d
		}
	}
	return best
}

// hint returns nearest as the end of an error message.
func hint(s string, candidates []string) string {
	if n := nearest(s, candidates); n != "" {
		return fmt.Sprintf(" (hint: {%s})", n)
	}
	return ""
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
