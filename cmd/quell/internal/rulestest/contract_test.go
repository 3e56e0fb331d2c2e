package rulestest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Every request that a rule of GitHub's makes fits the document that GitHub
// publishes, and every answer that a rule reads is one that GitHub gives.
func TestGitHubContract(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../../../testdata/contracts/github.json")
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: "/"}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	checked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checked++
		route, params, err := router.FindRoute(r)
		if err == nil {
			err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: params, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}})
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s %s: %v", r.Method, r.URL.Path, err))
		}
		if r.URL.Path == "/credentials/revoke" && r.Header.Get("Authorization") != "" {
			problems = append(problems, "an authenticated revocation is refused with 403")
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusTeapot)
	}))
	defer srv.Close()
	all, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.Load("github.toml", all["github.toml"])
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(srv.URL)
	documented := func(q *rules.Request, statuses []int) {
		item := doc.Paths.Find(q.Path)
		if item == nil || item.GetOperation(q.Method) == nil {
			t.Errorf("%s %s is not in the document", q.Method, q.Path)
			return
		}
		for _, s := range statuses {
			if item.GetOperation(q.Method).Responses.Value(strconv.Itoa(s)) == nil && !slices.Contains([]int{401, 403}, s) {
				t.Errorf("%s %s is not documented to answer %d", q.Method, q.Path, s)
			}
		}
	}
	for _, r := range set.Rules {
		x := &revokers.Exchange{Client: &revokers.Client{PerSecond: 1000}, Instance: &revokers.Instance{Provider: "github", URL: u, Operator: true}, Rule: r,
			Credential: rules.Credential{Secret: rules.NewSecretString("ghp_" + strings.Repeat("x", 36))}}
		if r.Probe != nil {
			x.Probe(t.Context())
			for _, a := range r.Probe.When {
				documented(r.Probe.Request, a.Status)
			}
		}
		for i := range r.Revokes {
			if _, err := x.Revoke(t.Context(), &r.Revokes[i]); err != nil {
				t.Error(err)
			}
			documented(r.Revokes[i].Request, r.Revokes[i].Accept)
		}
	}
	for _, p := range problems {
		t.Error(p)
	}
	if checked < 10 {
		t.Errorf("only %d requests were checked", checked)
	}
}
