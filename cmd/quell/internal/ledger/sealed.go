package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/quellhq/quell/rules"
)

// Ref is everything about a sealed credential except its secret.
type Ref struct {
	rules.Ref
	Instance string `json:"instance,omitempty"` // URL of the issuer that answered Live
	Page     string `json:"page,omitempty"`     // its probe_path, which distinguishes instances of one URL
	User     string `json:"user,omitempty"`     // its user, likewise
	// Namespace is its namespace, likewise. Rows of earlier releases have none.
	Namespace string `json:"namespace,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"` // the one that answered Live
	// Roles names the parts that the sealed value holds, in their order; empty for
	// a credential of one part.
	Roles []string `json:"roles,omitempty"`
	// Learned is the digest of the refusal that never-issued credentials got.
	Learned string `json:"learned,omitempty"`
}

// Sealed is a credential that is kept so that its issuer can be probed again later.
type Sealed struct {
	Incident string
	Ref      Ref
	Value    string // encrypted with age, base64
}

// Keep stores or replaces a sealed credential. It is not part of the chain and
// can be purged.
func (l *Ledger) Keep(ctx context.Context, s Sealed) error {
	ref, err := json.Marshal(s.Ref)
	if err != nil {
		return fmt.Errorf("ledger: keep: %w", err)
	}
	_, err = l.db.ExecContext(ctx, l.engine.bind(`INSERT INTO sealed(incident, rule, cookie, value, ref) VALUES (?,?,?,?,?)
ON CONFLICT(incident) DO UPDATE SET rule = excluded.rule, cookie = excluded.cookie, value = excluded.value, ref = excluded.ref`),
		s.Incident, s.Ref.Rule, s.Ref.Cookie, s.Value, string(ref))
	if err != nil {
		return fmt.Errorf("ledger: keep: %w", err)
	}
	return nil
}

// Kept lists the sealed credentials by incident: all of them, or those of the
// incidents that are named. Rows of earlier releases have
// fingerprint, rule and cookie only.
func (l *Ledger) Kept(ctx context.Context, incidents ...string) ([]Sealed, error) {
	where, names := "", make([]any, len(incidents))
	if len(incidents) > 0 {
		where = ` WHERE incident IN (?` + strings.Repeat(",?", len(incidents)-1) + `)`
	}
	for i, name := range incidents {
		names[i] = name
	}
	rows, err := l.db.QueryContext(ctx, l.engine.bind(`SELECT incident, rule, cookie, value, ref FROM sealed`+where+` ORDER BY incident`), names...)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer rows.Close()
	var out []Sealed
	for rows.Next() {
		var s Sealed
		var rule, cookie, ref string
		if err := rows.Scan(&s.Incident, &rule, &cookie, &s.Value, &ref); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		if ref != "" {
			if err := json.Unmarshal([]byte(ref), &s.Ref); err != nil {
				return nil, fmt.Errorf("ledger: sealed credential of %s: %w", s.Incident, err)
			}
		}
		s.Ref.Rule, s.Ref.Cookie = rule, cookie
		if s.Ref.Fingerprint == "" {
			s.Ref.Fingerprint = s.Incident
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// Purge deletes all sealed credentials and returns their number. The ledger stays.
func (l *Ledger) Purge(ctx context.Context) (int64, error) {
	r, err := l.db.ExecContext(ctx, `DELETE FROM sealed`)
	if err != nil {
		return 0, fmt.Errorf("ledger: purge: %w", err)
	}
	return r.RowsAffected()
}

// Forget deletes the sealed credentials of incidents and returns their number. The ledger stays.
func (l *Ledger) Forget(ctx context.Context, incidents ...string) (n int64, err error) {
	for _, name := range incidents {
		r, err := l.db.ExecContext(ctx, l.engine.bind(`DELETE FROM sealed WHERE incident = ?`), name)
		if err != nil {
			return n, fmt.Errorf("ledger: forget: %w", err)
		}
		k, err := r.RowsAffected()
		if err != nil {
			return n, fmt.Errorf("ledger: forget: %w", err)
		}
		n += k
	}
	return n, nil
}

// Resolve returns the name of the incident that has a prefix.
func (l *Ledger) Resolve(ctx context.Context, prefix string) (string, error) {
	name, err := l.resolve(ctx, prefix)
	if err != nil {
		return "", fmt.Errorf("ledger: incident %q: %w", prefix, err)
	}
	return name, nil
}

// Deleted is the entry about a sealed value that is deleted, for a reason.
func Deleted(incident, actor, why string) Entry {
	return Entry{Incident: incident, Actor: actor, Run: "retention", Body: Deletion{What: "sealed_value", Outcome: "deleted", Detail: why}}
}
