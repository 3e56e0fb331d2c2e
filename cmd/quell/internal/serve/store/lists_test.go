package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
)

// filled is a store with n incidents and n jobs.
func filled(tb testing.TB, n int) *Store {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "ledger.db")
	l, err := ledger.Open(tb.Context(), path, ledger.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	_ = l.Close()
	s, err := Open(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	for _, q := range []string{
		`WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO serve_credential(` + credentialColumns + `)
SELECT printf('%064x', i * 7919), 'rule-' || (i % 97), 'provider-' || (i % 31), 'abcd…' || i, hex(randomblob(200)), hex(randomblob(400)), 'target-' || (i % 9), i % 2, 1 + i % 5, 1700000000000 + i / 3, 1700000000000 + i,
CASE i % 10 WHEN 0 THEN 'live' WHEN 1 THEN 'unknown' WHEN 2 THEN '' ELSE 'dead' END, 'reason', 'a detail of some length that a row has', 'host' || (i % 50) || '.example', 1700000000000 + i, 0,
CASE WHEN i % 10 > 4 THEN 'Confirmed' WHEN i % 200 = 0 THEN 'Held' ELSE '' END, 1700000100000 + i FROM c`,
		`WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO serve_repo(target, repo, public, sweep, read_at, artifacts, gaps, gap)
SELECT 'target-' || (i % 9), 'org/repository-' || i, i % 2, 1, i, 100, CASE WHEN i % 20 = 0 THEN i % 7 ELSE 0 END, '' FROM c`,
		`WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO river_job(args, kind, max_attempts, state, finalized_at, queue, created_at, scheduled_at)
SELECT json_object('target', 't', 'run', i), 'scan', 30, 'completed', '2026-11-30 10:00:00', 'scan', '2026-11-30 10:00:00', '2026-11-30 10:00:00' FROM c`,
	} {
		if _, err := s.db.ExecContext(tb.Context(), q, n); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// Pages lead through all incidents once, though many have one time.
func TestPagesHaveEachIncidentOnce(t *testing.T) {
	s := filled(t, 1000)
	for _, f := range []Filter{{Limit: 7}, {Status: "dead", Limit: 33}, {Target: "target-3", Limit: 10}, {Text: "RULE-1", Limit: 9}} {
		seen, last := map[string]bool{}, time.Time{}
		pages := 0
		for {
			list, next, err := s.Incidents(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range list {
				if seen[i.Fingerprint] || !last.IsZero() && i.First.After(last) || f.Status != "" && i.Status != f.Status || f.Target != "" && i.Target != f.Target {
					t.Fatalf("%+v: %s is out of its place", f, i.Fingerprint)
				}
				seen[i.Fingerprint], last = true, i.First
			}
			pages++
			if f.After = next; next == "" {
				break
			}
		}
		want := 1000
		switch {
		case f.Status == "dead":
			want = 700
		case f.Target != "":
			want = 111
		case f.Text != "":
			want = 0
			for i := 1; i <= 1000; i++ {
				if r := fmt.Sprint(i % 97); r[0] == '1' {
					want++
				}
			}
		}
		if len(seen) != want {
			t.Errorf("%+v: %d incidents in %d pages, want %d", f, len(seen), pages, want)
		}
	}
	for _, show := range []string{"", "gaps", "unread"} {
		n, after := 0, ""
		for {
			list, next, err := s.Repos(t.Context(), "", show, "", after, 13)
			if err != nil {
				t.Fatal(err)
			}
			n += len(list)
			if after = next; next == "" {
				break
			}
		}
		if want := map[string]int{"": 1000, "gaps": 43, "unread": 0}[show]; n != want {
			t.Errorf("%q: %d repositories, want %d", show, n, want)
		}
	}
	// All that a search looks at, with and without another filter.
	if _, err := s.db.ExecContext(t.Context(), `UPDATE serve_credential SET redacted = 'Ærø…9', host = 'HOST.Example' WHERE fingerprint = printf('%064x', 7919 * 500)`); err != nil {
		t.Fatal(err)
	}
	fp := fmt.Sprintf("%064x", 7919*500)
	for _, c := range []struct {
		f    Filter
		want int
	}{
		{Filter{Text: "ÆRØ"}, 0}, {Filter{Text: "Ærø"}, 1}, {Filter{Text: "ÆRø…9"}, 1}, {Filter{Text: "host.example"}, 1}, {Filter{Text: "HOST.EX"}, 1},
		{Filter{Text: fp}, 1}, {Filter{Text: strings.ToUpper(fp)}, 1}, {Filter{Text: fp[1:]}, 0}, {Filter{Text: fp[:60], Limit: 500}, 16},
		{Filter{Text: "rule-15\nprovider"}, 0}, {Filter{Text: "rule-15 provider"}, 0}, {Filter{Text: "Ærø", Status: "live"}, 1}, {Filter{Text: "Ærø", Status: "dead"}, 0},
		{Filter{Text: "Ærø", Target: "target-5"}, 1}, {Filter{Text: "Ærø", Target: "target-6"}, 0}, {Filter{Text: "PROVIDER-30", Status: "held"}, 0},
	} {
		list, _, err := s.Incidents(t.Context(), c.f)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != c.want && (c.f.Text != fp[:60] || len(list) == 0) {
			t.Errorf("%+v: %d incidents, want %d", c.f, len(list), c.want)
		}
	}
	// A percent sign and an underscore are themselves.
	for _, text := range []string{"%", "rule_1", `\`} {
		if list, _, err := s.Incidents(t.Context(), Filter{Text: text}); err != nil || len(list) != 0 {
			t.Errorf("%q: %d incidents, %v", text, len(list), err)
		}
	}
}

// BenchmarkLists measures the queries of the lists in a SQLite file with 100,000 incidents,
// repositories and jobs.
func BenchmarkLists(b *testing.B) {
	s := filled(b, 100_000)
	_, next, err := s.Incidents(b.Context(), Filter{Limit: 500})
	if err != nil {
		b.Fatal(err)
	}
	list := func(f Filter) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := s.Incidents(ctx, f)
			return err
		}
	}
	for name, f := range map[string]func(context.Context) error{
		"newest": list(Filter{}), "page": list(Filter{After: next}), "live": list(Filter{Status: "live"}), "held": list(Filter{Status: "held"}), "target": list(Filter{Target: "target-3"}),
		"search-often": list(Filter{Text: "provider-7"}), "search-rare": list(Filter{Text: "abcd…99991"}), "search-never": list(Filter{Text: "nothing has this"}),
		"search-often-held": list(Filter{Text: "rule", Status: "held"}), "search-often-target": list(Filter{Text: "zz", Target: "target-3"}), "search-short": list(Filter{Text: "qq"}), "search-fingerprint": list(Filter{Text: strings.Repeat("f", 12)}),
		"counts":        func(ctx context.Context) error { _, err := s.StatusCounts(ctx); return err },
		"times":         func(ctx context.Context) error { _, err := s.TimesToDead(ctx, time.Unix(1600000000, 0)); return err },
		"gaps":          func(ctx context.Context) error { _, _, err := s.Repos(ctx, "", "gaps", "", "", 100); return err },
		"repos":         func(ctx context.Context) error { _, _, err := s.Repos(ctx, "", "", "", "", 100); return err },
		"depths":        func(ctx context.Context) error { _, err := s.Depths(ctx); return err },
		"waits":         func(ctx context.Context) error { _, err := s.Waiting(ctx, 50); return err },
		"target states": func(ctx context.Context) error { _, err := s.Targets(ctx); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
