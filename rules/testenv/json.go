package testenv

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Rewrite is a JSON value as another program could write it again: with its keys sorted, or
// in reverse order, and indented unless indent is empty.
func Rewrite(t *testing.T, text string, reversed bool, indent string) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	write(&b, v, reversed)
	if indent == "" {
		return b.String()
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", indent); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func write(b *bytes.Buffer, v any, reversed bool) {
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		if reversed {
			slices.Reverse(keys)
		}
		for i, k := range keys {
			b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
			write(b, k, reversed)
			b.WriteByte(':')
			write(b, v[k], reversed)
		}
		if len(v) == 0 {
			b.WriteByte('{')
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, x, reversed)
		}
		b.WriteByte(']')
	default:
		x, err := json.Marshal(v)
		if err != nil {
			panic(err) // a value of JSON is one
		}
		b.Write(x)
	}
}
