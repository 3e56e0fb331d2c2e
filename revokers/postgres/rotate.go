package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// Rotator sets a user's password, and ends the sessions that the old one opened: a
// session outlives the password. The instance's admin is user:password of a role that
// may alter the user (CREATEROLE), see sessions (pg_read_all_stats) and end them
// (pg_signal_backend).
type Rotator struct {
	// Offline forbids every connection.
	Offline bool
}

// Names of steps, and their places among those of other stores: the password is set
// once KV holds it, and sessions end once the password has changed. The leaked password
// opens sessions until it has ended: the time that divides them is taken after that, and
// before consumers reload.
const (
	noteSessions = "note-sessions"
	setPassword  = "set-password"
	endSessions  = "end-sessions"
	listSessions = "list-sessions"

	orderNote = 45
	orderLast = 72 // where the old password ends with its user, after the reload
	orderSet  = 40
	orderEnd  = 75
)

// Names of what steps write to the target's captures.
const (
	captureSince = "pg_sessions_since"
	CaptureEnded = "pg_sessions"
)

// Steps implements revokers.Rotator.
func (r Rotator) Steps(_ context.Context, t revokers.Target) ([]revokers.Step, error) {
	with, user := t.Instance.Rotate, t.Instance.Settings["user"]
	if with == nil || t.Instance.URL.Scheme != "postgres" {
		return nil, nil
	}
	generates := with.Generate != "" && with.StaticRole == "" && with.UserPass == ""
	switch {
	case t.Instance.Admin.IsZero() && (generates || with.Sessions):
		return nil, errors.New("setting a password and ending sessions need admin of the database's instance: user:password")
	case user == "" && (generates || with.Sessions):
		return nil, errors.New("setting a password and ending sessions need user of the database's instance")
	case t.Instance.Admin.IsZero() || user == "":
		return nil, nil
	}
	step := func(name, statement string, order int) revokers.Step {
		return revokers.Step{Name: name, Order: order, Repeats: true, Effect: revokers.Effect{
			Name: name, Method: "SQL", URL: t.URL(), Body: []byte(strconv.Quote(statement)), Elements: []string{t.Fingerprint},
		}}
	}
	var out []revokers.Step
	if with.Sessions {
		order := orderNote
		if with.Lease != "" {
			order = orderLast
		}
		s := step(noteSessions, "SELECT clock_timestamp()", order)
		s.Effect.Reads = true
		out = append(out, s)
	}
	if generates {
		s := step(setPassword, "ALTER ROLE "+identifier(user)+" PASSWORD '{SCRAM verifier of the new value}'", orderSet)
		s.Ends, s.Needs, s.Where = true, true, "user "+user
		out = append(out, s)
	}
	last := step(listSessions, "SELECT pid FROM pg_stat_activity WHERE usename = '{user}'", orderEnd)
	last.Effect.Reads, last.Note = true, "open sessions of the user that the old password may have opened: {"+CaptureEnded+"}"
	if with.Sessions {
		last = step(endSessions, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}' AND backend_start <= '{time after the old password ended}'", orderEnd)
		last.Note = "sessions of the old password were ended: {" + CaptureEnded + "}"
	}
	return append(out, last), nil
}

// admin connects as the operator's own role.
func (r Rotator) admin(ctx context.Context, t revokers.Target) (*pgx.Conn, error) {
	if r.Offline {
		return nil, errors.New("--offline forbids to connect")
	}
	user, pass, ok := adminOf(t.Instance)
	if !ok {
		return nil, errors.New("admin of the database's instance is not user:password")
	}
	cfg, err := Config(t.Instance, user)
	if err != nil {
		return nil, err
	}
	cfg.Password = pass
	full, err := pgx.ParseConfig("postgres://")
	if err != nil {
		return nil, errors.New("no connection can be set up")
	}
	full.Config = *cfg
	c, err := pgx.ConnectConfig(ctx, full)
	if err != nil {
		return nil, fmt.Errorf("sign in as %s: %w", user, plain(err))
	}
	return c, nil
}

// plain keeps the server's code and drops what it quotes.
func plain(err error) error {
	var p *pgconn.PgError
	if errors.As(err, &p) {
		return fmt.Errorf("the server answered %s (%w)", p.Code, revokers.ErrRefused)
	}
	return errors.New("no answer from the server")
}

// Mark implements revokers.Rotator. Nothing that the database shows changes with a
// step in a way that could be compared.
func (Rotator) Mark(context.Context, revokers.Target, revokers.Step) ([]byte, error) { return nil, nil }

// Did implements revokers.Rotator: every step may be taken again.
func (Rotator) Did(context.Context, revokers.Target, revokers.Step, []byte) (revokers.State, error) {
	return revokers.NotDone, nil
}

// Undo implements revokers.Rotator.
func (Rotator) Undo(context.Context, revokers.Target, revokers.Step, []byte) error {
	return errors.New("nothing to undo: no step issues a secret")
}

// Do implements revokers.Rotator.
func (r Rotator) Do(ctx context.Context, t revokers.Target, s revokers.Step, fresh *credential.Secret) error {
	c, err := r.admin(ctx, t)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	user := t.Instance.Settings["user"]
	switch s.Name {
	case noteSessions:
		if err := visible(ctx, c, user); err != nil {
			return err
		}
		var now time.Time
		if err := c.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
			return fmt.Errorf("read the server's time: %w", plain(err))
		}
		t.Captures[captureSince] = now.Format(time.RFC3339Nano)
		return nil
	case setPassword:
		if fresh == nil || fresh.IsZero() {
			return fmt.Errorf("the new password is not known (%w)", revokers.ErrRefused)
		}
		v, err := verifier(*fresh)
		if err != nil {
			return err
		}
		// The verifier has no quotes, and goes to the server instead of the password,
		// which its logs would show.
		if _, err := c.Exec(ctx, "ALTER ROLE "+identifier(user)+" PASSWORD '"+v+"'"); err != nil {
			return fmt.Errorf("set the password of %s: %w", user, plain(err))
		}
		return nil
	case listSessions:
		if err := visible(ctx, c, user); err != nil {
			// They are only listed: the password is rotated all the same.
			t.Captures[CaptureEnded] = "not known: " + err.Error()
			return nil
		}
		open, err := sessions(ctx, c, user, time.Time{})
		if err != nil {
			return err
		}
		t.Captures[CaptureEnded] = describe(open)
		return nil
	case endSessions:
		return end(ctx, c, t, user)
	}
	return fmt.Errorf("no step %s", s.Name)
}

// visible returns an error if the server hides the user's sessions from quell: it shows
// when one began only to the roles below (PostgreSQL, 28.2), and to the others a null,
// which no comparison fits.
func visible(ctx context.Context, c *pgx.Conn, user string) error {
	var ok bool
	if err := c.QueryRow(ctx, `SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
		OR EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(current_user, oid, 'USAGE'))`, user).Scan(&ok); err != nil {
		return fmt.Errorf("ask whether the sessions of %s can be seen: %w", user, plain(err))
	}
	if !ok {
		return fmt.Errorf("the server does not show the sessions of %s to the role of admin (hint: GRANT pg_read_all_stats to it)", user)
	}
	return nil
}

// session is one connection of a user.
type session struct {
	pid           int
	from, program string
}

// sessions lists the connections of a user that began by a time; the zero time means
// by now.
func sessions(ctx context.Context, c *pgx.Conn, user string, by time.Time) ([]session, error) {
	if by.IsZero() {
		by = time.Now().Add(24 * time.Hour)
	}
	rows, err := c.Query(ctx, `SELECT pid, coalesce(host(client_addr), 'a local socket'), left(application_name, 40) FROM pg_stat_activity
		WHERE usename = $1 AND backend_start <= $2 AND pid <> pg_backend_pid() ORDER BY pid`, user, by)
	if err != nil {
		return nil, fmt.Errorf("list the sessions of %s: %w", user, plain(err))
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s session, err error) {
		return s, r.Scan(&s.pid, &s.from, &s.program)
	})
	if err != nil {
		return nil, fmt.Errorf("list the sessions of %s: %w", user, plain(err))
	}
	return out, nil
}

func describe(list []session) string {
	if len(list) == 0 {
		return "none"
	}
	out := []string{strconv.Itoa(len(list))}
	for _, s := range list[:min(len(list), 10)] {
		out = append(out, fmt.Sprintf("%d from %s", s.pid, s.from))
	}
	return strings.Join(out, ", ")
}

// endTime is how long sessions get to end.
const endTime = 10 * time.Second

// end terminates the sessions that began before the old password had ended, and returns once the
// server shows none of them. A session that began since uses the new password.
func end(ctx context.Context, c *pgx.Conn, t revokers.Target, user string) error {
	// Another process noted the time, if this one goes on after a crash: then every
	// session ends, and consumers connect again.
	by, _ := time.Parse(time.RFC3339Nano, t.Captures[captureSince])
	if by.IsZero() {
		if err := c.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&by); err != nil {
			return fmt.Errorf("read the server's time: %w", plain(err))
		}
	}
	if err := visible(ctx, c, user); err != nil {
		return err
	}
	all, err := sessions(ctx, c, user, by)
	if err != nil {
		return err
	}
	t.Captures[CaptureEnded] = describe(all)
	for deadline := time.Now().Add(endTime); ; {
		open, err := sessions(ctx, c, user, by)
		switch {
		case err != nil:
			return err
		case len(open) == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d sessions of %s are still open after pg_terminate_backend: %s", len(open), user, describe(open))
		}
		for _, s := range open {
			var sent bool
			if err := c.QueryRow(ctx, "SELECT pg_terminate_backend($1)", s.pid).Scan(&sent); err != nil {
				return fmt.Errorf("end session %d of %s: %w (hint: GRANT pg_signal_backend to the role of admin)", s.pid, user, plain(err))
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// identifier quotes a name (PostgreSQL, 4.1.1).
func identifier(s string) string { return pgx.Identifier{s}.Sanitize() }

// scramIterations is PostgreSQL's own default (scram_iterations).
const scramIterations = 4096

// verifier is what PostgreSQL stores of a password: SCRAM-SHA-256 (RFC 5803).
func verifier(password credential.Secret) (string, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", errors.New("no random numbers")
	}
	return scram(password, salt)
}

func scram(password credential.Secret, salt []byte) (string, error) {
	salted, err := salted(password, salt, scramIterations)
	if err != nil {
		return "", err
	}
	sum := func(word string) []byte {
		m := hmac.New(sha256.New, salted)
		m.Write([]byte(word))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(sum("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(sum("Server Key"))), nil
}
