package realtest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/vault"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// rotate takes all steps of a rotation at the bed's Vault, with a token that has no
// more rights than the steps' own grants. After each, the step shows as done or can be
// taken again.
func (b *bed) rotate(leaked string, with issuer.Rotation) {
	t := b.t
	t.Helper()
	u, err := url.Parse(b.c.Address())
	if err != nil {
		t.Fatal(err)
	}
	with.Vault = u.String()
	if with.Engine == "" {
		with.Engine = "database"
	}
	v := &issuer.Instance{Provider: "vault", URL: u, Operator: true, Admin: credential.NewSecretString(root), Settings: map[string]string{}, Rotate: &with}
	target := revokers.Target{Credential: credential.Credential{Secret: credential.NewSecretString(leaked)}, Rule: &rules.Rule{}, Instance: v, Related: map[string]*issuer.Instance{"vault": v}}
	target.Fingerprint = "0123456789abcdef0123456789abcdef"
	r := vault.Rotator{Doer: &issuer.Client{}, Key: []byte("made-up")}
	grants, err := r.Grants(target)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.c.Sys().PutPolicy("steps", vault.Policy(append(grants, vault.TokenGrants(v)...))); err != nil {
		t.Fatal(err)
	}
	v.Admin = credential.NewSecretString(newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"steps"}, NoDefaultPolicy: true, TTL: "10m"}))
	steps, err := r.Steps(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	var fresh credential.Secret
	for _, s := range steps {
		mark, err := r.Mark(t.Context(), target, s)
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		if state, err := r.Did(t.Context(), target, s, mark); err != nil || state == revokers.Done {
			t.Errorf("%s before it is taken: %v %v", s.Name, state, err)
		}
		if err := r.Do(t.Context(), target, s, &fresh); err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		state, err := r.Did(t.Context(), target, s, mark)
		// Not every engine shows that it has rotated: after a crash the probe of the old
		// credential decides.
		silent := state == revokers.Unsure && s.Ends && with.Engine == "terraform"
		if err != nil || state != revokers.Done && !s.Repeats && !silent {
			t.Errorf("%s after it was taken: %v %v", s.Name, state, err)
		}
		if s.Repeats {
			if err := r.Do(t.Context(), target, s, &fresh); err != nil {
				t.Errorf("%s once more: %v", s.Name, err)
			}
		}
	}
}

// Everything else that a plain Vault rotates or ends, step by step.
func TestVaultEngines(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	sys := b.c.Sys()
	for path, kind := range map[string]string{"pki": "pki", "transit": "transit", "ssh": "ssh"} {
		if err := sys.Mount(path, &api.MountInput{Type: kind}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sys.EnableAuthWithOptions("userpass", &api.EnableAuthOptions{Type: "userpass"}); err != nil {
		t.Fatal(err)
	}
	login := func(password string) (*api.Secret, error) {
		c, err := b.c.Clone()
		if err != nil {
			t.Fatal(err)
		}
		c.ClearToken()
		return c.Logical().Write("auth/userpass/login/alice", map[string]any{"password": password})
	}
	b.write("auth/userpass/users/alice", map[string]any{"password": "made-up-leaked-password", "token_policies": "default"})

	// userpass: the password, and the tokens that it issued.
	issued, err := login("made-up-leaked-password")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.c.KVv2("secret").Put(t.Context(), "alice", map[string]any{"password": "made-up-leaked-password"}); err != nil {
		t.Fatal(err)
	}
	b.rotate("made-up-leaked-password", issuer.Rotation{UserPass: "userpass/alice", Generate: "default", KV: "secret/alice#password", Tokens: true, Destroy: true})
	if _, err := login("made-up-leaked-password"); err == nil || lives(t, b.c, issued.Auth.ClientToken) {
		t.Error("the leaked password signs in, or its token lives")
	}
	again, err := login(b.kv("alice").Data["password"].(string))
	if err != nil {
		t.Fatal("the new password does not sign in", err)
	}

	// identity: the entity of that user is disabled, and with it its tokens.
	b.rotate("x", issuer.Rotation{Entity: again.Auth.EntityID})
	if lives(t, b.c, again.Auth.ClientToken) {
		t.Error("a token of a disabled entity lives")
	}

	// pki: a certificate is revoked and on the CRL.
	b.write("pki/root/generate/internal", map[string]any{"common_name": "test", "ttl": "24h"})
	b.write("pki/roles/web", map[string]any{"allow_any_name": true, "ttl": "1h"})
	cert := b.write("pki/issue/web", map[string]any{"common_name": "a.test"}).Data["serial_number"].(string)
	b.rotate("x", issuer.Rotation{PKI: "pki/" + cert})
	if n := fmt.Sprint(b.read("pki/cert/" + cert)["revocation_time"]); n == "0" || n == "<nil>" {
		t.Error("the certificate is not revoked")
	}
	revoked, err := b.c.Logical().List("pki/certs/revoked")
	if err != nil || revoked == nil || !strings.Contains(fmt.Sprint(revoked.Data), cert) {
		t.Error("Vault does not list the certificate as revoked", err)
	}

	// transit: what the old version signed is refused, what the new one signs is not.
	b.write("transit/keys/app", map[string]any{"type": "ed25519"})
	sign := func() string {
		return b.write("transit/sign/app", map[string]any{"input": "YQ=="}).Data["signature"].(string)
	}
	valid := func(s string) bool {
		got, err := b.c.Logical().Write("transit/verify/app", map[string]any{"input": "YQ==", "signature": s})
		return err == nil && got.Data["valid"] == true
	}
	old := sign()
	if !valid(old) {
		t.Fatal("the signature is not valid before")
	}
	b.rotate("x", issuer.Rotation{Transit: "transit/app"})
	if valid(old) || !valid(sign()) {
		t.Error("the old signature is valid, or a new one is not")
	}

	// A batch token ends through its parent, which the operator names by accessor.
	if err := sys.PutPolicy("parent", `path "auth/token/create" { capabilities = ["update"] }`); err != nil {
		t.Fatal(err)
	}
	parent, err := b.c.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"default", "parent"}, TTL: "1h"})
	if err != nil {
		t.Fatal(err)
	}
	as, err := b.c.Clone()
	if err != nil {
		t.Fatal(err)
	}
	as.SetToken(parent.Auth.ClientToken)
	batch := newToken(t, as, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "30m", Type: "batch"})
	if !lives(t, b.c, batch) {
		t.Fatal("the batch token is dead before")
	}
	b.rotate(batch, issuer.Rotation{Accessor: []string{parent.Auth.Accessor}})
	if lives(t, b.c, batch) || lives(t, b.c, parent.Auth.ClientToken) {
		t.Error("the batch token or its parent lives")
	}

	// ssh: a one-time password is a lease; a signed certificate has none and can't be
	// revoked.
	b.write("ssh/roles/otp", map[string]any{"key_type": "otp", "default_user": "app", "cidr_list": "127.0.0.0/8"})
	otp := b.write("ssh/creds/otp", map[string]any{"ip": "127.0.0.1"})
	b.rotate("x", issuer.Rotation{Lease: otp.LeaseID})
	if got, err := b.c.Logical().Write("ssh/verify", map[string]any{"otp": otp.Data["key"]}); err == nil && got != nil {
		t.Error("the one-time password is accepted")
	}
	if err := sys.Mount("sshca", &api.MountInput{Type: "ssh"}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.c.Logical().Write("sshca/revoke", map[string]any{"serial_number": "1"}); err == nil {
		t.Errorf("the SSH engine has a revocation after all: %v", got)
	}
}

// consumer reads a secret id through Vault and signs in with it, as often as it can. On
// a refusal it reads again once.
type consumer struct {
	requests, failed, refused atomic.Int64
	longest                   atomic.Int64 // nanoseconds without a success
}

func (u *consumer) run(ctx context.Context, wg *sync.WaitGroup, read func() (string, error), use func(string) bool) {
	defer wg.Done()
	value, last := "", time.Now()
	for ctx.Err() == nil {
		u.requests.Add(1)
		ok := value != "" && use(value)
		if !ok {
			if value != "" {
				u.refused.Add(1)
			}
			if v, err := read(); err == nil {
				value = v
				ok = use(value)
			}
		}
		if ok {
			if d := time.Since(last); d > time.Duration(u.longest.Load()) {
				u.longest.Store(int64(d))
			}
			last = time.Now()
		} else if ctx.Err() == nil {
			u.failed.Add(1)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// A consumer reads through Vault during a rotation. With an overlap no request fails,
// not even once; a static role has none, and a consumer that reads again on refusal
// fails no request; with --revoke-first there is a gap.
func TestVaultConsumerDuringARotation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		first bool
	}{{"rotate first", false}, {"revoke first", true}} {
		t.Run("approle, "+c.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
				t.Fatal(err)
			}
			// Vault locks a role out after five refused logins, which the consumer makes in
			// the gap of --revoke-first.
			b.write("sys/auth/approle/tune", map[string]any{"user_lockout_config": map[string]any{"lockout_disable": true}})
			r := b.round(0)
			app, err := b.c.Clone()
			if err != nil {
				t.Fatal(err)
			}
			app.ClearToken()
			reader, err := b.c.Clone()
			if err != nil {
				t.Fatal(err)
			}
			reader.SetToken(root)
			u, ctx, wg := &consumer{}, t.Context(), &sync.WaitGroup{}
			ctx, stop := context.WithCancel(ctx)
			use := func(id string) bool {
				_, err := app.Logical().WriteWithContext(ctx, "auth/approle/login", map[string]any{"role_id": r.role, "secret_id": id})
				return err == nil
			}
			wg.Add(1)

			go u.run(ctx, wg, func() (string, error) {
				s, err := reader.KVv2("secret").Get(ctx, r.role)
				if err != nil {
					return "", err
				}
				return s.Data["secret_id"].(string), nil
			}, use)
			time.Sleep(200 * time.Millisecond)
			args := []string{"apply", r.plan, "--format", "jsonl"}
			if c.first {
				args = append(args, "--revoke-first")
			}
			text := b.o.quell(0, args...)
			one(t, actions(t, text), "vault-approle-secret-id", "Confirmed")
			time.Sleep(200 * time.Millisecond)
			if use(b.kv(r.role).Data["secret_id"].(string)) != true {
				t.Errorf("consumers have no value that works: %s", text)
			}
			stop()
			wg.Wait()
			t.Logf("%d requests, %d refused and read again, %d failed; longest time without a success %s", u.requests.Load(), u.refused.Load(), u.failed.Load(), time.Duration(u.longest.Load()).Round(time.Millisecond))
			if c.first != (u.failed.Load() > 0) || u.requests.Load() < 50 {
				t.Errorf("%d of %d requests failed", u.failed.Load(), u.requests.Load())
			}
		})
	}
	t.Run("static role", func(t *testing.T) {
		t.Parallel()
		b := newBed(t)
		d := b.database()
		b.write("database/static-roles/app", map[string]any{"db_name": "pg", "username": "app", "rotation_period": "24h", "rotation_statements": `ALTER USER "{{name}}" WITH PASSWORD '{{password}}'`})
		leaked := b.read("database/static-creds/app")["password"].(string)
		b.policy(d.instance("app", "static_role = \"database/app\"") + b.instance(""))
		reader, err := b.c.Clone()
		if err != nil {
			t.Fatal(err)
		}
		reader.SetToken(root)
		u, wg := &consumer{}, &sync.WaitGroup{}
		ctx, stop := context.WithCancel(t.Context())
		wg.Add(1)
		go u.run(ctx, wg, func() (string, error) {
			s, err := reader.Logical().ReadWithContext(ctx, "database/static-creds/app")
			if err != nil {
				return "", err
			}
			return s.Data["password"].(string), nil
		}, func(pass string) bool { return d.accepts("app", pass) })
		time.Sleep(200 * time.Millisecond)
		d.leak("app", leaked, "Confirmed", 0)
		time.Sleep(200 * time.Millisecond)
		stop()
		wg.Wait()
		t.Logf("%d requests, %d refused and read again, %d failed; longest time without a success %s", u.requests.Load(), u.refused.Load(), u.failed.Load(), time.Duration(u.longest.Load()).Round(time.Millisecond))
		if u.failed.Load() > 0 || u.refused.Load() == 0 {
			t.Errorf("%d requests failed, %d were refused", u.failed.Load(), u.refused.Load())
		}
	})
}

// The reload of a consumer is observed before the old value ends: while its health
// check lacks the new version, nothing is ended.
func TestVaultReloadIsObserved(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	r := b.round(0)
	var version atomic.Int64
	port := freePort(t)
	srv := &http.Server{Addr: "127.0.0.1:" + port, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "ok, secret version %d\n", version.Load())
	})}
	go srv.ListenAndServe() //nolint:errcheck // the test closes it
	t.Cleanup(func() { _ = srv.Close() })
	b.policy(collateral + b.instance("[instance.rotate]\nvault = \""+b.c.Address()+"\"\napprole = \"approle/"+r.role+"\"\nkv = \"secret/"+r.role+"#secret_id\"\n[instance.rotate.reload]\nurl = \"http://127.0.0.1:"+port+"/healthz\"\nmarker = \"secret version {version}\"\ntimeout = \"2s\"\n"))
	report := filepath.Join(b.o.dir, "report.jsonl")
	b.o.quell(0, "plan", report, "--output", r.plan)
	h := one(t, actions(t, b.o.quell(3, "apply", r.plan, "--format", "jsonl")), "vault-approle-secret-id", "Held")
	live := func(id string) bool {
		got, err := b.c.Logical().Write("auth/approle/role/"+r.role+"/secret-id/lookup", map[string]any{"secret_id": id})
		return err == nil && got != nil
	}
	if !strings.Contains(h.Held, "did not reload") || !live(r.leaked) {
		t.Errorf("held: %s", h.Held)
	}
	version.Store(2)
	one(t, actions(t, b.o.quell(0, "apply", r.plan, "--format", "jsonl")), "vault-approle-secret-id", "Confirmed")
	if live(r.leaked) || !live(b.kv(r.role).Data["secret_id"].(string)) {
		t.Error("the leaked secret id lives, or the new one does not")
	}
}

// A real audit device shows the reload: while its log has no consumer with the new secret
// id, nothing is ended.
func TestVaultReloadIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	audit := filepath.Join(mkdir(t), "audit.log")
	if err := b.c.Sys().EnableAuditWithOptions("file", &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": audit}}); err != nil {
		t.Fatal(err)
	}
	r := b.round(0)
	b.policy(collateral + b.instance("[instance.rotate]\nvault = \""+b.c.Address()+"\"\napprole = \"approle/"+r.role+"\"\nkv = \"secret/"+r.role+"#secret_id\"\n[instance.rotate.reload]\naudit = \"file\"\naudit_log = \""+audit+"\"\ntimeout = \"2s\"\n"))
	report := filepath.Join(b.o.dir, "report.jsonl")
	b.o.quell(0, "plan", report, "--output", r.plan)
	live := func(id string) bool {
		got, err := b.c.Logical().Write("auth/approle/role/"+r.role+"/secret-id/lookup", map[string]any{"secret_id": id})
		return err == nil && got != nil
	}
	for range 2 { // quell's own reads of the new value are no consumer's
		h := one(t, actions(t, b.o.quell(3, "apply", r.plan, "--format", "jsonl")), "vault-approle-secret-id", "Held")
		if !strings.Contains(h.Held, "the audit log shows no consumer") || !live(r.leaked) {
			t.Fatalf("held: %s", h.Held)
		}
	}
	app, err := b.c.Clone()
	if err != nil {
		t.Fatal(err)
	}
	app.ClearToken()
	if _, err := app.Logical().Write("auth/approle/login", map[string]any{"role_id": r.role, "secret_id": b.kv(r.role).Data["secret_id"]}); err != nil {
		t.Fatal(err)
	}
	one(t, actions(t, b.o.quell(0, "apply", r.plan, "--format", "jsonl")), "vault-approle-secret-id", "Confirmed")
	if live(r.leaked) || !live(b.kv(r.role).Data["secret_id"].(string)) {
		t.Error("the leaked secret id lives, or the new one does not")
	}
}
