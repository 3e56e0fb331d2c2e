package cli

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/cmd/quell/internal/serve"
)

var errReason = errors.New("ledger: the reason is missing, which is recorded (hint: --reason TEXT)")

func (a *app) acceptLedger(ctx context.Context, l *ledger.Ledger, actor, reason string) error {
	r, err := l.Accept(ctx, actor, reason)
	if err != nil {
		return err
	}
	for _, p := range r.Problems {
		fmt.Fprintf(a.out, "accepted: %s\n", report.Clean(p.String()))
	}
	return nil
}

func (a *app) showInstallations(ctx context.Context, l *ledger.Ledger) error {
	list, err := l.Installations(ctx)
	if err != nil {
		return err
	}
	for _, i := range list {
		state := "asks to be admitted"
		if i.Listed {
			state = "listed"
		}
		if i.Self {
			state += ", this installation"
		}
		fmt.Fprintf(a.out, "%s  %s\n", i.PublicKey, state)
	}
	return nil
}

func keptCheckpoint(textOrFile string) (*ledger.Checkpoint, error) {
	if textOrFile == "" {
		return nil, nil
	}
	p, err := ledger.LoadCheckpoint(textOrFile)
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// writeExport writes a file of entries. A ledger that was changed is written all
// the same: it is evidence.
func (a *app) writeExport(path string, export func(io.Writer) (ledger.Export, error)) error {
	if path == "" || path == stdout {
		_, err := export(a.out)
		return err
	}
	f, err := output.Create(path, output.Mode)
	if err != nil {
		return fmt.Errorf("ledger: export: %w", err)
	}
	defer f.Discard()
	x, tampered := export(f)
	if tampered != nil && !errors.Is(tampered, ledger.ErrTampered) {
		return tampered
	}
	if err := f.Commit(); err != nil {
		return fmt.Errorf("ledger: export: %w", err)
	}
	a.printf("%d entries in %s", x.Entries, path)
	return tampered
}

// writeCopy writes a sealed copy of something that was deleted.
func (a *app) writeCopy(ctx context.Context, l *ledger.Ledger, name string) error {
	if a.output == "" || a.output == stdout {
		return l.Copy(ctx, strings.TrimPrefix(name, "ledger:"), a.out)
	}
	f, err := output.Create(a.output, output.Mode)
	if err != nil {
		return fmt.Errorf("ledger: copy: %w", err)
	}
	defer f.Discard()
	if err := l.Copy(ctx, strings.TrimPrefix(name, "ledger:"), f); err != nil {
		return err
	}
	return f.Commit()
}

func (a *app) checkExport(path, checkpoint string) error {
	kept, err := keptCheckpoint(checkpoint)
	if err != nil {
		return err
	}
	in := a.stdin()
	if path != stdout {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("ledger: check: %w", err)
		}
		defer f.Close()
		in = f
	}
	x, err := ledger.CheckExport(in, kept)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "entries %d to %d follow from each other\n", x.First, x.Last)
	switch {
	case len(x.Checkpoint.Key) == 0:
		fmt.Fprintln(a.out, "no checkpoint covers them")
	default:
		fmt.Fprintf(a.out, "the checkpoint of %s covers them; compare the key with the installation's: %s\n", x.Checkpoint.At.Format("2006-01-02 15:04:05Z"), keyText(x.Checkpoint.Key))
	}
	if kept != nil {
		fmt.Fprintf(a.out, "the given checkpoint covers them up to entry %d\n", kept.ID)
	}
	return nil
}

func keyText(k ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(k) }

// forget deletes sealed values, of quell serve too. legal_hold prevents it, and so does a policy
// that can't be read, which may have it.
func (a *app) forget(ctx context.Context, l *ledger.Ledger, rt *run.Runtime, f ledgerFlags) error {
	switch {
	case rt.Broken() != nil:
		return fmt.Errorf("ledger: nothing is deleted, since the policy can't be read to see legal_hold: %w", rt.Broken())
	case rt.Policy.LegalHold:
		return errors.New("ledger: nothing is deleted: legal_hold is set in the policy")
	}
	st, err := serve.Store(ctx, rt.State())
	if err != nil {
		return err
	}
	if st != nil {
		defer st.Close()
	}
	if f.forget != "" {
		name, err := l.Resolve(ctx, f.forget)
		if err != nil {
			return err
		}
		why := "the operator asked for it"
		if f.reason != "" {
			why = f.reason
		}
		if err := serve.Forget(ctx, l, st, name, rt.Actor(), why); err != nil {
			return err
		}
		a.printf("the value of incident %s is not kept; its entries are", name[:min(8, len(name))])
		return nil
	}
	var age serve.Period
	if err := age.UnmarshalText([]byte(f.purge)); err != nil {
		return fmt.Errorf("ledger: --purge: %w", err)
	}
	n, left, err := serve.Purge(ctx, l, st, rt.Actor(), time.Now().Add(-time.Duration(age)))
	if err != nil {
		return err
	}
	a.printf("%s deleted; their entries stay", report.Count(n, "sealed value"))
	if left > 0 {
		a.printf("%s older and not ended: their values are kept (hint: quell ledger --forget INCIDENT)", report.Count(left, "incident"))
	}
	return nil
}
