package realtest

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/jackc/pgx/v5/pgconn"
)

// bed is a real Vault with what a test mounts in it, and an operator whose quell has
// no more rights in it than quell vault policy prints.
type bed struct {
	t *testing.T
	c *api.Client
	o *operator
}

func newBed(t *testing.T) *bed {
	t.Helper()
	return &bed{t, vaultServer(t), newOperator(t)}
}

func (b *bed) write(path string, data map[string]any) *api.Secret {
	b.t.Helper()
	s, err := b.c.Logical().Write(path, data)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bed) read(path string) map[string]any {
	b.t.Helper()
	s, err := b.c.Logical().Read(path)
	if err != nil || s == nil {
		b.t.Fatal(path, err)
	}
	return s.Data
}

func (b *bed) kv(path string) *api.KVSecret {
	b.t.Helper()
	s, err := b.c.KVv2("secret").Get(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// instance is the text of the Vault's own instance. quell signs in by AppRole.
func (b *bed) instance(more string) string {
	return fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\nsettle = \"1s\"\n%s\n[instance.login]\nmethod = \"approle\"\nmount = \"quell\"\nrole_id = \"quell\"\nsecret_id = \"env:QUELL_SECRET_ID\"\n", b.c.Address(), more)
}

// policy writes the operator's policy file and gives quell's role in Vault exactly
// the policy that quell vault policy prints for it.
func (b *bed) policy(text string) string {
	b.t.Helper()
	b.o.policy(text)
	hcl := b.o.quell(0, "vault", "policy")
	if err := b.c.Sys().PutPolicy("quell", hcl); err != nil {
		b.t.Fatalf("Vault refuses the policy: %v\n%s", err, hcl)
	}
	if mounts, err := b.c.Sys().ListAuth(); err != nil {
		b.t.Fatal(err)
	} else if mounts["quell/"] == nil {
		if err := b.c.Sys().EnableAuthWithOptions("quell", &api.EnableAuthOptions{Type: "approle"}); err != nil {
			b.t.Fatal(err)
		}
		b.write("auth/quell/role/quell", map[string]any{"token_policies": "quell", "token_no_default_policy": true, "token_ttl": "10m", "token_max_ttl": "1h"})
		b.write("auth/quell/role/quell/role-id", map[string]any{"role_id": "quell"})
		id := b.write("auth/quell/role/quell/secret-id", nil).Data["secret_id"].(string)
		b.o.env["QUELL_SECRET_ID"] = id
		b.o.secrets = append(b.o.secrets, id)
	}
	return hcl
}

// sessions counts the tokens of quell's own logins.
func (b *bed) sessions() (n int) {
	b.t.Helper()
	s, err := b.c.Logical().List("auth/token/accessors")
	if err != nil || s == nil {
		b.t.Fatal(err)
	}
	for _, k := range s.Data["keys"].([]any) {
		got, err := b.c.Auth().Token().LookupAccessor(k.(string))
		if err == nil && got.Data["path"] == "auth/quell/login" {
			n++
		}
	}
	return n
}

// An AppRole secret id in a log: another is issued and written where its consumer
// reads it, then the leaked one and the tokens that it issued end, then the old
// version in KV. Another role's token and the consumer's new token live on.
func TestVaultAppRoleSecretID(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	login := func(role, id string) (string, error) {
		c, err := b.c.Clone()
		if err != nil {
			t.Fatal(err)
		}
		c.ClearToken()
		s, err := c.Logical().Write("auth/approle/login", map[string]any{"role_id": role, "secret_id": id})
		if err != nil {
			return "", err
		}
		return s.Auth.ClientToken, nil
	}
	ids := map[string]string{}
	for _, role := range []string{"ci", "other"} {
		b.write("auth/approle/role/"+role, map[string]any{"token_policies": "default", "token_ttl": "1h"})
		b.write("auth/approle/role/"+role+"/role-id", map[string]any{"role_id": role})
		ids[role] = b.write("auth/approle/role/"+role+"/secret-id", nil).Data["secret_id"].(string)
	}
	leaked := ids["ci"]
	second := b.write("auth/approle/role/ci/secret-id", nil).Data["secret_id"].(string)
	issued, err := login("ci", leaked)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := login("other", ids["other"])
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []map[string]any{{"secret_id": leaked, "note": "first"}, {"secret_id": leaked, "note": "second"}} {
		if _, err := b.c.KVv2("secret").Put(t.Context(), "ci/approle", v); err != nil {
			t.Fatal(err)
		}
	}
	b.o.secrets = []string{leaked, issued, foreign, ids["other"], second, root}
	hcl := b.policy(collateral + b.instance("[instance.rotate]\nvault = \""+b.c.Address()+"\"\napprole = \"approle/ci\"\ntokens = true\nkv = \"secret/ci/approle#secret_id\"\ndestroy = true\n"))
	if n := strings.Count(hcl, "sudo"); n != 1 {
		t.Errorf("%d sudo paths in\n%s", n, hcl)
	}
	log := b.o.file("job.log", stamp+"VAULT_SECRET_ID="+leaked+"\n")
	a := one(t, b.o.kill(1, 0, "log", log), "vault-approle-secret-id", "Confirmed")
	if a.Rotation == nil || a.Rotation.Replacement != "live" {
		t.Errorf("%+v", a.Rotation)
	}
	now := b.kv("ci/approle")
	fresh := now.Data["secret_id"].(string)
	b.o.secrets = append(b.o.secrets, fresh)
	if fresh == leaked || now.Data["note"] != "second" {
		t.Error("the consumer's secret was not replaced whole")
	}
	if _, err := login("ci", leaked); err == nil {
		t.Error("the leaked secret id still signs in")
	}
	token, err := login("ci", fresh)
	if err != nil || !lives(t, b.c, token) {
		t.Error("the new secret id does not sign in", err)
	}
	if _, err := login("ci", second); err != nil {
		t.Error("another secret id of the role was ended", err)
	}
	if lives(t, b.c, issued) || !lives(t, b.c, foreign) {
		t.Error("the tokens of the leaked secret id live, or another role's do not")
	}
	meta, err := b.c.KVv2("secret").GetMetadata(t.Context(), "ci/approle")
	if err != nil || !meta.Versions["1"].Destroyed || !meta.Versions["2"].Destroyed || meta.Versions["3"].Destroyed || meta.CustomMetadata["quell_incident"] == nil {
		t.Errorf("%+v %v", meta, err)
	}
	if n := b.sessions(); n != 0 {
		t.Errorf("%d sessions of quell's own are left", n)
	}
	b.o.files(log, filepath.Join(b.o.dir, "config"))
}

// A token in a log is replaced by an orphan with the policies that its use needs and the time to live
// that it had. With revoke_orphan its child lives on.
func TestVaultTokenReissue(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for name, text := range map[string]string{"app": `path "secret/data/app" { capabilities = ["read"] }`, "parent": `path "auth/token/create" { capabilities = ["update"] }`} {
		if err := b.c.Sys().PutPolicy(name, text); err != nil {
			t.Fatal(err)
		}
	}
	leaked := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"app", "parent"}, TTL: "3h"})
	parent, err := b.c.Clone()
	if err != nil {
		t.Fatal(err)
	}
	parent.SetToken(leaked)
	child := newToken(t, parent, &api.TokenCreateRequest{Policies: []string{"app"}, TTL: "30m"})
	if _, err := b.c.KVv2("secret").Put(t.Context(), "ci/token", map[string]any{"token": leaked}); err != nil {
		t.Fatal(err)
	}
	b.o.secrets = []string{leaked, child, root}
	b.policy(b.instance("revoke_orphan = true\n[instance.rotate]\nvault = \"" + b.c.Address() + "\"\nreissue = true\nkv = \"secret/ci/token#token\"\n"))
	// In Vault a token can grant only policies that it has itself, or that a token
	// role allows.
	if err := b.c.Sys().PutPolicy("app-too", `path "secret/data/app" { capabilities = ["read"] }`); err != nil {
		t.Fatal(err)
	}
	b.write("auth/token/roles/ci", map[string]any{"allowed_policies": "app,parent", "orphan": true, "renewable": true})

	b.policy(b.instance("revoke_orphan = true\n[instance.rotate]\nvault = \"" + b.c.Address() + "\"\nreissue = true\ntoken_role = \"ci\"\npolicies = [\"app\"]\nkv = \"secret/ci/token#token\"\n"))
	log := b.o.file("job.log", stamp+"VAULT_TOKEN="+leaked+"\n")
	a := one(t, b.o.kill(1, 0, "log", log), "vault-service-token", "Confirmed")
	if a.Rotation == nil || a.Rotation.Replacement != "live" {
		t.Errorf("%+v", a.Rotation)
	}
	fresh := b.kv("ci/token").Data["token"].(string)
	b.o.secrets = append(b.o.secrets, fresh)
	s, err := b.c.Auth().Token().Lookup(fresh)
	if err != nil {
		t.Fatal(err)
	}
	ttl, err := s.TokenTTL()
	policies, err2 := s.TokenPolicies()
	if err != nil || err2 != nil || ttl.Hours() < 2.9 || s.Data["orphan"] != true || !slices.Equal(policies, []string{"app", "default"}) {
		t.Errorf("%v %v %v", ttl, policies, s.Data["orphan"])
	}
	if lives(t, b.c, leaked) || !lives(t, b.c, child) || !lives(t, b.c, fresh) {
		t.Error("the token lives, or its child or replacement does not")
	}
	b.o.files(log, filepath.Join(b.o.dir, "config"))
}

// database is a real PostgreSQL whose user app is managed by the bed's Vault.
type database struct {
	*bed
	port string
	psql string
}

func (b *bed) database() *database {
	b.t.Helper()
	d := &database{bed: b, port: postgres(b.t), psql: need(b.t, "psql")}
	d.query("made-up-root", "admin", "create role app login password 'made-up-first-password'; create role watch login createrole password 'made-up-watch'; grant pg_read_all_stats, pg_signal_backend to watch")
	if err := b.c.Sys().Mount("database", &api.MountInput{Type: "database"}); err != nil {
		b.t.Fatal(err)
	}
	b.write("database/config/pg", map[string]any{"plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:" + d.port + "/postgres?sslmode=disable", "username": "admin", "password": "made-up-root"})
	b.o.secrets = append(b.o.secrets, root, "made-up-root", "made-up-watch", "made-up-first-password")
	b.o.env["WATCH"] = "watch:made-up-watch"
	return d
}

func (d *database) query(pass, who, sql string) string {
	d.t.Helper()
	return command(d.t, []string{"PGPASSWORD=" + pass}, "", need(d.t, "psql"), "-h", "127.0.0.1", "-p", d.port, "-U", who, "postgres", "-Atc", sql)
}

// accepts reports whether the server accepts a password.
func (d *database) accepts(who, pass string) bool {
	c, err := pgconn.Connect(d.t.Context(), "postgres://"+who+":"+pass+"@127.0.0.1:"+d.port+"/postgres?sslmode=disable")
	if err != nil {
		return false
	}
	_ = c.Close(d.t.Context())
	return true
}

// open opens a session that stays.
func (d *database) open(who, pass string) *pgconn.PgConn {
	d.t.Helper()
	c, err := pgconn.Connect(d.t.Context(), "postgres://"+who+":"+pass+"@127.0.0.1:"+d.port+"/postgres?sslmode=disable")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func alive(t *testing.T, c *pgconn.PgConn) bool {
	return c.Exec(t.Context(), "select 1").Close() == nil
}

func (d *database) instance(user, more string) string {
	return fmt.Sprintf("[[instance]]\nprovider = \"postgres\"\nurl = \"postgres://127.0.0.1:%s/postgres\"\nuser = %q\nown = true\nsettle = \"1s\"\nadmin = \"env:WATCH\"\n[instance.rotate]\nvault = %q\n%s\n", d.port, user, d.c.Address(), more)
}

// leak writes a connection string to a log and kills the password in it.
func (d *database) leak(user, pass, outcome string, code int) action {
	d.t.Helper()
	d.o.secrets = append(d.o.secrets, pass)
	log := d.o.file("job.log", stamp+"DATABASE_URL=postgres://"+user+":"+pass+"@127.0.0.1:"+d.port+"/postgres\n")
	a := one(d.t, d.o.kill(1, code, "log", log), "postgres-url", outcome)
	d.o.files(log, filepath.Join(d.o.dir, "config"))
	return a
}

// A session outlives the password that opened it. It is listed, and ended if the
// policy allows it; another user's session stays.
func TestVaultStaticRoleAndItsSessions(t *testing.T) {
	t.Parallel()
	for _, end := range []bool{false, true} {
		t.Run(fmt.Sprintf("sessions = %v", end), func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			d := b.database()
			b.write("database/static-roles/app", map[string]any{"db_name": "pg", "username": "app", "rotation_period": "24h", "rotation_statements": `ALTER USER "{{name}}" WITH PASSWORD '{{password}}'`})
			leaked := b.read("database/static-creds/app")["password"].(string)
			b.policy(d.instance("app", fmt.Sprintf("static_role = \"database/app\"\nsessions = %v", end)) + b.instance(""))
			mine, others := d.open("app", leaked), d.open("watch", "made-up-watch")
			a := d.leak("app", leaked, "Confirmed", 0)
			if a.Rotation == nil || a.Rotation.Replacement != "live" || !strings.Contains(a.Rotation.Detail, "1, ") || !strings.Contains(a.Rotation.Detail, "from 127.0.0.1") {
				t.Errorf("%+v", a.Rotation)
			}
			if d.accepts("app", leaked) || !d.accepts("app", b.read("database/static-creds/app")["password"].(string)) {
				t.Error("the server sees the passwords otherwise")
			}
			if alive(t, mine) == end || !alive(t, others) {
				t.Error("the session of the leaked password, or another's")
			}
			if n := b.sessions(); n != 0 {
				t.Errorf("%d sessions of quell's own are left", n)
			}
		})
	}
}

// A password that no static role manages: a new one is generated, written to KV, and
// set by the database's own admin.
func TestVaultGeneratedPassword(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	d := b.database()
	b.write("sys/policies/password/db", map[string]any{"policy": "length = 24\nrule \"charset\" { charset = \"abcdefghijklmnopqrstuvwxyz0123456789\" }"})
	const leaked = "made-up-first-password"
	if _, err := b.c.KVv2("secret").Put(t.Context(), "db", map[string]any{"password": leaked, "user": "app"}); err != nil {
		t.Fatal(err)
	}
	b.policy(d.instance("app", "generate = \"db\"\nkv = \"secret/db#password\"\nsessions = true\ndestroy = true") + b.instance(""))
	mine := d.open("app", leaked)
	a := d.leak("app", leaked, "Confirmed", 0)
	fresh := b.kv("db").Data["password"].(string)
	if len(fresh) != 24 || !d.accepts("app", fresh) || d.accepts("app", leaked) || alive(t, mine) || a.Rotation.Replacement != "live" {
		t.Errorf("%d characters, %+v", len(fresh), a.Rotation)
	}
	if strings.Contains(d.query("made-up-root", "admin", "select rolpassword from pg_authid where rolname = 'app'"), fresh) {
		t.Error("the server stores the password in clear")
	}
	if s, err := b.c.KVv2("secret").GetVersion(t.Context(), "db", 1); err == nil && s.Data != nil {
		t.Error("the leaked value is still in KV")
	}
}

// The password of a dynamic user leaked: its lease ends, and with it the user.
func TestVaultDynamicLease(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	d := b.database()
	b.write("database/roles/dyn", map[string]any{"db_name": "pg", "default_ttl": "1h", "creation_statements": `CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`})
	s, err := b.c.Logical().Read("database/creds/dyn")
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.c.Logical().Read("database/creds/dyn")
	if err != nil {
		t.Fatal(err)
	}
	user, pass := s.Data["username"].(string), s.Data["password"].(string)
	b.policy(d.instance(user, "lease = \""+s.LeaseID+"\"") + b.instance(""))
	d.leak(user, pass, "Confirmed", 0)
	if d.accepts(user, pass) || !d.accepts(other.Data["username"].(string), other.Data["password"].(string)) {
		t.Error("the leaked user signs in, or another can't")
	}
}

// The password that Vault itself uses leaked: rotate-root makes one that Vault alone
// knows, which the policy must allow as collateral.
func TestVaultDatabaseRoot(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	d := b.database()
	d.query("made-up-root", "admin", "create role vaultadmin superuser login password 'made-up-of-vault'")
	b.write("database/config/pg", map[string]any{"plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:" + d.port + "/postgres?sslmode=disable", "username": "vaultadmin", "password": "made-up-of-vault"})
	text := d.instance("vaultadmin", "root = \"database/pg\"") + b.instance("")
	b.policy(text)
	a := d.leak("vaultadmin", "made-up-of-vault", "Held", 3)
	if !strings.Contains(a.Held, "locked out") || !d.accepts("vaultadmin", "made-up-of-vault") {
		t.Errorf("held: %s", a.Held)
	}
	b.policy(collateral + text)
	d.leak("vaultadmin", "made-up-of-vault", "Confirmed", 0)
	b.write("database/roles/dyn", map[string]any{"db_name": "pg", "default_ttl": "1h", "creation_statements": `CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}'`})
	if d.accepts("vaultadmin", "made-up-of-vault") || b.read("database/creds/dyn")["password"] == "" {
		t.Error("the old password is accepted, or Vault has lost its own")
	}
}

// Two users take turns: the other one's password is made and is in KV, with its name, before
// the leaked one ends, and a consumer that reads KV is never refused for long.
func TestVaultAlternatingRoles(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	d := b.database()
	d.query("made-up-root", "admin", "create role app2 login password 'made-up-second-password'")
	for _, user := range []string{"app", "app2"} {
		b.write("database/static-roles/"+user, map[string]any{"db_name": "pg", "username": user, "rotation_period": "24h", "rotation_statements": `ALTER USER "{{name}}" WITH PASSWORD '{{password}}'`})
	}
	leaked := b.read("database/static-creds/app")["password"].(string)
	if _, err := b.c.KVv2("secret").Put(t.Context(), "db", map[string]any{"user": "app", "password": leaked, "host": "db.test"}); err != nil {
		t.Fatal(err)
	}
	b.policy(d.instance("app", "static_role = \"database/app\"\nother_role = \"database/app2\"\nother_user = \"app2\"\nkv = \"secret/db#password\"\nuser_field = \"user\"\ndestroy = true") + b.instance(""))
	u, wg := &consumer{}, &sync.WaitGroup{}
	ctx, stop := context.WithCancel(t.Context())
	wg.Add(1)
	go u.run(ctx, wg, func() (string, error) {
		s, err := b.c.KVv2("secret").Get(ctx, "db")
		if err != nil {
			return "", err
		}
		return s.Data["user"].(string) + ":" + s.Data["password"].(string), nil
	}, func(login string) bool {
		user, pass, _ := strings.Cut(login, ":")
		return d.accepts(user, pass)
	})
	time.Sleep(200 * time.Millisecond)
	a := d.leak("app", leaked, "Confirmed", 0)
	time.Sleep(200 * time.Millisecond)
	stop()
	wg.Wait()
	now := b.kv("db").Data
	b.o.secrets = append(b.o.secrets, now["password"].(string))
	if now["user"] != "app2" || now["host"] != "db.test" || !d.accepts("app2", now["password"].(string)) || d.accepts("app", leaked) || a.Rotation.Replacement != "live" {
		t.Errorf("user %v, %+v", now["user"], a.Rotation)
	}
	t.Logf("%d requests, %d refused and read again, %d failed", u.requests.Load(), u.refused.Load(), u.failed.Load())
	if u.failed.Load() > 0 || u.requests.Load() < 20 {
		t.Errorf("%d of %d requests failed", u.failed.Load(), u.requests.Load())
	}
}
