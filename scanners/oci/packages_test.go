package oci

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/quellhq/quell/scanners/contracttest"
)

// GitHub lists packages by organisation or by user.
func TestPackagesOfGitHub(t *testing.T) {
	var asked []string
	pkg := func(id int, name string) string {
		return fmt.Sprintf(`{"id":%d,"name":%q,"package_type":"container","url":"https://api.github.example/x","html_url":"https://github.example/x","version_count":1,"visibility":"private","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}`, id, name)
	}
	srv := httptest.NewServer(contracttest.Handler(t, "github.json", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+"?"+r.URL.Query().Get("package_type"))
		switch r.URL.Path {
		case "/orgs/acme/packages", "/users/alice/packages":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "["+pkg(1, "app")+","+pkg(2, "tools/cli")+"]")
		case "/orgs/slow/packages":
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})))
	defer srv.Close()
	reg, err := name.NewRegistry("ghcr.io")
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{s: (&Source{Forge: srv.URL}).session(), ctx: context.Background()}
	for owner, want := range map[string]string{"acme": "[app tools/cli]", "alice": "[app tools/cli]", "nobody": "[]", "slow": "[]"} {
		got, err := v.packages(reg, owner)
		if fmt.Sprint(got) != want || (err != nil) != (want == "[]") {
			t.Errorf("%s: %v %v", owner, got, err)
		}
	}
	if !slices.Contains(asked, "/orgs/alice/packages?container") || !slices.Contains(asked, "/users/alice/packages?container") {
		t.Errorf("%v", asked)
	}
}
