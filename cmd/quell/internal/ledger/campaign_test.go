package ledger

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"github.com/quellhq/quell/rules/testenv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// manipulation changes a ledger at rest at random, and returns the id of the first
// entry that it changed, removed or added.
type manipulation struct {
	name string
	do   func(r *rand.Rand, tx *sql.Tx, last int64) (first int64, err error)
}

func run(tx *sql.Tx, query string, args ...any) error { _, err := tx.Exec(query, args...); return err }

func randomRow(r *rand.Rand) stored {
	return stored{row: row{at: "2026-05-03T00:00:00Z", incident: fmt.Sprintf("%d%d", r.IntN(2), r.IntN(3)), kind: string(Types()[r.IntN(14)]), actor: "x", body: `{"outcome":"Confirmed"}`}}
}

func manipulations() []manipulation {
	texts := []string{"at", "incident", "type", "actor", "run", "body", "hash"}
	return []manipulation{
		{"a column of an entry", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 1 + r.Int64N(last)
			c := texts[r.IntN(len(texts))]
			return id, run(tx, fmt.Sprintf(`UPDATE ledger SET %s = substr(%s, 1, ?) || ? WHERE id = ?`, c, c), r.IntN(40), fmt.Sprint(r.IntN(1000)), id)
		}},
		{"a byte that is not UTF-8", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 1 + r.Int64N(last)
			return id, run(tx, `UPDATE ledger SET actor = actor || CAST(x'ff' AS TEXT) WHERE id = ?`, id)
		}},
		{"the number of an entry", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id, to := 1+r.Int64N(last), []int64{0, -3, last + 1, last + 1000}[r.IntN(4)]
			return min(id, max(to, 1)), run(tx, `UPDATE ledger SET id = ? WHERE id = ?`, to, id)
		}},
		{"two entries swapped", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			a := 1 + r.Int64N(last-1)
			b := a + 1 + r.Int64N(last-a)
			return a, run(tx, `UPDATE ledger SET id = -id WHERE id IN (?1, ?2); UPDATE ledger SET id = ?1 + ?2 + id WHERE id < 0`, a, b)
		}},
		{"entries removed", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 1 + r.Int64N(last)
			return id, run(tx, `DELETE FROM ledger WHERE id BETWEEN ? AND ?`, id, id+r.Int64N(4))
		}},
		{"the end cut", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 1 + r.Int64N(last)
			return id, run(tx, `DELETE FROM ledger WHERE id >= ?`, id)
		}},
		{"the end cut, with the heads", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 1 + r.Int64N(last)
			return id, run(tx, `DELETE FROM ledger WHERE id >= ?; DELETE FROM head`, id)
		}},
		{"an entry inserted", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 1 + r.Int64N(last)
			s := randomRow(r)
			if err := run(tx, `UPDATE ledger SET id = -id WHERE id >= ?`, id); err != nil {
				return id, err
			}
			if err := run(tx, `UPDATE ledger SET id = 1 - id WHERE id < 0`); err != nil {
				return id, err
			}
			return id, run(tx, insertEntry, id, s.at, s.incident, s.kind, s.actor, s.run, s.body, s.row.hash(""))
		}},
		{"the end rewritten with hashes that fit", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 1 + r.Int64N(last)
			return id, rewrite(id, func(s *stored) { s.actor += "x" })(tx)
		}},
		{"the end rewritten and signed with another key", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 1 + r.Int64N(last)
			if err := rewrite(id, func(s *stored) {
				s.run += "x"
				if s.kind == "key" {
					s.body = rooted("attacker")
				}
			})(tx); err != nil {
				return id, err
			}
			return id, forgeHeads(tx, "attacker")
		}},
		{"entries added by an installation that asks to be listed", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			key := stored{row: row{at: "2026-05-03T00:00:00Z", kind: "key", body: rooted("attacker")}}
			if err := errors.Join(forgeEntry(tx, key), forgeEntry(tx, randomRow(r))); err != nil {
				return last + 1, err
			}
			return last + 1, forgeHeads(tx, "attacker")
		}},
		{"an end of its own", func(r *rand.Rand, tx *sql.Tx, last int64) (int64, error) {
			id := 2 + r.Int64N(last-1)
			if err := run(tx, `DELETE FROM ledger WHERE id >= ?`, id); err != nil {
				return id, err
			}
			for range 1 + r.IntN(int(last)) {
				if err := forgeEntry(tx, randomRow(r)); err != nil {
					return id, err
				}
			}
			return id, nil
		}},
	}
}

// TestRandomManipulationsAreFound changes a ledger in a thousand ways. With the
// newest checkpoint each is found. With an older one each change up to it is, and
// the report never calls an entry proven that was changed.
func TestRandomManipulationsAreFound(t *testing.T) {
	_, newer, marks := grown(t)
	count := 1000 / testenv.Fewer
	if testing.Short() {
		count = 100
	}
	r := rand.New(rand.NewPCG(21, 24))
	list := manipulations()
	path := filepath.Join(t.TempDir(), "ledger.db")
	for n := range count {
		m := list[n%len(list)]
		newer.put(t, path)
		var first int64
		change(t, path, func(tx *sql.Tx) (err error) { first, err = m.do(r, tx, 25); return err })
		// Half of them are by an attacker who can also write the checkpoint file.
		fileToo := r.IntN(2) == 0
		if fileToo {
			_ = os.Remove(path + ".checkpoint")
		}
		l, err := Open(t.Context(), path, Options{Key: testKey("one")})
		if err != nil {
			t.Fatal(err)
		}
		check := func(name string, kept *Checkpoint, mustFind bool) {
			rep, err := l.Verify(t.Context(), kept)
			if err != nil {
				t.Fatal(err)
			}
			if mustFind && rep.OK() {
				t.Errorf("%d: %s from entry %d: not found with %s: %+v", n, m.name, first, name, rep)
			}
			if rep.Proven >= first {
				t.Errorf("%d: %s from entry %d: proven up to %d with %s", n, m.name, first, rep.Proven, name)
			}
		}
		check("the newest checkpoint", &marks[1], true)
		check("an older checkpoint", &marks[0], first <= marks[0].ID)
		if !fileToo {
			check("the checkpoint file", nil, true)
		}
		_ = l.Close()
	}
}

// Bytes of the file are changed below SQLite. Damage that is not noticed must not have changed
// an entry.
func TestRandomDamageOfTheFileIsFoundOrChangesNoEntry(t *testing.T) {
	_, newer, marks := grown(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	newer.put(t, path)
	dump := func() (string, bool) {
		l, err := Open(t.Context(), path, Options{Key: testKey("one")})
		if err != nil {
			return err.Error(), false
		}
		defer l.Close()
		rep, err := l.Verify(t.Context(), &marks[1])
		if err != nil || !rep.OK() {
			return fmt.Sprint(rep.Problems, err), false
		}
		var b bytes.Buffer
		for e, err := range l.All(t.Context()) {
			j, err2 := e.MarshalJSON()
			fmt.Fprintln(&b, string(j), err, err2)
		}
		for s, err := range l.Incidents(t.Context()) {
			fmt.Fprintln(&b, s, err)
		}
		for _, i := range []string{"00", "12"} {
			all, err := l.Incident(t.Context(), i)
			fmt.Fprintln(&b, len(all), err)
		}
		return b.String(), true
	}
	want, ok := dump()
	if !ok {
		t.Fatal(want)
	}
	count := 300 / testenv.Fewer
	if testing.Short() {
		count = 40
	}
	r := rand.New(rand.NewPCG(3, 4))
	found := 0
	for n := range count {
		c := copyOf{bytes.Clone(newer.db), newer.head}
		at := r.IntN(len(c.db))
		for range 1 + r.IntN(3) {
			c.db[at] ^= byte(1 + r.IntN(255))
			at = min(at+1, len(c.db)-1)
		}
		c.put(t, path)
		got, ok := dump()
		if ok && got != want {
			t.Errorf("%d: damage at %d was not found", n, at)
		}
		if !ok {
			found++
		}
	}
	t.Logf("%d of %d were found; the others changed no entry", found, count)
}
