package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

// testKey is an installation's key that depends on its name only.
func testKey(name string) ed25519.PrivateKey {
	s := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(s[:])
}

func openAs(t testing.TB, path, name string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), path, Options{Key: testKey(name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func open(t testing.TB) (*Ledger, string) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "a folder", "ledger.db")
	return openAs(t, p, "one"), p
}

func add(t testing.TB, l *Ledger, entries ...Entry) []Entry {
	t.Helper()
	if err := l.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	return entries
}

// entriesOf returns the entries of one incident, from its discovery to its outcome.
func entriesOf(incident string) []Entry {
	e := func(b Body) Entry { return Entry{Incident: incident, Actor: "somebody", Run: "plan", Body: b} }
	return []Entry{
		e(Found{Exposures: []rules.Location{{Source: "log", Path: "job.log", Line: 1, Column: 1}}}),
		e(Intent{Action: "revoke", Host: "git.example.com", Requests: []Request{{Method: "DELETE", URL: "https://git.example.com/self"}}}),
		e(Receipt{Accepted: true, Status: 204}),
		e(Outcome{Outcome: "Confirmed", Detail: "the probe that said live says dead"}),
	}
}

func whole(t testing.TB, l *Ledger) Report {
	t.Helper()
	r, err := l.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Proven != r.Last {
		t.Fatalf("the ledger is not whole: %+v", r)
	}
	return r
}

// raw opens the database without this package.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.ReplaceAll(path, " ", "%20")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestEntriesAreReadAsTheyWereAppended(t *testing.T) {
	l, path := open(t)
	in := add(t, l, entriesOf("ab12")...)
	if in[0].ID != 2 || in[3].ID != 5 || in[3].Hash == "" || in[0].At.IsZero() {
		t.Errorf("the caller's entries are %+v", in)
	}
	out, err := l.Incident(t.Context(), "ab")
	if err != nil || len(out) != len(in) {
		t.Fatalf("%d entries, %v", len(out), err)
	}
	for i, e := range out {
		if fmt.Sprint(e.Body) != fmt.Sprint(in[i].Body) || e.ID != in[i].ID || e.Hash != in[i].Hash || !e.At.Equal(in[i].At) || e.Actor != "somebody" || e.Run != "plan" {
			t.Errorf("%+v was appended as %+v", e, in[i])
		}
	}
	b, err := out[3].MarshalJSON()
	if err != nil || !strings.Contains(string(b), `"type":"outcome"`) || !strings.Contains(string(b), `"body":{"outcome":"Confirmed"`) {
		t.Errorf("%s %v", b, err)
	}
	whole(t, l)
	for _, f := range []string{path, path + "-wal", path + ".checkpoint"} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: others may read it: %v %v", f, info, err)
		}
	}
}

func TestAnAppendOfSeveralEntriesIsAllOrNothing(t *testing.T) {
	l, _ := open(t)
	add(t, l, entriesOf("ab")...)
	err := l.Append(t.Context(), Entry{Incident: "cd", Body: Found{}}, Entry{Incident: "cd"})
	if err == nil {
		t.Fatal("an entry without a body was appended")
	}
	if _, err := l.Incident(t.Context(), "cd"); !errors.Is(err, ErrNoIncident) {
		t.Errorf("half of it was: %v", err)
	}
	whole(t, l)
}

func TestTheDatabaseRefusesToChangeEntries(t *testing.T) {
	l, _ := open(t)
	add(t, l, entriesOf("ab")...)
	for _, q := range []string{"UPDATE ledger SET body = '9'", "DELETE FROM ledger", "DELETE FROM ledger WHERE id = 2"} {
		if _, err := l.db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestIncidentByUniquePrefix(t *testing.T) {
	l, _ := open(t)
	for _, i := range []string{"aa11", "aa22", "b%_1", "b%_12", "ä1"} {
		add(t, l, Entry{Incident: i, Body: Found{}})
	}
	for prefix, want := range map[string]error{"": ErrNoIncident, "aa": ErrAmbiguous, "aa1": nil, "b%_1": nil, "b%_": ErrAmbiguous, "%": ErrNoIncident, "ä": nil, "c": ErrNoIncident} {
		got, err := l.Incident(t.Context(), prefix)
		if !errors.Is(err, want) || want == nil && len(got) != 1 {
			t.Errorf("%q: %d entries, %v", prefix, len(got), err)
		}
	}
}

func TestIncidentsHaveTheirLastOutcome(t *testing.T) {
	l, _ := open(t)
	n := page + 20
	for i := range n {
		add(t, l, Entry{Incident: fmt.Sprintf("%04d", (i*7919)%n), Body: Found{}})
	}
	add(t, l, Entry{Incident: "0001", Body: Outcome{Outcome: "Confirmed"}}, Entry{Incident: "0002", Body: Outcome{Outcome: "Unconfirmed"}},
		Entry{Incident: "0002", Body: Held{Reason: "not owned"}}, Entry{Incident: "0003", Body: Outcome{Outcome: "until expiry"}})
	got := map[string]Word{}
	order := ""
	for s, err := range l.Incidents(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Began.IsZero() || (s.Outcome != "open") != !s.At.IsZero() {
			t.Errorf("%+v", s)
		}
		got[s.Incident] = s.Outcome
		if len(got) < 4 {
			order += s.Incident + " "
		}
	}
	if len(got) != n || got["0001"] != "Confirmed" || got["0002"] != "Held" || got["0003"] != "until_expiry" || got["0004"] != "open" {
		t.Errorf("%d incidents, %v", len(got), got)
	}
	if want := fmt.Sprintf("0000 %04d %04d ", 7919%n, 2*7919%n); order != want {
		t.Errorf("they begin with %s, not %s", order, want)
	}
}

func TestALoopOverAllEntriesMayAppend(t *testing.T) {
	l, _ := open(t)
	var many []Entry
	for i := range 2*page + 3 {
		many = append(many, Entry{Incident: fmt.Sprint(i % 5), Body: Notice{Message: fmt.Sprint(i)}})
	}
	add(t, l, many...)
	seen, last := 0, int64(0)
	for e, err := range l.All(t.Context()) {
		if err != nil || e.ID <= last {
			t.Fatalf("%d after %d: %v", e.ID, last, err)
		}
		last = e.ID
		if seen++; seen == 10 {
			add(t, l, Entry{Incident: "new", Body: Found{}})
		}
	}
	if seen != len(many)+2 { // with the key and the new one
		t.Errorf("%d entries", seen)
	}
}

func TestTextThatADatabaseRefusesIsReplaced(t *testing.T) {
	l, _ := open(t)
	add(t, l, Entry{Incident: "a\x00b\xff", Actor: "\xfe", Body: Held{Reason: "x\x00\xffy"}})
	got, err := l.Incident(t.Context(), "a\uFFFDb\uFFFD")
	if err != nil || len(got) != 1 || got[0].Actor != "\uFFFD" {
		t.Errorf("%+v %v", got, err)
	}
	whole(t, l)
}

func TestAnEntryThatDoesNotDecodeIsShownWithItsError(t *testing.T) {
	l, path := open(t)
	add(t, l, entriesOf("ab")...)
	db := raw(t, path)
	if _, err := db.Exec(`INSERT INTO ledger(at, incident, type, actor, run, body, hash) VALUES ('2026-05-03T00:00:00Z', 'ab', 'intent', '', '', '[1]', 'x'), ('2026-05-03T00:00:00Z', 'ab', 'consent', '', '', '{"by":2}', 'x')`); err != nil {
		t.Fatal(err)
	}
	got, err := l.Incident(t.Context(), "ab")
	if err == nil || !strings.Contains(err.Error(), "entry 6") || len(got) != 6 {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	if b, ok := got[5].Body.(Unknown); !ok || got[5].Type() != "consent" || string(b.Raw) != `{"by":2}` {
		t.Errorf("%+v", got[5])
	}
}

func TestAppendNeedsAKey(t *testing.T) {
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Append(t.Context(), entriesOf("ab")...); err == nil || !strings.Contains(err.Error(), "key") {
		t.Error(err)
	}
	if r, err := l.Verify(t.Context(), nil); err != nil || !r.OK() || r.Entries != 0 {
		t.Errorf("%+v %v", r, err)
	}
}

// Handles simulate processes: each has a connection of its own.
func TestConcurrentAppendsFormOneChain(t *testing.T) {
	_, path := open(t)
	var wg sync.WaitGroup
	for m := range 4 {
		l := openAs(t, path, "one")
		for g := range 2 {
			wg.Go(func() {
				for n := range 15 {
					if err := l.Append(t.Context(), Entry{Incident: fmt.Sprintf("%d%d", m, g), Body: Notice{Message: fmt.Sprint(n)}}, Entry{Incident: "all", Body: Found{}}); err != nil {
						t.Error(err)
					}
				}
				if err := l.HeadError(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	l := openAs(t, path, "one")
	if r := whole(t, l); r.Entries != 4*2*15*2+1 {
		t.Errorf("%d entries", r.Entries)
	}
	if c, found, err := l.file.read(); err != nil || !found || c.ID != 241 {
		t.Errorf("the checkpoint file is at %d: %v", c.ID, err)
	}
}

func TestProcessesThatCreateALedgerAtOnceShareIt(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "new", "ledger.db")
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				l, err := Open(t.Context(), path, Options{Key: testKey("one")})
				if err != nil {
					t.Error(err)
					return
				}
				defer l.Close()
				if err := l.Append(t.Context(), Entry{Incident: "x", Body: Found{}}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if r := whole(t, openAs(t, path, "one")); r.Entries != 7 {
			t.Errorf("%d entries", r.Entries)
		}
	}
}

func TestSealedCredentialsKeepAllButTheSecret(t *testing.T) {
	l, _ := open(t)
	expires := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	want := Sealed{Incident: "abc", Value: "sealed", Ref: Ref{Ref: rules.Ref{Fingerprint: "abc", Rule: "express", Provider: "express", Kind: "session cookie", Redacted: "s%3A…", Cookie: "sid",
		Claims: rules.Claims{Hosts: []string{"app.example.com"}}, Offline: rules.Offline{State: "unexpired", Expires: &expires}}, Instance: "https://app.example.com", Endpoint: "probe", Roles: []string{"id", "secret"}, Learned: "5e884898"}}
	first := want
	first.Ref, first.Value = Ref{Ref: rules.Ref{Rule: "other"}}, "older"
	for _, s := range []Sealed{first, want} {
		if err := l.Keep(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.Kept(t.Context())
	if err != nil || len(got) != 1 || fmt.Sprintf("%+v", got[0].Ref.Offline.Expires) != fmt.Sprint(expires) {
		t.Fatalf("%+v %v", got, err)
	}
	got[0].Ref.Offline.Expires, want.Ref.Offline.Expires = nil, nil
	if fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v", got[0])
	}
	if n, err := l.Purge(t.Context()); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}
