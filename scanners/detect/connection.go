package detect

import (
	"bytes"
	"net"
	"net/url"
	"strings"

	"github.com/quellhq/quell/rules/regex"
)

// connection is what a URL with a user and a password names: every value that a client may use,
// since clients differ in which of two values counts.
type connection struct {
	hosts            []string // host:port
	users, databases []string
}

// schemeRE matches the beginning of a URL.
var schemeRE = regex.Lazy(`^[a-zA-Z][a-zA-Z0-9+.:-]{0,30}://`)

// plainURL undoes the escaping of a URL's characters in JSON and HTML.
var plainURL = strings.NewReplacer(`\/`, "/", `\u0026`, "&", `\u003d`, "=", "&amp;", "&")

// connectionOf reads the URL at the beginning of b. Its authority can list several hosts, and
// the query of a database's URL can repeat every part (libpq's connection URIs, section
// 34.1.1.2 of PostgreSQL's documentation; pgjdbc).
func connectionOf(b []byte) (connection, bool) {
	var c connection
	at := schemeRE().FindIndex(b)
	if at == nil {
		return c, false
	}
	database := bytes.Contains(b[:at[1]], []byte("postgres"))
	s := plainURL.Replace(string(b[at[1]:]))
	if i := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'<>`\\", r) }); i >= 0 {
		s = s[:i]
	}
	s, _, _ = strings.Cut(s, "#")
	s, query, _ := strings.Cut(s, "?")
	authority, path, _ := strings.Cut(s, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, _, _ := strings.Cut(authority[:i], ":")
		c.users = named(c.users, user)
		authority = authority[i+1:]
	}
	if !database {
		return c, len(c.users) > 0
	}
	c.addHosts(strings.Split(authority, ","), nil)
	path, _, _ = strings.Cut(path, "/")
	c.databases = named(c.databases, strings.TrimRight(path, ".,;:)]}"))
	var hosts, ports []string
	for _, kv := range strings.Split(query, "&") {
		k, v, _ := strings.Cut(kv, "=")
		switch strings.ToLower(k) {
		case "user", "username":
			c.users = named(c.users, v)
		case "dbname", "database", "databasename":
			c.databases = named(c.databases, v)
		case "host", "hostaddr":
			hosts = append(hosts, strings.Split(unescaped(v), ",")...)
		case "port":
			ports = strings.Split(unescaped(v), ",")
		}
	}
	if len(hosts) == 0 && len(ports) > 0 {
		hosts = strings.Split(authority, ",")
	}
	c.addHosts(hosts, ports)
	return c, true
}

// addHosts adds hosts with their ports: the only one of ports, the one at the same position in
// ports, the host's own, or PostgreSQL's default. A folder of Unix sockets is not a host.
func (c *connection) addHosts(hosts, ports []string) {
	for i, h := range hosts {
		h = strings.ToLower(unescaped(h))
		if h == "" || len(h) > 255 || strings.ContainsAny(h, "/@ ") {
			continue
		}
		name, port, err := net.SplitHostPort(h)
		if err != nil {
			name, port = strings.Trim(h, "[]"), "5432"
		}
		switch {
		case len(ports) == 1:
			port = ports[0]
		case i < len(ports) && ports[i] != "":
			port = ports[i]
		}
		c.hosts = append(c.hosts, net.JoinHostPort(name, port))
	}
}

// named adds a name in the form that the server receives.
func named(list []string, escaped string) []string {
	if s := unescaped(escaped); s != "" && len(s) <= 128 {
		return append(list, s)
	}
	return list
}

func unescaped(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
