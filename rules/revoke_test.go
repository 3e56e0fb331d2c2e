package rules

import (
	"slices"
	"testing"
)

func TestRevocationsByAName(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range set.Rules {
		for _, v := range r.Revokes {
			if v.ByName() {
				got = append(got, r.ID+" "+v.ID)
			}
		}
	}
	if want := []string{"harbor-robot-secret delete-robot"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
