package realtest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"
	"golang.org/x/crypto/nacl/box"
)

// builds is a GitHub, which shows no secret, and a GitLab that can refuse a write. They
// obey the published form of the calls that a rotation makes.
type builds struct {
	mu              sync.Mutex
	github, gitlab  string
	refuses         bool
	closed          bool // GitLab refuses reads too
	public, private *[32]byte
}

func (s *builds) set(refuses bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = refuses
}

func (s *builds) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = false
}

func (s *builds) hold() (github, gitlab string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.github, s.gitlab
}

func (s *builds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body map[string]string
	_ = json.NewDecoder(r.Body).Decode(&body)
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.Method + " " + r.URL.EscapedPath() {
	case "GET /repos/acme/app/actions/secrets/public-key":
		answer(200, map[string]string{"key_id": "7", "key": base64.StdEncoding.EncodeToString(s.public[:])})
	case "GET /repos/acme/app/actions/secrets/ID":
		answer(200, map[string]string{"name": "ID", "updated_at": "2026-01-01T00:00:00Z"})
	case "PUT /repos/acme/app/actions/secrets/ID":
		sealed, _ := base64.StdEncoding.DecodeString(body["encrypted_value"])
		plain, _ := box.OpenAnonymous(nil, sealed, s.public, s.private)
		s.github = string(plain)
		w.WriteHeader(204)
	case "GET /api/v4/projects/acme%2Fapp/variables/ID":
		if s.closed {
			answer(403, map[string]string{"message": "403 Forbidden"})
			return
		}
		answer(200, map[string]string{"key": "ID", "value": s.gitlab})
	case "PUT /api/v4/projects/acme%2Fapp/variables/ID":
		if s.refuses {
			answer(403, map[string]string{"message": "403 Forbidden"})
			return
		}
		s.gitlab = body["value"]
		answer(200, map[string]string{"key": "ID"})
	default:
		answer(404, map[string]string{"message": "Not Found"})
	}
}

// The second of two stores refuses the write. The next apply can't read what the first
// one holds, so it issues another secret id and writes that to both: no build is left with a dead
// one.
func TestVaultStoreThatRefuses(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	b.write("auth/approle/role/ci", map[string]any{"token_policies": "default"})
	leaked := b.write("auth/approle/role/ci/secret-id", nil).Data["secret_id"].(string)
	s := &builds{github: leaked, gitlab: leaked, refuses: true}
	var err error
	if s.public, s.private, err = box.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	b.o.env["ADMIN"] = "made-up-store-admin"
	b.o.secrets = []string{leaked, root, "made-up-store-admin"}
	store := func(provider string) string {
		return fmt.Sprintf("[[instance]]\nprovider = %q\nurl = %q\nadmin = \"env:ADMIN\"\n", provider, srv.URL)
	}
	b.policy(collateral + store("github") + store("gitlab") + b.instance("[instance.rotate]\nvault = \""+b.c.Address()+"\"\napprole = \"approle/ci\"\nstores = [\"github:acme/app#ID\", \"gitlab:acme/app#ID\"]\n"))
	log := b.o.file("job.log", stamp+"VAULT_SECRET_ID="+leaked+"\n")
	report, plan := filepath.Join(b.o.dir, "report.jsonl"), filepath.Join(b.o.dir, "plan.json")
	b.o.quell(1, "scan", "log", log, "--format", "jsonl", "--output", report)
	b.o.quell(0, "plan", report, "--output", plan)
	live := func(id string) bool {
		got, err := b.c.Logical().Write("auth/approle/role/ci/secret-id/lookup", map[string]any{"secret_id": id})
		return err == nil && got != nil
	}
	a := one(t, actions(t, b.o.quell(3, "apply", plan, "--format", "jsonl")), "vault-approle-secret-id", "Held")
	first, other := s.hold()
	if first == leaked || other != leaked || !live(first) || !live(leaked) {
		t.Fatalf("after the refusal: %+v", a)
	}
	s.set(false)
	one(t, actions(t, b.o.quell(0, "apply", plan, "--format", "jsonl")), "vault-approle-secret-id", "Confirmed")
	github, gitlab := s.hold()
	b.o.secrets = append(b.o.secrets, first, github)
	if github != gitlab || github == leaked || !live(github) || live(leaked) || live(first) {
		t.Errorf("builds hold the same value %v, live %v; the leaked one lives %v, the lost one %v", github == gitlab, live(github), live(leaked), live(first))
	}
	b.o.files(log, filepath.Join(b.o.dir, "config"))
}

// However often it is applied, a plan whose second store refuses issues three secret ids at
// most, and the last one stays alive for the builds that have it. A store that can't be
// read keeps anything from being issued. The plan that succeeds ends what was lost.
func TestVaultStoreThatRefusesForEver(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	b.write("auth/approle/role/ci", map[string]any{"token_policies": "default"})
	leaked := b.write("auth/approle/role/ci/secret-id", nil).Data["secret_id"].(string)
	s := &builds{github: leaked, gitlab: leaked, refuses: true, closed: true}
	var err error
	if s.public, s.private, err = box.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	b.o.env["ADMIN"] = "made-up-store-admin"
	b.o.secrets = []string{leaked, root, "made-up-store-admin"}
	store := func(provider string) string {
		return fmt.Sprintf("[[instance]]\nprovider = %q\nurl = %q\nadmin = \"env:ADMIN\"\n", provider, srv.URL)
	}
	b.policy(collateral + store("github") + store("gitlab") + b.instance("[instance.rotate]\nvault = \""+b.c.Address()+"\"\napprole = \"approle/ci\"\nstores = [\"github:acme/app#ID\", \"gitlab:acme/app#ID\"]\n"))
	log := b.o.file("job.log", stamp+"VAULT_SECRET_ID="+leaked+"\n")
	report, plan := filepath.Join(b.o.dir, "report.jsonl"), filepath.Join(b.o.dir, "plan.json")
	b.o.quell(1, "scan", "log", log, "--format", "jsonl", "--output", report)
	b.o.quell(0, "plan", report, "--output", plan)
	ids := func() int {
		s, err := b.c.Logical().List("auth/approle/role/ci/secret-id")
		if err != nil || s == nil {
			t.Fatal(err)
		}
		return len(s.Data["keys"].([]any))
	}
	live := func(id string) bool {
		got, err := b.c.Logical().Write("auth/approle/role/ci/secret-id/lookup", map[string]any{"secret_id": id})
		return err == nil && got != nil
	}
	held := func(plan string) action {
		return one(t, actions(t, b.o.quell(3, "apply", plan, "--format", "jsonl")), "vault-approle-secret-id", "Held")
	}
	if a := held(plan); ids() != 1 {
		t.Fatalf("a secret id was issued for a store that can't be read: %s", a.Held)
	}
	s.open()
	values := map[string]bool{}
	last := ""
	for range 6 {
		last = held(plan).Held
		github, _ := s.hold()
		values[github] = true
		if n := ids(); n != 2 || !live(github) || !live(leaked) {
			t.Fatalf("%d secret ids; that of GitHub lives %v", n, live(github))
		}
	}
	if len(values) != 3 || !strings.Contains(last, "3 new secrets") {
		t.Errorf("%d secret ids were issued: %s", len(values), last)
	}
	s.set(false)
	again := filepath.Join(b.o.dir, "again.json")
	b.o.quell(0, "plan", report, "--output", again)
	one(t, actions(t, b.o.quell(0, "apply", again, "--format", "jsonl")), "vault-approle-secret-id", "Confirmed")
	github, gitlab := s.hold()
	if github != gitlab || !live(github) || live(leaked) || ids() != 1 {
		t.Errorf("%d secret ids are left", ids())
	}
}
