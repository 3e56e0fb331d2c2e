package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A condition is about the value at a dotted path of a JSON document, or about
// a header. It is a value that equals, a list of which one equals, or a table
// with one of
//
//	present = true   something is there that is not null
//	absent = true    nothing is there, or null
//	prefix = "text"  a text that begins so; a list: one of them
//	suffix = "text"  a text that ends so; a list: one of them
//	has = "value"    a list with such an element
//
// A path's * goes through the elements of a list; the condition holds if it
// holds for one of them (absent: for all).

// operators of a condition, by name.
var operators = []string{"present", "absent", "prefix", "suffix", "has"}

// checkConditions reports what is wrong with conditions.
func checkConditions(conditions map[string]any) error {
	for _, path := range slices.Sorted(maps.Keys(conditions)) {
		if path == "" || strings.HasPrefix(path, ".") || strings.HasSuffix(path, ".") || strings.Contains(path, "..") {
			return fmt.Errorf("%q is not a path", path)
		}
		switch v := conditions[path].(type) {
		case map[string]any:
			if err := checkOperator(v); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		case []any:
			if len(v) == 0 || slices.ContainsFunc(v, func(e any) bool { return !scalar(e) }) {
				return fmt.Errorf("%s: the list has to have values", path)
			}
		default:
			if !scalar(v) {
				return fmt.Errorf("%s: %v is not a value", path, v)
			}
		}
	}
	return nil
}

func checkOperator(t map[string]any) error {
	if len(t) != 1 {
		return fmt.Errorf("a condition has one of %s", strings.Join(operators, ", "))
	}
	for name, v := range t {
		switch name {
		case "present", "absent":
			if v != true {
				return fmt.Errorf("%s can only be true", name)
			}
		case "prefix", "suffix":
			list, isList := v.([]any)
			if !isList {
				list = []any{v}
			}
			for _, e := range list {
				if s, ok := e.(string); !ok || s == "" {
					return fmt.Errorf("%s needs text", name)
				}
			}
			if len(list) == 0 {
				return fmt.Errorf("%s needs text", name)
			}
		case "has":
			if !scalar(v) {
				return fmt.Errorf("has needs a value")
			}
		default:
			return fmt.Errorf("unknown condition %q%s", name, meant(name, slices.Clone(operators)))
		}
	}
	return nil
}

func scalar(v any) bool {
	switch v.(type) {
	case string, bool, int64, float64:
		return true
	}
	return false
}
