package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
)

//go:generate go test -run FormatsAreListed -update

// Format is one way to render the event stream. Each is a variable of this package in a file of
// its own; formats.go, which is generated, lists them.
type Format struct {
	Name string // of --format and --report
	New  func(o Options) Sink
	// NoGaps is set if the format has no place for what was not read.
	NoGaps bool
}

// Options are what a renderer is made with.
type Options struct {
	W *bufio.Writer
	// Rules describe the rules of findings.
	Rules *rules.Set
	Style Style // of text for people
}

// Formats lists the names of the formats, text first.
func Formats() []string {
	var out []string
	for _, f := range formats {
		if f.Name != textFormat.Name {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return append([]string{textFormat.Name}, out...)
}

// HasGaps reports whether a report in a format lists what was not read.
func HasGaps(format string) bool {
	return !slices.ContainsFunc(formats, func(f *Format) bool { return f.Name == format && f.NoGaps })
}

// New makes a renderer that writes to w. The style is for text.
func New(format string, w io.Writer, set *rules.Set, style Style) (Sink, error) {
	for _, f := range formats {
		if f.Name == format {
			return f.New(Options{bufio.NewWriter(w), set, style}), nil
		}
	}
	return nil, fmt.Errorf("no format %q (have %s)", format, strings.Join(Formats(), ", "))
}
