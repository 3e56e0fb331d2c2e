package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// copyOf is a ledger's database and checkpoint file at rest.
type copyOf struct{ db, head []byte }

func rest(t testing.TB, path string) copyOf {
	t.Helper()
	db, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, err := os.ReadFile(path + ".checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	return copyOf{db, head}
}

func (c copyOf) put(t testing.TB, path string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm", ".checkpoint"} {
		_ = os.Remove(path + suffix)
	}
	for name, b := range map[string][]byte{path: c.db, path + ".checkpoint": c.head} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// grown returns copies of a ledger after 3 and after 6 incidents, and a checkpoint
// of each.
func grown(t testing.TB) (older, newer copyOf, marks [2]Checkpoint) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	var copies [2]copyOf
	for half := range 2 {
		l, err := Open(t.Context(), path, Options{Key: testKey("one")})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			add(t, l, entriesOf(fmt.Sprintf("%d%d", half, i))...)
		}
		if marks[half], err = l.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		copies[half] = rest(t, path)
	}
	return copies[0], copies[1], marks
}

// change edits a database at rest, without the triggers that refuse it, and puts
// the triggers back.
func change(t testing.TB, path string, f func(tx *sql.Tx) error) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err == nil {
		_, err = tx.Exec(`DROP TRIGGER ledger_no_update; DROP TRIGGER ledger_no_delete`)
	}
	if err == nil {
		err = f(tx)
	}
	if err == nil {
		_, err = tx.Exec(sqliteMigrations[0])
	}
	if err = errors.Join(err, tx.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func statements(text string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error { _, err := tx.Exec(text); return err }
}

// rewrite changes each entry from an id on and computes matching hashes.
func rewrite(from int64, edit func(*stored)) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		l := &Ledger{engine: sqlite{}}
		var all []stored
		prev := ""
		for s, err := range l.stored(context.Background(), tx, "") {
			if err != nil {
				return err
			}
			if s.id >= from {
				edit(&s)
			}
			s.hash = s.row.hash(prev)
			prev = s.hash
			all = append(all, s)
		}
		if _, err := tx.Exec(`DELETE FROM ledger`); err != nil {
			return err
		}
		for _, s := range all {
			if _, err := tx.Exec(insertEntry, s.id, s.at, s.incident, s.kind, s.actor, s.run, s.body, s.hash); err != nil {
				return err
			}
		}
		return nil
	}
}

// forgeEntry adds an entry with a matching hash, as an attacker without a key can.
func forgeEntry(tx *sql.Tx, s stored) error {
	var prev string
	if err := tx.QueryRow(`SELECT id, hash FROM ledger ORDER BY id DESC LIMIT 1`).Scan(&s.id, &prev); err != nil {
		return err
	}
	_, err := tx.Exec(insertEntry, s.id+1, s.at, s.incident, s.kind, s.actor, s.run, s.body, s.row.hash(prev))
	return err
}

// forgeHeads signs the ledger as it is with another key.
func forgeHeads(tx *sql.Tx, name string) error {
	l := &Ledger{engine: sqlite{}, key: testKey(name)}
	s, err := l.load(context.Background(), tx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM head`); err != nil {
		return err
	}
	return l.signHead(context.Background(), tx, s)
}

// rooted returns the body of a key entry that another key signed for itself.
func rooted(name string) string {
	l := &Ledger{key: testKey(name)}
	b, _ := encode(newKey(l.PublicKey(), l.key, ""))
	return string(b)
}

func kinds(list []Problem) []ProblemKind {
	var out []ProblemKind
	for _, p := range list {
		if !slices.Contains(out, p.Kind) {
			out = append(out, p.Kind)
		}
	}
	slices.Sort(out)
	return out
}

func TestWhatVerifyNotices(t *testing.T) {
	older, newer, marks := grown(t) // the entries are 1 (the key) to 25
	for _, c := range []struct {
		name   string
		do     func(t *testing.T, path string)
		kinds  []ProblemKind
		proven int64
	}{
		{"nothing is changed", func(t *testing.T, path string) {}, nil, 25},
		{"an entry is changed", sqlEdit(statements(`UPDATE ledger SET actor = 'nobody' WHERE id = 9`)), []ProblemKind{Changed}, 0},
		{"an entry and its hash are changed", sqlEdit(statements(`UPDATE ledger SET body = '{}', hash = 'ab' WHERE id = 9`)), []ProblemKind{Changed}, 0},
		{"an entry in the middle is removed", sqlEdit(statements(`DELETE FROM ledger WHERE id = 9`)), []ProblemKind{Changed}, 0},
		{"the first entry is removed", sqlEdit(statements(`DELETE FROM ledger WHERE id = 1`)), []ProblemKind{Changed}, 0},
		{"the last entry is removed", sqlEdit(statements(`DELETE FROM ledger WHERE id = 25`)), []ProblemKind{Truncated, Unsigned}, 0},
		{"the last entries are removed", sqlEdit(statements(`DELETE FROM ledger WHERE id > 20`)), []ProblemKind{Truncated, Unsigned}, 0},
		{"all entries are removed", sqlEdit(statements(`DELETE FROM ledger`)), []ProblemKind{Truncated}, 0},
		{"the numbers of entries are changed", sqlEdit(statements(`UPDATE ledger SET id = id + 100`)), []ProblemKind{Renumbered, Rewritten, Unsigned}, 0},
		{"the first entry gets another number", sqlEdit(statements(`UPDATE ledger SET id = -7 WHERE id = 1`)), []ProblemKind{Renumbered}, 0},
		{"an entry is appended", sqlEdit(func(tx *sql.Tx) error {
			return forgeEntry(tx, stored{row: row{at: "2026-05-03T00:00:00Z", incident: "00", kind: "outcome", body: `{"outcome":"Confirmed"}`}})
		}), []ProblemKind{Unsigned}, 25},
		{"an entry is appended and signed with another key", sqlEdit(func(tx *sql.Tx) error {
			return errors.Join(forgeEntry(tx, stored{row: row{at: "2026-05-03T00:00:00Z", incident: "00", kind: "outcome", body: `{"outcome":"Confirmed"}`}}), forgeHeads(tx, "attacker"))
		}), []ProblemKind{HeadDamaged, Unsigned}, 25},
		{"another key signs itself as a listed one", sqlEdit(func(tx *sql.Tx) error {
			return errors.Join(forgeEntry(tx, stored{row: row{at: "2026-05-03T00:00:00Z", kind: "key", body: strings.Replace(rooted("attacker"), `"signed_by":"`+(&Ledger{key: testKey("attacker")}).PublicKey(), `"signed_by":"`+(&Ledger{key: testKey("one")}).PublicKey(), 1)}}), forgeHeads(tx, "attacker"))
		}), []ProblemKind{BadKey, HeadDamaged, Unsigned}, 25},
		{"the end is rewritten with hashes that fit", sqlEdit(rewrite(20, func(s *stored) { s.actor = "nobody" })), []ProblemKind{Rewritten, Unsigned}, 0},
		{"everything is rewritten with hashes that fit", sqlEdit(rewrite(1, func(s *stored) { s.actor = "nobody" })), []ProblemKind{Rewritten, Unsigned}, 0},
		{"everything is rewritten, with a key of its own", sqlEdit(func(tx *sql.Tx) error {
			return errors.Join(rewrite(1, func(s *stored) {
				if s.kind == "key" {
					s.body = rooted("attacker")
				}
			})(tx), forgeHeads(tx, "attacker"))
		}), []ProblemKind{Rewritten}, 0},
		{"an older copy", func(t *testing.T, path string) { put(t, path, older.db) }, []ProblemKind{Truncated}, 13},
		{"an older copy, with its own checkpoint removed", func(t *testing.T, path string) {
			put(t, path, older.db)
			_ = os.Remove(path + ".checkpoint")
		}, []ProblemKind{HeadMissing}, 13},
		{"the database is removed", func(t *testing.T, path string) { _ = os.Remove(path) }, []ProblemKind{Truncated}, 0},
		{"the checkpoint file is removed", func(t *testing.T, path string) { _ = os.Remove(path + ".checkpoint") }, []ProblemKind{HeadMissing}, 25},
		{"the checkpoint file is cut", func(t *testing.T, path string) { put(t, path+".checkpoint", newer.head[:60]) }, []ProblemKind{HeadDamaged}, 25},
		{"the checkpoint file has another signature", func(t *testing.T, path string) {
			put(t, path+".checkpoint", []byte(newCheckpoint(3, 3, strings.Repeat("ab", 32), marks[0].At, testKey("attacker")).String()))
		}, []ProblemKind{HeadDamaged}, 25},
		{"the signed head is removed from the database", sqlEdit(statements(`DELETE FROM head`)), nil, 25},
		{"the signed head in the database is changed", sqlEdit(statements(`UPDATE head SET count = count + 1`)), []ProblemKind{HeadDamaged}, 25},
		{"the triggers are removed", func(t *testing.T, path string) {
			db := raw(t, path)
			if _, err := db.Exec(`DROP TRIGGER ledger_no_update`); err != nil {
				t.Fatal(err)
			}
		}, []ProblemKind{BadDatabase}, 25},
		{"a trigger is added", sqlEdit(statements(`CREATE TRIGGER more AFTER INSERT ON ledger BEGIN DELETE FROM sealed; END`)), []ProblemKind{BadDatabase}, 25},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			newer.put(t, path)
			c.do(t, path)
			l := openAs(t, path, "one")
			r, err := l.Verify(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := kinds(r.Problems); !slices.Equal(got, c.kinds) || r.Proven != c.proven {
				t.Errorf("%v, proven up to %d: %v", got, r.Proven, r.Problems)
			}
			// The newest checkpoint finds the same problems, and never fewer.
			if with, err := l.Verify(t.Context(), &marks[1]); err != nil || with.OK() != (len(c.kinds) == 0) {
				t.Errorf("with the checkpoint: %v %v", with.Problems, err)
			}
		})
	}
}

func put(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sqlEdit(f func(*sql.Tx) error) func(*testing.T, string) {
	return func(t *testing.T, path string) { change(t, path, f) }
}

// Only a checkpoint that was kept elsewhere detects that the database and the checkpoint file
// were replaced together.
func TestAnOlderCopyOfBothFilesNeedsTheCheckpointKeptElsewhere(t *testing.T) {
	older, newer, marks := grown(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	older.put(t, path)
	l := openAs(t, path, "one")
	whole(t, l)
	if r, err := l.Verify(t.Context(), &marks[0]); err != nil || !r.OK() {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := l.Verify(t.Context(), &marks[1]); err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{Truncated}) || r.Proven != 13 {
		t.Errorf("%+v %v", r, err)
	}
	_ = l.Close()
	newer.put(t, path)
	whole(t, openAs(t, path, "one"))
}

// An older checkpoint proves the entries up to it, also to a reader who has no other trace of
// the installation.
func TestAnOlderCheckpointProvesUpToItsEntry(t *testing.T) {
	_, newer, marks := grown(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	newer.put(t, path)
	_ = os.Remove(path + ".checkpoint")
	change(t, path, func(tx *sql.Tx) error {
		return errors.Join(rewrite(14, func(s *stored) { s.run = "other" })(tx), statements(`DELETE FROM head`)(tx))
	})
	l := openAs(t, path, "auditor")
	r, err := l.Verify(t.Context(), &marks[0])
	if err != nil || r.Proven != 13 || !slices.Equal(kinds(r.Problems), []ProblemKind{Unsigned}) || r.Problems[0].Entry != 14 {
		t.Errorf("%+v %v", r, err)
	}
}

// A changed index would hide an incident from a search.
func TestAChangedIndexIsNoticed(t *testing.T) {
	_, newer, _ := grown(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	newer.put(t, path)
	var root, size int
	db := raw(t, path)
	if err := db.QueryRow(`SELECT rootpage, (SELECT page_size FROM pragma_page_size()) FROM sqlite_master WHERE name = 'ledger_incident'`).Scan(&root, &size); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	at := (root - 1) * size
	i := bytes.LastIndex(newer.db[at:at+size], []byte("12"))
	if i < 0 {
		t.Fatal("the index has no incident 12")
	}
	b := bytes.Clone(newer.db)
	copy(b[at+i:], "19")
	copyOf{b, newer.head}.put(t, path)
	r, err := openAs(t, path, "one").Verify(t.Context(), nil)
	if err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{BadDatabase}) {
		t.Errorf("%+v %v", r, err)
	}
}
