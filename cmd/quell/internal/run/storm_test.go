package run

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/scanners/detect"
)

// publishedLimits are requests per time that issuers document, of one client. An effect has its
// own limit where the document names one.
var publishedLimits = map[string]struct {
	most, effects       int
	within, effectsTime time.Duration
}{
	// https://docs.github.com/en/rest/credentials/revoke: 60 an hour;
	// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api: 900 points a minute
	"github": {900, 60, time.Minute, time.Hour},
	// https://docs.slack.dev/apis/web-api/rate-limits: tier 3 for auth.revoke
	"slack": {600, 50, time.Minute, time.Minute},
	// https://docs.gitlab.com/user/gitlab_com/#rate-limits-on-gitlabcom, without a sign-in
	"gitlab": {500, 500, time.Minute, time.Minute},
	// https://docs.digitalocean.com/reference/api/: 250 a minute
	"digitalocean": {250, 250, time.Minute, time.Minute},
	// https://buildkite.com/docs/apis/rest-api/limits: 200 a minute
	"buildkite": {200, 200, time.Minute, time.Minute},
	// https://huggingface.co/docs/hub/rate-limits: 500 in five minutes
	"huggingface": {500, 500, 5 * time.Minute, 5 * time.Minute},
}

// stormIssuers are issuers in memory that obey their published limits and take a while to answer.
type stormIssuers struct {
	mu      sync.Mutex
	of      map[string]*fakeIssuer   // by the provider's id
	tokens  map[string]string        // live ones: the provider that issued each
	ended   map[string]time.Duration // since start, when the issuer accepted the end of each
	start   time.Time
	got     map[string][]time.Time
	all     int // requests
	limited map[string]int
	dice    *rand.Rand
}

// Do implements issuer.Doer.
func (s *stormIssuers) Do(ctx context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	s.mu.Lock()
	latency := 80*time.Millisecond + time.Duration(s.dice.IntN(240))*time.Millisecond
	s.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-ctx.Done():
		return issuer.Response{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all++
	f := s.of[i.Provider]
	if f == nil {
		return issuer.Response{}, fmt.Errorf("no issuer %s", i.Provider)
	}
	if wait := s.over(i.Provider, r.Reads); wait > 0 {
		s.limited[i.Provider]++
		return issuer.Response{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {strconv.Itoa(int(wait.Seconds()) + 1)}}}, nil
	}
	text := sentText(r.Method, r.Path+"?"+r.Query.Encode(), r.Header, bodyText(r.Body))
	var about []string
	for token := range s.tokens {
		if strings.Contains(text, token) {
			about = append(about, token)
		}
	}
	live := len(about) == 1 && s.tokens[about[0]] == i.Provider
	if live {
		_, ended := s.ended[about[0]]
		live = !ended
	}
	a, ends := f.respond(r.Method, r.Path, live)
	if ends {
		for _, token := range about {
			if _, has := s.ended[token]; !has {
				s.ended[token] = time.Since(s.start)
			}
		}
	}
	return a, nil
}

// over reports how long a client that is over its limit must wait.
func (s *stormIssuers) over(provider string, reads bool) time.Duration {
	l, ok := publishedLimits[provider]
	if !ok {
		return 0
	}
	key, most, within := provider, l.most, l.within
	if !reads && (l.effects != l.most || l.effectsTime != l.within) {
		key, most, within = provider+" effects", l.effects, l.effectsTime
	}
	now := time.Now()
	s.got[key] = slices.DeleteFunc(s.got[key], func(t time.Time) bool { return now.Sub(t) >= within })
	if len(s.got[key]) >= most {
		return within - now.Sub(s.got[key][0])
	}
	s.got[key] = append(s.got[key], now)
	return 0
}

// storm leaks n live tokens of each rule, contains them, and returns when each end was accepted.
func storm(t *testing.T, n int, ids ...string) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	engine := detect.New(set)
	seed := rand.NewChaCha8([32]byte{5})
	var all []credential.Credential
	issuers := map[string]*fakeIssuer{}
	var own []policy.Own
	for _, id := range ids {
		f := newFakeIssuer(set.Rule(id))
		if f == nil {
			t.Fatalf("%s is not answered by one request", id)
		}
		_, creds := f.leaks(t, engine, n, seed)
		if len(creds) != n {
			t.Fatalf("%d of %d tokens of %s", len(creds), n, id)
		}
		all = append(all, creds...)
		issuers[f.rule.Provider.ID] = f
	}
	rand.New(seed).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &stormIssuers{of: issuers, tokens: map[string]string{}, ended: map[string]time.Duration{}, start: time.Now(), got: map[string][]time.Time{}, limited: map[string]int{}, dice: rand.New(rand.NewPCG(1, 2))}
		pol := &policy.Policy{Version: 1}
		r, err := New(Options{PolicyNow: func(context.Context) (*policy.Policy, error) { return pol, nil }, Policy: filepath.Join(dir, "policy.toml"), SparePolicy: true, Getenv: func(name string) string { return map[string]string{"HOME": dir}[name] },
			Doer: &guard.Retry{Next: &guard.Breaker{Next: &guard.Limit{Next: s}}}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			all[i].Fingerprint = r.Keys.Fingerprint.Fingerprint(all[i].Secret)
			s.tokens[all[i].Secret.Reveal()] = all[i].Provider
		}
		checked, err := r.Checker().Check(t.Context(), all, nil)
		if err != nil {
			t.Fatal(err)
		}
		asked := time.Since(s.start)
		seen := map[string]bool{}
		for _, c := range checked {
			if v := c.Verdict(); v.Liveness.String() != "live" {
				t.Fatalf("%s is %s: %s", c.Rule, v.Liveness, v.Detail)
			}
			if !seen[c.Provider] {
				seen[c.Provider] = true
				if id := c.Verdict().Identity[set.Rule(c.Rule).Owner()]; id != "" {
					own = append(own, policy.Own{Provider: c.Provider, Identity: []string{id}})
				}
			}
		}
		most := len(all)
		pol.Kill.Max, pol.Own = &most, own
		r.Policy = pol
		// Issuers without an identity in their answer prove no ownership: the incident's reason is needed.
		p, err := r.Plan(t.Context(), checked, "storm")
		if err != nil {
			t.Fatal(err)
		}
		led, err := r.Ledger(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer led.Close()
		a, err := r.Applier(led, p.BreakGlass)
		if err != nil {
			t.Fatal(err)
		}
		outcomes, held := map[string]int{}, map[string]int{}
		if err := a.Apply(t.Context(), p, "storm", func(act report.Action) error {
			outcomes[string(act.Outcome)]++
			if act.Held != "" {
				held[act.Rule+": "+act.Held]++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var times []time.Duration
		for _, d := range s.ended {
			times = append(times, d)
		}
		slices.Sort(times)
		if len(times) != len(all) {
			t.Fatalf("the end of %d of %d was accepted: %v %v; over a limit: %v", len(times), len(all), held, outcomes, s.limited)
		}
		p95 := times[len(times)*95/100]
		t.Logf("%d tokens of %d issuers: asked about in %s; kill accepted: median %s, p95 %s, last %s; all proven after %s with %d requests: %v; over a limit: %v",
			len(all), len(ids), asked.Round(time.Second), times[len(times)/2].Round(time.Second), p95.Round(time.Second), times[len(times)-1].Round(time.Second), time.Since(s.start).Round(time.Second), s.all, outcomes, s.limited)
		if p95 > 10*time.Minute {
			t.Errorf("p95 of the kills that were accepted is %s, more than ten minutes", p95)
		}
	})
}

// Many live tokens of one issuer, which takes many in one request, on a simulated clock.
func TestStormOfGitHubTokens(t *testing.T) { storm(t, stormSize(), "github-pat") }

// As many of the ten commonest issuers.
func TestStormOfTenIssuers(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, id := range []string{"github-pat", "gitlab-pat", "slack-user-token", "huggingface-access-token", "digitalocean-access-token", "doppler-api-token", "vercel-personal-token",
		"fastly-api-token", "buildkite-api-token", "dropbox-access-token", "crates-io-api-key", "gitguardian-api-key", "smartsheet-token", "vimeo-token", "salesforce-access-token"} {
		if r := set.Rule(id); r != nil && newFakeIssuer(r) != nil && len(ids) < 10 {
			ids = append(ids, id)
		}
	}
	if len(ids) < 8 {
		t.Fatalf("only %q are answered by one request", ids)
	}
	storm(t, stormSize()/len(ids), ids...)
}

// stormSize is how many tokens there are: 500 in a campaign.
func stormSize() int {
	if os.Getenv("QUELL_CAMPAIGN") != "" {
		return 500
	}
	return 60
}
