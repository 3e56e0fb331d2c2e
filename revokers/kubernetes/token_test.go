package kubernetes_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/kubernetes"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
)

const admin = "operators-token"

// api answers as kube-apiserver 1.34 does about tokens of service accounts.
type api struct {
	mu      sync.Mutex
	tokens  map[string]string // signed here: token -> why it is refused, or ""
	secret  string            // what the Secret holds
	uid     string
	outage  bool // the server can't read the token's objects
	deleted []string
}

func (s *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	var body struct {
		Spec          struct{ Token string }
		Preconditions struct{ UID string }
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	word, known := s.tokens[bearer]
	if bearer != admin && (!known || word != "") {
		w.WriteHeader(401)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`)
		return
	}
	const user = `{"username":"system:serviceaccount:ci:deploy","uid":"u-1","groups":["system:authenticated"]}`
	switch r.Method + " " + r.URL.Path {
	case "POST /apis/authentication.k8s.io/v1/selfsubjectreviews":
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":%s}}`, user)
	case "POST /apis/authentication.k8s.io/v1/tokenreviews":
		w.WriteHeader(201)
		word, known := s.tokens[body.Spec.Token]
		switch {
		case !known:
			word = "[invalid bearer token, failed to verify the signature]"
		case s.outage:
			word = "[invalid bearer token, service account token has been invalidated]"
		case word == "":
			fmt.Fprintf(w, `{"kind":"TokenReview","status":{"authenticated":true,"user":%s,"audiences":["api"]}}`, user)
			return
		}
		fmt.Fprintf(w, `{"kind":"TokenReview","status":{"user":{},"error":%q}}`, word)
	case "GET /api/v1/namespaces/ci/secrets/deploy-token":
		fmt.Fprintf(w, `{"kind":"Secret","metadata":{"uid":%q},"data":{"token":%q}}`, s.uid, base64.StdEncoding.EncodeToString([]byte(s.secret)))
	case "DELETE /api/v1/namespaces/ci/secrets/deploy-token":
		if body.Preconditions.UID != s.uid {
			w.WriteHeader(409)
			fmt.Fprint(w, `{"kind":"Status","status":"Failure","reason":"Conflict","code":409}`)
			return
		}
		s.deleted = append(s.deleted, body.Preconditions.UID)
		s.tokens[s.secret] = "[invalid bearer token, service account token has been invalidated]"
		fmt.Fprint(w, `{"kind":"Status","status":"Success"}`)
	default:
		w.WriteHeader(404)
	}
}

func start(t *testing.T, rule string) (*api, revokers.Target) {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	r := set.Rule(rule)
	text, err := rules.Generate(r.Examples[0], zeros{})
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimPrefix(text, "token: ")
	s := &api{tokens: map[string]string{token: ""}, secret: token, uid: "s-1"}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	u, _ := url.Parse(srv.URL)
	x := revokers.Target{Rule: r, Instance: &issuer.Instance{Provider: "kubernetes", URL: u, Operator: true, Settings: map[string]string{}}}
	x.Secret, x.Fingerprint = rules.NewSecretString(token), "f"
	return s, x
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i)
	}
	return len(b), nil
}

func ask(t *testing.T, a *guard.Asker, x *revokers.Target, sent *revokers.Acknowledgement, before *revokers.Answer) (revokers.Verdict, revokers.Answer) {
	t.Helper()
	v := kubernetes.Token{Doer: &issuer.Client{}}
	endpoint := v.Endpoints(*x)[0]
	e, err := a.Ask(t.Context(), v, *x, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	e.Sent, e.Before = sent, before
	got := revokers.Judge(*x, e)
	if got.Liveness == revokers.Live {
		x.Seen = &revokers.Sighting{Endpoint: endpoint, At: e.Answer.At, Learned: e.Learned}
	}
	return got, e.Answer
}

func TestASecretsTokenEndsWithItsSecret(t *testing.T) {
	s, x := start(t, "kubernetes-secret-token")
	x.Instance.Admin = rules.NewSecretString(admin)
	asker := &guard.Asker{}
	v, before := ask(t, asker, &x, nil, nil)
	if v.Liveness != revokers.Live || v.Identity["uid"] != "u-1" || !v.NegativeControl {
		t.Fatalf("%s: %s", v.Liveness, v.Detail)
	}
	rv, _ := natives.Choose(x)
	r, err := natives.New(natives.Config{Doer: &issuer.Client{}}).Revoker(rv)
	if err != nil {
		t.Fatal(err)
	}
	effects, err := r.Plan(t.Context(), []revokers.Target{x})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(effects[0].URL, "/api/v1/namespaces/ci/secrets/deploy-token") {
		t.Errorf("the plan shows %s", effects[0].URL)
	}
	receipt, err := r.Send(t.Context(), []revokers.Target{x}, effects[0], func(e revokers.Effect) error {
		if e.Late["uid"] != "s-1" || string(e.Body) != string(effects[0].Body) {
			t.Errorf("the final effect is %+v", e)
		}
		return nil
	})
	if err != nil || !receipt.Of(0).Accepted || len(s.deleted) != 1 {
		t.Fatalf("%+v, %v", receipt, err)
	}
	ack := receipt.Of(0)
	if v, _ = ask(t, asker, &x, &ack, &before); v.Liveness != revokers.Dead || v.Documented == "" {
		t.Errorf("afterwards %s: %s", v.Liveness, v.Detail)
	}
}

// A control of another rule is none for this one: the remedy names the entry that is missing.
func TestTheRemedyNamesTheControlOfThisRule(t *testing.T) {
	s, x := start(t, "kubernetes-bound-token")
	x.Instance.Admin = rules.NewSecretString(admin)
	s.tokens[s.secret] = "[invalid bearer token, service account token has been invalidated]"
	for controls, want := range map[string]string{"": `control = "env:NAME" of`, "kubernetes-secret-token": "[[instance.controls]] of"} {
		x.Instance.Controls = nil
		if controls != "" {
			x.Instance.Controls = []issuer.Control{{Rule: controls, Secret: rules.NewSecretString("control")}}
		}
		if v, _ := ask(t, &guard.Asker{}, &x, nil, nil); v.Liveness != revokers.Unknown || !strings.Contains(v.Remedy, want) {
			t.Errorf("with controls for %q: %s, remedy %q", controls, v.Liveness, v.Remedy)
		}
	}
}

// A Secret of the same name that holds another token is not deleted.
func TestAnotherTokensSecretIsKept(t *testing.T) {
	s, x := start(t, "kubernetes-secret-token")
	x.Instance.Admin = rules.NewSecretString(admin)
	s.secret = "another"
	r := kubernetes.DeleteSecret{Doer: &issuer.Client{}}
	effects, err := r.Plan(t.Context(), []revokers.Target{x})
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := r.Send(t.Context(), []revokers.Target{x}, effects[0], func(revokers.Effect) error {
		t.Error("a deletion was about to be sent")
		return nil
	})
	if err != nil || receipt.Of(0).Accepted || len(s.deleted) != 0 {
		t.Errorf("%+v, %v", receipt, err)
	}
}

// Answers that are no proof of death.
func TestWordsThatProveNothing(t *testing.T) {
	for name, c := range map[string]struct {
		admin  bool
		change func(*api, *revokers.Target)
	}{
		"the server can't read the token's objects": {true, func(s *api, _ *revokers.Target) { s.outage = true }},
		"a token for another audience": {true, func(s *api, x *revokers.Target) {
			s.tokens[x.Secret.Reveal()] = `[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["api"]]`
		}},
		"another cluster's token":                     {true, func(s *api, x *revokers.Target) { delete(s.tokens, x.Secret.Reveal()) }},
		"401 to everybody, without an operator's own": {false, func(s *api, x *revokers.Target) { delete(s.tokens, x.Secret.Reveal()) }},
		"the operator's token is dead":                {true, func(_ *api, x *revokers.Target) { x.Instance.Admin = rules.NewSecretString("dead") }},
	} {
		t.Run(name, func(t *testing.T) {
			s, x := start(t, "kubernetes-bound-token")
			if c.admin {
				x.Instance.Admin = rules.NewSecretString(admin)
			}
			x.Instance.Sole = true
			c.change(s, &x)
			if v, _ := ask(t, &guard.Asker{}, &x, nil, nil); v.Liveness != revokers.Unknown {
				t.Errorf("%s (%s): %s", v.Liveness, v.Reason, v.Detail)
			}
		})
	}
}

// Without the operator's token a token reviews itself.
func TestATokenReviewsItself(t *testing.T) {
	_, x := start(t, "kubernetes-bound-token")
	if v, _ := ask(t, &guard.Asker{}, &x, nil, nil); v.Liveness != revokers.Live || v.Identity["user"] != "system:serviceaccount:ci:deploy" {
		t.Errorf("%s: %s", v.Liveness, v.Detail)
	}
}
