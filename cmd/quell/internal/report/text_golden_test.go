package report

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

var update = flag.Bool("update", false, "write the golden files")

// stream is a scan with everything in it: two live credentials late in the stream,
// suspect ones, many others of several kinds, and things that were not read.
func stream() (out []Event) {
	at := func(path string, line int) rules.Location {
		return rules.Location{Path: path, Line: line, Column: 19}
	}
	out = append(out, Config{}, Notice{Message: "an entry of the allow-list has expired: made up once"})
	cred := func(n int, kind rules.Kind, rule string, c rules.Confidence, v *revokers.Verdict) {
		f := fmt.Sprintf("%08x%024x", n*2654435761%(1<<32), n)
		out = append(out, Credential{Ref: rules.Ref{Fingerprint: f, Kind: kind, Rule: rule, Confidence: c, Redacted: "eyJh…(277 bytes)"}, Findings: 1, Locations: []rules.Location{at(fmt.Sprintf("services/payments/deploy/%d/a-long-name-of-a-file.env", n), n)}})
		if v != nil {
			out = append(out, Verdict{Fingerprint: f, Verdict: *v})
		}
	}
	for n := range 700 {
		cred(n, rules.KindAPIKey, "generic-api-key", rules.Medium, nil)
	}
	for n := range 7 {
		cred(1000+n, rules.KindJWT, "jwt", rules.Medium, &revokers.Verdict{Liveness: revokers.Unknown, Reason: revokers.NoHost})
	}
	cred(2000, rules.KindAPIKey, "gitlab-pat", rules.High, &revokers.Verdict{Liveness: revokers.Unknown, Reason: revokers.Throttled, Host: "gitlab.com", Detail: "the issuer answered 429", Remedy: "ask again when the issuer's limit has passed"})
	cred(2001, rules.KindAPIKey, "github-pat", rules.High, &revokers.Verdict{Liveness: revokers.Dead, Reason: revokers.Revoked, Host: "api.github.com"})
	live := revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Authenticated, Host: "app.example.com", Identity: map[string]string{"subject": "alice", "scopes": "openid profile email offline_access"}}
	cred(3000, rules.KindSessionCookie, "webapp-session", rules.Medium, &live)
	cred(3001, rules.KindBearer, "oauth-access-token", rules.Medium, &live)
	for n := range 12 {
		out = append(out, Notice{Incomplete: true, Kind: "damaged", Message: fmt.Sprintf("backup-%d.zip: zip: damaged: it has no directory at its end", n)})
	}
	out = append(out, Notice{Incomplete: true, Kind: "denied", Message: "secrets/: permission denied"})
	return append(out, Summary{Artifacts: 1207, Bytes: 3 << 30, Findings: 711, Credentials: 711, Live: 2, Dead: 1, Unknown: 708, Unanswered: 1, Incomplete: 13, Hidden: 1, Seconds: 12})
}

// applied is what an apply left.
func applied() (out []Event) {
	ref := func(n int, rule string) rules.Ref {
		return rules.Ref{Fingerprint: fmt.Sprintf("%08x%024x", n*2654435761%(1<<32), n), Kind: rules.KindAPIKey, Rule: rule, Redacted: "glpa…(26 bytes)"}
	}
	for n := range 13 {
		out = append(out, Action{Item: n + 1, Ref: ref(n, "gitlab-pat"), Host: "gitlab.com", Action: "held", Outcome: prove.Held, Held: "nothing shows that it is yours", Remedy: `[[own]] provider = "gitlab" with identity = ["7"], if that is you, in the policy; or --break-glass REASON`})
	}
	req := []revokers.Effect{{Method: "DELETE", URL: "https://gitlab.com/api/v4/personal_access_tokens/self", Header: map[string]string{"PRIVATE-TOKEN": "{token}"}}}
	out = append(out,
		Action{Item: 14, Ref: ref(14, "gitlab-pat"), Host: "gitlab.com", Action: "revoke", Tier: rules.TierSelf, Scope: rules.ScopeSession, Requests: req, Receipt: &revokers.Acknowledgement{Accepted: true, Status: 204}, Outcome: prove.Confirmed, Detail: "the endpoint that answered live answers dead", Control: "live", Looks: 38, ReplicaRisk: 0.018, Seconds: 30.4},
		Action{Item: 15, Ref: ref(15, "gitlab-pat"), Host: "gitlab.com", Action: "revoke", Tier: rules.TierSelf, Scope: rules.ScopeSession, Requests: req, Receipt: &revokers.Acknowledgement{Status: 403, Detail: "the issuer answered 403"}, Outcome: prove.StillAlive, Detail: "the endpoint that answered live still answers live", Remedy: "end it at the issuer by hand: the credential lacks the right to end itself (403), then quell recheck"})
	return append(out, Summary{Outcomes: map[prove.Outcome]int{prove.Confirmed: 1, prove.StillAlive: 1, prove.Held: 13}})
}

// planned is what quell plan shows: what would be sent, what is held and why, what can't be
// ended, what is dead already, and what would be deleted.
func planned() (out []Event) {
	ref := func(n int, kind rules.Kind, rule string) rules.Ref {
		return rules.Ref{Fingerprint: fmt.Sprintf("%08x%024x", n*2654435761%(1<<32), n), Kind: kind, Rule: rule, Redacted: "glpa…(26 bytes)"}
	}
	for n := range 13 {
		out = append(out, Action{Item: n + 1, Ref: ref(n, rules.KindAPIKey, "gitlab-pat"), Host: "gitlab.com", Action: "held", Held: "nothing shows that it is yours", Remedy: `[[own]] provider = "gitlab" with identity = ["7"], if that is you, in the policy; or --break-glass REASON`})
	}
	return append(out,
		Action{Item: 14, Ref: ref(14, rules.KindSessionCookie, "webapp-session"), Host: "app.example.com", Instance: "https://app.example.com", Endpoint: "GET https://app.example.com/me", Action: "revoke", Method: "logout", Tier: rules.TierSelf, Scope: rules.ScopeSession,
			Requests: []revokers.Effect{{Method: "POST", URL: "https://app.example.com/a/rather/long/address/of/a/page/that/signs/a/user/out?everywhere=false", Header: map[string]string{"Cookie": "session={token}"}}}},
		Action{Item: 15, Ref: ref(15, rules.KindAPIKey, "postgres-password"), Host: "db.example.com", Action: "rotate_and_revoke", Method: "vault", Tier: rules.TierCollateral, Scope: rules.ScopeUser, Reversible: true, Collateral: "every consumer of the static role needs the new password",
			Managed: []string{"database/static-roles/app", "secret/app#password"}, Requests: []revokers.Effect{{Method: "POST", URL: "https://vault.example.com:8200/v1/database/rotate-role/app"}}},
		Action{Item: 16, Ref: ref(16, rules.KindJWT, "jwt"), Host: "idp.example.com", Action: "until_expiry", Detail: "stateless: its issuer can't end it; it is accepted until 2026-05-03T10:00:00Z", Remedy: "roll the key that signs it, which ends everyone's; or wait"},
		Action{Item: 17, Ref: ref(17, rules.KindAPIKey, "github-pat"), Host: "api.github.com", Action: "none", Detail: "it is dead already: revoked"},
		Action{Item: 18, Ref: ref(18, rules.KindAPIKey, "npm-access-token"), Host: "registry.example", Action: "held", Held: "the policy does not allow the tier self", Remedy: `[[allow]] provider = "npm" with tiers = ["self"] in the policy`},
		Notice{Message: "then delete the log of job 17 of run 4711 of example/payments: DELETE https://api.github.com/repos/example/payments/actions/runs/4711/logs (irreversible, tier self), once 3 credentials in it are proven dead and a sealed copy is kept"})
}

// checked is what quell check prints: every verdict, and nothing about artifacts.
func checked() (out []Event) {
	out = append(out, Config{}, Notice{Message: `gitleaks.json: 2 values of gitleaks "acme-key", which no rule of quell's is about: nothing can be asked about them`})
	for n, v := range []revokers.Verdict{
		{Liveness: revokers.Dead, Reason: revokers.Revoked, Host: "api.github.com"},
		{Liveness: revokers.Live, Reason: revokers.Authenticated, Host: "gitlab.com", Identity: map[string]string{"subject": "alice", "scopes": "api read_repository write_repository sudo admin_mode"}},
		{Liveness: revokers.Unknown, Reason: revokers.Throttled, Host: "gitlab.com", Detail: "the issuer answered 429", Remedy: "ask again when the issuer's limit has passed"},
		{Liveness: revokers.Unknown, Reason: revokers.NoHost, Remedy: "name the instance: quell policy add"},
	} {
		f := fmt.Sprintf("%08x%024x", (n+1)*2654435761%(1<<32), n)
		out = append(out, Credential{Ref: rules.Ref{Fingerprint: f, Kind: rules.KindAPIKey, Rule: "gitlab-pat", Confidence: rules.High, Redacted: "glpa…(26 bytes)"}, Findings: 2, Locations: []rules.Location{{Source: "report", Path: "deploy/a-folder-with-a-long-name/values-of-the-production-cluster.yaml", Line: 3, Column: 9}}}, Verdict{Fingerprint: f, Verdict: v})
	}
	return append(out, Summary{Credentials: 4, Findings: 8, Live: 1, Dead: 1, Unknown: 2, Unanswered: 1, Seconds: 2})
}

func render(t *testing.T, events []Event, style Style) string {
	t.Helper()
	var b bytes.Buffer
	s, err := New("text", &b, &rules.Set{}, style)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := s.Emit(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextAtEachWidth(t *testing.T) {
	for name, events := range map[string][]Event{"scan": stream(), "check": checked(), "plan": planned(), "apply": applied()} {
		for _, width := range []int{60, 80, 200, 0} {
			file := filepath.Join("testdata", fmt.Sprintf("%s-%d.txt", name, width))
			got := render(t, events, Style{Width: width})
			for _, line := range strings.Split(got, "\n") {
				if words := strings.Fields(line); width > 0 && runewidth.StringWidth(line) > width && len(words) > 2 {
					t.Errorf("%s: wider than the terminal: %q", file, line)
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(file); err != nil || string(want) != got {
				t.Errorf("%s: %v; got\n%s", file, err, got)
			}
		}
	}
}

func TestColourAloneCarriesNoMeaning(t *testing.T) {
	got := render(t, stream(), Style{Width: 80, Color: true})
	if !strings.Contains(got, "\x1b[1;31mLIVE") {
		t.Error("live is not red")
	}
	without := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(got, "")
	if without != render(t, stream(), Style{Width: 80}) {
		t.Error("the words differ with colours")
	}
}

// With every value of --show, each credential is listed or counted, live ones first.
func TestNothingIsLostByGrouping(t *testing.T) {
	for name, c := range map[string]struct {
		show   []string
		listed int
		lines  []string
	}{
		"by default":   {nil, 3, []string{"700 not checked: 700 generic-api-key", "7 unknown (no_host): 7 jwt", "1 dead (revoked): 1 github-pat"}},
		"live":         {[]string{"live"}, 2, []string{"1 unknown (throttled): 1 gitlab-pat", "700 not checked"}},
		"suspect":      {[]string{"suspect"}, 3, []string{"700 not checked"}},
		"all":          {[]string{"all"}, 711, nil},
		"incomplete":   {[]string{"incomplete"}, 3, []string{"not read: backup-11.zip", "not read: secrets/"}},
		"all of these": {[]string{"all", "incomplete"}, 711, []string{"not read: secrets/"}},
	} {
		show, err := ParseShow(c.show)
		if err != nil {
			t.Fatal(err)
		}
		got := render(t, stream(), Style{Show: show})
		if n := strings.Count(got, " at services/"); n != c.listed {
			t.Errorf("%s: %d are listed", name, n)
		}
		for _, l := range c.lines {
			if !strings.Contains(got, l) {
				t.Errorf("%s: no %q in\n%s", name, l, got[max(0, len(got)-2000):])
			}
		}
		if first := strings.Index(got, "LIVE (authenticated)"); first < 0 || first > strings.Index(got, " at services/") {
			t.Errorf("%s: live ones are not first", name)
		}
	}
	if _, err := ParseShow([]string{"some"}); err == nil {
		t.Error("any value is taken")
	}
}

// A stream with more than a renderer keeps is written all the same.
func TestMoreThanIsKept(t *testing.T) {
	var events []Event
	n := maxKept + 50
	for i := range n {
		f := fmt.Sprintf("%032x", i)
		events = append(events, Credential{Ref: rules.Ref{Fingerprint: f, Rule: "r", Confidence: rules.High, Kind: rules.KindAPIKey}, Locations: []rules.Location{{Path: "a", Line: 1, Column: 1}}}, Verdict{Fingerprint: f, Verdict: revokers.Verdict{Liveness: revokers.Live, At: time.Now()}})
	}
	if got := strings.Count(render(t, append(events, Summary{}), Style{}), "LIVE"); got != n {
		t.Errorf("%d of %d live ones are listed", got, n)
	}
}

func TestPlurals(t *testing.T) {
	for want, got := range map[string]string{
		"0 artifacts": Count(0, "artifact"), "1 artifact": Count(1, "artifact"), "1,207 artifacts": Count(1207, "artifact"), "1,000,000 things": Count(1_000_000, "thing"),
		"2 addresses": Count(2, "address"), "3 entries": Count(3, "entry"), "2 keys": Count(2, "key"), "-1,000 bytes": Count(-1000, "byte"),
	} {
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
