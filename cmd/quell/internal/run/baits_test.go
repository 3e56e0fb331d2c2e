package run

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules/credential"
)

// field is a scan's result with rightful kills and baits: credentials that must
// not be ended.
type field struct {
	*bench
	r        *rand.Rand
	other    *github // a server of strangers that the policy names too
	rightful map[string]bool
	env      map[string]string
	canaries []string
}

// spellings of a fingerprint in a list of canaries.
func (f *field) spell(fingerprint string) string {
	switch f.r.IntN(5) {
	case 0:
		return strings.ToUpper(fingerprint)
	case 1:
		return "sha256:" + fingerprint
	case 2:
		var pairs []string
		for i := 0; i < len(fingerprint); i += 2 {
			pairs = append(pairs, fingerprint[i:i+2])
		}
		return strings.Join(pairs, ":")
	case 3:
		return ` "` + fingerprint[:16] + " " + fingerprint[16:] + `" `
	}
	return fingerprint
}

// encode writes a token as a variable or a file of a client can have it.
func (f *field) encode(token string) string {
	switch f.r.IntN(6) {
	case 0:
		return base64.StdEncoding.EncodeToString([]byte(token))
	case 1:
		return base64.RawURLEncoding.EncodeToString([]byte(token))
	case 2:
		return hex.EncodeToString([]byte(token))
	case 3:
		var out strings.Builder
		for _, b := range []byte(token) {
			fmt.Fprintf(&out, "%%%02X", b)
		}
		return out.String()
	case 4:
		return "https://quell:" + token + "@github.example/x.git"
	}
	return `"` + token + `"`
}

// baits are the kinds of credentials that must not be ended. Each adds one to
// the field.
var baits = []struct {
	name string
	add  func(f *field)
}{
	{"a stranger's token", func(f *field) { f.leak(account{"hubot", 8, "Hubot"}) }},
	{"a stranger of the operator's display name", func(f *field) { f.leak(account{"mona-", 9, octocat.Name}) }},
	{"a stranger whose name is the operator's id", func(f *field) { f.leak(account{"7", 10, "7"}) }},
	{"the same id at another server", func(f *field) { f.other.live[f.foundOne()] = octocat }},
	{"a token that two servers accept", func(f *field) {
		s := f.foundOne()
		f.other.live[s], f.issuer.live[s] = octocat, octocat
	}},
	{"a token that no server knows", func(f *field) { f.foundOne() }},
	{"a token that the text places elsewhere", func(f *field) {
		f.foundOne()
		f.creds[len(f.creds)-1].Claims.Hosts = []string{"github.corp.example"}
	}},
	{"a canary", func(f *field) { f.canaries = append(f.canaries, f.spell(f.leak(octocat).Fingerprint)) }},
	{"a credential that quell works with", func(f *field) {
		f.env["OWN_"+strconv.Itoa(len(f.env))] = f.encode(f.leak(octocat).Secret.Reveal())
	}},
	{"a credential of a client's variable", func(f *field) {
		name := "GITHUB_TOKEN"
		if f.env[name] != "" { // each variable has one value
			name = "OTHER_" + strconv.Itoa(len(f.env))
		}
		f.env[name] = f.leak(octocat).Secret.Reveal()
	}},
	{"the control", func(f *field) { f.creds = append(f.creds, f.found(f.in.Controls[0].Secret.Reveal())) }},
	{"a token that is expired by its own content", func(f *field) {
		past := time.Now().Add(-time.Hour)
		f.leak(octocat)
		f.creds[len(f.creds)-1].Offline = credential.Offline{State: credential.OfflineExpired, Expires: &past}
	}},
	{"a token with wrong check digits", func(f *field) {
		s := []byte(f.token())
		for i := len(s) - 6; i < len(s); i++ {
			s[i] = 'z'
		}
		f.issuer.live[string(s)] = octocat
		f.creds = append(f.creds, f.found(string(s)))
	}},
}

// foundOne adds a token that no server knows.
func (f *field) foundOne() string {
	s := f.token()
	f.creds = append(f.creds, f.found(s))
	return s
}

// QUELL_BAITS sets how many credentials there are; half are rightful kills.
func TestBaitsAmongRightfulKills(t *testing.T) {
	total := 260
	if n, err := strconv.Atoi(os.Getenv("QUELL_BAITS")); err == nil {
		total = n
	}
	b := setup(t, 0)
	f := &field{bench: b, r: rand.New(rand.NewPCG(21, 23)), other: &github{live: map[string]account{}}, rightful: map[string]bool{}, env: map[string]string{}}
	srv := httptest.NewServer(f.other)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	strangers := &issuer.Instance{Provider: "github", URL: u, Operator: true, Settings: map[string]string{}}
	for n := range total {
		if n%2 == 0 {
			f.rightful[f.leak(octocat).Secret.Reveal()] = true
			continue
		}
		baits[n/2%len(baits)].add(f)
	}
	most := total
	b.set.Rule("github-pat").RequestsMax = 10 // three looks with a control each
	list := issuer.Instances{b.in, strangers}
	pol := &policy.Policy{Version: 1, Kill: policy.Kill{Max: &most}, Canaries: f.canaries, Own: []policy.Own{{Provider: "github", URL: b.in.URL.String(), Identity: []string{"7"}}}}
	var names []string
	for n := range f.env {
		names = append(names, n)
	}
	b.planner, b.applier = b.installation(pol, list)
	b.planner.Own = guard.NewOwn(OwnSecrets(b.set, list, func(n string) string { return f.env[n] }, names...))

	p := b.plan()
	acts, err := apply(t.Context(), b.applier, p)
	if err != nil {
		t.Fatal(err)
	}
	wrongful, sent := 0, map[string]int{}
	for _, r := range b.issuer.requests() {
		for _, c := range r {
			sent[c]++
			if !f.rightful[c] {
				wrongful++
			}
		}
	}
	for range f.other.requests() {
		wrongful++
	}
	for c := range f.rightful {
		if sent[c] != 1 {
			t.Errorf("a rightful kill was sent %d times", sent[c])
		}
	}
	confirmed := 0
	for _, a := range acts {
		if a.Outcome == prove.Confirmed {
			confirmed++
		}
	}
	if wrongful != 0 || confirmed != len(f.rightful) {
		t.Errorf("%d wrongful, %d of %d rightful kills are Confirmed", wrongful, confirmed, len(f.rightful))
	}
	t.Logf("%d rightful kills among %d credentials, %d wrongful", confirmed, len(b.creds), wrongful)
}
