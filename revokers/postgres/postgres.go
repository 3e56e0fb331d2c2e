// Package postgres asks a PostgreSQL server of the operator's own whether a
// password is accepted.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quellhq/quell/revokers"
)

// Login probes by signing in once, and sends no statement.
type Login struct{}

// SQLSTATEs of a refused sign-in (PostgreSQL, appendix A): class 28 and, for
// a role that may not connect, 42501.
const (
	invalidPassword      = "28P01"
	invalidAuthorization = "28000"
)

// Probe implements revokers.Native. The instance's URL is
// postgres://user@host:port/database: the user is the operator's word, since a
// connection string's own is the scanned text's.
func (Login) Probe(ctx context.Context, x *revokers.Exchange) revokers.Verdict {
	out := func(l revokers.Liveness, reason, format string, args ...any) revokers.Verdict {
		return revokers.Verdict{Liveness: l, Reason: reason, Detail: fmt.Sprintf(format, args...), At: time.Now().UTC()}
	}
	u := *x.Instance.URL
	user := x.Instance.Settings["user"]
	if user == "" {
		return out(revokers.Unknown, revokers.Unsupported, "the instance names no user")
	}
	u.User = url.User(user)
	if u.RawQuery == "" {
		// A password travels under TLS with a verified name, or not at all;
		// loopback is the exception.
		u.RawQuery = "sslmode=verify-full"
		if h := u.Hostname(); h == "localhost" || h == "127.0.0.1" || h == "::1" {
			u.RawQuery = "sslmode=disable"
		}
	}
	cfg, err := pgconn.ParseConfig(u.String())
	if err != nil {
		return out(revokers.Unknown, revokers.Unreachable, "the instance's URL is no connection string")
	}
	cfg.Password, cfg.ConnectTimeout = x.Credential.Secret.Reveal(), 10*time.Second
	cfg.Fallbacks = nil
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err == nil {
		_ = conn.Close(ctx)
		v := out(revokers.Live, revokers.Authenticated, "the server accepts it")
		v.Identity = map[string]string{"subject": user, "database": strings.TrimPrefix(u.Path, "/")}
		return v
	}
	var p *pgconn.PgError
	switch {
	case errors.As(err, &p) && p.Code == invalidPassword:
		return out(revokers.Dead, revokers.Revoked, "the server refuses the password (%s)", p.Code)
	case errors.As(err, &p) && p.Code == invalidAuthorization:
		return out(revokers.Unknown, revokers.Restricted, "the server refuses the sign-in (%s), which says nothing of the password", p.Code)
	case errors.As(err, &p):
		return out(revokers.Unknown, revokers.Unexpected, "the server answered %s", p.Code)
	}
	return out(revokers.Unknown, revokers.Unreachable, "no answer from the server")
}
