package run

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// vaultRole is a fake Vault with one static role, database/app. It obeys the
// published form of the two calls that a rotation makes.
type vaultRole struct {
	mu        sync.Mutex
	password  string
	rotations int
	broken    bool // refuses to rotate
	rotated   func()
}

func (v *vaultRole) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Header.Get("X-Vault-Token") != "made-up-admin":
		w.WriteHeader(403)
		fmt.Fprint(w, `{"errors":["permission denied"]}`)
	case r.URL.Path == "/v1/database/static-creds/app":
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"username": "app", "password": v.password, "last_vault_rotation": fmt.Sprint(v.rotations), "ttl": 3600}})
	case r.URL.Path == "/v1/database/rotate-role/app" && (r.Method == "PUT" || r.Method == "POST"):
		if v.broken {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"errors":["the role does not exist"]}`)
			return
		}
		v.rotations++
		v.password = fmt.Sprintf("made-up-%d", v.rotations)
		if v.rotated != nil {
			v.rotated()
		}
		w.WriteHeader(204)
	default:
		w.WriteHeader(404)
		fmt.Fprint(w, `{"errors":[]}`)
	}
}

func (v *vaultRole) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.rotations
}

// managed makes a Vault manage the credentials of the bench's issuer.
func (b *bench) managed() *vaultRole {
	b.t.Helper()
	v := &vaultRole{password: "made-up-0"}
	srv := httptest.NewServer(v)
	b.t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.planner, b.applier = b.installation(b.applier.Policy, issuer.Instances{b.in, b.storedIn(u)})
	return v
}

// storedIn makes the instance rotate in a Vault, which it returns.
func (b *bench) storedIn(vault *url.URL) *issuer.Instance {
	b.in.Rotate = &issuer.Rotation{Vault: vault.String(), StaticRole: "database/app"}
	return &issuer.Instance{Provider: "vault", URL: vault, Operator: true, Admin: credential.NewSecretString("made-up-admin"), Settings: map[string]string{}}
}
