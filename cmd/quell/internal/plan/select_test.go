package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	p := &Plan{}
	for _, f := range []string{"1234aaaa", "00021111", "abcd0001", "abcd0002"} {
		var it Item
		it.Fingerprint = f
		p.Items = append(p.Items, it)
	}
	for _, c := range []struct {
		name  string
		names []string
		want  []int
		err   string
	}{
		{"no name selects nothing", nil, nil, ""},
		{"numbers count from one", []string{"1", "3"}, []int{0, 2}, ""},
		{"a prefix of a fingerprint", []string{"abcd0002"}, []int{3}, ""},
		{"the case of digits does not matter", []string{" ABCD0001 "}, []int{2}, ""},
		{"digits that are no number of an item are a prefix", []string{"1234"}, []int{0}, ""},
		{"zeros before a number do not make it a prefix", []string{"0002"}, []int{1}, ""},
		{"an item that is named twice", []string{"1", "1234aaaa"}, []int{0}, ""},
		{"zero is no item", []string{"0"}, nil, "is no item"},
		{"a number beyond the plan", []string{"5"}, nil, "from 1 to 4"},
		{"a negative number", []string{"-1"}, nil, "is no item"},
		{"a prefix of two items", []string{"abcd"}, nil, "several items"},
		{"a prefix that is too short", []string{"abc"}, nil, "at least 4 digits"},
		{"an empty name", []string{""}, nil, "is no item"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := p.Select(c.names)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v and %v", got, err)
				}
				return
			}
			if err != nil || !slices.Equal(slices.Sorted(maps.Keys(got)), c.want) {
				t.Errorf("got %v and %v, want %v", got, err, c.want)
			}
		})
	}
}
