package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
)

func (a *app) ledger() *cobra.Command {
	var verify, printCheckpoint bool
	var checkpoint string
	c := &cobra.Command{Use: "ledger [INCIDENT]", Short: "Show the incidents, or one incident's history (a prefix of its id suffices)", Args: cobra.MaximumNArgs(1),
		Long: `Show the incidents, or one incident's history.

--verify checks the chain of hashes, the signed heads and the checkpoint file
next to the ledger. Whoever can replace the ledger and that file together is
noticed only by a checkpoint that is kept elsewhere: print one with
--print-checkpoint after each run, and give it back with --verify --checkpoint.`,
		RunE: func(c *cobra.Command, args []string) error {
			rt, err := a.runtime(mayLackSecrets)
			if err != nil {
				return err
			}
			l, err := rt.Ledger(c.Context())
			if err != nil {
				return err
			}
			defer l.Close()
			switch {
			case printCheckpoint:
				p, err := l.Checkpoint(c.Context())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.out, p)
				return err
			case verify || checkpoint != "":
				return a.verifyLedger(c.Context(), l, checkpoint)
			case len(args) == 1:
				return a.showIncident(c.Context(), l, args[0])
			}
			return a.showIncidents(c.Context(), l)
		}}
	c.Flags().BoolVar(&verify, "verify", false, "check that nothing was changed, removed or replaced")
	c.Flags().StringVar(&checkpoint, "checkpoint", "", "with --verify: a `CHECKPOINT` that was kept elsewhere, its text or a file")
	c.Flags().BoolVar(&printCheckpoint, "print-checkpoint", false, "print the signed head, to be kept elsewhere")
	return c
}

func (a *app) verifyLedger(ctx context.Context, l *ledger.Ledger, checkpoint string) error {
	var kept *ledger.Checkpoint
	if checkpoint != "" {
		p, err := ledger.LoadCheckpoint(checkpoint)
		if err != nil {
			return err
		}
		kept = &p
	}
	r, err := l.Verify(ctx, kept)
	if err != nil {
		return err
	}
	for _, p := range r.Accepted {
		fmt.Fprintf(a.out, "accepted: %s\n", report.Clean(p.String()))
	}
	for _, p := range r.Unlisted {
		fmt.Fprintf(a.out, "not proven: %s\n", report.Clean(p.String()))
	}
	if !r.OK() {
		for _, p := range r.Problems {
			fmt.Fprintf(a.out, "%s\n", report.Clean(p.String()))
		}
		return fmt.Errorf("ledger: it is not what was recorded; it is proven up to entry %d of %d", r.Proven, r.Last)
	}
	fmt.Fprintf(a.out, "the ledger is whole: %d entries, proven up to entry %d\n", r.Entries, r.Proven)
	return nil
}

func (a *app) showIncident(ctx context.Context, l *ledger.Ledger, id string) error {
	entries, err := l.Incident(ctx, id)
	if err != nil && len(entries) == 0 {
		return err
	}
	if a.format == "jsonl" || a.format == "json" {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		for _, e := range entries {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
	History(a.out, entries)
	return err
}

func (a *app) showIncidents(ctx context.Context, l *ledger.Ledger) error {
	if a.format == "jsonl" || a.format == "json" {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		for e, err := range l.All(ctx) {
			if err != nil {
				return err
			}
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
	n := 0
	for s, err := range l.Incidents(ctx) {
		if err != nil {
			return err
		}
		n++
		fmt.Fprintf(a.out, "%s  %s  %s\n", s.Incident, s.Began.Format(time.RFC3339), s.Outcome)
	}
	if n == 0 {
		fmt.Fprintln(a.out, "no incidents")
	}
	return nil
}

// History prints one incident, an entry a line.
func History(w io.Writer, entries []ledger.Entry) {
	if len(entries) == 0 {
		return
	}
	start := entries[0].At
	fmt.Fprintf(w, "incident %s, begun %s\n", entries[0].Incident, start.Format(time.RFC3339))
	for _, e := range entries {
		for _, line := range describe(e) {
			fmt.Fprintf(w, "%+9.1fs  %-11s %s\n", e.At.Sub(start).Seconds(), e.Type(), report.Clean(line))
		}
	}
}

// describe returns the lines that an entry is shown as.
func describe(e ledger.Entry) []string {
	switch b := e.Body.(type) {
	case ledger.Found:
		var out []string
		for _, x := range b.Exposures {
			out = append(out, "at "+report.Place(x))
		}
		return out
	case ledger.Verdict:
		return []string{fmt.Sprintf("%s says %s (%s)", b.Host, b.Liveness, b.Reason)}
	case ledger.Held:
		s := b.Why
		if b.Remedy != "" {
			s += "; next: " + b.Remedy
		}
		return []string{s}
	case ledger.Intent:
		s := fmt.Sprintf("%s by %s", b.Action, e.Actor)
		for _, r := range b.Requests {
			s += ": " + r.Method + " " + r.URL
		}
		return []string{s}
	case ledger.Receipt:
		if b.Accepted {
			return []string{fmt.Sprintf("the issuer accepted (%d), which is a claim", b.Status)}
		}
		return []string{"the issuer did not accept: " + b.Detail}
	case ledger.Rotation:
		return []string{b.Where + ": " + b.Detail}
	case ledger.Observation:
		return looks(b)
	case ledger.Derived:
		return []string{fmt.Sprintf("%s %s of the same subject is %s (%s)", b.Kind, b.Redacted, b.Liveness, b.Reason)}
	case ledger.Outcome:
		s := fmt.Sprintf("%s after %.1f s: %s; positive control: %s", b.Outcome, b.Seconds, b.Detail, b.Control)
		if b.Looks > 0 {
			s += fmt.Sprintf("; %d looks", b.Looks)
		}
		return []string{s}
	case ledger.Override:
		return []string{"break-glass by " + e.Actor + ": " + b.Reason}
	case ledger.Key:
		return []string{"installation key " + b.PublicKey}
	case ledger.Deletion:
		return []string{fmt.Sprintf("%s: %s %s", b.What, b.Outcome, b.Detail)}
	case ledger.Restore:
		return []string{fmt.Sprintf("%s %s", b.Outcome, b.Detail)}
	case ledger.Notice:
		return []string{b.Message}
	}
	return []string{"an entry of a type that this quell does not know"}
}

// looks lists the looks of a proof, equal ones in one line.
func looks(o ledger.Observation) []string {
	var out []string
	same := 0
	for i, l := range o.Observations {
		control := ""
		if l.Control != nil {
			control = ", the control was " + l.Control.Liveness.String()
		}
		line := fmt.Sprintf("%s (%s)%s", l.Verdict.Liveness, l.Verdict.Reason, control)
		same++
		if i+1 < len(o.Observations) {
			next := o.Observations[i+1]
			if next.Verdict.Liveness == l.Verdict.Liveness && next.Verdict.Reason == l.Verdict.Reason && (next.Control == nil) == (l.Control == nil) && (next.Control == nil || next.Control.Liveness == l.Control.Liveness) {
				continue
			}
		}
		what := "1 look"
		if same > 1 {
			what = fmt.Sprintf("%d looks", same)
		}
		out = append(out, fmt.Sprintf("%s until %.1f s after: %s", what, l.After.Seconds(), line))
		same = 0
	}
	return out
}
