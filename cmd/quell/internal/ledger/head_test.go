package ledger

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestACheckpointSurvivesItsTextForm(t *testing.T) {
	for _, c := range []Checkpoint{
		newCheckpoint(0, 0, "", time.Now(), testKey("one")),
		newCheckpoint(41, 57, strings.Repeat("0f", 32), time.Unix(1_800_000_000, 0), testKey("one")),
	} {
		text := c.String()
		if strings.ContainsAny(text, " \n\t\"'") {
			t.Errorf("%q is not one word", text)
		}
		got, err := ParseCheckpoint("  " + text + "\r\n")
		if err != nil || got.String() != text || !got.At.Equal(c.At) || got.ID != c.ID || got.Hash != c.Hash {
			t.Errorf("%+v %v", got, err)
		}
		file := filepath.Join(t.TempDir(), "kept")
		put(t, file, []byte(text+"\n"))
		for _, from := range []string{text, file} {
			if got, err := LoadCheckpoint(from); err != nil || got.String() != text {
				t.Errorf("%+v %v", got, err)
			}
		}
		for i := range len(text) {
			b := []byte(text)
			b[i] ^= 1
			if got, err := ParseCheckpoint(string(b)); err == nil && got.String() != string(b) {
				t.Errorf("%s is read as %s", b, got)
			} else if err == nil {
				t.Errorf("%s has a byte changed and is accepted", b)
			}
		}
		if _, err := ParseCheckpoint(text[:len(text)-9]); err == nil {
			t.Error("a part was accepted")
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(newCheckpoint(41, 57, strings.Repeat("0f", 32), time.Unix(1_800_000_000, 0), testKey("one")).String())
	f.Add("quell-checkpoint:1:::::")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCheckpoint(text); err == nil {
			if again, err := ParseCheckpoint(c.String()); err != nil || again.String() != c.String() {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// tampered copies a ledger, changes it, and returns it opened.
func tampered(t *testing.T, from copyOf, f func(*sql.Tx) error) *Ledger {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	from.put(t, path)
	change(t, path, f)
	return openAs(t, path, "one")
}

func TestAppendRefusesALedgerThatWasChangedAndKeepsTheEvidence(t *testing.T) {
	older, newer, _ := grown(t)
	for _, c := range []struct {
		name string
		do   func(t *testing.T, path string)
	}{
		{"cut", func(t *testing.T, path string) { change(t, path, statements(`DELETE FROM ledger WHERE id > 20`)) }},
		{"an older copy", func(t *testing.T, path string) { put(t, path, older.db) }},
		{"removed", func(t *testing.T, path string) { _ = os.Remove(path) }},
		{"rewritten", func(t *testing.T, path string) { change(t, path, rewrite(3, func(s *stored) { s.run = "x" })) }},
		{"with a damaged checkpoint file", func(t *testing.T, path string) { put(t, path+".checkpoint", newer.head[9:]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			newer.put(t, path)
			c.do(t, path)
			before, _ := os.ReadFile(path + ".checkpoint")
			l := openAs(t, path, "one")
			if err := l.Append(t.Context(), entriesOf("99")...); !errors.Is(err, ErrTampered) || !strings.Contains(err.Error(), "--verify") {
				t.Fatalf("Append: %v", err)
			}
			if _, err := l.Checkpoint(t.Context()); err == nil {
				t.Error("a checkpoint of it was printed")
			}
			if after, _ := os.ReadFile(path + ".checkpoint"); string(after) != string(before) {
				t.Error("the checkpoint file was changed")
			}
			r, err := l.Accept(t.Context(), "somebody", "restored from a backup")
			if err != nil || r.OK() {
				t.Fatalf("Accept: %+v %v", r, err)
			}
			add(t, l, entriesOf("99")...)
			if r, err = l.Verify(t.Context(), nil); err != nil || !r.OK() || r.Proven != r.Last {
				t.Errorf("after Accept: %+v %v", r, err)
			}
		})
	}
}

func TestACheckpointFileThatWasMissingStaysVisible(t *testing.T) {
	_, newer, _ := grown(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	newer.put(t, path)
	_ = os.Remove(path + ".checkpoint")
	l := openAs(t, path, "one")
	add(t, l, entriesOf("99")...)
	r, err := l.Verify(t.Context(), nil)
	if err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{HeadMissing}) || r.Problems[0].Entry != 26 {
		t.Fatalf("%+v %v", r, err)
	}
	if c, found, err := l.file.read(); err != nil || !found || c.ID != r.Last {
		t.Errorf("the file was not written again: %+v %v", c, err)
	}
	if _, err := l.Accept(t.Context(), "somebody", "the folder was moved without it"); err != nil {
		t.Fatal(err)
	}
	add(t, l, entriesOf("98")...)
	whole(t, l)
}

func TestUnsignedEntriesStayVisible(t *testing.T) {
	_, newer, _ := grown(t)
	l := tampered(t, newer, func(tx *sql.Tx) error {
		return forgeEntry(tx, stored{row: row{at: "2026-05-03T00:00:00Z", incident: "00", kind: "outcome", body: `{"outcome":"Confirmed"}`}})
	})
	add(t, l, entriesOf("99")...)
	r, err := l.Verify(t.Context(), nil)
	if err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{Unsigned}) || r.Problems[0].Entry != 26 || r.Proven != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := l.Accept(t.Context(), "somebody", "an earlier release wrote it"); err != nil {
		t.Fatal(err)
	}
	if r, err = l.Verify(t.Context(), nil); err != nil || !r.OK() || len(r.Accepted) != 1 || r.Proven != r.Last {
		t.Errorf("%+v %v", r, err)
	}
}

// Without a key nothing can be accepted.
func TestAForgedOverrideAcceptsNothing(t *testing.T) {
	_, newer, _ := grown(t)
	l := tampered(t, newer, func(tx *sql.Tx) error {
		return errors.Join(
			forgeEntry(tx, stored{row: row{at: "2026-05-03T00:00:00Z", incident: "00", kind: "outcome", body: `{"outcome":"Confirmed"}`}}),
			forgeEntry(tx, stored{row: row{at: "2026-05-03T00:00:00Z", kind: "override", body: `{"reason":"x","accepts":[{"kind":"unsigned","entry":26,"last":27,"detail":""},{"kind":"unsigned","entry":26,"last":26,"detail":""}]}`}}))
	})
	for range 2 {
		if r, err := l.Verify(t.Context(), nil); err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{Unsigned}) {
			t.Errorf("%+v %v", r, err)
		}
		add(t, l, entriesOf("99")...) // quell's own signature covers it now
	}
}

func TestACheckpointFileThatLagsIsWrittenAtTheNextOpen(t *testing.T) {
	older, newer, marks := grown(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	// As if the process had ended between the commit and the file.
	copyOf{newer.db, older.head}.put(t, path)
	l := openAs(t, path, "one")
	whole(t, l)
	if c, found, err := l.file.read(); err != nil || !found || c.ID != marks[1].ID {
		t.Errorf("%d %v", c.ID, err)
	}
}

func TestTheFirstAppendMayEndAnywhere(t *testing.T) {
	l, path := open(t)
	// The checkpoint file is written, and the process ends before the commit.
	if err := l.file.write(newCheckpoint(0, 0, "", time.Now(), l.key)); err != nil {
		t.Fatal(err)
	}
	l = openAs(t, path, "one")
	whole(t, l)
	add(t, l, entriesOf("ab")...)
	whole(t, l)
}

func TestAnAppendSucceedsIfOnlyTheCheckpointFileCannotBeWritten(t *testing.T) {
	l, _ := open(t)
	add(t, l, entriesOf("ab")...)
	if err := os.Mkdir(string(l.file)+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	add(t, l, entriesOf("cd")...)
	if l.HeadError() == nil {
		t.Error("no error is reported")
	}
	whole(t, l)
	if err := os.Remove(string(l.file) + ".new"); err != nil {
		t.Fatal(err)
	}
	add(t, l, entriesOf("ef")...)
	if c, _, err := l.file.read(); err != nil || l.HeadError() != nil || c.ID != 13 {
		t.Errorf("%d %v %v", c.ID, err, l.HeadError())
	}
}

func TestTheCheckpointFileNeverMovesBack(t *testing.T) {
	a, path := open(t)
	b := openAs(t, path, "two")
	add(t, a, entriesOf("a1")...)
	add(t, b, entriesOf("b1")...)
	for _, may := range []replace{lagging, missing} {
		a.writeHead(t.Context(), may) // a's own newest head is an older one
		if c, found, err := a.file.read(); err != nil || !found || c.ID != 10 || a.HeadError() != nil {
			t.Errorf("%+v %v %v", c, err, a.HeadError())
		}
	}
}
