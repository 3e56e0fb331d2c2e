// Package postgres asks a PostgreSQL server of the operator's own whether a
// password is accepted.
package postgres

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// source documents the SQLSTATEs of a refused sign-in.
const source = "https://www.postgresql.org/docs/current/errcodes-appendix.html"

// SQLSTATEs of a refused sign-in (PostgreSQL, appendix A, class 28).
const (
	invalidPassword      = "28P01"
	invalidAuthorization = "28000"
)

// Login signs in once, and sends no statement.
type Login struct {
	// Offline forbids every connection.
	Offline bool
}

// Endpoints implements revokers.Verifier: the user and the database that the
// operator named.
func (Login) Endpoints(t revokers.Target) []string {
	user := t.Instance.Settings["user"]
	if user == "" {
		return nil
	}
	return []string{"login as " + user + strings.TrimRight(t.Instance.URL.Path, "/")}
}

// Verify implements revokers.Verifier. The user is the operator's word, since a
// connection string's own is scanned text.
func (l Login) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	if l.Offline {
		return revokers.Answer{}, guard.ErrOffline
	}
	cfg, err := Config(t.Instance, t.Instance.Settings["user"])
	if err != nil {
		return revokers.Answer{}, err
	}
	spelling := t.Secret.Reveal()
	cfg.Password = password(spelling)
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	a := revokers.Answer{Endpoint: endpoint, At: time.Now().UTC()}
	if err == nil {
		_ = conn.Close(ctx)
		a.Class, a.Reason, a.Detail = revokers.Accepts, revokers.Authenticated, "the server accepts it"
		a.Identity = map[string]string{"subject": cfg.User, "database": cfg.Database}
		return a, nil
	}
	var p *pgconn.PgError
	if !errors.As(err, &p) {
		return interp.NoAnswer(ctx, endpoint, errors.New("no answer from the server"))
	}
	a.Class, a.Reason, a.Detail = revokers.Other, revokers.Unexpected, "the server answered "+p.Code
	switch p.Code {
	case invalidPassword:
		a.Class, a.Reason, a.Documented = revokers.Refuses, revokers.Revoked, source
		a.Detail = fmt.Sprintf("the server refuses the password (%s)", p.Code)
		a.Raw = revokers.NewRefusal(0, "", "", []byte(p.Code), nil)
		if strings.Contains(spelling, "+") {
			// A space in the query of a JDBC URL, and itself elsewhere.
			a.Also = revokers.AlsoCredential
			a.Remedy = "quell check --rule " + t.Rule.ID + " with the password alone on standard input, if its + is a space: write it as %20"
		}
	case invalidAuthorization:
		a.Reason, a.Detail = revokers.Restricted, fmt.Sprintf("the server refuses the sign-in (%s), which does not show whether the password is valid", p.Code)
	case "53300", "57P03": // too_many_connections, cannot_connect_now
		a.Class, a.Reason = revokers.Silent, revokers.Unreachable
	}
	return a, nil
}

// password is what the server gets: in an address it is percent-encoded.
func password(spelling string) string {
	if plain, err := url.PathUnescape(spelling); err == nil {
		return plain
	}
	return spelling
}

// Config is how the server is reached. A password is sent only under TLS with a
// verified name, for any query of the URL; loopback and Unix sockets are
// the exceptions.
func Config(i *issuer.Instance, user string) (*pgconn.Config, error) {
	u := *i.URL
	u.User = url.User(user)
	q := u.Query()
	host := u.Hostname()
	local := issuer.Loopback(host) || host == "" && strings.HasPrefix(q.Get("host"), "/")
	// Settings that decide where the password goes, and how, are not the
	// query's to make.
	for k := range q {
		switch k {
		case "application_name", "connect_timeout", "options", "search_path", "target_session_attrs":
		case "host":
			if !local || host != "" {
				q.Del(k)
			}
		default:
			q.Del(k)
		}
	}
	// Nor are they the environment's: an empty value replaces a variable's.
	for _, k := range []string{"sslrootcert", "sslcert", "sslkey", "sslpassword", "passfile"} {
		q.Set(k, "")
	}
	q.Set("sslmode", "verify-full")
	if local {
		q.Set("sslmode", "disable")
	}
	u.RawQuery = q.Encode()
	if host != "" && u.Port() == "" {
		u.Host = net.JoinHostPort(host, "5432") // not the environment's port
	}
	cfg, err := pgconn.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New("the instance's URL is no connection string")
	}
	if !local {
		if cfg.TLSConfig == nil || cfg.TLSConfig.InsecureSkipVerify || cfg.Host != host {
			return nil, errors.New("the server's certificate would not be verified")
		}
		// The driver's own configuration has certificates that the environment names.
		cfg.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: i.Network.CA}
		if c := i.Network.ClientCert; c != nil {
			cfg.TLSConfig.Certificates = []tls.Certificate{*c}
		}
	}
	cfg.ConnectTimeout, cfg.Fallbacks, cfg.Database = 10*time.Second, nil, databaseOf(&u, user)
	cfg.LookupFunc = net.DefaultResolver.LookupHost
	return cfg, nil
}

func databaseOf(u *url.URL, user string) string {
	if d := strings.Trim(u.Path, "/"); d != "" {
		return d
	}
	return user
}

// adminOf divides an instance's admin into user and password.
func adminOf(i *issuer.Instance) (user, password string, ok bool) {
	return strings.Cut(i.Admin.Reveal(), ":")
}

// salted is the salted password of SCRAM (RFC 5802). Generated passwords are ASCII, so
// that no string preparation is needed; others are refused.
func salted(password credential.Secret, salt []byte, iterations int) ([]byte, error) {
	text := password.Reveal()
	for _, b := range []byte(text) {
		if b < 0x20 || b > 0x7e {
			return nil, errors.New("the new password has characters that are not plain ASCII")
		}
	}
	return pbkdf2.Key(sha256.New, text, salt, iterations, sha256.Size)
}
