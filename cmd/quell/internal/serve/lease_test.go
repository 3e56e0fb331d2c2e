package serve

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci/citest"
)

// recheckNow makes the credentials and the schedule of rechecks due.
func (b *bench) recheckNow() {
	b.t.Helper()
	for _, q := range []string{`UPDATE serve_credential SET asked_at = 0`, `UPDATE serve_target SET next = 0 WHERE name = '_recheck'`} {
		if _, err := b.db().ExecContext(b.t.Context(), q); err != nil {
			b.t.Fatal(err)
		}
	}
}

// While another actor works on an incident no answer about it is recorded: one from before a
// revocation would follow its outcome in the ledger.
func TestProbeWaitsForTheActorOfAnIncident(t *testing.T) {
	b := newBench(t, 10)
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	b.start()
	db := b.db()
	const is = `SELECT count(*) FROM serve_credential WHERE state = `
	b.eventually("a live session", func() bool { return b.count(db, is+`'live'`) == 1 })
	b.idle(db)
	var fp string
	if err := db.QueryRowContext(t.Context(), `SELECT fingerprint FROM serve_credential`).Scan(&fp); err != nil {
		t.Fatal(err)
	}
	led, err := ledger.Open(t.Context(), b.state, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	leases, err := led.Acquire(t.Context(), time.Minute, fp)
	if err != nil || len(leases) != 1 {
		t.Fatalf("%d leases, %v", len(leases), err)
	}
	b.app.mu.Lock()
	delete(b.app.live, session(10))
	b.app.mu.Unlock()
	entries := b.count(db, `SELECT count(*) FROM ledger`)
	b.recheckNow()
	b.eventually("a probe that waits", func() bool {
		return b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'probe' AND json_extract(metadata, '$.snoozes') > 0`) > 0 || b.count(db, is+`'live'`) == 0
	})
	if b.count(db, is+`'live'`) != 1 || b.count(db, `SELECT count(*) FROM ledger`) != entries {
		t.Error("an answer was recorded while another actor works on the incident")
	}
	if err := led.Release(t.Context(), leases...); err != nil {
		t.Fatal(err)
	}
	b.eventually("the answer", func() bool { return b.count(db, is+`'unknown'`) == 1 })
}

// A kill whose job was given up before its proof is taken up again by the next recheck.
func TestBegunKillIsTakenUpAgain(t *testing.T) {
	b := newBench(t, 10)
	b.head = "apply = true"
	b.fake.Repos = []*citest.Repo{{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: leaking(10)}}}}
	b.start()
	db := b.db()
	b.eventually("a proven kill", func() bool {
		return b.count(db, `SELECT count(*) FROM serve_credential WHERE outcome = 'Confirmed'`) == 1
	})
	b.idle(db)
	kills := b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'kill'`)
	// As after the last attempt of a job that could not read the plan.
	if _, err := db.ExecContext(t.Context(), `INSERT INTO serve_plan(fingerprint, file) SELECT fingerprint, '{}' FROM serve_credential`); err != nil {
		t.Fatal(err)
	}
	b.recheckNow()
	b.eventually("a further job", func() bool { return b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'kill'`) == kills+1 })
	b.eventually("its attempt", func() bool { return strings.Contains(b.logged(), "the plan that was begun") })
}

// The unread part of a run stays a blind spot when the server no longer lists the run, and
// ends when it is read.
func TestGapOfARunThatIsGoneStays(t *testing.T) {
	b := newBench(t)
	repo := &citest.Repo{Name: "a", Runs: []*citest.Run{{ID: 1, Attempts: 1, Created: time.Now(), Logs: quiet}}}
	b.fake.Repos = []*citest.Repo{repo}
	b.fake.Fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		r.Header.Del("If-None-Match")
		if strings.HasSuffix(r.URL.Path, "/logs") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	r := b.start()
	db := b.db()
	const gaps = `SELECT count(*) FROM serve_gap WHERE what = 'runs' AND item = '1' AND gaps = 1`
	b.eventually("the gap", func() bool { return b.count(db, gaps) == 1 })
	b.idle(db)
	if text := get(t, r.url+"/metrics"); !strings.Contains(text, `quell_blind_spots{target="acme"} 1`) {
		t.Errorf("%s", text)
	}
	r.stop()
	repo.Runs = nil
	if _, err := db.ExecContext(t.Context(), `UPDATE serve_target SET next = 0`); err != nil {
		t.Fatal(err)
	}
	r = b.start()
	b.eventually("a second look at the run", func() bool {
		return b.count(db, `SELECT count(*) FROM river_job WHERE kind = 'scan' AND json_extract(args, '$.run') = '1'`) == 1
	})
	if text := get(t, r.url+"/metrics"); !strings.Contains(text, `quell_blind_spots{target="acme"} 1`) {
		t.Errorf("after the sweep: %s", text)
	}
}

func TestGapsOfItems(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir()+"/x.db")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	var list []string
	err = s.Update(t.Context(), func(tx *store.Tx) error {
		for _, g := range []struct {
			what, item string
			n          int64
			at         time.Time
		}{{"runs", "1", 2, now.Add(-time.Hour)}, {"runs", "2", 1, now}, {"runs", "3", 1, now}, {"runs", "3", 0, now}, {"git", "", 5, now.Add(-time.Hour)}, {"runs", "1", 3, now}} {
			if err := tx.Missed("t", "o/a", g.what, g.item, g.n, "why", g.at); err != nil {
				return err
			}
		}
		if list, err = tx.Unread("t", "o/a", "runs", now.Add(-2*time.Hour)); err != nil || !slices.Equal(list, []string{"1", "2"}) {
			t.Errorf("%q, %v", list, err)
		}
		if list, err = tx.Unread("t", "o/a", "runs", now.Add(-time.Minute)); err != nil || !slices.Equal(list, []string{"2"}) {
			t.Errorf("of the last minute: %q, %v", list, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cursor(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Targets(t.Context()); err != nil || len(got) != 1 || got[0].Gaps != 6 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Hosts and cookie names that a later find names are kept with the form that is there, and make
// its issuer be asked again: each of them can hold a verdict back.
func TestLaterFindsAddTheirClaims(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir()+"/x.db")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	find := func(r rules.Ref) (more bool, have rules.Ref) {
		t.Helper()
		text, _ := json.Marshal(r)
		c := store.Credential{Fingerprint: "f", Rule: r.Rule, Provider: r.Provider, Ref: string(text), Sealed: "sealed " + r.Cookie}
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			before, replaced, err := tx.Found(c, []string{"x"}, time.Now(), func(b store.Credential) bool { return better(r, b) })
			if err == nil {
				more, err = enrich(tx, before, r, replaced)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Credential(t.Context(), "f")
		if err != nil || json.Unmarshal([]byte(got.Ref), &have) != nil || got.Sealed != "sealed "+have.Cookie {
			t.Fatalf("%+v %v", got, err)
		}
		return more, have
	}
	first := rules.Ref{Rule: "x", Provider: "x", Cookie: "one", Confidence: rules.Medium}
	if more, _ := find(first); more {
		t.Error("the first find adds to nothing")
	}
	if more, _ := find(first); more {
		t.Error("the same find adds something")
	}
	other := rules.Ref{Rule: "x", Provider: "x", Cookie: "two", Confidence: rules.Medium, Claims: rules.Claims{Hosts: []string{"b.example"}}}
	if more, have := find(other); !more || have.Cookie != "one" || !slices.Equal(have.Cookies, []string{"two"}) || !slices.Equal(have.Claims.Hosts, []string{"b.example"}) {
		t.Errorf("%t %+v", more, have)
	}
	better := rules.Ref{Rule: "x", Provider: "x", Cookie: "two", Confidence: rules.High}
	if _, have := find(better); have.Cookie != "two" || !slices.Equal(have.Cookies, []string{"one"}) || !slices.Equal(have.Claims.Hosts, []string{"b.example"}) {
		t.Errorf("a better form: %+v", have)
	}
}
