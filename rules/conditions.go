package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A condition checks a header, or the value at a dotted path of a JSON document. It is a value
// that must be equal, a list of values of which one must be equal, or a table with one of
//
//	present = true   the value exists and is not null
//	absent = true    the value does not exist or is null
//	prefix = "text"  the value begins with the text; a list: with one of them
//	suffix = "text"  the value ends with the text; a list: with one of them
//	contains = "text" the value has the text; a list: one of them
//	has = "value"    the value is a list with this element
//
// A * in a path means every element of a list. The condition holds if it holds for one of
// them (absent: for all).

// operators lists the keys of such a table.
var operators = []string{"present", "absent", "prefix", "suffix", "contains", "has"}

// checkConditions returns an error for invalid conditions.
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
		case "prefix", "suffix", "contains":
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
