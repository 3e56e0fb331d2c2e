package ledger

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestALedgerOfTheEarlierReleaseOpensAndVerifies(t *testing.T) {
	path := earlierLedger(t)
	l := openAs(t, path, "one")
	bodies := earlierBodies()
	r, err := l.Verify(t.Context(), nil)
	if err != nil || !r.OK() || r.Entries != int64(len(bodies)) || r.Proven != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	got, err := l.Incident(t.Context(), "abc")
	if err != nil || len(got) != len(bodies) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	for i, e := range got {
		if e.Type() != bodies[i].kind {
			t.Errorf("entry %d is a %s", e.ID, e.Type())
		}
	}
	if k, err := l.Kept(t.Context()); err != nil || len(k) != 1 || k[0].Ref.Rule != "express" || k[0].Ref.Cookie != "sid" || k[0].Ref.Fingerprint != "abc" || k[0].Value != "sealed" {
		t.Errorf("%+v %v", k, err)
	}
	// The first append signs the existing entries.
	add(t, l, entriesOf("def")...)
	if r := whole(t, l); r.Entries != int64(len(bodies))+5 {
		t.Errorf("%+v", r)
	}
}

func TestTheEarlierReleaseStillReadsAndWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := openAs(t, path, "one")
	add(t, l, entriesOf("abc")...)
	old := openEarlier(t, path)
	if err := old.append(t.Context(), "abc", TypeFound, "", "", "null"); err != nil {
		t.Fatal(err)
	}
	if err := old.keep(t.Context(), "abc", "r", "", "sealed"); err != nil {
		t.Fatal(err)
	}
	if bad, n := old.verify(t); bad != 0 || n != 6 {
		t.Errorf("entry %d of %d does not follow", bad, n)
	}
}

func TestALedgerOfALaterReleaseIsRefused(t *testing.T) {
	l, path := open(t)
	if _, err := l.db.Exec(`UPDATE schema_version SET version = 99`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), "update quell") {
		t.Error(err)
	}
}

func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	path := earlierLedger(t)
	db := raw(t, path)
	if _, err := db.Exec(`CREATE TABLE lease (x)`); err != nil { // in the way of the second migration
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); err == nil {
		t.Fatal("it opened")
	}
	if _, err := db.Exec(`DROP TABLE lease`); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(t.Context(), path, Options{}); err != nil {
		t.Error(err)
	} else {
		_ = l.Close()
	}
}

// The numbers of entries are not in the hash chain. The first key entry contains those of the
// entries before it.
func TestTheNumbersOfEarlierEntriesAreSigned(t *testing.T) {
	path := earlierLedger(t)
	l := openAs(t, path, "one")
	add(t, l, entriesOf("def")...)
	_ = l.Close()
	change(t, path, statements(`UPDATE ledger SET id = -5 WHERE id = 1`))
	r, err := openAs(t, path, "one").Verify(t.Context(), nil)
	if err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{Renumbered}) {
		t.Errorf("%+v %v", r, err)
	}
}
