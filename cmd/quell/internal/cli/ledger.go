package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/history"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// ledgerFlags are the flags of the command, of which one decides what it does.
type ledgerFlags struct {
	verify, printCheckpoint, installations, accept  bool
	checkpoint, admit, reason, export, prove, check string
	forget, purge, copy                             string
}

func (a *app) ledger() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{Use: "ledger [INCIDENT]", Short: "Show the incidents, or one incident's history (a prefix of its id suffices)", Args: cobra.MaximumNArgs(1),
		Long: `Show the incidents, or one incident's history.

--verify checks the chain of hashes, the signed heads and the checkpoint file
next to the ledger. If somebody replaces the ledger and that file together, only
a checkpoint that is kept elsewhere shows it: print one with --print-checkpoint
after each run, and pass it to --verify --checkpoint.

--accept records that you know of the differences that --verify reports, and
their reason, so that quell can append again. --admit adds the key of another
installation that writes to a shared ledger; --installations shows the keys.

--export writes the whole ledger as JSON lines, --prove the entries from one
incident's first to a checkpoint. --check checks such a file without the ledger.

--forget deletes the sealed value of an incident, --purge those of all incidents
that ended longer ago than an age. The entries stay, and record the deletion. Nothing
is deleted while the policy has legal_hold.
docs/ledger.md has the details.`,
		RunE: func(c *cobra.Command, args []string) error {
			if f.check != "" {
				return a.checkExport(f.check, f.checkpoint)
			}
			rt, err := a.reader()
			if err != nil {
				return err
			}
			l, err := rt.Ledger(c.Context())
			if err != nil {
				return err
			}
			defer l.Close()
			if f.forget != "" || f.purge != "" {
				return a.forget(c.Context(), l, rt, f)
			}
			if f.reason = rt.Typed(f.reason); f.reason == "" && (f.accept || f.admit != "") {
				return errReason
			}
			return a.onLedger(c.Context(), l, rt.Actor(), f, args)
		}}
	x := c.Flags()
	x.BoolVar(&f.verify, "verify", false, "check that nothing was changed, removed or replaced")
	x.StringVar(&f.checkpoint, "checkpoint", "", "with --verify, --prove or --check: a `CHECKPOINT` that was kept elsewhere, its text or a file")
	x.BoolVar(&f.printCheckpoint, "print-checkpoint", false, "print the signed head, to be kept elsewhere")
	x.BoolVar(&f.accept, "accept", false, "accept the differences that --verify lists; needs --reason")
	x.StringVar(&f.admit, "admit", "", "list the public `KEY` of another installation; needs --reason")
	x.StringVar(&f.reason, "reason", "", "why, for --accept and --admit; it is recorded as `TEXT`")
	x.BoolVar(&f.installations, "installations", false, "show the keys of the installations that write to the ledger")
	x.StringVar(&f.export, "export", "", "write all entries and a checkpoint as JSON lines to `FILE`, - for standard output")
	x.StringVar(&f.prove, "prove", "", "write what proves an `INCIDENT` to standard output or --output")
	x.StringVar(&f.forget, "forget", "", "delete the sealed value of an `INCIDENT`")
	x.StringVar(&f.purge, "purge", "", "delete the sealed values of incidents that ended longer ago than an `AGE`, as 90d")
	x.StringVar(&f.copy, "copy", "", "write the sealed copy `NAME` that a ledger in a database keeps to --output")
	x.StringVar(&f.check, "check", "", "check a `FILE` of --export or --prove, - for standard input")
	c.MarkFlagsMutuallyExclusive("verify", "print-checkpoint", "accept", "admit", "installations", "export", "prove", "copy", "check", "forget", "purge")
	return c
}

func (a *app) onLedger(ctx context.Context, l *ledger.Ledger, actor string, f ledgerFlags, args []string) error {
	switch {
	case f.printCheckpoint:
		p, err := l.Checkpoint(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.out, p)
		return err
	case f.accept:
		return a.acceptLedger(ctx, l, actor, f.reason)
	case f.admit != "":
		return l.Admit(ctx, actor, f.admit, f.reason)
	case f.installations:
		return a.showInstallations(ctx, l)
	case f.export != "":
		return a.writeExport(f.export, func(w io.Writer) (ledger.Export, error) { return l.Export(ctx, w) })
	case f.prove != "":
		kept, err := keptCheckpoint(f.checkpoint)
		if err != nil {
			return err
		}
		return a.writeExport(a.output, func(w io.Writer) (ledger.Export, error) { return l.Prove(ctx, w, f.prove, kept) })
	case f.copy != "":
		return a.writeCopy(ctx, l, f.copy)
	case f.verify || f.checkpoint != "":
		return a.verifyLedger(ctx, l, f.checkpoint)
	case len(args) == 1:
		return a.showIncident(ctx, l, args[0])
	}
	return a.showIncidents(ctx, l)
}

func (a *app) verifyLedger(ctx context.Context, l *ledger.Ledger, checkpoint string) error {
	kept, err := keptCheckpoint(checkpoint)
	if err != nil {
		return err
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
	History(a.out, a.style(a.out, report.Show{}), entries)
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
	var list []ledger.Summary
	for s, err := range l.Incidents(ctx) {
		if err != nil {
			return err
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "no incidents")
		return nil
	}
	a.listIncidents(list, time.Now())
	return nil
}

// listIncidents prints a line for each incident: a prefix that names it alone, its
// state and age, what leaked, where it was asked and where it was found.
func (a *app) listIncidents(list []ledger.Summary, now time.Time) {
	ids := make([]string, len(list))
	for i, s := range list {
		ids[i] = s.Incident
	}
	short := report.ShortIDs(ids)
	rows := [][]string{{"incident", "state", "age", "kind", "host", "place"}}
	for _, s := range list {
		kind, place := "-", "-"
		if c := s.Credential; c != nil {
			kind = report.Clean(string(c.Kind) + " " + c.Redacted)
		}
		if len(s.Places) > 0 {
			p := s.Places[0]
			p.Notes = nil
			if place = report.Clean(report.Place(p)); len(s.Places) > 1 {
				place += fmt.Sprintf(" and %d more", len(s.Places)-1)
			}
		}
		rows = append(rows, []string{short(s.Incident), string(s.Outcome), history.Age(now.Sub(s.Began)), kind, cmp.Or(s.Host, "-"), place})
	}
	a.table(rows, 4)
	fmt.Fprintf(a.out, "\n%s. quell ledger INCIDENT shows one's history.\n", report.Count(int64(len(list)), "incident"))
}

// table prints rows in columns, of which the first row is the head. On a terminal that
// is too narrow for them, only the first columns are aligned, the others follow on
// lines of their own, and the head is left out.
func (a *app) table(rows [][]string, first int) {
	style := a.style(a.out, report.Show{})
	width, total := make([]int, len(rows[0])), -gutter
	for i := range width {
		for _, r := range rows {
			width[i] = max(width[i], runewidth.StringWidth(r[i]))
		}
		total += width[i] + gutter
	}
	line := func(cells []string) string {
		s := ""
		for i, c := range cells {
			s += c + strings.Repeat(" ", width[i]-runewidth.StringWidth(c)+gutter)
		}
		return strings.TrimRight(s, " ")
	}
	if style.Width == 0 || total <= style.Width {
		for _, r := range rows {
			fmt.Fprintln(a.out, line(r))
		}
		return
	}
	for _, r := range rows[1:] {
		fmt.Fprintln(a.out, style.Wrap(0, gutter, line(r[:first])))
		for _, c := range r[first:] {
			if c != "-" {
				fmt.Fprintln(a.out, "  "+style.Wrap(gutter, 2*gutter, c))
			}
		}
	}
}

// gutter is the number of blanks between two columns.
const gutter = 2
