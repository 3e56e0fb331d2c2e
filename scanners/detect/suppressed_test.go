package detect

import (
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

func TestWhatAListOfPathsSuppressesIsCounted(t *testing.T) {
	e := New(builtin(t))
	const duffel = "duffel_" + "live_" + "Zq3vB8nT1kW6yR4xJ9mL2hP7sD5gF0cA-eU_iO8bN3t"
	const gitlab = "glpat-" + "Zx8Kq2LmN5pR7tVw9Yb3"
	text := []byte("key = \"" + duffel + "\"\ntoken = \"" + gitlab + "\"\n")
	for path, suppressed := range map[string]bool{"app.env": false, "node_modules/a/b.js": true, "package-lock.json": true, "vendor/github.com/x/y.go": true} {
		found := map[string]bool{}
		a := &scanners.Artifact{Location: rules.Location{Path: path}}
		for m := range e.Detect(scanners.Chunk{Artifact: a, Data: text, Line: 1, Column: 1, To: len(text)}) {
			found[m.Secret.Reveal()] = m.Suppressed
		}
		if got, ok := found[duffel]; !ok || got != suppressed {
			t.Errorf("%s: the general rule's: given %v, suppressed %v", path, ok, got)
		}
		if got, ok := found[gitlab]; !ok || got {
			t.Errorf("%s: the provider's: given %v, suppressed %v", path, ok, got)
		}
	}
}
