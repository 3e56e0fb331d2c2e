package natives_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// chaos is a network that answers anything. It echoes what it was sent.
type chaos struct {
	t        *testing.T
	r        *rand.Rand
	target   revokers.Target
	words    []string // of the rule's own arms, so that they are met
	statuses []int
	known    []rules.Arm
}

// meets is a document for which an arm holds, if the conditions are simple. It
// echoes the token wherever the arm keeps a value.
func meets(a rules.Arm, token string) []byte {
	doc := map[string]any{}
	put := func(path string, v any) {
		at := doc
		parts := strings.Split(path, ".")
		for _, p := range parts[:len(parts)-1] {
			next, ok := at[p].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[p] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = v
	}
	for _, from := range a.Keep {
		if !strings.Contains(from, ":") {
			put(from, "it is "+token)
		}
	}
	for path, v := range a.JSON {
		switch v := v.(type) {
		case []any:
			put(path, v[0])
		case map[string]any:
			put(path, fmt.Sprint(v["prefix"])+token)
		default:
			put(path, v)
		}
	}
	b, _ := json.Marshal(doc)
	return b
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (c *chaos) Do(_ context.Context, i *issuer.Instance, q issuer.Request) (issuer.Response, error) {
	// The path is checked where the secret leaves: its own host, no dot segment.
	path, _, _ := strings.Cut(q.Path, "?")
	if issuer.HasDotSegment(path) || !strings.HasPrefix(path, "/") {
		c.t.Errorf("rule %s asks the path %q", c.target.Rule.ID, c.hide(q.Path))
	}
	if i.Host() != c.target.Host() && !c.target.Rule.Provider.Pins(i.URL.Hostname()) {
		c.t.Errorf("rule %s asks %s", c.target.Rule.ID, i.Host())
	}
	for k, list := range q.Header {
		for _, v := range list {
			if strings.ContainsAny(k+v, "\r\n") {
				c.t.Errorf("rule %s sends a header with a line break: %s", c.target.Rule.ID, k)
			}
		}
	}
	if c.r.IntN(12) == 0 {
		return issuer.Response{}, pick(c.r, error(context.DeadlineExceeded), errors.New("the connection broke off"), guard.ErrOpen, guard.ErrWait)
	}
	h := http.Header{}
	set := func(one int, name string, values ...string) {
		if c.r.IntN(one) == 0 {
			h.Set(name, pick(c.r, values...))
		}
	}
	token := c.target.Secret.Reveal()
	set(3, "Content-Type", "application/json", "text/html; charset=utf-8", "text/plain", "application/problem+json", "")
	set(4, "WWW-Authenticate", "Bearer", `Basic realm="x, Negotiate"`, "Bearer, Negotiate", "Negotiate", `Bearer error="insufficient_user_authentication"`, `DPoP error="use_dpop_nonce", Bearer`, `Basic realm="`+token+`"`, ", , =", `"`)
	set(4, "Location", "/login", "https://evil.example/"+token, "//evil.example", "/../x", "?token="+token, "%zz", i.Origin()+"/login", "javascript:alert(1)")
	set(6, "Retry-After", "1", "-1", "99999999999999999999", "Mon, 30 Nov 2026 12:00:00 GMT", "soon")
	set(8, "X-RateLimit-Remaining", "0", "x")
	set(8, "Set-Cookie", "session="+token, "=; ;", "csrf=abc")
	set(8, "Link", `</x?page=2>; rel="next"`, `<https://evil.example>; rel="next"`, `<`, `</../..>; rel=next`)
	set(6, "X-OAuth-Scopes", "repo, "+token, strings.Repeat("s", 1000))
	if len(c.known) > 0 && c.r.IntN(3) == 0 {
		a := pick(c.r, c.known...)
		return issuer.Response{Status: pick(c.r, append([]int{200}, a.Status...)...), Header: h, Body: meets(a, token)}, nil
	}
	return issuer.Response{Status: c.status(), Header: h, Body: []byte(c.body(token, 4))}, nil
}

func (c *chaos) hide(s string) string { return strings.ReplaceAll(s, c.target.Secret.Reveal(), "…") }

func (c *chaos) status() int {
	if len(c.statuses) > 0 && c.r.IntN(2) == 0 {
		return pick(c.r, c.statuses...)
	}
	return pick(c.r, 0, 100, 200, 200, 201, 202, 204, 206, 301, 302, 303, 307, 304, 400, 401, 401, 403, 404, 405, 408, 410, 418, 422, 429, 472, 500, 502, 503, 504, 599, 999)
}

// body is JSON, HTML or noise; JSON has the names and words of the rule's arms.
func (c *chaos) body(token string, depth int) string {
	switch c.r.IntN(9) {
	case 0:
		return ""
	case 1:
		return "<!DOCTYPE html><html><input name=csrf value='" + token + "'><meta name=csrf content=x>"
	case 2:
		s := c.json(token, depth)
		return s[:c.r.IntN(len(s)+1)]
	case 3:
		return strings.Repeat("[", 2000)
	case 4:
		return "\xff\xfe\x00" + token
	}
	return c.json(token, depth)
}

func (c *chaos) json(token string, depth int) string {
	word := func() string {
		if len(c.words) > 0 && c.r.IntN(3) > 0 {
			return pick(c.r, c.words...)
		}
		return pick(c.r, "id", "ok", "error", "message", "active", "data", "login", token, "invalid token", "..", "a/../b", "x\r\nX-Injected: 1", "\u0000")
	}
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	switch n := c.r.IntN(9); {
	case n < 4 && depth > 0:
		var parts []string
		for range c.r.IntN(5) {
			name := word()
			if head, rest, ok := strings.Cut(name, "."); ok && c.r.IntN(2) == 0 && head != "" {
				parts = append(parts, quote(head)+`:{`+quote(rest)+":"+c.json(token, depth-2)+"}")
				continue
			}
			parts = append(parts, quote(name)+":"+c.json(token, depth-1))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case n == 4 && depth > 0:
		var parts []string
		for range c.r.IntN(4) {
			parts = append(parts, c.json(token, depth-1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case n == 5:
		return pick(c.r, "true", "false", "null", "0", "1", "-1", "1e400", "1.0", "12345678901234567890123", "9007199254740993")
	}
	return quote(word())
}

// arms collects the statuses and words that a probe looks for.
func (c *chaos) arms(p *rules.Probe) {
	for _, one := range append([]*rules.Probe{p}, p.Also...) {
		c.known = append(c.known, one.When...)
		for _, a := range one.When {
			c.statuses = append(c.statuses, a.Status...)
			for k, v := range a.JSON {
				c.words = append(c.words, k)
				switch v := v.(type) {
				case string:
					c.words = append(c.words, v)
				case []any:
					for _, e := range v {
						c.words = append(c.words, fmt.Sprint(e))
					}
				}
			}
		}
	}
}

// forms are the spellings in which a secret must not appear.
func forms(s credential.Secret) []string {
	v := s.Reveal()
	return []string{v, url.QueryEscape(v), base64.StdEncoding.EncodeToString([]byte(v)), hex.EncodeToString([]byte(v))}
}

// Random answers to every probe and revocation of the rules files: no panic, no
// Dead without its three things, and no secret in what comes back.
// QUELL_ANSWERS sets how many there are.
func TestRandomAnswersToEveryRule(t *testing.T) {
	total := 4000
	if n, err := strconv.Atoi(os.Getenv("QUELL_ANSWERS")); err == nil {
		total = n
	}
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var asked []*rules.Rule
	for _, r := range set.Rules {
		if r.Provider != nil && (r.Probe != nil && r.Probe.Native != "postgres-login" || len(r.Revokes) > 0) {
			asked = append(asked, r)
		}
	}
	if len(asked) < 20 {
		t.Fatalf("only %d rules have a probe or a revocation", len(asked))
	}
	r := rand.New(rand.NewPCG(3, 23))
	random := rand.NewChaCha8([32]byte{3})
	count, verdicts, receipts := 0, map[revokers.Liveness]int{}, 0
	for count < total {
		rule := asked[count%len(asked)]
		x := randomTarget(r, rule, random)
		c := &chaos{t: t, r: r, target: x}
		if rule.Probe != nil {
			c.arms(rule.Probe)
		}
		reg := natives.New(natives.Config{Doer: c, Key: []byte("key")})
		count++
		if rule.Probe != nil && rule.Probe.Native != "postgres-login" {
			for _, endpoint := range reg.Endpoints(x) {
				e, err := (&guard.Asker{}).Ask(t.Context(), reg, x, endpoint)
				// The answers about never-issued ones are about other secrets.
				noSecret(t, x, e.Answer, err, endpoint)
				if err != nil {
					continue
				}
				v := revokers.Judge(x, e)
				verdicts[v.Liveness]++
				noSecret(t, x, v)
				if v.Liveness == revokers.Dead && !proven(x, e) {
					t.Errorf("rule %s is dead without proof: %+v", rule.ID, e.Answer)
				}
				if v.Liveness == revokers.Live && (e.Never[0].Class == revokers.Accepts || e.Never[1].Class == revokers.Accepts) {
					t.Errorf("rule %s is live and accepts anything", rule.ID)
				}
				x.Captures = e.Answer.Captures
			}
		}
		for i := range rule.Revokes {
			rv, err := reg.Revoker(&rule.Revokes[i])
			if err != nil {
				t.Errorf("rule %s: %v", rule.ID, err)
				continue
			}
			effects, err := rv.Plan(t.Context(), []revokers.Target{x})
			noSecret(t, x, effects, err)
			for _, e := range effects {
				receipt, err := rv.Send(t.Context(), []revokers.Target{x}, e, func(final revokers.Effect) error { noSecret(t, x, final); return nil })
				noSecret(t, x, receipt, err)
				receipts++
			}
		}
		if t.Failed() {
			t.Fatalf("after %d answers", count)
		}
	}
	t.Logf("%d rounds over %d rules: verdicts %v, %d receipts", count, len(asked), verdicts, receipts)
	if verdicts[revokers.Dead] == 0 || verdicts[revokers.Live] == 0 || receipts == 0 {
		t.Errorf("the answers are not spread: %v, %d receipts", verdicts, receipts)
	}
}

// randomTarget is a credential of a rule, or bytes that no issuer would issue,
// at one of its hosts or at a server that the operator named.
func randomTarget(r *rand.Rand, rule *rules.Rule, random *rand.ChaCha8) revokers.Target {
	host, operator := "issuer.example", true
	if len(rule.Provider.Asked) > 0 && r.IntN(2) == 0 {
		host, operator = pick(r, rule.Provider.Asked...), false
	}
	in := &issuer.Instance{
		Provider: rule.Provider.ID, URL: &url.URL{Scheme: "https", Host: host}, Operator: operator, Public: !operator, Sole: r.IntN(2) == 0,
		Admin: credential.NewSecretString("admin:operators-Secret-99"), ClientID: "client-1", ClientSecret: credential.NewSecretString("clients-Secret-88"),
		Settings: map[string]string{"probe_path": "/me", "logout_path": "/logout", "login_path": "/login", "live_marker": "id", "user": "app", "namespace": "team"},
	}
	if operator && r.IntN(3) == 0 {
		in.URL.Path = "/base"
	}
	if r.IntN(3) == 0 {
		in.Settings["dead_marker"] = "invalid"
	}
	text, err := rules.Generate("{base62:24}", random)
	if err != nil {
		panic(err)
	}
	secret := credential.NewSecretString(text)
	if s, err := rule.NeverIssued(secret, random); err == nil && r.IntN(4) > 0 {
		secret = s
	} else if r.IntN(3) == 0 {
		secret = credential.NewSecretString(pick(r, `x"],"all":["`, "../../", "a&admin=1&", "{token}", "%2e%2e/", "pä\u2028") + text)
	}
	x := revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Fingerprint: "f", Rule: rule.ID, Kind: rule.Kind, Cookie: "sid"}, Secret: secret}, Rule: rule, Instance: in, Named: rule.Cookie != nil && r.IntN(2) == 0}
	for name := range rule.Parts {
		if x.Parts == nil {
			x.Parts = map[string]credential.Secret{}
		}
		s, _ := rules.Generate("{base62:20}", random)
		x.Parts[name] = credential.NewSecretString(s)
	}
	return x
}

// proven restates what a death needs where nothing was seen before, no control
// is configured and nothing was sent: a documented word of one meaning, from
// the right issuer, at a status that refuses.
func proven(t revokers.Target, e revokers.Evidence) bool {
	a := e.Answer
	switch {
	case a.Class != revokers.Refuses || a.Status == 408 || a.Status == 429 || a.Status >= 500:
		return false
	case a.Documented == "" || a.Also != "":
		return false
	case strings.Contains(a.Challenge, "negotiate") || strings.Contains(a.Challenge, "basic") && !a.SentBasic:
		return false
	}
	return t.Named || t.Instance.Sole || t.Rule.OneIssuer()
}

// noSecret fails if a value prints a secret of the target's.
func noSecret(t *testing.T, x revokers.Target, values ...any) {
	t.Helper()
	secrets := []credential.Secret{x.Secret, x.Instance.ClientSecret, credential.NewSecretString("operators-Secret-99")}
	for name, p := range x.Parts {
		if !x.Rule.Parts[name].Public {
			secrets = append(secrets, p)
		}
	}
	for _, v := range values {
		text := fmt.Sprintf("%+v", v)
		if err, ok := v.(error); ok && err != nil {
			text = err.Error()
		} else if b, err := json.Marshal(v); err == nil {
			text += string(b)
		}
		if a, ok := v.(revokers.Answer); ok {
			text += fmt.Sprint(a.Captures)
		}
		for _, s := range secrets {
			for _, f := range forms(s) {
				if strings.Contains(text, f) {
					t.Errorf("rule %s: a %T contains a secret: %s", x.Rule.ID, v, strings.ReplaceAll(text, f, "<HERE>"))
					return
				}
			}
		}
	}
}
