package rules

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// tomlError adds the file and the line to a decoder's error. It drops the decoder's own text,
// which quotes the line and thus possibly a secret.
func tomlError(name string, text []byte, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := strict.Errors[0]
		row, _ := e.Position()
		return fmt.Errorf("%s:%d: unknown key %q", name, row, strings.Join(e.Key(), "."))
	}
	var dec *toml.DecodeError
	if errors.As(err, &dec) {
		row, _ := dec.Position()
		return fmt.Errorf("%s:%d: %s", name, row, strings.TrimPrefix(dec.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "toml: "))
}

// headerLines returns the line number of each of n [[table]] headers, in order.
func headerLines(text []byte, table string, n int) []int {
	if n == 0 {
		return nil
	}
	if lines := bareHeaders(text, table); len(lines) == n {
		return lines
	}
	var lines []int
	p := unstable.Parser{}
	p.Reset(text)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.ArrayTable {
			continue
		}
		var key []string
		off := -1
		for it := e.Key(); it.Next(); {
			n := it.Node()
			key = append(key, string(n.Data))
			if off < 0 {
				off = int(n.Raw.Offset)
			}
		}
		if strings.Join(key, ".") == table && off >= 0 {
			lines = append(lines, 1+bytes.Count(text[:off], []byte("\n")))
		}
	}
	return lines
}

// bareHeaders finds the headers that are alone on their lines, as in most files, unless a string
// has several lines: it may contain such a line.
func bareHeaders(text []byte, table string) []int {
	for _, quote := range []string{"'''", `"""`} {
		for rest := text; ; {
			_, in, begins := bytes.Cut(rest, []byte(quote))
			if !begins {
				break
			}
			k := bytes.Index(in, []byte(quote))
			if k < 0 || bytes.IndexByte(in[:k], '\n') >= 0 {
				return nil
			}
			rest = in[k+len(quote):]
		}
	}
	header := []byte("[[" + table + "]]")
	var lines []int
	at := 1
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if len(line) > 0 && line[0] == '[' && bytes.Equal(bytes.TrimRight(line, " \t\r"), header) {
			lines = append(lines, at)
		}
		at++
	}
	return lines
}
