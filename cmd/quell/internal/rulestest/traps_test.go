package rulestest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/detect"
)

// Where other tools are wrong about an issuer, and where an issuer's success proves nothing: one
// test for each.

func builtin(t *testing.T) *rules.Set {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// at is a credential of a rule at the issuer's first host.
func at(r *rules.Rule, secret string, parts map[string]rules.Secret) revokers.Target {
	host := fallbackHost
	if r.Provider != nil && len(r.Provider.Asked) > 0 {
		host = r.Provider.Asked[0]
	}
	return revokers.Target{Rule: r, Credential: rules.Credential{Secret: rules.NewSecretString(secret), Parts: parts},
		Instance: &issuer.Instance{Provider: r.Provider.ID, URL: &url.URL{Scheme: "https", Host: host}, Settings: map[string]string{}}}
}

// GET /user refuses a token of an installation, which has no user.
func TestGitHubInstallationTokenIsAskedAtAnInstallationEndpoint(t *testing.T) {
	q := builtin(t).Rule("github-installation-token").Probe.Request
	if q.Method != "GET" || q.Path != "/installation/repositories" {
		t.Errorf("%s %s", q.Method, q.Path)
	}
}

// Redeeming a refresh token rotates it and can end its whole family.
func TestNoRefreshTokenIsRedeemed(t *testing.T) {
	set := builtin(t)
	if set.Rule("github-refresh-token").Probe != nil {
		t.Error("no request that only reads takes ghr_")
	}
	grant := regexp.MustCompile(`(?i)grant_type"?\W{1,4}refresh|refresh_token"?\W{1,4}\{token`)
	for _, r := range set.Rules {
		for _, q := range requestsOf(r) {
			text, err := json.Marshal([]any{q.Form, q.JSON, q.Query, q.Multipart})
			if err != nil {
				t.Fatal(err)
			}
			if grant.Match(text) {
				t.Errorf("%s: %s %s redeems a refresh token", r.ID, q.Method, q.Path)
			}
		}
	}
}

// never counts the requests of one that must get none.
type neverAsked struct{ n int }

func (d *neverAsked) Do(context.Context, *issuer.Instance, issuer.Request) (issuer.Response, error) {
	d.n++
	return issuer.Response{Status: http.StatusForbidden, Header: http.Header{"Content-Type": {"text/xml"}}, Body: []byte("<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>")}, nil
}

// A temporary key of AWS is valid with its session token only: without it every key looks dead.
func TestTemporaryKeyOfAWSIsAskedOnlyWithItsSessionToken(t *testing.T) {
	r := builtin(t).Rule("aws-secret-key")
	for session, want := range map[string]int{"": 0, "IQoJ" + strings.Repeat("b3JpZ2lu", 20): 1} {
		parts := map[string]rules.Secret{"key_id": rules.NewSecretString("ASIA" + "Z7VRSQ5TJ2Q3XW4M")}
		if session != "" {
			parts["session"] = rules.NewSecretString(session)
		}
		d := &neverAsked{}
		reg := natives.New(natives.Config{Doer: d})
		target := at(r, "wJa1rXUtnFEM1K7MDENGbPxRf1CYzq8Kd0mLr5Ts", parts)
		for _, e := range reg.Endpoints(target) {
			a, err := reg.Verify(t.Context(), target, e)
			if want == 0 && err == nil && a.Class == revokers.Refuses {
				t.Errorf("without its session token it is refused: %+v", a)
			}
		}
		if (d.n > 0) != (want > 0) {
			t.Errorf("with a session token of %d bytes: %d requests", len(session), d.n)
		}
	}
}

// 403 is SSO, an address list, a scope or a limit far more often than death.
func TestForbiddenIsDeadOnlyWithProof(t *testing.T) {
	set := builtin(t)
	for _, r := range set.Rules {
		if r.Probe == nil {
			continue
		}
		for _, p := range append([]*rules.Probe{r.Probe}, r.Probe.Also...) {
			for _, a := range p.When {
				if a.Then == "dead" && slices.Contains(a.Status, 403) && (!a.Condition() || a.Source == "") {
					t.Errorf("%s: a 403 is dead without a condition or without a source", r.ID)
				}
			}
		}
	}
	vercel := set.Rule("vercel-personal-token")
	target := at(vercel, "vcp_"+strings.Repeat("a1B2", 14), nil)
	for body, want := range map[string]string{
		`{"error":{"code":"forbidden","message":"Not authorized","invalidToken":true}}`: "dead",
		`{"error":{"code":"forbidden","message":"Not authorized"}}`:                     "unknown",
		`<html>forbidden</html>`: "unknown",
	} {
		a := issuer.Response{Status: 403, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
		if got := interp.Means(target, a); got != want && (want != "unknown" || got == "dead" || got == "live") {
			t.Errorf("Vercel's 403 %s means %q, want %s", body, got, want)
		}
	}
}

// On authorizations, ~ is the API key of the account and not the calling authorization.
func TestHerokuEndsTheAuthorizationWhoseValueItIs(t *testing.T) {
	for _, id := range []string{"heroku-api-key-v2", "heroku-api-key"} {
		for _, v := range builtin(t).Rule(id).Revokes {
			for _, q := range v.Requests {
				if strings.Contains(q.Path, "authorizations/~") {
					t.Errorf("%s: %s deletes another key", id, q.Path)
				}
			}
			if len(v.Steps) != 1 || v.Steps[0].Pick == nil || v.Steps[0].Pick.Equals != "{token}" {
				t.Errorf("%s: the authorization is not picked by its value", id)
			}
		}
	}
}

// The identity call names the calling token: no list is needed, whose first element is another's.
func TestLaunchDarklyEndsItsOwnID(t *testing.T) {
	r := builtin(t).Rule("launchdarkly-access-token")
	if r.Probe.Request.Path != "/api/v2/caller-identity" {
		t.Errorf("asked at %s", r.Probe.Request.Path)
	}
	for _, v := range r.Revokes {
		if len(v.Steps) > 0 {
			t.Errorf("%s reads a list", v.ID)
		}
		kept := ""
		for _, a := range r.Probe.When {
			for name, path := range a.Keep {
				if path == "tokenId" {
					kept = name
				}
			}
		}
		if kept == "" || !strings.HasSuffix(v.Requests[0].Path, "/{"+kept+"}") {
			t.Errorf("%s ends %s", v.ID, v.Requests[0].Path)
		}
	}
}

// numbered is a path that takes an element of a list by its number.
var numbered = regexp.MustCompile(`(?:^|\.)[0-9]+(?:\.|$)`)

// A revocation never names the first element of a list.
func TestNoRevocationTakesTheFirstOfAList(t *testing.T) {
	for _, r := range builtin(t).Rules {
		kept := map[string]string{}
		if r.Probe != nil {
			for _, a := range r.Probe.When {
				maps.Copy(kept, a.Keep)
			}
			for _, s := range r.Probe.Identity {
				maps.Copy(kept, s.Keep)
			}
		}
		for _, v := range r.Revokes {
			used := maps.Clone(kept)
			for _, s := range v.Steps {
				maps.Copy(used, s.Keep)
				if p := s.Pick; p != nil {
					if !p.Only && p.Where == "" {
						t.Errorf("%s, %s: a pick without a comparison", r.ID, v.ID)
					}
					maps.Copy(used, p.Keep)
				}
			}
			for _, q := range v.Requests {
				for _, text := range q.Texts() {
					for _, name := range rules.Vars(text) {
						if path := used[name]; numbered.MatchString(path) {
							t.Errorf("%s, %s: {%s} is %s, an element by its number", r.ID, v.ID, name, path)
						}
					}
				}
			}
		}
	}
}

// readingPosts are the probes that are no GET: each was read to only read. A new one is added
// here after its document was.
var readingPosts = []string{
	"cognito-access-token", "dropbox-access-token", "dropbox-long-lived-api-token", "flyio-access-token", "flyio-personal-token",
	"gitlab-runner-authentication-token", "gitlab-runner-authentication-token-routable", "google-access-token", "line-channel-access-token",
	"linear-api-key", "linear-oauth-token", "new-relic-user-api-key", "ory-token", "railway-api-token", "railway-project-token", "slack-bot-token", "slack-user-token",
}

// spends are paths that cost, post, mint or change something at the issuers that have them.
var spends = regexp.MustCompile(`(?i)completions|/messages\b|/embeddings|/generat|postMessage|/send\b|/mail\b|/oauth2?/token$|/token$|/login$|/logout|/revoke|/refresh|/rotate|/charges|/upload|/legacy|apps\.connections\.open|/deploy|/run\b|query_history|/statements|logOut|deleteWebhook|/pipeline|/trigger`)

// No probe costs, mints, posts or ends anything.
func TestProbesOnlyRead(t *testing.T) {
	var posts []string
	for _, r := range builtin(t).Rules {
		if r.Probe == nil || r.Probe.Request == nil {
			continue
		}
		for _, p := range append([]*rules.Probe{r.Probe}, r.Probe.Also...) {
			q := p.Request
			if !slices.Contains([]string{"GET", "HEAD", "LIST"}, q.Method) {
				if !q.Reads || q.Source == "" {
					t.Errorf("%s: %s %s without a document that it only reads", r.ID, q.Method, q.Path)
				}
				posts = append(posts, r.ID)
			}
			if spends.MatchString(q.Path) {
				t.Errorf("%s: %s %s may cost, mint, post or end something", r.ID, q.Method, q.Path)
			}
		}
	}
	slices.Sort(posts)
	if posts = slices.Compact(posts); !slices.Equal(posts, readingPosts) {
		t.Errorf("probes that are no GET:\n%q\nwere read:\n%q", posts, readingPosts)
	}
}

// An issuer that accepts a revocation and ends nothing: whatever it answered, the outcome is not
// Confirmed. It is one subtest for each kind whose revocation can be sent.
func TestAnAcceptedRevocationThatEndsNothingIsNoProof(t *testing.T) {
	set := builtin(t)
	s := &suite{ctx: t.Context(), set: set, engine: detect.New(set), random: rand.NewChaCha8([32]byte{9})}
	tried := map[string]prove.Outcome{}
	for _, r := range set.Rules {
		if r.Probe == nil || r.Probe.Request == nil || len(r.Revokes) == 0 {
			continue
		}
		s.rule = r
		for _, c := range r.Cases {
			if len(c.Want) == 0 || !strings.HasPrefix(c.Want[0], "live") {
				continue
			}
			cred, ok := s.whole()
			if !ok {
				break
			}
			if out, ran := s.lives(t, c, cred); ran {
				tried[r.ID] = out
				if out != prove.StillAlive {
					t.Errorf("%s: the issuer accepted and it lives on: %s", r.ID, out)
				}
			}
			break
		}
	}
	// The ones for which a document or a user reports it.
	for _, id := range []string{"zendesk-oauth-token", "argocd-session", "ory-session-token", "github-pat", "huggingface-access-token", "ibm-cloud-api-key", "todoist-token"} {
		if tried[id] == "" {
			t.Errorf("%s was not tried", id)
		}
	}
	if len(tried) < 90 {
		t.Errorf("only %d kinds were tried", len(tried))
	}
}

// lives asks about a credential before and after a kill that is accepted and does nothing.
func (s *suite) lives(t *testing.T, c rules.Case, cred rules.Credential) (out prove.Outcome, ran bool) {
	synctest.Test(t, func(t *testing.T) {
		target := s.target(cred, c.With)
		f := &faulty{r: rand.New(rand.NewPCG(1, 1)), leaked: cred.Secret.Reveal()}
		f.never = answered(s.never(c, target), target)
		for _, p := range c.Replies {
			if interp.Means(target, response(p)) == "live" {
				f.live = answered(p, target)
				break
			}
		}
		v := about{natives.New(natives.Config{Doer: f}), f}
		endpoints := v.Endpoints(target)
		if len(endpoints) == 0 {
			return
		}
		asker := &guard.Asker{}
		e, err := asker.Ask(t.Context(), v, target, endpoints[0])
		if err != nil || revokers.Judge(target, e).Liveness != revokers.Live {
			return
		}
		ran = true
		target.Seen = &revokers.Sighting{Endpoint: endpoints[0], At: time.Now(), Learned: e.Learned}
		target.Captures = e.Answer.Captures
		f.killed = time.Now()
		p := &prove.Prover{Asker: asker, Verifier: v, Controls: &prove.Controls{}}
		out = p.Confirm(t.Context(), prove.Kill{Target: target, Endpoint: endpoints[0], Attempted: true, Sent: &revokers.Acknowledgement{Accepted: true, Status: 204}, Before: &e.Answer},
			prove.Schedule{Settle: faultSettle, Looks: 4}).Outcome
	})
	return out, ran
}

// Revocations whose issuer accepts every credential declare it, so that their answer is no evidence.
func TestIssuersThatAcceptEverythingAreMarked(t *testing.T) {
	set := builtin(t)
	for id, revoke := range map[string]string{
		"github-pat": "credentials-revoke", "huggingface-access-token": "credentials", "zendesk-oauth-token": "current", "ory-session-token": "logout",
		"home-assistant-refresh-token": "revoke", "argocd-session": "logout", "gitlab-oauth-access-token": "oauth-revoke", "oauth-access-token": "rfc7009", "jwt": "rfc7009",
	} {
		r := set.Rule(id)
		if r == nil {
			t.Errorf("no rule %s", id)
			continue
		}
		i := slices.IndexFunc(r.Revokes, func(v rules.Revoke) bool { return v.ID == revoke })
		if i < 0 || !r.Revokes[i].Always {
			var have []string
			for _, v := range r.Revokes {
				have = append(have, fmt.Sprint(v.ID, " ", v.Always))
			}
			t.Errorf("%s: %s is not marked as accepted for everything: %v", id, revoke, have)
		}
	}
}

// DELETE /api/v1/session of Argo CD answers 200 and revokes nothing; Keycloak's public /revoke
// ends a session without the event that offline verifiers wait for.
func TestCallsThatEndNothingAreNotUsed(t *testing.T) {
	set := builtin(t)
	for _, c := range []struct{ provider, method, path string }{
		{"argocd", "DELETE", "/api/v1/session"},
		{"keycloak", "POST", "/protocol/openid-connect/revoke"},
		{"telegram", "", "logOut"}, {"telegram", "", "deleteWebhook"},
		{"harness", "DELETE", "/ng/api/apikey/"},
		{"rancher", "DELETE", "/v3/tokens/"},
		{"turso", "POST", "/v1/auth/invalidate"}, // ends sessions, not the minted token that leaked
	} {
		for _, r := range set.Rules {
			if r.Provider == nil || r.Provider.ID != c.provider {
				continue
			}
			for _, q := range requestsOf(r) {
				if (c.method == "" || q.Method == c.method) && strings.Contains(q.Path, c.path) {
					t.Errorf("%s sends %s %s", r.ID, q.Method, q.Path)
				}
			}
		}
	}
}

// Tokens that were issued with a key outlive it: the file declares that, and the output shows it.
func TestKeysWhoseTokensLiveOnSaySo(t *testing.T) {
	set := builtin(t)
	for _, id := range []string{"ibm-cloud-api-key", "aws-secret-key", "google-service-account-key", "identity-center-token", "kubernetes-bound-token", "keycloak-identity"} {
		r := set.Rule(id)
		if r == nil || r.Derived == "" {
			t.Errorf("%s: nothing says what becomes of what was issued with it", id)
		}
	}
}

// A credential that its issuer can't end has no revocation, and its page states why.
func TestTokensThatNothingEndsGetNoRevocation(t *testing.T) {
	set := builtin(t)
	for _, id := range []string{"auth0-management-token", "kubernetes-bound-token", "vault-batch-token", "claude-oauth-token", "railway-api-token", "turso-platform-token"} {
		r := set.Rule(id)
		if r == nil {
			t.Errorf("no rule %s", id)
			continue
		}
		if len(r.Revokes) > 0 || r.Note == "" && !r.Stateless {
			t.Errorf("%s: %d revocations, note %q", id, len(r.Revokes), r.Note)
		}
	}
}
