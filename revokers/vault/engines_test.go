package vault

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
)

// Engines that need a cloud or a directory, against the calls that Vault documents: the
// path, what the answer has, and what a rotation changes in it.
// https://developer.hashicorp.com/vault/api-docs/secret/{aws,gcp,azure,ldap,terraform}
func TestEnginesByTheirContracts(t *testing.T) {
	for name, c := range map[string]struct {
		with   issuer.Rotation
		rotate string
		read   string                     // empty: the store does not show it
		answer func(n int) map[string]any // to read, after n rotations
	}{
		"AWS root": {issuer.Rotation{Engine: "aws", Root: "aws"}, "/v1/aws/config/rotate-root", "/v1/aws/config/root",
			func(n int) map[string]any {
				return map[string]any{"access_key": fmt.Sprintf("AKIAMADEUP%d", n), "region": "us-west-2"}
			}},
		"GCP root":           {issuer.Rotation{Engine: "gcp", Root: "gcp"}, "/v1/gcp/config/rotate-root", "", nil},
		"GCP static account": {issuer.Rotation{Engine: "gcp", StaticRole: "gcp/static-account/app"}, "/v1/gcp/static-account/app/rotate-key", "", nil},
		"GCP roleset":        {issuer.Rotation{Engine: "gcp", StaticRole: "team/gcp/roleset/app"}, "/v1/team/gcp/roleset/app/rotate-key", "", nil},
		"Azure root":         {issuer.Rotation{Engine: "azure", Root: "azure"}, "/v1/azure/rotate-root", "", nil},
		"LDAP root": {issuer.Rotation{Engine: "ldap", Root: "ldap"}, "/v1/ldap/rotate-root", "/v1/ldap/config",
			func(n int) map[string]any {
				if n == 0 {
					return map[string]any{"binddn": "cn=admin"}
				}
				return map[string]any{"binddn": "cn=admin", "last_bind_password_rotation": fmt.Sprintf("2026-01-01T00:00:%02dZ", n)}
			}},
		"Terraform role":       {issuer.Rotation{Engine: "terraform", StaticRole: "terraform/org"}, "/v1/terraform/rotate-role/org", "", nil},
		"database root":        {issuer.Rotation{Root: "database/pg"}, "/v1/database/rotate-root/pg", "", nil},
		"database static role": {issuer.Rotation{StaticRole: "database/app"}, "/v1/database/rotate-role/app", "/v1/database/static-creds/app", creds},
		"LDAP static role":     {issuer.Rotation{Engine: "ldap", StaticRole: "ldap/app"}, "/v1/ldap/rotate-role/app", "/v1/ldap/static-cred/app", creds},
	} {
		t.Run(name, func(t *testing.T) {
			rotations := 0
			_, target := against(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.URL.Path == c.rotate && slices.Contains([]string{"PUT", "POST"}, r.Method):
					rotations++
					w.WriteHeader(204)
				case c.read != "" && r.URL.Path == c.read && r.Method == "GET":
					_ = json.NewEncoder(w).Encode(map[string]any{"data": c.answer(rotations)})
				default:
					w.WriteHeader(404)
					fmt.Fprint(w, `{"errors":["no handler for route"]}`)
				}
			}, "made-up-leaked", c.with)
			r := rotator()
			steps, err := r.Steps(t.Context(), target)
			if err != nil || len(steps) != 1 || !steps[0].Ends || steps[0].Effect.URL != target.Instance.URL.String()+c.rotate {
				t.Fatalf("%+v %v", steps, err)
			}
			s := steps[0]
			mark, err := r.Mark(t.Context(), target, s)
			if err != nil {
				t.Fatal(err)
			}
			before, err := r.Did(t.Context(), target, s, mark)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Do(t.Context(), target, s, nil); err != nil || rotations != 1 {
				t.Fatalf("%d rotations, %v", rotations, err)
			}
			after, err := r.Did(t.Context(), target, s, mark)
			if err != nil {
				t.Fatal(err)
			}
			want := [2]revokers.State{revokers.Unsure, revokers.Unsure}
			if c.read != "" {
				want = [2]revokers.State{revokers.NotDone, revokers.Done}
			}
			if got := [2]revokers.State{before, after}; got != want {
				t.Errorf("%v, want %v", got, want)
			}
			grants, err := r.Grants(target)
			if err != nil || !slices.ContainsFunc(grants, func(g Grant) bool { return "/v1/"+g.Path == c.rotate }) {
				t.Errorf("%+v %v", grants, err)
			}
		})
	}
}

func creds(n int) map[string]any {
	return map[string]any{"username": "app", "password": fmt.Sprintf("made-up-%d", n), "last_vault_rotation": fmt.Sprintf("2026-01-01T00:00:%02dZ", n), "ttl": 3600}
}

// The other of two users that take turns keeps its password while consumers do not use the
// leaked one.
func TestTheOtherRoleIsNotRotatedForConsumersThatUseIt(t *testing.T) {
	for held, want := range map[string]int{"made-up-leaked": 1, "made-up-other": 0} {
		rotations := 0
		_, target := against(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			switch r.URL.Path {
			case "/v1/database/rotate-role/b":
				rotations++
				w.WriteHeader(204)
			case "/v1/secret/data/db":
				fmt.Fprintf(w, `{"data":{"data":{"password":%q},"metadata":{"version":3,"created_time":"2026-01-01T00:00:00Z"}}}`, held)
			default:
				w.WriteHeader(404)
			}
		}, "made-up-leaked", issuer.Rotation{StaticRole: "database/a", Other: "database/b", OtherUser: "b", KV: "secret/db#password"})
		err := rotator().Do(t.Context(), target, revokers.Step{Name: rotateNext}, nil)
		if rotations != want || (err == nil) != (want == 1) {
			t.Errorf("%s: %d rotations, %v", held, rotations, err)
		}
	}
}
