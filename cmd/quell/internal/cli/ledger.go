package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/store"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

func (a *app) ledger() *cobra.Command {
	var verify bool
	c := &cobra.Command{Use: "ledger [INCIDENT]", Short: "Show the incidents, or one incident's story (a prefix of its id suffices)", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			rt, err := a.runtime(mayLackSecrets)
			if err != nil {
				return err
			}
			l, err := rt.Ledger()
			if err != nil {
				return err
			}
			defer l.Close()
			if verify {
				bad, err := l.Verify(c.Context())
				if err != nil {
					return err
				}
				if bad != 0 {
					return fmt.Errorf("ledger: entry %d does not follow from the one before it: the file was changed", bad)
				}
				a.say("the chain of hashes is whole")
				return nil
			}
			id := ""
			if len(args) == 1 {
				id = args[0]
			}
			all, err := l.Incident(c.Context(), id)
			if err != nil {
				return err
			}
			if len(all) == 0 && id != "" {
				return fmt.Errorf("ledger: no incident %q", id)
			}
			if a.format == "jsonl" || a.format == "json" {
				enc := json.NewEncoder(a.out)
				enc.SetEscapeHTML(false)
				for _, e := range all {
					if err := enc.Encode(e); err != nil {
						return err
					}
				}
				return nil
			}
			if id == "" {
				incidents(a.out, all)
				return nil
			}
			for _, e := range all {
				if e.Incident != all[0].Incident {
					return errors.New("ledger: the prefix fits several incidents")
				}
			}
			Story(a.out, all)
			return nil
		}}
	c.Flags().BoolVar(&verify, "verify", false, "check the chain of hashes instead")
	return c
}

// incidents lists each incident with its last outcome.
func incidents(w io.Writer, all []store.Entry) {
	last := map[string]string{}
	began := map[string]time.Time{}
	var order []string
	for _, e := range all {
		if _, ok := began[e.Incident]; !ok {
			began[e.Incident] = e.At
			order = append(order, e.Incident)
			last[e.Incident] = "open"
		}
		switch e.Type {
		case "outcome":
			var b struct{ Outcome string }
			_ = json.Unmarshal(e.Body, &b)
			last[e.Incident] = b.Outcome
		case "held":
			last[e.Incident] = string(revokers.Held)
		}
	}
	if len(order) == 0 {
		fmt.Fprintln(w, "no incidents")
	}
	for _, i := range order {
		fmt.Fprintf(w, "%s  %s  %s\n", i, began[i].Format(time.RFC3339), last[i])
	}
}

// Story tells one incident, an entry a line.
func Story(w io.Writer, entries []store.Entry) {
	if len(entries) == 0 {
		return
	}
	start := entries[0].At
	fmt.Fprintf(w, "incident %s, begun %s\n", entries[0].Incident, start.Format(time.RFC3339))
	for _, e := range entries {
		for _, line := range tell(e) {
			fmt.Fprintf(w, "%+9.1fs  %-11s %s\n", e.At.Sub(start).Seconds(), e.Type, report.Clean(line))
		}
	}
}

func tell(e store.Entry) []string {
	read := func(v any) { _ = json.Unmarshal(e.Body, v) }
	switch e.Type {
	case "found":
		var l []rules.Location
		read(&l)
		var out []string
		for _, x := range l {
			out = append(out, "at "+report.Place(x))
		}
		return out
	case "verdict":
		var v revokers.Verdict
		read(&v)
		return []string{fmt.Sprintf("%s says %s (%s)", v.Host, v.Liveness, v.Reason)}
	case "intent":
		var b struct {
			Action, Method, Host string
			Requests             []revokers.Preview
		}
		read(&b)
		s := b.Action + " by " + e.Actor
		for _, r := range b.Requests {
			s += ": " + r.Method + " " + r.URL
		}
		return []string{s}
	case "receipt":
		var r revokers.Receipt
		read(&r)
		if r.Accepted {
			return []string{fmt.Sprintf("the issuer accepted (%d), which is a claim", r.Status)}
		}
		return []string{"the issuer did not accept: " + r.Detail}
	case "rotation":
		var r revokers.Rotation
		read(&r)
		return []string{r.Where + ": " + r.Detail}
	case "observation":
		var c revokers.Confirmation
		read(&c)
		var out []string
		for i, o := range c.Observations {
			// A look of several probes is one line, the last one's.
			if i+1 < len(c.Observations) && c.Observations[i+1].Verdict.Liveness == o.Verdict.Liveness && o.Control == nil && c.Observations[i+1].After-o.After < 200*time.Millisecond {
				continue
			}
			s := fmt.Sprintf("%.1f s after: %s (%s)", o.After.Seconds(), o.Verdict.Liveness, o.Verdict.Reason)
			if o.Control != nil {
				s += ", the positive control is " + o.Control.Liveness.String()
			}
			out = append(out, s)
		}
		return out
	case "derived":
		var d report.Derived
		read(&d)
		return []string{fmt.Sprintf("%s %s of the same subject is %s (%s)", d.Kind, d.Redacted, d.Liveness, d.Reason)}
	case "outcome":
		var b struct {
			Outcome, Detail, Control string
			Seconds                  float64
		}
		read(&b)
		return []string{fmt.Sprintf("%s after %.1f s: %s; positive control: %s", b.Outcome, b.Seconds, b.Detail, b.Control)}
	case "override":
		var b struct{ Reason string }
		read(&b)
		return []string{"break-glass by " + e.Actor + ": " + b.Reason}
	}
	return []string{strings.Trim(string(e.Body), `"`)}
}
