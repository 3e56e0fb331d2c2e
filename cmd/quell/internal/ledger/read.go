package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/quellhq/quell/rules"
)

// Errors of Incident.
var (
	ErrNoIncident = errors.New("no such incident (hint: quell ledger lists them)")
	ErrAmbiguous  = errors.New("the prefix fits several incidents")
)

// page is how many rows a reader holds at a time. Between pages the connection is
// free, so that the body of a loop may append.
const page = 500

const columns = `id, at, incident, type, actor, run, body, hash`

// stored is an entry as it is in the database.
type stored struct {
	row
	id   int64
	hash string
}

// Incident returns the entries of one incident in order. A prefix of its name
// suffices if it is unique; the whole name always is. The errors are
// ErrNoIncident, ErrAmbiguous, or those of entries whose body does not decode,
// with all entries.
func (l *Ledger) Incident(ctx context.Context, prefix string) ([]Entry, error) {
	name, err := l.resolve(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("ledger: incident %q: %w", prefix, err)
	}
	var out []Entry
	var bad []error
	for e, err := range l.entries(ctx, ` AND incident = ?`, name) {
		if err != nil && e.ID == 0 {
			return nil, err
		}
		if err != nil {
			bad = append(bad, err)
		}
		out = append(out, e)
	}
	return out, errors.Join(bad...)
}

func (l *Ledger) resolve(ctx context.Context, prefix string) (string, error) {
	if prefix == "" {
		return "", ErrNoIncident
	}
	var n int
	if err := l.db.QueryRowContext(ctx, l.engine.bind(`SELECT count(*) FROM (SELECT 1 FROM ledger WHERE incident = ? LIMIT 1) AS x`), prefix).Scan(&n); err != nil || n > 0 {
		return prefix, err
	}
	rows, err := l.db.QueryContext(ctx, l.engine.bind(`SELECT DISTINCT incident FROM ledger WHERE substr(incident, 1, ?) = ? LIMIT 2`), utf8.RuneCountInString(prefix), prefix)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return "", err
		}
		names = append(names, s)
	}
	switch {
	case rows.Err() != nil:
		return "", rows.Err()
	case len(names) == 0:
		return "", ErrNoIncident
	case len(names) > 1:
		return "", ErrAmbiguous
	}
	return names[0], nil
}

// All yields the entries in order. An error together with an entry concerns that
// entry's body, and the sequence continues; an error without one (ID 0) ends it.
func (l *Ledger) All(ctx context.Context) iter.Seq2[Entry, error] { return l.entries(ctx, "") }

func (l *Ledger) entries(ctx context.Context, where string, args ...any) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for s, err := range l.stored(ctx, l.db, where, args...) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("ledger: %w", err))
				return
			}
			e, err := s.entry(s.id, s.hash)
			if err != nil {
				err = fmt.Errorf("entry %d: %w", s.id, err)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// stored yields rows page by page.
func (l *Ledger) stored(ctx context.Context, q querier, where string, args ...any) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		var after *int64
		for {
			list, err := l.page(ctx, q, after, where, args)
			if err != nil {
				yield(stored{}, err)
				return
			}
			for _, s := range list {
				if !yield(s, nil) {
					return
				}
			}
			if len(list) < page {
				return
			}
			after = &list[len(list)-1].id
		}
	}
}

func (l *Ledger) page(ctx context.Context, q querier, after *int64, where string, args []any) ([]stored, error) {
	from, with := `1 = 1`, args
	if after != nil {
		from, with = `id > ?`, append([]any{*after}, args...)
	}
	rows, err := q.QueryContext(ctx, l.engine.bind(`SELECT `+columns+` FROM ledger WHERE `+from+where+` ORDER BY id LIMIT ?`), append(with[:len(with):len(with)], page)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []stored
	for rows.Next() {
		var s stored
		if err := rows.Scan(&s.id, &s.at, &s.incident, &s.kind, &s.actor, &s.run, &s.body, &s.hash); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// Summary is an incident with its state.
type Summary struct {
	Incident string
	Began    time.Time
	// Outcome is that of the last entry which has one, or "Held", "restored", or "open" if there
	// is none.
	Outcome Word
	At      time.Time // of that outcome
	// Credential is the leaked credential, and Places are where it was found, from the first entry
	// that has them. They are nil and empty in ledgers of the first releases.
	Credential *rules.Ref
	Places     []rules.Location
	Host       string // the last host that received a request; empty if none did
}

// Incidents yields all incidents in the order in which they began. An error ends
// the sequence.
func (l *Ledger) Incidents(ctx context.Context) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		var after int64 = -1 << 62
		for {
			list, last, err := l.summaries(ctx, after)
			if err != nil {
				yield(Summary{}, fmt.Errorf("ledger: %w", err))
				return
			}
			for _, s := range list {
				if !yield(s, nil) {
					return
				}
			}
			if len(list) < page {
				return
			}
			after = last
		}
	}
}

// about sets the credential and its places from the bodies of two entries; either may be
// missing or unreadable.
func (s *Summary) about(found, verdict string) {
	if b, err := Decode(TypeFound, []byte(found)); err == nil {
		if f, ok := b.(Found); ok {
			s.Credential, s.Places = f.Credential, f.Exposures
		}
	}
	if b, err := Decode(TypeVerdict, []byte(verdict)); err == nil {
		if v, ok := b.(Verdict); ok {
			s.Host = v.Host
		}
	}
}

func (l *Ledger) summaries(ctx context.Context, after int64) (out []Summary, last int64, err error) {
	rows, err := l.db.QueryContext(ctx, l.engine.bind(`SELECT f.id, f.incident, f.at, o.at, o.type, o.body,
(SELECT body FROM ledger WHERE id = (SELECT min(id) FROM ledger WHERE incident = f.incident AND type = 'found')),
(SELECT body FROM ledger WHERE id = (SELECT max(id) FROM ledger WHERE incident = f.incident AND type = 'verdict'))
FROM ledger f LEFT JOIN ledger o ON o.id = (SELECT max(id) FROM ledger WHERE incident = f.incident AND (type IN ('outcome', 'held') OR type = 'restore' AND body LIKE '%"outcome":"restored"%'))
WHERE f.id > ? AND f.incident <> '' AND f.id = (SELECT min(id) FROM ledger WHERE incident = f.incident) ORDER BY f.id LIMIT ?`), after, page)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		s := Summary{Outcome: "open"}
		var began string
		var at, kind, body, found, verdict sql.NullString
		if err := rows.Scan(&last, &s.Incident, &began, &at, &kind, &body, &found, &verdict); err != nil {
			return nil, 0, err
		}
		s.about(found.String, verdict.String)
		s.Began, _ = time.Parse(time.RFC3339Nano, began)
		if kind.Valid {
			s.At, _ = time.Parse(time.RFC3339Nano, at.String)
			s.Outcome = "Held"
			switch b, _ := Decode(Type(kind.String), []byte(body.String)); b.Type() {
			case TypeOutcome:
				o, _ := b.(Outcome) // Unknown leaves the outcome empty
				s.Outcome = o.Outcome
			case TypeRestore:
				s.Outcome = Restored
			}
		}
		out = append(out, s)
	}
	return out, last, rows.Err()
}
