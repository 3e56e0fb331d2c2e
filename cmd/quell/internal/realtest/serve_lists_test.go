package realtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
)

// The lists of the web page, its sessions and proposals, and the retention on PostgreSQL.
func TestServeListsOnPostgres(t *testing.T) {
	address, db, _ := postgresLedger(t)
	s, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if has, err := store.Exists(t.Context(), address); err != nil || !has {
		t.Errorf("the tables are there: %v %v", has, err)
	}
	now := time.Now().Truncate(time.Millisecond)
	for _, q := range []string{
		`INSERT INTO serve_credential SELECT 'fp' || i, 'rule-' || (i % 7), 'p', 'r', '{}', 'sealed', 'acme', i % 2, 1, 1000 + i / 3, 1000, CASE i % 3 WHEN 0 THEN 'live' WHEN 1 THEN 'dead' ELSE '' END, '', '', 'host', 1, 0, CASE i % 3 WHEN 1 THEN 'Confirmed' ELSE '' END, 5000 FROM generate_series(1, 300) AS i`,
		`INSERT INTO serve_repo SELECT 'acme', 'o/r' || i, 0, 1, i, 1, i % 5, '' FROM generate_series(1, 50) AS i`,
		`INSERT INTO serve_target VALUES ('acme', 0, 1, 0, 0, 1, '')`,
		`INSERT INTO river_job(args, kind, max_attempts, state, queue, scheduled_at, errors) VALUES ('{"target":"acme"}', 'scan', 30, 'retryable', 'scan', now(), ARRAY['{"at":"2026-11-30T10:00:00Z","attempt":1,"error":"made up","trace":""}'::jsonb])`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for f := (store.Filter{Status: "dead", Text: "RULE", Limit: 7}); ; {
		list, next, err := s.Incidents(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list {
			if seen[i.Fingerprint] || i.Status != "dead" {
				t.Errorf("%s is out of its place", i.Fingerprint)
			}
			seen[i.Fingerprint] = true
		}
		if f.After = next; next == "" {
			break
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d incidents in all pages", len(seen))
	}
	n, after := 0, ""
	for {
		list, next, err := s.Repos(t.Context(), "acme", "gaps", "O/R", after, 7)
		if err != nil {
			t.Fatal(err)
		}
		n += len(list)
		if after = next; next == "" {
			break
		}
	}
	if n != 40 {
		t.Errorf("%d repositories with gaps", n)
	}
	if counts, err := s.StatusCounts(t.Context()); err != nil || len(counts) != 3 {
		t.Errorf("%v %v", counts, err)
	}
	if times, err := s.TimesToDead(t.Context(), time.Unix(1, 0)); err != nil || len(times) != 100 {
		t.Errorf("%d times, %v", len(times), err)
	}
	if jobs, err := s.Waiting(t.Context(), 5); err != nil || len(jobs) != 1 || jobs[0].Error != "made up" || jobs[0].Due.IsZero() {
		t.Errorf("%+v %v", jobs, err)
	}
	if err := errors.Join(s.Registries().Hold(t.Context(), "ghcr.io", time.Minute), s.Holds("acme").Hold(t.Context(), "https://api.github.com", time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, held, err := s.Registries().Take(t.Context(), "ghcr.io", 10, 20); err != nil || held < 50*time.Second {
		t.Errorf("%s %v", held, err)
	}
	if _, _, err := s.Take(t.Context(), "api.github.com", 5, 5); err != nil {
		t.Error(err)
	}
	limits, err := s.Limits(t.Context())
	if err != nil || len(limits) != 3 || limits[0].Target != "acme" || limits[0].Host != "https://api.github.com" || limits[1].Kind != "registry" || limits[1].Host != "ghcr.io" || limits[1].Held < 50*time.Second || limits[2].Kind != "issuer" || limits[2].Held != 0 {
		t.Errorf("%+v %v", limits, err)
	}
	if _, err := s.Workers(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.KillsSince(t.Context(), now); err != nil {
		t.Error(err)
	}
	x := store.Session{Person: "alice", Method: "token", Approve: true, Created: now, Seen: now, Expires: now.Add(time.Hour)}
	if err := errors.Join(s.Begin(t.Context(), "made-up-id", x), s.Touch(t.Context(), "made-up-id", now, now.Add(2*time.Hour))); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Session(t.Context(), "made-up-id", now.Add(90*time.Minute)); err != nil || got.Person != "alice" || !got.Approve {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := s.Session(t.Context(), "made-up-id", now.Add(3*time.Hour)); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("an expired session: %v", err)
	}
	for _, digest := range []string{"d", "d", "e"} {
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			fresh, err := tx.Propose(store.Proposal{Fingerprint: "fp1", Digest: digest, File: "{}", Needed: 2, At: now})
			if want := digest == "e" || n > 0; fresh != want {
				t.Errorf("%s: fresh is %v", digest, fresh)
			}
			n = 0
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if list, err := s.Proposals(t.Context(), 10); err != nil || len(list) != 1 || list[0].Digest != "e" || list[0].Needed != 2 {
		t.Errorf("%+v %v", list, err)
	}
	over, err := s.Over(t.Context(), time.UnixMilli(1001), true, 1000)
	if err != nil || len(over) != 100 {
		t.Errorf("%d are over, %v", len(over), err)
	}
	err = s.Update(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.Forget("fp1"), tx.Drop("fp4")) })
	if err != nil {
		t.Fatal(err)
	}
	var left string
	if err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM serve_credential) || ' ' || (SELECT sealed FROM serve_credential WHERE fingerprint = 'fp1') || ' ' || (SELECT count(*) FROM serve_proposal)`).Scan(&left); err != nil || left != fmt.Sprintf("%d  0", 299) {
		t.Errorf("%q %v", left, err)
	}
}
