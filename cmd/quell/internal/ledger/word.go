package ledger

import (
	"regexp"
	"strings"
)

// Word is a machine-readable value. It is written as an identifier with
// underscores; the spelling with spaces of earlier releases is read too.
type Word string

// earlier maps values that earlier releases wrote to today's, where replacing
// the spaces is not enough.
var earlier = map[string]Word{
	"delete the run's logs": "delete_logs",
}

// NewWord returns the identifier for s.
func NewWord(s string) Word {
	if w, ok := earlier[s]; ok {
		return w
	}
	return Word(strings.ReplaceAll(s, " ", "_"))
}

// MarshalText writes the identifier.
func (w Word) MarshalText() ([]byte, error) { return []byte(NewWord(string(w))), nil }

// UnmarshalText reads either spelling.
func (w *Word) UnmarshalText(b []byte) error {
	*w = NewWord(string(b))
	return nil
}

// spaced matches a reason or a control of several words in compact JSON. A quote
// inside a JSON string is escaped, so that no text can match.
var spaced = regexp.MustCompile(`"(?:reason|control)":"[A-Za-z]+(?: [A-Za-z]+)+"`)

// words rewrites reasons and controls in JSON whose types belong to package
// revokers.
func words(compact []byte) []byte {
	return spaced.ReplaceAllFunc(compact, func(m []byte) []byte {
		name, value, _ := strings.Cut(string(m), `":"`)
		return []byte(name + `":"` + string(NewWord(strings.TrimSuffix(value, `"`))) + `"`)
	})
}
