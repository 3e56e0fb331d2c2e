package rulestest

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/contracttest"
)

var variable = regexp.MustCompile(`\{[^}]*\}`)

// documented is the operation of a document that a rule's request is.
func documented(doc *openapi3.T, q *rules.Request) *openapi3.Operation {
	path := variable.ReplaceAllString(q.Path, "{}")
	for name, item := range doc.Paths.Map() {
		if variable.ReplaceAllString(name, "{}") == path {
			return item.GetOperation(q.Method)
		}
	}
	return nil
}

// statuses are those that a rule reads of the answer to a request.
func statuses(r *rules.Rule, q *rules.Request) []int {
	var out []int
	if r.Probe != nil && r.Probe.Request == q {
		for _, a := range r.Probe.When {
			if a.Then == "live" {
				out = append(out, a.Status...)
			}
		}
	}
	return append(out, q.Accept...)
}

// Every request of a provider whose API description is in testdata/contracts is
// as that describes it, and so is what counts as a success.
func TestContractsOfProviders(t *testing.T) {
	files, err := filepath.Glob("../../../../testdata/contracts/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d documents, %v", len(files), err)
	}
	all, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		file := strings.TrimSuffix(name, ".json") + ".toml"
		if name == "github.json" || name == "docker.json" {
			continue // these have tests of their own
		}
		t.Run(name, func(t *testing.T) {
			set, err := rules.Load(file, all[file])
			if err != nil {
				t.Fatal(err)
			}
			contract(t, name, set)
		})
	}
}

// unsent are the documents whose requests all need what an answer or another credential contains:
// their statuses and replies alone are compared.
var unsent = map[string]bool{"launchdarkly.json": true, "trello.json": true, "twilio.json": true}

func contract(t *testing.T, name string, set *rules.Set) {
	doc := contracttest.Document(t, name)
	sent := 0
	srv := httptest.NewServer(contracttest.Handler(t, name, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.WriteHeader(http.StatusTeapot)
	})))
	defer srv.Close()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{ctx: t.Context(), set: set, random: rand.NewChaCha8([32]byte{28})}
	checked := 0
	for _, r := range set.Rules {
		s.rule = r
		x := revokers.Target{Rule: r, Instance: &issuer.Instance{
			Provider: r.Provider.ID, URL: u, Operator: true, Settings: map[string]string{"user": "alice", "namespace": "team"},
			Admin: rules.NewSecretString("admin:password"), ClientID: "client", ClientSecret: rules.NewSecretString("secret"),
		}}
		if x.Secret, err = r.NeverIssued(rules.NewSecretString(strings.Repeat("x0", 20)), s.random); err != nil {
			t.Fatal(err)
		}
		for _, q := range requestsOf(r) {
			op := documented(doc, q)
			if op == nil {
				t.Logf("%s: %s %s is not in the document", r.ID, q.Method, q.Path)
				continue
			}
			checked++
			for _, status := range statuses(r, q) {
				// Refusals of who asks are rarely written down.
				if !slices.Contains([]int{401, 403}, status) && op.Responses.Value(strconv.Itoa(status)) == nil && op.Responses.Default() == nil && op.Responses.Value("2XX") == nil {
					t.Errorf("%s: %s %s is not documented to answer %d", r.ID, q.Method, q.Path, status)
				}
			}
		}
		if r.Probe != nil && r.Probe.Request != nil && documented(doc, r.Probe.Request) != nil && r.Cookie == nil && len(r.Parts) == 0 {
			p := interp.Probe{Doer: &issuer.Client{}}
			if _, err := p.Verify(t.Context(), x, "probe"); err != nil {
				t.Errorf("%s: %v", r.ID, err)
			}
		}
		for i := range r.Revokes {
			if len(r.Parts) > 0 {
				break // they are other credentials
			}
			revokes(t, doc, x, &r.Revokes[i])
		}
	}
	if checked == 0 || sent == 0 && !unsent[name] {
		t.Errorf("%d requests were looked up and %d sent", checked, sent)
	}
}

// revokes sends a revocation whose requests need no step and are all in the
// document.
func revokes(t *testing.T, doc *openapi3.T, x revokers.Target, v *rules.Revoke) {
	if v.Native != "" || len(v.Steps) > 0 || slices.ContainsFunc(v.Requests, func(q *rules.Request) bool { return documented(doc, q) == nil }) {
		return
	}
	r := interp.Revocation{Doer: &issuer.Client{}, Revoke: v}
	effects, err := r.Plan(t.Context(), []revokers.Target{x})
	if err != nil {
		t.Logf("%s: %v", v.ID, err) // it needs what an answer contains
		return
	}
	for _, e := range effects {
		if _, err := r.Send(t.Context(), []revokers.Target{x}, e, func(revokers.Effect) error { return nil }); err != nil {
			t.Errorf("%s: %v", v.ID, err)
		}
	}
}

// requestsOf are the requests of a rule, its steps included.
func requestsOf(r *rules.Rule) []*rules.Request {
	var out []*rules.Request
	if r.Probe != nil && r.Probe.Request != nil {
		out = append(out, r.Probe.Request)
		for _, s := range r.Probe.Identity {
			out = append(out, s.Request)
		}
	}
	for _, v := range r.Revokes {
		for _, s := range v.Steps {
			out = append(out, s.Request)
		}
		out = append(out, v.Requests...)
	}
	return out
}

// A document that does not describe a request, or not as it is sent, is
// noticed.
func TestContractsNoticeAnotherRequest(t *testing.T) {
	doc := contracttest.Document(t, "sendgrid.json")
	if documented(doc, &rules.Request{Method: "GET", Path: "/v3/scopes"}) == nil || documented(doc, &rules.Request{Method: "POST", Path: "/v3/scopes"}) != nil || documented(doc, &rules.Request{Method: "GET", Path: "/v3/scope"}) != nil {
		t.Error("operations are not distinguished")
	}
}
