package realtest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/rules/testenv"
)

func mkdir(t *testing.T) string {
	t.Helper()
	// Other users must be able to enter: PostgreSQL and Gitea refuse root.
	d, err := os.MkdirTemp("", "quell-real-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d) })
	if err := os.Chmod(d, 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

const root = "quell-test-root-token"

func vaultServer(t *testing.T) *api.Client { return vaultWith(t, "postgresql-database-plugin") }

// vaultWith starts a Vault with one of the plugins that install.sh builds.
func vaultWith(t *testing.T, plugin string) *api.Client {
	bin := tools(t, "vault-v1.21.1/vault")
	plugins := mkdir(t)
	command(t, nil, "", "cp", tools(t, "vault-v1.21.1/"+plugin), plugins)
	port := freePort(t)
	addr := "http://127.0.0.1:" + port
	start(t, addr+"/v1/sys/health", []string{"HOME=" + plugins, "VAULT_DISABLE_MLOCK=1", "SKIP_SETCAP=1"}, "", bin, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+root, "-dev-listen-address=127.0.0.1:"+port, "-dev-plugin-dir="+plugins)
	c, err := api.NewClient(&api.Config{Address: addr})
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(root)
	return c
}

func newToken(t *testing.T, c *api.Client, r *api.TokenCreateRequest) string {
	t.Helper()
	s, err := c.Auth().Token().Create(r)
	if err != nil {
		t.Fatal(err)
	}
	return s.Auth.ClientToken
}

// lives asks by Vault's own library.
func lives(t *testing.T, c *api.Client, token string) bool {
	t.Helper()
	c2, err := c.Clone()
	if err != nil {
		t.Fatal(err)
	}
	c2.SetToken(token)
	_, err = c2.Auth().Token().LookupSelf()
	return err == nil
}

// buildImage makes an image with buildah whose config's ENV holds value.
func buildImage(t *testing.T, value string) string {
	need(t, "buildah")
	if os.Getuid() != 0 {
		t.Skip("buildah's chroot isolation wants root here")
	}
	d := mkdir(t)
	if err := os.WriteFile(filepath.Join(d, "Containerfile"), []byte("FROM scratch\nCOPY Containerfile /etc/build/Containerfile\nENV VAULT_TOKEN="+value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"STORAGE_DRIVER=vfs", "BUILDAH_ISOLATION=chroot", "XDG_RUNTIME_DIR=" + d}
	store := []string{"--root", d + "/root", "--runroot", d + "/run"}
	command(t, env, d, append(append([]string{"buildah"}, store...), "bud", "-q", "-t", "app", d)...)
	command(t, env, d, append(append([]string{"buildah"}, store...), "push", "-q", "app", "oci:"+d+"/oci:app")...)
	return filepath.Join(d, "oci")
}

// collateral allows what takes other credentials along: revoking a Vault token
// ends its children too.
const collateral = "[kill]\ntiers = [\"self\", \"admin\", \"collateral\"]\n"

func TestVaultTokens(t *testing.T) {
	t.Parallel()
	c := vaultServer(t)
	leaked := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	control := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	parent, err := c.Clone()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Sys().PutPolicy("maker", `path "auth/token/create" { capabilities = ["create", "update"] }`); err != nil {
		t.Fatal(err)
	}
	maker := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default", "maker"}, TTL: "1h"})
	parent.SetToken(maker)
	child := newToken(t, parent, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "30m"})
	batch := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h", Type: "batch"})
	setup := func(t *testing.T, extra string) *operator {
		o := newOperator(t)
		o.secrets = []string{leaked, control, child, batch, maker, root}
		o.env["CONTROL"], o.env["ADMIN"] = control, root
		o.policy(collateral + fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\ncontrol = \"env:CONTROL\"\nsettle = \"2s\"\n%s", c.Address(), extra))
		return o
	}
	t.Run("service token in an image's ENV", func(t *testing.T) {
		o := setup(t, "")
		image := buildImage(t, leaked)
		one(t, o.kill(1, 0, "image", image), "vault-service-token", "Confirmed")
		if lives(t, c, leaked) || !lives(t, c, control) {
			t.Error("Vault itself sees it otherwise")
		}
		o.files()
	})
	t.Run("child tokens die with the parent", func(t *testing.T) {
		o := setup(t, "admin = \"env:ADMIN\"\n")
		log := o.file("job.log", "VAULT_TOKEN="+maker+"\n")
		one(t, o.kill(1, 0, "log", log), "vault-service-token", "Confirmed")
		if lives(t, c, maker) || lives(t, c, child) {
			t.Error("the parent or its child is alive")
		}
		if !lives(t, c, root) {
			t.Fatal("the operator's own token was killed")
		}
		o.files(log)
	})
	t.Run("a token is held under the default tiers, for its children's sake", func(t *testing.T) {
		token := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
		o := newOperator(t)
		o.secrets = []string{token, root}
		o.policy(fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\nsettle = \"2s\"\n", c.Address()))
		a := one(t, o.kill(1, 3, "log", o.file("job.log", "VAULT_TOKEN="+token+"\n")), "vault-service-token", "Held")
		if !strings.Contains(a.Held, "more than the one credential") || !lives(t, c, token) {
			t.Errorf("held: %s", a.Held)
		}
	})
	t.Run("batch token", func(t *testing.T) {
		o := setup(t, "")
		log := o.file("job.log", "VAULT_TOKEN="+batch+"\n")
		a := one(t, o.kill(1, 3, "log", log), "vault-batch-token", "UntilExpiry")
		if !strings.Contains(a.Detail, "until 20") {
			t.Errorf("its expiry is not told: %s", a.Detail)
		}
		if !lives(t, c, batch) {
			t.Error("Vault itself sees it otherwise")
		}
	})
	t.Run("the operator's own token is held", func(t *testing.T) {
		o := setup(t, "admin = \"env:ADMIN\"\n")
		live := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"root"}, TTL: "1h"})
		o.env["ADMIN"] = live
		o.secrets = append(o.secrets, live)
		log := o.file("job.log", "VAULT_TOKEN="+live+"\n")
		a := one(t, o.kill(1, 3, "log", log), "vault-service-token", "Held")
		if !strings.Contains(a.Held, "quell works with") || !lives(t, c, live) {
			t.Errorf("held: %s", a.Held)
		}
	})
}

// postgres makes a throw-away server and gives its port.
func postgres(t *testing.T) string {
	port, _ := postgresServer(t)
	return port
}

// postgresServer starts a server and returns its port and a function that kills
// and restarts it.
func postgresServer(t *testing.T) (port string, restart func()) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		need(t, "/usr/lib/postgresql")
	}
	bin := bins[len(bins)-1]
	d := mkdir(t)
	port = freePort(t)
	as := func(line string) {
		if os.Getuid() == 0 {
			command(t, nil, d, "su", "postgres", "-s", "/bin/bash", "-c", line)
		} else {
			command(t, nil, d, "bash", "-c", line)
		}
	}
	if err := os.WriteFile(filepath.Join(d, "pw"), []byte("made-up-root"), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if _, err := user.Lookup("postgres"); err != nil {
			testenv.Missing(t, "the user postgres")
		}
		command(t, nil, "", "chown", "-R", "postgres", d)
	}
	as(fmt.Sprintf("%s/initdb -D %s/data -A scram-sha-256 -U admin --pwfile=%s/pw -N", bin, d, d))
	start := func() {
		as(fmt.Sprintf("%s/pg_ctl -D %s/data -w -l %s/log -o '-c listen_addresses=127.0.0.1 -c port=%s -c unix_socket_directories=%s -c fsync=off' start", bin, d, d, port, d))
	}
	stop := func() { as(fmt.Sprintf("%s/pg_ctl -D %s/data -m immediate stop", bin, d)) }
	again := func() { // also of a server that was killed, whose other processes end later
		as(fmt.Sprintf("%s/pg_ctl -D %s/data -m immediate stop; for i in $(seq 50); do %s/pg_ctl -D %s/data status && exit 0; %s/pg_ctl -D %s/data -w -l %s/log -o '-c listen_addresses=127.0.0.1 -c port=%s -c unix_socket_directories=%s -c fsync=off' start && exit 0; sleep 0.2; done; exit 1", bin, d, bin, d, bin, d, d, port, d))
	}
	start()
	t.Cleanup(stop)
	return port, again
}

// A database password in a log, managed by a static role: Vault rotates it,
// and the old one is refused.
func TestVaultStaticRole(t *testing.T) {
	t.Parallel()
	c := vaultServer(t)
	port := postgres(t)
	psql := func(pass, who, sql string) string {
		return command(t, []string{"PGPASSWORD=" + pass}, "", need(t, "psql"), "-h", "127.0.0.1", "-p", port, "-U", who, "postgres", "-Atc", sql)
	}
	psql("made-up-root", "admin", "create role app login password 'made-up-first'; create role watch login password 'made-up-watch'")
	write := func(path string, data map[string]any) {
		t.Helper()
		if _, err := c.Logical().Write(path, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Sys().Mount("database", &api.MountInput{Type: "database"}); err != nil {
		t.Fatal(err)
	}
	write("database/config/pg", map[string]any{"plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:" + port + "/postgres?sslmode=disable", "username": "admin", "password": "made-up-root"})
	write("database/static-roles/app", map[string]any{"db_name": "pg", "username": "app", "rotation_period": "24h", "rotation_statements": `ALTER USER "{{name}}" WITH PASSWORD '{{password}}'`})
	creds := func() string {
		s, err := c.Logical().Read("database/static-creds/app")
		if err != nil {
			t.Fatal(err)
		}
		return s.Data["password"].(string)
	}
	leaked := creds()
	o := newOperator(t)
	o.secrets = []string{leaked, root}
	o.env["ADMIN"] = root
	o.policy(fmt.Sprintf("[[instance]]\nprovider = \"postgres\"\nurl = \"postgres://127.0.0.1:%s/postgres\"\nuser = \"app\"\nown = true\nsettle = \"1s\"\n[instance.rotate]\nvault = %q\nstatic_role = \"database/app\"\n[[instance]]\nprovider = \"vault\"\nurl = %q\nadmin = \"env:ADMIN\"\n", port, c.Address(), c.Address()))
	log := o.file("job.log", stamp+"DATABASE_URL=postgres://app:"+leaked+"@127.0.0.1:"+port+"/postgres\n")
	a := one(t, o.kill(1, 0, "log", log), "postgres-url", "Confirmed")
	if a.Rotation == nil || a.Rotation.Where != "database/static-creds/app" {
		t.Errorf("rotation %+v", a.Rotation)
	}
	fresh := creds()
	o.secrets = append(o.secrets, fresh)
	if fresh == leaked || !strings.Contains(psql(fresh, "app", "select 1"), "1") {
		t.Error("the new password does not work")
	}
	o.files(log)
}

// A token that a KV v2 secret holds is replaced by check-and-set before it is
// revoked.
func TestVaultKVRewrite(t *testing.T) {
	t.Parallel()
	c := vaultServer(t)
	leaked := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	fresh := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	kv := c.KVv2("secret")
	if _, err := kv.Put(t.Context(), "ci/app", map[string]any{"token": leaked, "other": "stays"}); err != nil {
		t.Fatal(err)
	}
	o := newOperator(t)
	o.secrets = []string{leaked, fresh, root}
	o.env["ADMIN"], o.env["FRESH"] = root, fresh
	policy := collateral + fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\nadmin = \"env:ADMIN\"\nsettle = \"1s\"\ncontrol = \"env:FRESH\"\n[instance.rotate]\nvault = %q\nkv = \"secret/ci/app#token\"\nvalue = \"env:FRESH\"\n", c.Address(), c.Address())
	o.policy(policy)
	log := o.file("job.log", "VAULT_TOKEN="+leaked+"\n")
	a := one(t, o.kill(1, 0, "log", log), "vault-service-token", "Confirmed")
	if a.Rotation == nil || !strings.Contains(a.Rotation.Detail, "old version") {
		t.Errorf("rotation %+v", a.Rotation)
	}
	s, err := kv.Get(t.Context(), "ci/app")
	if err != nil || s.Data["token"] != fresh || s.Data["other"] != "stays" {
		t.Errorf("the secret was not rewritten whole: %v", err)
	}
	if lives(t, c, leaked) || !lives(t, c, fresh) {
		t.Error("Vault itself sees it otherwise")
	}
	// A secret that holds something else is not written, and nothing is revoked.
	second := newToken(t, c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	if _, err := kv.Put(t.Context(), "ci/app", map[string]any{"token": "somebody else's"}); err != nil {
		t.Fatal(err)
	}
	o.secrets = append(o.secrets, second)
	log = o.file("second.log", "VAULT_TOKEN="+second+"\n")
	h := one(t, o.kill(1, 3, "log", log), "vault-service-token", "Held")
	if !strings.Contains(h.Held, "does not hold the leaked value") || !lives(t, c, second) {
		t.Errorf("held: %s", h.Held)
	}
}
