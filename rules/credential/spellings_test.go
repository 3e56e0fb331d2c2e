package credential

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"testing"
	"testing/quick"
)

func spellings(s string) []string {
	var out []string
	for _, f := range NewSecretString(s).Spellings() {
		out = append(out, f.Reveal())
	}
	return out
}

// Each way in which a value is written down leads to the value and back.
func TestSpellingsGoBothWays(t *testing.T) {
	value := "s:9f+Kd/Qm=Zv2|" + "made~up"
	for name, form := range map[string]string{
		"of a query":         url.QueryEscape(value),
		"of a path":          url.PathEscape(value),
		"base64":             base64.StdEncoding.EncodeToString([]byte(value)),
		"base64, no padding": base64.RawStdEncoding.EncodeToString([]byte(value)),
		"base64 of URLs":     base64.URLEncoding.EncodeToString([]byte(value)),
		"hex":                hex.EncodeToString([]byte(value)),
	} {
		if !slices.Contains(spellings(value), form) {
			t.Errorf("%s: the value does not lead to its form", name)
		}
		if !slices.Contains(spellings(form), value) {
			t.Errorf("%s: the form does not lead to the value", name)
		}
	}
	if !slices.Contains(spellings(`"`+value+`"`), value) {
		t.Error("quotes are part of the value")
	}
	if !slices.Contains(spellings("c2VjcmV0"), "c2VjcmV0=") || !slices.Contains(spellings("c2VjcmV0=="), "c2VjcmV0") {
		t.Error("padding distinguishes values")
	}
}

// A value is none of its own spellings, and no spelling is empty or given twice.
func TestSpellingsAreOthers(t *testing.T) {
	if len(spellings("")) > 3 {
		t.Error("an empty value has spellings")
	}
	err := quick.Check(func(s string) bool {
		list := spellings(s)
		return !slices.Contains(list, s) && !slices.Contains(list, "") && len(slices.Compact(slices.Sorted(slices.Values(list)))) == len(list)
	}, nil)
	if err != nil {
		t.Error(err)
	}
}
