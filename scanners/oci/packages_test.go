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
)

// GitHub's list of packages: of an organisation, else of a person.
func TestPackagesOfGitHub(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+"?"+r.URL.Query().Get("package_type"))
		switch r.URL.Path {
		case "/orgs/acme/packages", "/users/alice/packages":
			_, _ = io.WriteString(w, `[{"id":1,"name":"app","package_type":"container"},{"id":2,"name":"tools/cli","package_type":"container"}]`)
		case "/orgs/slow/packages":
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	reg, err := name.NewRegistry("ghcr.io")
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{s: &Source{Forge: srv.URL}, ctx: context.Background()}
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
