package realtest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
)

// machine opens the ledger as an installation with a key and a state folder of its
// own.
func machine(t *testing.T, address, name, state string) *ledger.Ledger {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	l, err := ledger.Open(t.Context(), address, ledger.Options{Key: ed25519.NewKeyFromSeed(seed[:]), State: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// postgresLedger starts a server and returns its address.
func postgresLedger(t *testing.T) (address string, db *sql.DB, restart func()) {
	t.Helper()
	port, restart := postgresServer(t)
	address = "postgres://admin:made-up-root@127.0.0.1:" + port + "/postgres?sslmode=disable"
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return address, db, restart
}

func wholeLedger(t *testing.T, l *ledger.Ledger) ledger.Report {
	t.Helper()
	r, err := l.Verify(t.Context(), nil)
	if err != nil || !r.OK() || r.Proven != r.Last {
		t.Fatalf("the ledger is not whole: %+v %v", r, err)
	}
	return r
}

func problemKinds(r ledger.Report) []ledger.ProblemKind {
	var out []ledger.ProblemKind
	for _, p := range r.Problems {
		if !slices.Contains(out, p.Kind) {
			out = append(out, p.Kind)
		}
	}
	slices.Sort(out)
	return out
}

func TestMachinesThatShareAPostgresLedgerWriteOneChain(t *testing.T) {
	address, _, _ := postgresLedger(t)
	var wg sync.WaitGroup
	first := machine(t, address, "m0", t.TempDir())
	if err := first.Append(t.Context(), ledger.Entry{Incident: "first", Body: ledger.Found{}}); err != nil {
		t.Fatal(err)
	}
	for m := range 4 {
		l := machine(t, address, fmt.Sprintf("m%d", m), t.TempDir())
		if m == 0 {
			l = first
		}
		if err := first.Admit(t.Context(), "operator", l.PublicKey(), "a second worker"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			wg.Go(func() {
				for n := range 10 {
					if err := l.Append(t.Context(), ledger.Entry{Incident: fmt.Sprintf("%02d%02d", m, n), Actor: "machine", Body: ledger.Intent{Action: "revoke"}}, ledger.Entry{Incident: "all", Body: ledger.Receipt{}}); err != nil {
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
	for _, name := range []string{"m0", "m3"} {
		l := machine(t, address, name, "") // without its file the signed heads suffice
		if r := wholeLedger(t, l); r.Entries != 4*2*10*2+1+4 || len(r.Unlisted) != 0 {
			t.Errorf("%+v", r)
		}
	}
	if all, err := first.Incident(t.Context(), "all"); err != nil || len(all) != 80 {
		t.Errorf("%d %v", len(all), err)
	}
	n := 0
	for s, err := range first.Incidents(t.Context()) {
		if err != nil || s.Outcome != "open" {
			t.Errorf("%+v %v", s, err)
		}
		n++
	}
	if n != 42 {
		t.Errorf("%d incidents", n)
	}
}

// earlierPostgres is the layout of the release before the table schema_version
// existed.
const earlierPostgres = `
CREATE TABLE ledger (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at TEXT NOT NULL, incident TEXT NOT NULL, type TEXT NOT NULL, actor TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX ledger_incident ON ledger(incident, id);
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger EXECUTE FUNCTION ledger_is_append_only();
CREATE TABLE sealed (incident TEXT PRIMARY KEY, rule TEXT NOT NULL, cookie TEXT NOT NULL, value TEXT NOT NULL);`

// earlierAppend adds an entry with the statement of that release.
func earlierAppend(db *sql.DB, kind, body string) error {
	var prev string
	if err := db.QueryRow(`SELECT hash FROM ledger ORDER BY id DESC LIMIT 1`).Scan(&prev); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	at := time.Now().UTC().Format(time.RFC3339Nano)
	b, err := json.Marshal([]string{prev, at, "abc", kind, "", "", body})
	if err != nil {
		return err
	}
	_, err = db.Exec(`INSERT INTO ledger(at, incident, type, actor, run, body, hash) VALUES ($1,'abc',$2,'','',$3,$4)`, at, kind, body, fmt.Sprintf("%x", sha256.Sum256(b)))
	return err
}

func TestAPostgresLedgerOfTheEarlierReleaseOpens(t *testing.T) {
	address, db, _ := postgresLedger(t)
	if _, err := db.Exec(earlierPostgres); err != nil {
		t.Fatal(err)
	}
	keep := `INSERT INTO sealed(incident, rule, cookie, value) VALUES ('abc', 'rule', 'sid', 'sealed') ON CONFLICT(incident) DO UPDATE SET value = excluded.value`
	for n := range 5 {
		if err := earlierAppend(db, "held", fmt.Sprintf("%q", fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		// A transaction that is rolled back leaves a gap in the numbers.
		if _, err := db.Exec(`SELECT nextval(pg_get_serial_sequence('ledger', 'id'))`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(keep); err != nil {
		t.Fatal(err)
	}
	l := machine(t, address, "one", t.TempDir())
	if r, err := l.Verify(t.Context(), nil); err != nil || !r.OK() || r.Entries != 5 {
		t.Fatalf("%+v %v", r, err)
	}
	if err := l.Append(t.Context(), ledger.Entry{Incident: "abc", Body: ledger.Held{Reason: "5"}}); err != nil {
		t.Fatal(err)
	}
	wholeLedger(t, l)
	if k, err := l.Kept(t.Context()); err != nil || len(k) != 1 || k[0].Ref.Rule != "rule" || k[0].Ref.Cookie != "sid" {
		t.Errorf("%+v %v", k, err)
	}
	// The earlier release takes its numbers from the sequence.
	if err := earlierAppend(db, "held", `"6"`); err != nil {
		t.Error(err)
	}
	if _, err := db.Exec(keep); err != nil {
		t.Error(err)
	}
}

// Sealed credentials and the memory of scans are tables next to the ledger.
func TestWhatPostgresKeepsNextToTheLedger(t *testing.T) {
	address, _, _ := postgresLedger(t)
	l := machine(t, address, "one", t.TempDir())
	for n := range 2 {
		s := ledger.Sealed{Incident: "a", Value: fmt.Sprintf("sealed-%d", n)}
		s.Ref.Rule = "rule"
		if err := l.Keep(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := l.Kept(t.Context()); err != nil || len(kept) != 1 || kept[0].Value != "sealed-1" {
		t.Errorf("%+v, %v", kept, err)
	}
	if n, err := l.Purge(t.Context()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	m, err := l.Memory("rules", make([]byte, 32), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"one", "two"} {
		m.Put(t.Context(), "key", []byte(v))
	}
	if v, ok := m.Get(t.Context(), "key"); !ok || string(v) != "two" {
		t.Errorf("%q", v)
	}
}

func TestWhatVerifyNoticesInPostgres(t *testing.T) {
	address, db, _ := postgresLedger(t)
	for _, c := range []struct {
		name, edit string
		want       []ledger.ProblemKind
	}{
		{"nothing", ``, nil},
		{"an entry is changed", `UPDATE ledger SET actor = 'nobody' WHERE id = 4`, []ledger.ProblemKind{ledger.Changed}},
		{"the end is cut", `DELETE FROM ledger WHERE id > 6`, []ledger.ProblemKind{ledger.Truncated, ledger.Unsigned}},
		{"everything is removed", `DELETE FROM ledger; DELETE FROM head`, []ledger.ProblemKind{ledger.Truncated}},
		{"an entry is added", `INSERT INTO ledger(at, incident, type, actor, run, body, hash) VALUES ('', '', '', '', '', '', '')`, []ledger.ProblemKind{ledger.Changed, ledger.Unsigned}},
		{"a trigger is disabled", `ALTER TABLE ledger DISABLE TRIGGER ledger_no_change`, []ledger.ProblemKind{ledger.BadDatabase}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := db.Exec(`DROP TABLE IF EXISTS ledger, head, lease, sealed, memory, schema_version`); err != nil {
				t.Fatal(err)
			}
			l := machine(t, address, "one", t.TempDir())
			for n := range 7 {
				if err := l.Append(t.Context(), ledger.Entry{Incident: fmt.Sprint(n), Body: ledger.Found{}}); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := l.Checkpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range []string{"UPDATE ledger SET body = '9'", "DELETE FROM ledger WHERE id = 2", "TRUNCATE ledger"} {
				if _, err := db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
					t.Errorf("%s: %v", q, err)
				}
			}
			if !strings.HasPrefix(c.edit, "ALTER") {
				c.edit = "ALTER TABLE ledger DISABLE TRIGGER ledger_no_change; " + c.edit + "; ALTER TABLE ledger ENABLE TRIGGER ledger_no_change"
			}
			if _, err := db.Exec(c.edit); err != nil {
				t.Fatal(err)
			}
			for _, with := range []*ledger.Checkpoint{nil, &kept} {
				if r, err := l.Verify(t.Context(), with); err != nil || !slices.Equal(problemKinds(r), c.want) {
					t.Errorf("%+v %v", r, err)
				}
			}
		})
	}
}

func TestLeasesInPostgres(t *testing.T) {
	address, _, _ := postgresLedger(t)
	a, b := machine(t, address, "one", t.TempDir()), machine(t, address, "two", t.TempDir())
	var there []string
	for i := range 500 {
		there = append(there, fmt.Sprintf("%04d", i))
	}
	back := slices.Clone(there)
	slices.Reverse(back)
	var mu sync.Mutex
	held := map[string]int{}
	var wg sync.WaitGroup
	for l, order := range map[*ledger.Ledger][]string{a: there, b: back} {
		wg.Go(func() {
			for some := range slices.Chunk(order, 100) {
				got, err := l.Acquire(t.Context(), time.Minute, some...)
				if err != nil {
					t.Error(err)
					return
				}
				var intents []ledger.Entry
				for _, x := range got {
					intents = append(intents, ledger.Entry{Incident: x.Incident, Body: ledger.Intent{Action: "revoke", Fence: x.Fence}})
					mu.Lock()
					held[x.Incident]++
					mu.Unlock()
				}
				if err := l.Append(t.Context(), intents...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, i := range there {
		if held[i] != 1 {
			t.Errorf("%s was leased %d times", i, held[i])
		}
	}
	// A lease expires by the server's clock, and its fence becomes outdated.
	short, err := a.Acquire(t.Context(), 300*time.Millisecond, "x")
	if err != nil || len(short) != 1 {
		t.Fatal(short, err)
	}
	if got, err := b.Acquire(t.Context(), time.Minute, "x"); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
	var taken []ledger.Lease
	for deadline := time.Now().Add(10 * time.Second); len(taken) == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if taken, err = b.Acquire(t.Context(), time.Minute, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if len(taken) != 1 || taken[0].Fence != short[0].Fence+1 {
		t.Fatalf("%+v after %+v", taken, short)
	}
	if err := a.Append(t.Context(), ledger.Entry{Incident: "x", Body: ledger.Intent{Fence: short[0].Fence}}); !errors.Is(err, ledger.ErrFence) {
		t.Errorf("an outdated fence: %v", err)
	}
	if still, err := a.Renew(t.Context(), time.Minute, short...); err != nil || len(still) != 0 {
		t.Errorf("%v %v", still, err)
	}
	if err := b.Append(t.Context(), ledger.Entry{Incident: "x", Body: ledger.Intent{Fence: taken[0].Fence}}); err != nil {
		t.Error(err)
	}
}

// Workers may get an installation's key, and none of its files.
func TestMachinesWithOneKeyAndNoFiles(t *testing.T) {
	address, _, _ := postgresLedger(t)
	readOnly := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(readOnly, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var last *ledger.Ledger
	for n, state := range []string{t.TempDir(), t.TempDir(), "", readOnly, t.TempDir()} {
		last = machine(t, address, "one", state)
		if err := last.Append(t.Context(), ledger.Entry{Incident: fmt.Sprint(n), Body: ledger.Found{}}); err != nil {
			t.Fatal(err)
		}
		if err := last.HeadError(); (err != nil) != (state == readOnly) {
			t.Errorf("%d: %v", n, err)
		}
		wholeLedger(t, last)
	}
	if r := wholeLedger(t, last); r.Entries != 6 || len(r.Notes) != 0 {
		t.Errorf("%+v", r)
	}
	if r := wholeLedger(t, machine(t, address, "one", t.TempDir())); len(r.Notes) != 1 {
		t.Errorf("%+v", r)
	}
	// A machine with a key of its own may write before anybody lists it.
	other := machine(t, address, "two", t.TempDir())
	if err := other.Append(t.Context(), ledger.Entry{Incident: "other", Body: ledger.Found{}}); err != nil {
		t.Fatal(err)
	}
	if r, err := last.Verify(t.Context(), nil); err != nil || !r.OK() || r.Proven != 6 || len(r.Unlisted) != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

// A server that is killed during appends has everything that Append returned for.
func TestAPostgresServerThatIsKilledLosesNothing(t *testing.T) {
	address, _, restart := postgresLedger(t)
	l := machine(t, address, "one", t.TempDir())
	stop := make(chan struct{})
	durable := make(chan []string, 1)
	go func() {
		var list []string
		for n := 0; ; n++ {
			select {
			case <-stop:
				durable <- list
				return
			default:
			}
			name := fmt.Sprint("n", n)
			if err := l.Append(t.Context(), ledger.Entry{Incident: name, Body: ledger.Intent{}}); err == nil {
				list = append(list, name)
			} else {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		restart()
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	list := <-durable
	wholeLedger(t, l)
	if len(list) < 10 {
		t.Errorf("only %d appends succeeded", len(list))
	}
	for _, name := range list {
		if all, err := l.Incident(t.Context(), name); err != nil || len(all) != 1 {
			t.Errorf("%s: %d %v", name, len(all), err)
		}
	}
}

func TestTheAddressOfAPostgresLedgerStaysSecret(t *testing.T) {
	port := postgres(t)
	for _, bad := range []string{"postgres://admin:wrong-password@127.0.0.1:" + port + "/postgres?sslmode=disable", "postgres://127.0.0.1:1/x", "postgres://u:wrong-password@db.example.com/x?sslmode=disable", "postgres://u:wrong-password@%zz"} {
		l, err := ledger.Open(t.Context(), bad, ledger.Options{State: filepath.Join(t.TempDir(), "s")})
		if err == nil {
			_ = l.Close()
		}
		if err == nil || strings.Contains(err.Error(), "wrong-password") {
			t.Errorf("%v", err)
		}
	}
}
