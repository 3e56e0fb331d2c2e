package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
)

// functions are those of the templates. Every text that is not this package's own passes through
// t, which makes control characters and bidirectional overrides visible; html/template escapes it.
var functions = template.FuncMap{
	"t":        report.Clean,
	"count":    report.Count,
	"number":   report.Number,
	"short":    func(s string) string { return s[:min(8, len(s))] },
	"digest":   func(s string) string { return s[:min(12, len(s))] },
	"label":    statusLabel,
	"tone":     tone,
	"span":     span,
	"since":    func(t time.Time) string { return span(time.Since(t)) },
	"until":    func(t time.Time) string { return span(time.Until(t)) },
	"clock":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"hour":     func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"took":     func(from, to time.Time) string { return span(to.Sub(from)) },
	"zero":     func(t time.Time) bool { return t.IsZero() },
	"open":     open,
	"add":      func(a, b int) int { return a + b },
	"ttd":      timeToDead,
	"statuses": store.Statuses,
	"lines":    func(s string) []string { return strings.Split(s, "\n") },
	"dict":     dict,
	"fallback": func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	},
}

// statusLabel is a status for people.
func statusLabel(status string) string {
	switch status {
	case "live":
		return "Live"
	case "failed":
		return "Still alive"
	case "held":
		return "Held"
	case "until_expiry":
		return "Until expiry"
	case "unknown":
		return "Unknown"
	case "new":
		return "Not asked"
	case "dead":
		return "Dead"
	}
	return status
}

// tone is the colour of a status or an outcome.
func tone(word string) string {
	switch word {
	case "dead", "Confirmed", "AlreadyDead":
		return "good"
	case "live", "failed", "StillAlive", "Unconfirmed":
		return "bad"
	case "held", "Held", "until_expiry", "UntilExpiry":
		return "wait"
	}
	return "calm"
}

// span is a time span in the two largest units that a person would use.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// timeToDead is the time from the first finding to the proof, or to now.
func timeToDead(first, outcomeAt time.Time, outcome, status string) string {
	if status == "dead" && (outcome == "Confirmed") {
		return span(outcomeAt.Sub(first))
	}
	return ""
}

// dict gives a part of a page several values by name.
func dict(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}
