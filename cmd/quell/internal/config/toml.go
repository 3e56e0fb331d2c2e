package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ReadTOML reads a file of an operator's. An error names the line; that of an
// unknown key also names the key that was probably meant.
func ReadTOML(name string, b []byte, into any) error {
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var strict *toml.StrictMissingError
	var dec *toml.DecodeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		row, _ := strict.Errors[0].Position()
		key := strict.Errors[0].Key()
		hint := ""
		if meant := meantKey(reflect.TypeOf(into), key); meant != "" {
			hint = fmt.Sprintf(" (hint: did you mean %q?)", meant)
		}
		return fmt.Errorf("%s:%d: unknown key %q%s", name, row, strings.Join(key, "."), hint)
	case errors.As(err, &dec):
		row, _ := dec.Position()
		return fmt.Errorf("%s:%d: %s", name, row, plainType(dec))
	}
	return fmt.Errorf("%s: %w", name, err)
}

// wrongType matches the decoder's error about a value of another type than its key has.
var wrongType = regexp.MustCompile(`cannot decode TOML (\w+) into (?:a Go value|struct field \S+) of type (\S+)`)

// plainType is the decoder's message; about a value of the wrong type it is in the words
// of TOML, and with what the key takes.
func plainType(err *toml.DecodeError) string {
	s := strings.TrimPrefix(err.Error(), "toml: ")
	m := wrongType.FindStringSubmatch(s)
	if m == nil {
		return s
	}
	takes := map[string]string{"bool": "true or false, without quotes", "int": "a number, without quotes", "float64": "a number, without quotes", "string": "text in quotes", "[]string": "a list of texts in quotes"}[strings.TrimPrefix(m[2], "*")]
	if takes == "" {
		takes = "a value of another type; docs/policy.md has an example"
	}
	key := strings.Join(err.Key(), ".")
	if key == "" {
		key = "the key"
	}
	return fmt.Sprintf("%s is a %s (hint: it takes %s)", key, m[1], takes)
}

// meantKey is the key of t that an unknown one resembles, or one of another
// table with exactly its last name; empty if there is none.
func meantKey(t reflect.Type, key []string) string {
	all := FileKeys(t)
	parent, last := strings.Join(key[:len(key)-1], "."), key[len(key)-1]
	var near, elsewhere []string
	for _, k := range all {
		table, name := "", k
		if i := strings.LastIndexByte(k, '.'); i >= 0 {
			table, name = k[:i], k[i+1:]
		}
		if table == parent {
			near = append(near, name)
		} else if name == last {
			elsewhere = append(elsewhere, k)
		}
	}
	if m := Nearest(last, near); m != "" {
		return strings.TrimPrefix(parent+"."+m, ".")
	}
	if len(elsewhere) == 1 {
		return elsewhere[0]
	}
	return ""
}

// FileKeys lists the keys that a TOML file for t may have, tables and their members,
// in the order of their declaration: "kill", "kill.max". Names below a map are the
// operator's and are not listed.
func FileKeys(t reflect.Type) (out []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range fields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if name == "" || name == "-" {
			continue
		}
		out = append(out, name)
		for _, k := range FileKeys(f.Type) {
			out = append(out, name+"."+k)
		}
	}
	return out
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// Nearest is the name of the list that s was probably meant to be; empty if none is
// near enough: at most one edit for each three characters and one more, or one of the two
// begins the other.
func Nearest(s string, names []string) string {
	best, least := "", len(s)/3+1
	for _, n := range names {
		d := distance(s, n)
		switch {
		case len(s) >= 3 && strings.HasPrefix(n, s):
			d = min(d, 1)
		case len(n) >= 3 && strings.HasPrefix(s, n):
			d = min(d, 2)
		}
		if d <= least && (best == "" || d < least) {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of edits between two names: insertions, deletions,
// substitutions and exchanges of neighbours (optimal string alignment).
func distance(a, b string) int {
	var before []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		now := make([]int, len(b)+1)
		now[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			now[j+1] = min(prev[j]+cost, prev[j+1]+1, now[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				now[j+1] = min(now[j+1], before[j-1]+1)
			}
		}
		before, prev = prev, now
	}
	return prev[len(b)]
}
