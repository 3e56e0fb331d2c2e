package git_test

import (
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

func mustTime(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func detector(t *testing.T) scanners.Detector {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return detect.New(set)
}

// watching records what is read.
type watching struct {
	scanners.Detector
	names *[]string
}

func (w watching) Detect(c scanners.Chunk) iter.Seq[scanners.Match] {
	if c.Offset == 0 && !slices.Contains(*w.names, c.Artifact.Location.Artifact) {
		*w.names = append(*w.names, c.Artifact.Location.Artifact)
	}
	return w.Detector.Detect(c)
}
