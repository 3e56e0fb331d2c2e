package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/history"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// History prints one incident: what leaked, and an entry a line with the time at
// which it was recorded.
func History(w io.Writer, style report.Style, entries []ledger.Entry) {
	if len(entries) == 0 {
		return
	}
	start := entries[0].At
	fmt.Fprintln(w, style.Wrap(0, 2, "incident "+entries[0].Incident+heading(entries)))
	day := ""
	for _, e := range entries {
		at := e.At.Local()
		if d := at.Format("Monday, 2 January 2006, MST -0700"); d != day {
			fmt.Fprintf(w, "%s\n", d)
			day = d
		}
		for i, line := range history.Lines(e) {
			stamp, kind := at.Format("15:04:05.0"), string(e.Type())
			if i > 0 {
				stamp, kind = "", ""
			}
			fmt.Fprintf(w, "  %10s  %-11s %s\n", stamp, kind, style.Wrap(26, 26, report.Clean(line)))
		}
	}
	if d := entries[len(entries)-1].At.Sub(start); d >= 100*time.Millisecond {
		fmt.Fprintf(w, "  %s from the first entry to the last\n", history.Age(d))
	}
}

// heading is what the incident is about and how it ended.
func heading(entries []ledger.Entry) string {
	s, state := "", ledger.Word("open")
	for _, e := range entries {
		switch b := e.Body.(type) {
		case ledger.Found:
			if c := b.Credential; c != nil && s == "" {
				s = fmt.Sprintf(": %s %s %s", c.Kind, c.Rule, report.Clean(c.Redacted))
			}
		case ledger.Held:
			state = "Held"
		case ledger.Outcome:
			state = b.Outcome
		case ledger.Restore:
			if b.Outcome == ledger.Restored {
				state = ledger.Restored
			}
		}
	}
	return s + ", " + string(state)
}
