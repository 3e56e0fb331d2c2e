package run

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers/prove"
)

// unwritable makes the ledger's appends fail until restore is called.
func (b *bench) unwritable() (restore func()) {
	db, err := sql.Open("sqlite", "file:"+b.path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		b.t.Fatal(err)
	}
	rename := func(from, to string) {
		if _, err := db.Exec("ALTER TABLE " + from + " RENAME TO " + to); err != nil {
			b.t.Error(err)
		}
	}
	rename("head", "away")
	return func() { rename("away", "head"); _ = db.Close() }
}

// The ledger can't be written after a kill: its outcome is reported all the same,
// the error reports that it is not recorded, and the next apply records it.
func TestTheLedgerCannotBeWrittenAfterAKill(t *testing.T) {
	b := setup(t, 2)
	p := b.plan()
	b.applier.Patience = 50 * time.Millisecond
	restore := func() {}
	b.issuer.set(func(g *github) { g.revoked = func() { restore = b.unwritable() } })
	acts, err := apply(t.Context(), b.applier, p)
	var unrecorded UnrecordedError
	if !errors.As(err, &unrecorded) || unrecorded.Entries == 0 || len(acts) != 2 {
		t.Fatalf("%d actions, %v", len(acts), err)
	}
	for _, a := range acts {
		if a.Outcome != prove.Confirmed || !strings.Contains(a.Detail, "could not record") || a.Receipt == nil {
			t.Errorf("%s: %s", a.Outcome, a.Detail)
		}
	}
	restore()
	b.issuer.set(func(g *github) { g.revoked = nil })
	b.mustApply(p, prove.Confirmed)
	for _, c := range b.creds {
		if types := b.types(c); countType(types, ledger.TypeOutcome) != 1 {
			t.Errorf("%v", types)
		}
	}
}

// The ledger can be written again while the apply runs: nothing is missing in it.
func TestFactsAreRecordedOnceTheLedgerCanBeWritten(t *testing.T) {
	b := setup(t, 2)
	p := b.plan()
	var restore func()
	var once sync.Once
	b.issuer.set(func(g *github) { g.revoked = func() { restore = b.unwritable() } })
	b.applier.Progress = func(s string) {
		if strings.HasPrefix(s, "confirming") {
			once.Do(restore)
		}
	}
	b.mustApply(p, prove.Confirmed)
	for _, c := range b.creds {
		if types := b.types(c); countType(types, ledger.TypeIntent) != 1 || countType(types, ledger.TypeReceipt) != 1 || countType(types, ledger.TypeOutcome) != 1 {
			t.Errorf("%v", types)
		}
	}
	if r, err := b.applier.Ledger.Verify(t.Context(), nil); err != nil || !r.OK() {
		t.Errorf("%+v %v", r, err)
	}
}
