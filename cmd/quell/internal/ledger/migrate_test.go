package ledger

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/store"
)

// earlierLedger is a ledger as the release without versions leaves it.
func earlierLedger(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range earlierBodies() {
		if err := l.Append(t.Context(), store.Entry{Incident: "abc", Type: string(c.kind), Actor: "somebody <a@b>", Run: "1"}, rawJSON(c.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Keep(t.Context(), "abc", "express", "sid", "sealed"); err != nil {
		t.Fatal(err)
	}
	return path
}

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

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
	// The first append signs what is there.
	add(t, l, story("def")...)
	if r := whole(t, l); r.Entries != int64(len(bodies))+5 {
		t.Errorf("%+v", r)
	}
}

func TestTheEarlierReleaseStillReadsAndWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := openAs(t, path, "one")
	add(t, l, story("abc")...)
	old, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := old.Append(t.Context(), store.Entry{Incident: "abc", Type: "found"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := old.Keep(t.Context(), "abc", "r", "", "sealed"); err != nil {
		t.Fatal(err)
	}
	if all, err := old.Incident(t.Context(), "abc"); err != nil || len(all) != 5 {
		t.Errorf("%d %v", len(all), err)
	}
	if bad, err := old.Verify(t.Context()); bad != 0 || err != nil {
		t.Errorf("%d %v", bad, err)
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

// The numbers of entries are not in the chain of hashes. The first key entry has
// those of the entries before it.
func TestTheNumbersOfEarlierEntriesAreSigned(t *testing.T) {
	path := earlierLedger(t)
	l := openAs(t, path, "one")
	add(t, l, story("def")...)
	_ = l.Close()
	change(t, path, statements(`UPDATE ledger SET id = -5 WHERE id = 1`))
	r, err := openAs(t, path, "one").Verify(t.Context(), nil)
	if err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{Renumbered}) {
		t.Errorf("%+v %v", r, err)
	}
}
