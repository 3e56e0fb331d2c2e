package serve

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// age makes everything that the database has of credentials older.
func (b *bench) age(db *sql.DB, by time.Duration) {
	b.t.Helper()
	ms := by.Milliseconds()
	for _, q := range []string{
		fmt.Sprintf(`UPDATE serve_credential SET first_at = first_at - %[1]d, last_at = last_at - %[1]d, live_at = CASE WHEN live_at > 0 THEN live_at - %[1]d ELSE 0 END, outcome_at = outcome_at - %[1]d`, ms),
		`UPDATE serve_target SET next = 0 WHERE name = '_retention'`,
	} {
		if _, err := db.ExecContext(b.t.Context(), q); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Values of dead credentials are deleted when the configuration keeps them no longer; live ones and
// the evidence stay, and the ledger verifies.
func TestRetentionDeletesValuesAndKeepsEvidence(t *testing.T) {
	b := newBench(t, 10, 20)
	b.head = "apply = true\n[retention]\nsealed = \"30d\"\nincidents = \"365d\"\n"
	b.app.refuse = 0
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	r, db := b.start(), b.db()
	b.eventually("the kill", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
	b.idle(db)
	b.age(db, 29*day)
	time.Sleep(500 * time.Millisecond)
	b.idle(db)
	if b.count(db, `SELECT count(*) FROM serve_credential WHERE sealed <> ''`) != 1 {
		t.Fatal("a value was deleted a day too early")
	}
	// A live one of the same age keeps its value.
	if _, err := db.ExecContext(t.Context(), `INSERT INTO serve_credential SELECT 'feed', rule, provider, redacted, ref, sealed, target, public, exposures, first_at, last_at, 'live', reason, detail, host, asked_at, live_at, '', 0 FROM serve_credential`); err != nil {
		t.Fatal(err)
	}
	b.age(db, 2*day)
	b.eventually("the deletion", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential WHERE sealed = ''`) == 1 })
	b.idle(db)
	if b.count(db, `SELECT count(*) FROM serve_credential WHERE sealed <> '' AND fingerprint = 'feed'`) != 1 || b.count(db, `SELECT count(*) FROM ledger WHERE type = 'deletion'`) != 1 {
		t.Error("the value of a live one was deleted, or the deletion was not recorded")
	}
	b.age(db, 400*day)
	b.eventually("the end of the row", func() bool { return b.count(db, `SELECT count(*) FROM serve_credential`) == 1 })
	b.idle(db)
	if b.count(db, `SELECT count(*) FROM serve_exposure WHERE fingerprint <> 'feed'`) != 0 || b.count(db, `SELECT count(*) FROM ledger WHERE type = 'deletion'`) != 1 {
		t.Error("places are left, or a value that was deleted is deleted again")
	}
	r.stop()
	l, err := ledger.Open(t.Context(), b.state, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if v, err := l.Verify(t.Context(), nil); err != nil || !v.OK() {
		t.Errorf("the ledger is not whole: %+v %v", v, err)
	}
}

func TestMessagesAreRehearsedAndSigned(t *testing.T) {
	b := newBench(t)
	b.env["SIGN"] = "made-up-secret-of-the-signature"
	b.head = `
[[notify]]
name = "card"
url = "env:INBOX"
kind = "teams"
on = ["live"]
[[notify]]
name = "signed"
url = "env:INBOX"
kind = "webhook"
secret = "env:SIGN"
`
	var out strings.Builder
	if err := Rehearse(b.options(), &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"notify card: POST to 127.0.0.1", `"type":"AdaptiveCard"`, `ended: {"version":1,"event":"ended"`, "Quell-Signature: t=", `plan: {"version":1`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if b.inbox.all() != "" || strings.Contains(text, hookPath) || strings.Contains(text, b.env["SIGN"]) {
		t.Error("a message was sent, or a secret was printed")
	}
	for line := range strings.Lines(text) {
		if event, body, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(body, "{") && !json.Valid([]byte(body)) {
			t.Errorf("%s is no JSON: %s", event, body)
		}
	}
	for name, bad := range map[string]string{"no secret": "kind = \"webhook\"", "a secret that signs nothing": "kind = \"teams\"\nsecret = \"env:SIGN\"", "no such kind": "kind = \"pager\"", "a written-out secret": "kind = \"webhook\"\nsecret = \"made-up\""} {
		c := &Config{Version: 1, Target: []Target{{Name: "a", System: "github", Of: []string{"o"}}}, Notify: []Notify{{Name: "x", URL: "env:INBOX"}}}
		for line := range strings.Lines(bad) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), " = ")
			if v = strings.Trim(v, `"`); k == "kind" {
				c.Notify[0].Kind = v
			} else {
				c.Notify[0].Secret = v
			}
		}
		if c.check() == nil {
			t.Errorf("%s is allowed", name)
		}
	}
}

// Nothing is deleted under legal_hold, and nothing of an incident on which another actor works: its
// issuer may accept it again at this moment.
func TestRetentionLeavesWhatIsNeeded(t *testing.T) {
	for _, hold := range []bool{true, false} {
		b := newBench(t, 10)
		b.head = "apply = true\n[retention]\nsealed = \"30d\"\nincidents = \"365d\"\n"
		b.app.refuse = 0
		if hold {
			b.prependPolicy("legal_hold = true\n")
		}
		b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
		r, db := b.start(), b.db()
		b.eventually("the kill", func() bool {
			return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
		})
		b.idle(db)
		// A job of the first start found nothing that is old.
		earlier := b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'retention'`)
		fp := ""
		if err := db.QueryRowContext(t.Context(), `SELECT fingerprint FROM serve_credential`).Scan(&fp); err != nil {
			t.Fatal(err)
		}
		r.stop()
		l, err := ledger.Open(t.Context(), b.state, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var leases []ledger.Lease
		if !hold {
			if leases, err = l.Acquire(t.Context(), time.Minute, fp); err != nil || len(leases) != 1 {
				t.Fatal(leases, err)
			}
		}
		b.age(db, 400*day)
		r = b.start()
		ended := func() bool {
			return b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'retention' AND state = 'completed'`) == earlier+1
		}
		if hold {
			b.eventually("the end of the job", ended)
		} else {
			b.eventually("a job that waits for the other actor", func() bool {
				return b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'retention' AND json_extract(metadata, '$.snoozes') > 0`) == 1
			})
			if _, err := db.ExecContext(t.Context(), `UPDATE serve_credential SET state = 'live', live_at = ?`, time.Now().UnixMilli()); err != nil {
				t.Fatal(err)
			}
			if err := l.Release(t.Context(), leases...); err != nil {
				t.Fatal(err)
			}
			b.eventually("the end of the job", ended)
		}
		if b.count(db, `SELECT count(*) FROM serve_credential WHERE sealed <> ''`) != 1 || b.count(db, `SELECT count(*) FROM ledger WHERE type = 'deletion'`) != 0 {
			t.Errorf("legal_hold %v: the value was deleted", hold)
		}
		r.stop()
	}
}
