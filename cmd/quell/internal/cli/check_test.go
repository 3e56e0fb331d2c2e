package cli

import (
	"bufio"
	"strings"
	"testing"
)

// A report is quell's own however its JSON is spaced.
func TestAReportThatAnotherProgramWroteAgain(t *testing.T) {
	for text, want := range map[string]bool{
		`{"type":"config","protocol":1}`:     true,
		`{"type": "config", "protocol": 1}`:  true,
		"\n { \"type\" : \"config\" }":       true,
		`{"types":"config"}`:                 false,
		`[{"type":"config"}]`:                false,
		`{"events":[{"type":"config"}]}`:     false,
		`{"Description":"x","type":"config"`: false,
	} {
		if got := ownReport(bufio.NewReader(strings.NewReader(text))); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
