package cli

import (
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/rules"
)

// quell providers ID prints an example that is a valid policy.
func TestExamplesOfInstancesAreValid(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for id, p := range set.Providers {
		text := exampleInstance(p, describeProvider(set, p))
		if _, err := policy.Parse(id, []byte("version = 1\n"+text)); err != nil {
			t.Errorf("%s: %v\n%s", id, err, text)
		}
	}
}
