package interp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decode reads a JSON document. Numbers keep their digits.
func decode(b []byte) any {
	var doc any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&doc) != nil {
		return nil
	}
	return doc
}

// matchJSON reports whether all conditions hold for a document; see
// rules.Arm.
func matchJSON(want map[string]any, doc any) bool {
	for path, w := range want {
		if !holdsFor(w, all(doc, path)) {
			return false
		}
	}
	return true
}

// MatchJSON is matchJSON for the text of a document.
func MatchJSON(want map[string]any, body []byte) bool { return matchJSON(want, decode(body)) }

// matchHeader reports whether all conditions hold for a header.
func matchHeader(want map[string]any, h http.Header) bool {
	for name, w := range want {
		var values []any
		for _, v := range h.Values(name) {
			values = append(values, v)
		}
		if !holdsFor(w, values) {
			return false
		}
	}
	return true
}

// holdsFor reports whether a condition holds for one of the values.
func holdsFor(want any, values []any) bool {
	switch w := want.(type) {
	case []any:
		return slices.ContainsFunc(values, func(v any) bool {
			return slices.ContainsFunc(w, func(e any) bool { return equal(e, v) })
		})
	case map[string]any:
		switch {
		case w["absent"] != nil:
			return !slices.ContainsFunc(values, func(v any) bool { return v != nil })
		case w["present"] != nil:
			return slices.ContainsFunc(values, func(v any) bool { return v != nil })
		case w["has"] != nil:
			return slices.ContainsFunc(values, func(v any) bool {
				list, ok := v.([]any)
				return ok && slices.ContainsFunc(list, func(e any) bool { return equal(w["has"], e) })
			})
		case w["prefix"] != nil:
			return slices.ContainsFunc(values, func(v any) bool { return affix(w["prefix"], v, strings.HasPrefix) })
		case w["suffix"] != nil:
			return slices.ContainsFunc(values, func(v any) bool { return affix(w["suffix"], v, strings.HasSuffix) })
		case w["contains"] != nil:
			return slices.ContainsFunc(values, func(v any) bool { return affix(w["contains"], v, strings.Contains) })
		}
		return false
	}
	return slices.ContainsFunc(values, func(v any) bool { return equal(want, v) })
}

func affix(want, v any, has func(s, affix string) bool) bool {
	list, ok := want.([]any)
	if !ok {
		list = []any{want}
	}
	s, ok := v.(string)
	return ok && slices.ContainsFunc(list, func(w any) bool { return has(s, text(w)) })
}

// equal compares a value of TOML with one of JSON. A list or an object equals
// nothing.
func equal(want, got any) bool {
	switch got.(type) {
	case nil, []any, map[string]any:
		return false
	}
	return text(want) == text(got)
}

// all lists the values at a dotted path; * goes through the elements of a
// list.
func all(doc any, path string) []any {
	at := []any{doc}
	for _, k := range strings.Split(path, ".") {
		var next []any
		for _, d := range at {
			switch d := d.(type) {
			case map[string]any:
				if v, ok := d[k]; ok {
					next = append(next, v)
				}
			case []any:
				if k == "*" {
					next = append(next, d...)
				} else if n, err := strconv.Atoi(k); err == nil && n >= 0 && n < len(d) {
					next = append(next, d[n])
				}
			}
		}
		at = next
	}
	return at
}

// lookup returns the one value at a dotted path.
func lookup(doc any, path string) (any, bool) {
	v := all(doc, path)
	if len(v) != 1 {
		return nil, false
	}
	return v[0], true
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

// timeLayouts are the forms of RFC 3339 and of ISO 8601 that issuers write,
// and the date forms of common headers. A time without a zone is in UTC.
var timeLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", time.DateTime, time.DateOnly,
	"2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700", time.RFC1123, time.RFC1123Z,
}

// parseTime reads those, and seconds, milliseconds or microseconds since 1970.
func parseTime(s string) *time.Time {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			t = t.UTC()
			return &t
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if strings.Trim(fraction, "0123456789") != "" {
		return nil
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	var t time.Time
	switch {
	case err != nil:
		return nil
	case len(whole) == 9 || len(whole) == 10:
		t = time.Unix(n, 0).UTC()
	case len(whole) == 13:
		t = time.UnixMilli(n).UTC()
	case len(whole) == 16:
		t = time.UnixMicro(n).UTC()
	default:
		return nil
	}
	return &t
}
