package rulestest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/contracttest"
)

// Every request that a rule of GitHub's makes fits the document that GitHub
// publishes, and every answer that a rule reads is one that GitHub gives.
func TestGitHubContract(t *testing.T) {
	const document = "github.json"
	doc := contracttest.Document(t, document)
	checked := 0
	srv := httptest.NewServer(contracttest.Handler(t, document, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checked++
		if r.URL.Path == "/credentials/revoke" && r.Header.Get("Authorization") != "" {
			t.Error("an authenticated revocation is refused with 403")
		}
		w.WriteHeader(http.StatusTeapot)
	})))
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
		target := revokers.Target{Credential: rules.Credential{Secret: rules.NewSecretString("ghp_" + strings.Repeat("x", 36))}, Rule: r, Instance: &issuer.Instance{Provider: "github", URL: u, Operator: true}}
		if r.Probe != nil {
			p := interp.Probe{Doer: &issuer.Client{}}
			if _, err := p.Verify(t.Context(), target, p.Endpoints(target)[0]); err != nil {
				t.Error(err)
			}
			for _, a := range r.Probe.When {
				documented(r.Probe.Request, a.Status)
			}
		}
		for i := range r.Revokes {
			if len(r.Revokes[i].Only) == 0 && r.Revokes[i].Tier == rules.TierAdmin {
				continue // Enterprise Server has a document of its own
			}
			v := interp.Revocation{Doer: &issuer.Client{}, Revoke: &r.Revokes[i]}
			effects, err := v.Plan(t.Context(), []revokers.Target{target})
			if err != nil {
				t.Fatal(err)
			}
			for n, e := range effects {
				if _, err := v.Send(t.Context(), []revokers.Target{target}, e, func(revokers.Effect) error { return nil }); err != nil {
					t.Error(err)
				}
				documented(r.Revokes[i].Requests[n], r.Revokes[i].Requests[n].Accept)
			}
		}
	}
	for _, p := range set.Providers {
		for _, w := range p.Whoami {
			documented(w.Request, []int{200})
		}
	}
	if checked < 10 {
		t.Errorf("only %d requests were checked", checked)
	}
}
