package realtest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/vault"
	"github.com/quellhq/quell/rules/credential"
)

// A sealed Vault gives no verdict about a token, and nothing is rotated there.
func TestVaultThatIsSealed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	r := b.round(0)
	token := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	b.o.secrets = append(b.o.secrets, token)
	if err := b.c.Sys().Seal(); err != nil {
		t.Fatal(err)
	}
	out := b.o.quell(1, "scan", "log", b.o.file("token.log", stamp+"VAULT_TOKEN="+token+"\n"), "--format", "jsonl")
	if !strings.Contains(out, `"unreachable"`) || strings.Contains(out, `"liveness":"dead"`) || strings.Contains(out, `"liveness":"live"`) {
		t.Errorf("%s", out)
	}
	c, text := b.o.start("apply", r.plan, "--format", "jsonl")
	_ = c.Wait()
	if c.ProcessState.ExitCode() == 0 || strings.Contains(text.String(), `"Confirmed"`) || strings.Contains(text.String(), `"AlreadyDead"`) || !strings.Contains(text.String(), "sealed") {
		t.Errorf("apply ended with %d: %s", c.ProcessState.ExitCode(), text)
	}
	b.o.clean(text.String())
}

// A token that the operator gave, in the file of Vault's token helper or of an Agent's
// sink, is used and left alive.
func TestVaultTokenOfAFile(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	own := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"root"}, TTL: "1h"})
	leaked := newToken(t, b.c, &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"})
	b.o.secrets = []string{own, leaked, root}
	file := b.o.file(".vault-token", own+"\n")
	b.o.policy(collateral + fmt.Sprintf("[[instance]]\nprovider = \"vault\"\nurl = %q\nown = true\nsettle = \"1s\"\nadmin = \"file:%s\"\n", b.c.Address(), file))
	one(t, b.o.kill(1, 0, "log", b.o.file("job.log", stamp+"VAULT_TOKEN="+leaked+"\n")), "vault-service-token", "Confirmed")
	if lives(t, b.c, leaked) || !lives(t, b.c, own) {
		t.Error("the leaked token lives, or the operator's own does not")
	}
}

// quell's own login outlives its time to live while it works, and ends with it. Its token
// is not the one of another client in the same process.
func TestVaultLoginIsRenewed(t *testing.T) {
	t.Parallel()
	c := vaultServer(t)
	if err := c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		path string
		data map[string]any
	}{
		{"", map[string]any{"token_policies": "default", "token_ttl": "3s", "token_max_ttl": "1h", "bind_secret_id": false, "token_bound_cidrs": "127.0.0.0/8"}},
		{"/role-id", map[string]any{"role_id": "quell"}},
	} {
		if _, err := c.Logical().Write("auth/approle/role/quell"+w.path, w.data); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(c.Address())
	if err != nil {
		t.Fatal(err)
	}
	in := &issuer.Instance{Provider: "vault", URL: u, Operator: true, Settings: map[string]string{}, Login: &issuer.Login{Method: issuer.LoginAppRole, RoleID: "quell"}}
	var all []*vault.Session
	for range 2 {
		s, err := vault.Login(t.Context(), &issuer.Client{}, in, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	time.Sleep(6 * time.Second)
	token := func(s *vault.Session) string { return reveal(s.Token) }
	if !lives(t, c, token(all[0])) || !lives(t, c, token(all[1])) {
		t.Fatal("a login was not renewed")
	}
	if err := all[0].End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lives(t, c, token(all[0])) || !lives(t, c, token(all[1])) || !lives(t, c, root) {
		t.Error("the end of one login ended another, or not itself")
	}
	if err := all[1].End(t.Context()); err != nil || lives(t, c, token(all[1])) {
		t.Error("the login is left", err)
	}
}

func reveal(s credential.Secret) string { return s.Reveal() }
