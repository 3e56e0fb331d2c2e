package interp

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func matchJSON(want map[string]any, doc any) bool {
	for path, w := range want {
		got, ok := lookup(doc, path)
		if !ok {
			return false
		}
		if list, isList := w.([]any); isList {
			if !slices.ContainsFunc(list, func(e any) bool { return text(e) == text(got) }) {
				return false
			}
		} else if text(w) != text(got) {
			return false
		}
	}
	return true
}

// lookup follows a dotted path through objects and, by number, lists.
func lookup(doc any, path string) (any, bool) {
	for _, k := range strings.Split(path, ".") {
		switch d := doc.(type) {
		case map[string]any:
			v, ok := d[k]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			n, err := strconv.Atoi(k)
			if err != nil || n < 0 || n >= len(d) {
				return nil, false
			}
			doc = d[n]
		default:
			return nil, false
		}
	}
	return doc, true
}

// text writes a JSON value so that TOML's integers and JSON's numbers agree. A
// number keeps its digits.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		if n, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), "eE.") && n == float64(int64(n)) && n < 1<<53 && n > -1<<53 {
			return strconv.FormatInt(int64(n), 10)
		}
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		return ""
	}
	return fmt.Sprint(v)
}

// parseTime reads RFC 3339, the date forms of common headers, and seconds or
// milliseconds since 1970.
func parseTime(s string) *time.Time {
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700", time.RFC1123} {
		if t, err := time.Parse(layout, s); err == nil {
			t = t.UTC()
			return &t
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	var t time.Time
	switch {
	case err != nil:
		return nil
	case len(s) == 10:
		t = time.Unix(n, 0).UTC()
	case len(s) == 13:
		t = time.UnixMilli(n).UTC()
	default:
		return nil
	}
	return &t
}

// Rows collects the values of dotted paths from a JSON document, or from each
// element if the document is a list. Elements whose where is not equals are left
// out; an empty where keeps all.
func Rows(body []byte, where, equals string, paths ...string) [][]string {
	doc := decode(body)
	list, ok := doc.([]any)
	if !ok {
		list = []any{doc}
	}
	var out [][]string
	for _, e := range list {
		if where != "" {
			if got, ok := lookup(e, where); !ok || text(got) != equals {
				continue
			}
		}
		row := make([]string, len(paths))
		for i, p := range paths {
			if v, ok := lookup(e, p); ok && p != "" {
				row[i] = text(v)
			}
		}
		out = append(out, row)
	}
	return out
}
