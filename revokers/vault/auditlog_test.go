package vault

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// hashes is a Vault that answers audit-hash and lookup-self of quell's own token.
func hashes(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/v1/sys/audit-hash/file":
		var body struct{ Input string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		fmt.Fprintf(w, `{"data":{"hash":"hmac-sha256:%x"}}`, body.Input)
	case "/v1/auth/token/lookup-self":
		fmt.Fprint(w, `{"data":{"accessor":"own-accessor","entity_id":"own-entity"}}`)
	default:
		w.WriteHeader(404)
	}
}

func hash(s string) string { return fmt.Sprintf("hmac-sha256:%x", s) }

// line is an entry of the log.
func line(at, kind, path, operation, token, accessor, entity, err, more string) string {
	return fmt.Sprintf(`{"time":%q,"type":%q,"auth":{"client_token":%q,"accessor":%q,"entity_id":%q},"request":{"operation":%q,"path":%q%s},"error":%q}`+"\n", at, kind, hash(token), hash(accessor), entity, operation, path, more, err)
}

func TestTheAuditLogShowsAConsumerWithTheNewValue(t *testing.T) {
	const fresh, at = "made-up-fresh", "2026-05-03T01:16:34Z"
	used := fmt.Sprintf(`,"data":{"secret_id":%q}`, hash(fresh))
	for name, c := range map[string]struct {
		entry string
		seen  bool
	}{
		"a login with it":             {line(at, "response", "auth/approle/login", "update", "", "", "", "", used), true},
		"a read of it":                {line(at, "response", "secret/data/app", "read", "t", "a", "e", "", used), true},
		"the token itself":            {line(at, "response", "secret/data/x", "read", fresh, "a", "", "", ""), true},
		"a request without an answer": {line(at, "request", "auth/approle/login", "update", "", "", "", "", used), false},
		"a refused login":             {line(at, "response", "auth/approle/login", "update", "", "", "", "permission denied", used), false},
		"quell's own token":           {line(at, "response", "secret/data/app", "read", "t", "own-accessor", "", "", used), false},
		"an earlier session of quell": {line(at, "response", "secret/data/app", "read", "t", "earlier", "own-entity", "", used), false},
		"another value":               {line(at, "response", "auth/approle/login", "update", "", "", "", "", `,"data":{"secret_id":"hmac-sha256:00"}`), false},
		"a line that is not whole":    {strings.TrimSuffix(line(at, "response", "auth/approle/login", "update", "", "", "", "", used), "\n"), false},
		"a line of another form":      {hash(fresh) + "\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "audit.log")
			_, target := against(t, hashes, "made-up-leaked", issuer.Rotation{KV: "secret/a#b", Generate: "default", Reload: issuer.Reload{Audit: "file", AuditLog: log}})
			j, err := rotator().job(target)
			if err != nil {
				t.Fatal(err)
			}
			seen, err := j.observed(t.Context(), credential.NewSecretString(fresh))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := seen(); err == nil || strings.Contains(err.Error(), "made-up") {
				t.Errorf("a log that is not there: %v", err)
			}
			if err := os.WriteFile(log, []byte("{}\n"+c.entry), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if got, err := seen(); err != nil || got != c.seen {
					t.Fatalf("%v %v", got, err)
				}
				if c.seen {
					break // it is read once
				}
			}
			// The rest of the line, or a log that was rotated away and begins anew.
			whole := line(at, "response", "auth/approle/login", "update", "", "", "", "", used)
			if name == "a line that is not whole" {
				whole = "{}\n" + whole
			}
			if err := os.WriteFile(log, []byte(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			if name == "a line that is not whole" || name == "a request without an answer" && len(whole) < len(c.entry)+3 {
				if got, err := seen(); err != nil || !got {
					t.Errorf("afterwards: %v %v", got, err)
				}
			}
		})
	}
}

// Another lease of the role shows a reload; the leaked one and earlier ones do not.
func TestTheAuditLogShowsAnotherLease(t *testing.T) {
	const leaked = "database/creds/app/leaked"
	log := filepath.Join(t.TempDir(), "audit.log")
	_, target := against(t, hashes, "made-up-leaked", issuer.Rotation{Lease: leaked, Reload: issuer.Reload{Audit: "file", AuditLog: log}})
	j, err := rotator().job(target)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := j.observed(t.Context(), credential.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	entry := func(at time.Time, path, id string) {
		text += fmt.Sprintf(`{"time":%q,"type":"response","auth":{"accessor":"x"},"request":{"operation":"read","path":%q},"response":{"secret":{"lease_id":%q}}}`+"\n", at.Format(time.RFC3339Nano), path, id)
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Minute)
	for _, c := range []struct {
		at       time.Time
		path, id string
		want     bool
	}{
		{time.Now().Add(-time.Hour), "database/creds/app", "database/creds/app/earlier", false},
		{later, "database/creds/app", leaked, false},
		{later, "database/creds/other", "database/creds/other/x", false},
		{later, "database/creds/app", "database/creds/app/new", true},
	} {
		entry(c.at, c.path, c.id)
		if got, err := seen(); err != nil || got != c.want {
			t.Errorf("%s %s: %v %v", c.path, c.id, got, err)
		}
	}
}

// The policy is derived from the successful uses of a token, and of its secret id's logins.
func TestUses(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.log")
	const first, at = "2026-05-01T00:00:00Z", "2026-05-03T01:16:34Z"
	login := fmt.Sprintf(`{"time":%q,"type":"response","request":{"operation":"update","path":"auth/approle/login","data":{"secret_id":%q}},"response":{"auth":{"client_token":%q}}}`+"\n", at, hash("made-up-secret-id"), hash("issued"))
	text := line(first, "response", "sys/health", "read", "other", "", "", "", "") +
		line(at, "response", "secret/data/app", "read", "made-up-token", "", "", "", "") +
		line(at, "response", "secret/data/app", "update", "made-up-token", "", "", "", "") +
		line(at, "response", "secret/metadata/", "list", "made-up-token", "", "", "", "") +
		line(at, "response", "secret/data/denied", "read", "made-up-token", "", "", "permission denied", "") +
		line(at, "request", "secret/data/asked", "read", "made-up-token", "", "", "", "") +
		line(at, "response", "auth/token/lookup-self", "read", "made-up-token", "", "", "", "") +
		line(at, "response", "secret/data/early", "read", "issued", "", "", "", "") + login +
		line(at, "response", "database/creds/app", "read", "issued", "", "", "", "") +
		line(at, "response", "secret/data/made", "create", "issued", "", "", "", "") +
		line(at, "response", "secret/data/other", "read", "other", "", "", "", "") +
		strings.Repeat("x", maxRecord+10) + "\n" +
		line(at, "response", "transit/sign/app", "update", "issued", "", "", "", "")
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, target := against(t, hashes, "", issuer.Rotation{})
	target.Instance.Managed = &issuer.Managed{Audit: "file", AuditLog: log}
	creds := []credential.Credential{{Secret: credential.NewSecretString("made-up-token")}, {Secret: credential.NewSecretString("made-up-secret-id")}, {Secret: credential.NewSecretString("made-up-unused")}}
	for i, rule := range []string{"vault-service-token", SecretIDRule, "vault-service-token"} {
		creds[i].Rule, creds[i].Fingerprint = rule, rule+fmt.Sprint(i)
	}
	uses, err := Finder{Doer: &issuer.Client{}}.Uses(t.Context(), target.Instance, creds)
	if err != nil || len(uses) != 2 {
		t.Fatal(uses, err)
	}
	for fp, want := range map[string][]string{
		"vault-service-token0":     {"secret/data/app [read update]", "secret/metadata/ [list]"},
		"vault-approle-secret-id1": {"database/creds/app [read]", "secret/data/made [create update]", "transit/sign/app [update]"},
	} {
		var got []string
		for _, g := range uses[fp].Grants {
			got = append(got, fmt.Sprint(g.Path, " ", g.Capabilities))
		}
		if !slices.Equal(got, want) || !strings.Contains(uses[fp].Policy(), "used since "+first) {
			t.Errorf("%s: %v\n%s", fp, got, uses[fp].Policy())
		}
	}
}
