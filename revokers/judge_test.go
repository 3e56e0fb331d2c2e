package revokers_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// situation is what happened to a credential until the last answer about it.
type situation struct {
	lot
	// seen: it was Live at the endpoint before, while never-issued credentials got
	// the reply wasNever (nil: the same as never).
	seen     bool
	wasNever reply
	// sent: a revocation was sent, and accepted or not. before is the last
	// answer before it.
	sent, accepted bool
	before         reply

	now, never, control reply

	want   revokers.Liveness
	reason revokers.Reason
}

// judge plays the situation. A new asker is a later run, which shares nothing
// with the first but the sighting.
func (s situation) judge(t *testing.T, later bool) revokers.Verdict {
	t.Helper()
	target := s.target(t)
	if s.never == nil {
		s.never = s.now
	}
	asker := &guard.Asker{}
	if s.seen {
		was := s.wasNever
		if was == nil {
			was = s.never
		}
		e, err := asker.Ask(t.Context(), script{accepts, accepts, was}, target, endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if v := revokers.Judge(target, e); v.Liveness != revokers.Live {
			t.Fatalf("it was to be live first: %s (%s)", v.Liveness, v.Reason)
		}
		target.Seen = &revokers.Sighting{Endpoint: endpoint, At: e.Answer.At, Learned: e.Learned}
	}
	if later {
		asker = &guard.Asker{}
	}
	e, err := asker.Ask(t.Context(), script{s.now, s.control, s.never}, target, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if s.sent {
		e.Sent = &revokers.Acknowledgement{Accepted: s.accepted, Status: 204}
	}
	if s.before != nil {
		b := s.before(leakedText)
		b.Endpoint = endpoint
		e.Before = &b
	}
	return revokers.Judge(target, e)
}

func TestEachSituationHasOneVerdict(t *testing.T) {
	no := refuses(401, "no")
	oneIssuer, shared := lot{}, lot{selfHosted: true}
	session := lot{cookie: true, operator: true, named: true}
	with := func(l lot) lot { l.control = true; return l }
	sole := func(l lot) lot { l.sole = true; return l }
	at := func(l lot, host string) lot { l.hosts = []string{host}; return l }
	unnamed := func(l lot) lot { l.named = false; return l }
	login := redirects("issuer.example/login")
	wrongAddress := documented(200, "invalid_auth", revokers.AlsoAsker)
	inactive := documented(200, "inactive", revokers.AlsoCredential)
	const dead, live, unknown = revokers.Dead, revokers.Live, revokers.Unknown

	for name, s := range map[string]situation{
		"a documented refusal after an accepted revocation, with a live control, is dead": {
			lot: with(shared), seen: true, sent: true, accepted: true, before: accepts, now: documented(401, "bad", ""), control: accepts, want: dead, reason: revokers.Revoked},
		"a throttled answer after the revocation decides nothing": {
			lot: with(shared), seen: true, sent: true, accepted: true, before: accepts, now: throttles, never: no, control: accepts, want: unknown, reason: revokers.Throttled},
		"silence after the revocation decides nothing": {
			lot: shared, seen: true, sent: true, accepted: true, before: accepts, now: isSilent, never: no, want: unknown, reason: revokers.Unreachable},
		"a word for a wrong address decides nothing without a control and an accepted revocation": {
			lot: oneIssuer, seen: true, sent: true, before: accepts, now: wrongAddress, want: unknown, reason: revokers.Refused},
		"a word for a wrong address decides nothing if the control gets it too": {
			lot: with(oneIssuer), seen: true, sent: true, accepted: true, before: accepts, now: wrongAddress, control: wrongAddress, want: unknown, reason: revokers.ControlFailed},
		"a word for a wrong address is dead if the control is live from the same address": {
			lot: with(oneIssuer), now: wrongAddress, control: accepts, want: dead, reason: revokers.Revoked},
		"a word for a wrong address is dead after an accepted revocation of what was live": {
			lot: oneIssuer, seen: true, sent: true, accepted: true, before: accepts, now: wrongAddress, want: dead, reason: revokers.Revoked},
		"a documented word of one meaning is dead with a live control": {
			lot: with(oneIssuer), now: documented(200, "token_revoked", ""), control: accepts, want: dead, reason: revokers.Revoked},
		"a token that the text places at another host is not dead at the public one": {
			lot: at(shared, "gitlab.corp.example"), now: no, want: unknown, reason: revokers.OtherIssuer},
		"a token of a shared form is not dead at the public host, whatever the control": {
			lot: with(shared), now: no, control: accepts, want: unknown, reason: revokers.Refused},
		"a token of a shared form is dead at the public host if there is no other server": {
			lot: sole(with(shared)), now: no, control: accepts, want: dead, reason: revokers.Revoked},
		"the statement about other servers does not outweigh a host in the text": {
			lot: at(sole(with(shared)), "gitlab.corp.example"), now: no, control: accepts, want: unknown, reason: revokers.OtherIssuer},
		"a documented refusal at the only server needs no control": {
			lot: sole(shared), now: documented(401, "bad", ""), want: dead, reason: revokers.Revoked},
		"a documented refusal of a shared form says nothing without that statement": {
			lot: shared, now: documented(401, "bad", ""), want: unknown, reason: revokers.Refused},
		"a cookie that two applications share is not dead by the answer of one": {
			lot: with(unnamed(session)), now: no, control: accepts, want: unknown, reason: revokers.Refused},
		"a redirect to the sign-in page may mean a missing right": {
			lot: with(session), now: login, control: accepts, want: unknown, reason: revokers.Refused},
		"a redirect to the sign-in page is dead after a kill, with a live control": {
			lot: with(session), seen: true, sent: true, accepted: true, before: accepts, now: login, control: accepts, want: dead, reason: revokers.Revoked},
		"a session that its user ended after it was seen is dead with a live control": {
			lot: with(session), seen: true, now: login, control: accepts, want: dead, reason: revokers.Revoked},
		"a marker of the operator's is a documented refusal": {
			lot: with(session), now: documented(302, "dead_marker", ""), never: login, control: accepts, want: dead, reason: revokers.Revoked},
		"a marker counts where dead and never-issued ones get different words": {
			lot: with(session), now: documented(401, "revoked", ""), never: refuses(401, "signature"), control: accepts, want: dead, reason: revokers.Revoked},
		"words that never-issued ones do not get are not learned": {
			lot: with(session), seen: true, sent: true, accepted: true, before: accepts, now: refuses(401, "revoked"), never: refuses(401, "signature"), control: accepts, want: unknown, reason: revokers.Refused},
		"the learned refusal is dead after an accepted logout without any control": {
			lot: session, seen: true, sent: true, accepted: true, before: accepts, now: no, want: dead, reason: revokers.Revoked},
		"the learned refusal decides nothing if the control is refused": {
			lot: with(session), seen: true, sent: true, accepted: true, before: accepts, now: no, control: no, want: unknown, reason: revokers.ControlFailed},
		"the learned refusal decides nothing if the control is not answered": {
			lot: with(session), seen: true, sent: true, accepted: true, before: accepts, now: no, control: isSilent, want: unknown, reason: revokers.ControlFailed},
		"the learned refusal decides nothing if it was the answer before the logout": {
			lot: session, seen: true, sent: true, accepted: true, before: no, now: no, want: unknown, reason: revokers.Refused},
		"the learned refusal decides nothing if nothing was asked before the logout": {
			lot: session, seen: true, sent: true, accepted: true, now: no, want: unknown, reason: revokers.Refused},
		"the learned refusal decides nothing if the logout was not accepted": {
			lot: session, seen: true, sent: true, before: accepts, now: no, want: unknown, reason: revokers.Refused},
		"a gateway's answer to everybody decides nothing": {
			lot: session, now: refuses(403, "sign in to the gateway"), want: unknown, reason: revokers.Refused},
		"a Basic challenge to everybody decides nothing": {
			lot: session, now: challenges("basic", false), want: unknown, reason: revokers.Refused},
		"a Basic challenge to everybody and the control decides nothing": {
			lot: with(session), now: challenges("basic", false), control: challenges("basic", false), want: unknown, reason: revokers.ControlFailed},
		"a Basic challenge decides nothing for a session that was never seen, whatever the control": {
			lot: with(session), now: challenges("basic", false), control: accepts, want: unknown, reason: revokers.Refused},
		"a Basic challenge that was learned is dead for a killed Basic key": {
			lot: with(shared), seen: true, sent: true, accepted: true, before: accepts, now: challenges("basic", true), control: accepts, want: dead, reason: revokers.Revoked},
		"a Basic challenge that was learned while it was live is dead with a live control": {
			lot: with(session), seen: true, now: challenges("basic", false), control: accepts, want: dead, reason: revokers.Revoked},
		"a Basic challenge that appeared after it was seen decides nothing, whatever the control": {
			lot: with(session), seen: true, wasNever: no, sent: true, accepted: true, before: accepts, now: challenges("basic", false), control: accepts, want: unknown, reason: revokers.Refused},
		"a gateway that appeared after the kill decides nothing": {
			lot: session, seen: true, wasNever: no, sent: true, accepted: true, before: accepts, now: refuses(401, "sign in to the gateway"), want: unknown, reason: revokers.Refused},
		"a Negotiate challenge never counts": {
			lot: with(session), seen: true, sent: true, accepted: true, before: accepts, now: challenges("basic,negotiate", true), control: accepts, want: unknown, reason: revokers.Refused},
		"an application's own refusal decides nothing for a session that was never seen": {
			lot: session, now: no, want: unknown, reason: revokers.Refused},
		"an application's own refusal is dead for a named cookie with a live control": {
			lot: with(session), now: no, control: accepts, want: dead, reason: revokers.Revoked},
		"a 403 is not the 401 that was learned": {
			lot: with(session), seen: true, sent: true, accepted: true, before: accepts, now: refuses(403, "no"), never: no, control: accepts, want: unknown, reason: revokers.Refused},
		"a redirect is not the 401 that was learned": {
			lot: session, seen: true, sent: true, accepted: true, before: accepts, now: login, never: no, want: unknown, reason: revokers.Refused},
		"a redirect to another page is not the one that was learned": {
			lot: with(session), seen: true, now: redirects("issuer.example/consent"), never: login, control: accepts, want: unknown, reason: revokers.Refused},
		"a 403 for what was never live may mean a missing right": {
			lot: with(session), now: refuses(403, "no"), control: accepts, want: unknown, reason: revokers.Refused},
		"a response without a meaning decides nothing": {
			lot: with(session), seen: true, sent: true, accepted: true, before: accepts, now: other, never: no, control: accepts, want: unknown, reason: revokers.Unexpected},
		"it is live if only the never-issued one is throttled": {
			lot: shared, now: accepts, never: throttles, want: live, reason: revokers.Authenticated},
		"nothing is decided where everybody is accepted": {
			lot: shared, now: accepts, never: accepts, want: unknown, reason: revokers.AcceptsAll},
		"a replica that still accepts it makes it live": {
			lot: with(shared), seen: true, sent: true, accepted: true, before: accepts, now: accepts, never: no, control: accepts, want: live, reason: revokers.Authenticated},
		"inactive for what was never live there may be another client's token": {
			lot: with(oneIssuer), now: inactive, control: accepts, want: unknown, reason: revokers.Refused},
		"inactive after an accepted revocation of what was active is dead": {
			lot: oneIssuer, seen: true, wasNever: inactive, sent: true, accepted: true, before: accepts, now: inactive, want: dead, reason: revokers.Revoked},
	} {
		t.Run(name, func(t *testing.T) {
			for _, later := range []bool{false, true} {
				v := s.judge(t, later)
				if v.Liveness != s.want || v.Reason != s.reason {
					t.Errorf("later run %v: %s (%s): %s", later, v.Liveness, v.Reason, v.Detail)
				}
				if v.Unanswered() && v.Remedy == "" {
					t.Errorf("later run %v: no remedy for %s", later, v.Reason)
				}
				if wants := s.want == revokers.Live && s.never(leakedText).Class == revokers.Refuses; v.Liveness == revokers.Live && v.NegativeControl != wants {
					t.Errorf("later run %v: the negative control is %v", later, v.NegativeControl)
				}
			}
		})
	}
}

// Userinfo answered Live: introspection can't make it Dead, since it also calls the
// tokens of other clients inactive.
func TestNoEndpointOverridesALiveAnswer(t *testing.T) {
	for name, now := range map[string]reply{
		"a word with other causes": documented(200, "inactive", revokers.AlsoCredential),
		"a word of one meaning":    documented(401, "revoked", ""),
		"a refusal without source": refuses(401, "no"),
	} {
		target := lot{control: true}.target(t)
		target.Seen = &revokers.Sighting{Endpoint: "userinfo", At: time.Now()}
		e, err := (&guard.Asker{}).Ask(t.Context(), script{now, accepts, now}, target, "introspection")
		if err != nil {
			t.Fatal(err)
		}
		before := accepts(leakedText)
		before.Endpoint = "userinfo"
		e.Sent, e.Before = &revokers.Acknowledgement{Accepted: true}, &before
		if v := revokers.Judge(target, e); v.Liveness != revokers.Unknown || v.Remedy == "" {
			t.Errorf("%s: %s (%s)", name, v.Liveness, v.Reason)
		}
	}
}

// A cookie's Expires is a claim of the text; a token's own exp is not, after the
// leeway of clocks.
func TestOnlyTheCredentialsOwnContentDecidesOffline(t *testing.T) {
	now := time.Now()
	past, justNow := now.Add(-time.Hour), now.Add(-time.Minute)
	set := setOf(t)
	for name, c := range map[string]struct {
		claim, own *time.Time
		dead       bool
	}{
		"a carrier's expiry is a claim":                {&past, nil, false},
		"its own expiry counts":                        {nil, &past, true},
		"its own expiry within the leeway of clocks":   {nil, &justNow, false},
		"its own expiry counts, whatever a claim says": {&now, &past, true},
	} {
		cred := lot{}.target(t).Credential
		cred.Claims.Expires = c.claim
		if c.own != nil {
			cred.Offline = credential.Offline{State: credential.OfflineExpired, Expires: c.own}
		}
		v, done := revokers.WithoutAsking(set, cred, false, now)
		if done != c.dead || done && v.Liveness != revokers.Dead {
			t.Errorf("%s: %s (%s), decided %v", name, v.Liveness, v.Reason, done)
		}
	}
}

// A name in the text holds a verdict back: another user or database than the one
// that is asked, or a tenant of the issuer that issues its own tokens. One name is
// enough, and the credential's own sighting has precedence.
func TestWhatTheTextNamesHoldsDeadBack(t *testing.T) {
	database := func(claims credential.Claims) revokers.Target {
		x := lot{sole: true, operator: true, control: true}.target(t)
		u, err := url.Parse("postgres://db.example/shop")
		if err != nil {
			t.Fatal(err)
		}
		x.Instance.URL, x.Instance.Settings["user"], x.Claims = u, "app", claims
		return x
	}
	for name, c := range map[string]struct {
		claims credential.Claims
		want   revokers.Liveness
	}{
		"nothing":                       {credential.Claims{}, revokers.Dead},
		"the same":                      {credential.Claims{Hosts: []string{"db.example:5432"}, User: "app", Database: "shop"}, revokers.Dead},
		"another user":                  {credential.Claims{User: "root"}, revokers.Unknown},
		"the same user and another":     {credential.Claims{User: "app", Users: []string{"root"}}, revokers.Unknown},
		"another database":              {credential.Claims{User: "app", Database: "crm"}, revokers.Unknown},
		"the same database and another": {credential.Claims{Database: "shop", Databases: []string{"crm"}}, revokers.Unknown},
		"another port":                  {credential.Claims{Hosts: []string{"db.example:5433"}, User: "app"}, revokers.Unknown},
		"one of two hosts":              {credential.Claims{Hosts: []string{"db.example:5432", "db2.example:5432"}, User: "app"}, revokers.Unknown},
		"a server of the product near":  {credential.Claims{Near: []string{"postgres.corp.example"}}, revokers.Unknown},
	} {
		x := database(c.claims)
		e := revokers.Evidence{Answer: documented(401, "28P01", "")(leakedText), Control: &revokers.Answer{Class: revokers.Accepts}}
		v := revokers.Judge(x, e)
		if v.Liveness != c.want || v.Liveness == revokers.Unknown && (v.Reason != revokers.OtherIssuer || v.Remedy == "") {
			t.Errorf("%s: %s %s (%s), remedy %q", name, v.Liveness, v.Reason, v.Detail, v.Remedy)
		}
		x.Seen = &revokers.Sighting{Endpoint: ""}
		if v := revokers.Judge(x, e); v.Liveness != revokers.Dead {
			t.Errorf("%s, seen live there: %s %s", name, v.Liveness, v.Reason)
		}
	}
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	r := set.Rule("github-pat")
	for _, host := range []string{"acme.ghe.com", "api.acme.ghe.com", "ghe.com", "github.corp.example", "github.com.evil.example", "GITHUB.COM", "api.github.com:443", "raw.githubusercontent.com"} {
		x := revokers.Target{Rule: r, Instance: &issuer.Instance{Provider: "github", URL: &url.URL{Scheme: "https", Host: "api.github.com"}, Public: true, HasPublic: true, Sole: true, Settings: map[string]string{}}}
		x.Credential = credential.Credential{Ref: credential.Ref{Rule: r.ID, Claims: credential.Claims{Hosts: []string{host}}}, Secret: credential.NewSecretString(leakedText)}
		v := revokers.Judge(x, revokers.Evidence{Answer: documented(401, "bad", "")(leakedText)})
		own := strings.EqualFold(host, "github.com") || strings.HasPrefix(host, "api.github.com") || host == "raw.githubusercontent.com"
		if (v.Liveness == revokers.Dead) != own {
			t.Errorf("%s: %s %s", host, v.Liveness, v.Reason)
		}
	}
}

// A cookie that is sent with its signature is refused without it, and with the
// signature of another cookie: then a refusal in the words that never-issued ones
// get proves nothing, unless the pair was Live.
func TestARefusedPairIsNoDeath(t *testing.T) {
	set := &rules.Set{Providers: map[string]*rules.Provider{}}
	p := &rules.Provider{ID: "webapp"}
	family := &rules.Rule{ID: "webapp-session", Provider: p, Cookie: &rules.CookieFamily{Names: []string{"session"}}, Probe: &rules.Probe{HTML: true}, Kind: rules.KindSessionCookie}
	set.Rules = []*rules.Rule{family}
	if err := set.NameCookie("webapp", "sess"); err != nil {
		t.Fatal(err)
	}
	rule := set.Rule("webapp-session-named")
	u, _ := url.Parse("https://app.example")
	secret := credential.NewSecretString
	sig := map[string]credential.Secret{rules.SignaturePart: secret("q8Zk2mXw71Lp0vB3nT5rU4yCq8Z")}
	signed := []issuer.Control{{Secret: secret("control-value"), Parts: sig}}
	for name, c := range map[string]struct {
		value    string
		parts    map[string]credential.Secret
		controls []issuer.Control
		seen     bool
		want     revokers.Liveness
	}{
		"a control with a signature, none found":  {"opaque-value", nil, signed, false, revokers.Unknown},
		"a signature was found":                   {"opaque-value", sig, signed, false, revokers.Unknown},
		"a session that holds no signature":       {"eyJ1c2VyIjoiYWxpY2UifQ==", nil, []issuer.Control{{Secret: secret("control-value")}}, false, revokers.Unknown},
		"the pair was live":                       {"opaque-value", sig, signed, true, revokers.Dead},
		"a cookie that is sent alone, as control": {"opaque-value", nil, []issuer.Control{{Secret: secret("control-value")}}, false, revokers.Dead},
	} {
		target := revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Rule: rule.ID, Cookie: "sess", Kind: rules.KindSessionCookie}, Secret: secret(c.value), Parts: c.parts}, Rule: rule, Named: true,
			Instance: &issuer.Instance{Provider: "webapp", URL: u, Operator: true, Cookie: "sess", Controls: c.controls}}
		if c.seen {
			target.Seen = &revokers.Sighting{Endpoint: endpoint, Learned: "shape"}
		}
		no := revokers.Answer{Class: revokers.Refuses, Endpoint: endpoint, Status: 401, Shape: "shape"}
		v := revokers.Judge(target, revokers.Evidence{Answer: no, Never: [2]revokers.Answer{no, no}, Control: &revokers.Answer{Class: revokers.Accepts, Endpoint: endpoint}, Learned: "shape"})
		if v.Liveness != c.want || c.want == revokers.Unknown && v.Remedy == "" {
			t.Errorf("%s: %s (%s) %s", name, v.Liveness, v.Reason, v.Detail)
		}
	}
}

// A live token that is bound to a key and presented as a bearer token gets the
// words of a bad one (RFC 9449, 7.1). So an answer that offers DPoP proves a death
// only of what was accepted as a bearer token here, or by the operator's marker.
func TestAChallengeForProofOfPossession(t *testing.T) {
	u, _ := url.Parse("https://api.example")
	live := &revokers.Answer{Class: revokers.Accepts, Endpoint: endpoint}
	accepted := &revokers.Acknowledgement{Accepted: true}
	seen := &revokers.Sighting{Endpoint: endpoint, Learned: "shape"}
	for name, c := range map[string]struct {
		challenge, documented string
		seen                  *revokers.Sighting
		control, before       *revokers.Answer
		sent                  *revokers.Acknowledgement
		shape                 string
		want                  revokers.Liveness
	}{
		"never live, live control":                           {"dpop", "", nil, live, nil, nil, "shape", revokers.Unknown},
		"never live, next to bearer":                         {"bearer,dpop", "", nil, live, nil, nil, "shape", revokers.Unknown},
		"never live, documented of bearer tokens":            {"dpop", "https://api.example/docs", nil, live, nil, nil, "shape", revokers.Unknown},
		"never live, documented next to bearer":              {"bearer,dpop", "https://api.example/docs", nil, live, nil, nil, "shape", revokers.Dead},
		"never live, the marker":                             {"dpop", revokers.MarkerSource, nil, live, nil, nil, "other", revokers.Dead},
		"never live, the marker without a control":           {"dpop", revokers.MarkerSource, nil, nil, nil, nil, "other", revokers.Dead},
		"the marker, a control that is refused":              {"dpop", revokers.MarkerSource, seen, &revokers.Answer{Class: revokers.Refuses, Endpoint: endpoint}, nil, nil, "shape", revokers.Unknown},
		"seen live, learned, live control":                   {"dpop", "", seen, live, nil, nil, "shape", revokers.Dead},
		"seen live, learned, accepted":                       {"dpop", "", seen, nil, live, accepted, "shape", revokers.Dead},
		"seen live, learned, neither":                        {"dpop", "", seen, nil, nil, nil, "shape", revokers.Unknown},
		"seen live, another refusal than the learned one":    {"dpop", "", seen, live, nil, nil, "other", revokers.Unknown},
		"seen live, documented, bearer tokens taken no more": {"dpop", "https://api.example/docs", seen, nil, live, accepted, "other", revokers.Unknown},
		"seen live, documented, nothing sent":                {"dpop", "https://api.example/docs", seen, nil, nil, nil, "shape", revokers.Unknown},
		"seen live next to bearer, learned, live control":    {"bearer,dpop", "", seen, live, nil, nil, "shape", revokers.Dead},
	} {
		rule := &rules.Rule{ID: "x", Provider: &rules.Provider{ID: "x"}, Probe: &rules.Probe{}, Kind: rules.KindBearer}
		target := revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Rule: "x", Kind: rules.KindBearer}, Secret: credential.NewSecretString("value-of-a-token")}, Rule: rule, Named: true, Seen: c.seen,
			Instance: &issuer.Instance{Provider: "x", URL: u, Operator: true}}
		a := revokers.Answer{Class: revokers.Refuses, Endpoint: endpoint, Status: 401, Shape: c.shape, Challenge: c.challenge, Documented: c.documented}
		v := revokers.Judge(target, revokers.Evidence{Answer: a, Never: [2]revokers.Answer{a, a}, Control: c.control, Learned: "shape", Sent: c.sent, Before: c.before})
		if v.Liveness != c.want || c.want == revokers.Unknown && v.Remedy == "" {
			t.Errorf("%s: %s (%s) %s, remedy %q", name, v.Liveness, v.Reason, v.Detail, v.Remedy)
		}
	}
}

// The parts of a credential are put together by their places in a text: the words that
// never-issued ones get prove nothing of it unless it was Live with these parts. A word that the
// issuer documents has a known meaning.
func TestARefusalOfPartsPutTogetherIsNoDeath(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	r := set.Rule("github-pat")
	u, _ := url.Parse("https://api.github.com")
	for name, c := range map[string]struct {
		parts      map[string]credential.Secret
		seen       bool
		documented string
		want       revokers.Liveness
	}{
		"found together":            {map[string]credential.Secret{"id": credential.NewSecretString("an-id-of-a-key")}, false, "", revokers.Unknown},
		"live before":               {map[string]credential.Secret{"id": credential.NewSecretString("an-id-of-a-key")}, true, "", revokers.Dead},
		"documented":                {map[string]credential.Secret{"id": credential.NewSecretString("an-id-of-a-key")}, false, "https://docs.example/errors", revokers.Dead},
		"one value, without a part": {nil, false, "", revokers.Dead},
	} {
		target := revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Rule: r.ID}, Secret: credential.NewSecretString(leakedText), Parts: c.parts}, Rule: r,
			Instance: &issuer.Instance{Provider: "github", URL: u, Public: true, HasPublic: true, Sole: true}}
		if c.seen {
			target.Seen = &revokers.Sighting{Endpoint: endpoint, Learned: "shape"}
		}
		no := revokers.Answer{Class: revokers.Refuses, Endpoint: endpoint, Status: 401, Shape: "shape", Documented: c.documented}
		v := revokers.Judge(target, revokers.Evidence{Answer: no, Never: [2]revokers.Answer{no, no}, Control: &revokers.Answer{Class: revokers.Accepts, Endpoint: endpoint}, Learned: "shape"})
		if v.Liveness != c.want || c.want == revokers.Unknown && v.Remedy == "" {
			t.Errorf("%s: %s (%s) %s", name, v.Liveness, v.Reason, v.Detail)
		}
	}
}

// One piece of a cookie that was sent in several is refused, and so are pieces of two sessions.
func TestARefusedPieceIsNoDeath(t *testing.T) {
	rule := &rules.Rule{ID: "x", Provider: &rules.Provider{ID: "x"}, Cookie: &rules.CookieFamily{Names: []string{"app*"}}, Probe: &rules.Probe{HTML: true}, Kind: rules.KindSessionCookie}
	u, _ := url.Parse("https://app.example")
	long := strings.Repeat("Ab3", 1000)
	for name, c := range map[string]struct {
		cookie, value, named, documented string
		apart, seen                      bool
		want                             revokers.Liveness
	}{
		"the first of several":               {cookie: "app.0", value: long, want: revokers.Unknown},
		"the second":                         {cookie: "app_1", value: "rest-of-it", want: revokers.Unknown},
		"as ASP.NET Core names them":         {cookie: "appC2", value: long, want: revokers.Unknown},
		"the marker on a piece":              {cookie: "app-1", value: long, documented: revokers.MarkerSource, want: revokers.Unknown},
		"a piece that was live alone":        {cookie: "app-1", value: long, seen: true, want: revokers.Dead},
		"the only piece of a short one":      {cookie: "app-0", value: "short-enough-for-one", want: revokers.Dead},
		"a name that the operator gives":     {cookie: "app_1", value: long, named: "app_1", want: revokers.Dead},
		"a whole one":                        {cookie: "app", value: long, want: revokers.Dead},
		"put together of what is apart":      {cookie: "app", value: long, apart: true, want: revokers.Unknown},
		"put together, and it was live":      {cookie: "app", value: long, apart: true, seen: true, want: revokers.Dead},
		"put together, and it is documented": {cookie: "app", value: long, apart: true, documented: revokers.MarkerSource, want: revokers.Dead},
	} {
		target := revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Rule: "x", Cookie: c.cookie, Apart: c.apart, Kind: rules.KindSessionCookie}, Secret: credential.NewSecretString(c.value)}, Rule: rule, Named: true,
			Instance: &issuer.Instance{Provider: "x", URL: u, Operator: true, Cookie: c.named}}
		if c.seen {
			target.Seen = &revokers.Sighting{Endpoint: endpoint, Learned: "shape"}
		}
		no := revokers.Answer{Class: revokers.Refuses, Endpoint: endpoint, Status: 401, Shape: "shape", Documented: c.documented}
		v := revokers.Judge(target, revokers.Evidence{Answer: no, Never: [2]revokers.Answer{no, no}, Control: &revokers.Answer{Class: revokers.Accepts, Endpoint: endpoint}, Learned: "shape"})
		if v.Liveness != c.want || c.want == revokers.Unknown && v.Remedy == "" {
			t.Errorf("%s: %s (%s) %s, remedy %q", name, v.Liveness, v.Reason, v.Detail, v.Remedy)
		}
	}
}

// Of very many hosts some are left out: one of them can be another server.
func TestHostsThatWereLeftOutHoldBack(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse("https://api.github.com")
	no := revokers.Answer{Class: revokers.Refuses, Endpoint: endpoint, Status: 401, Documented: "https://docs.example/errors"}
	for n, want := range map[int]revokers.Liveness{3: revokers.Dead, 32: revokers.Unknown} {
		target := revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Rule: "github-pat"}, Secret: credential.NewSecretString(leakedText)}, Rule: set.Rule("github-pat"),
			Instance: &issuer.Instance{Provider: "github", URL: u, Public: true, HasPublic: true, Sole: true}}
		for i := range n {
			// One host in ever other spellings.
			name := []byte("api.github.com")
			for bit := range 5 {
				if i>>bit&1 == 1 {
					name[4+bit] -= 'a' - 'A'
				}
			}
			target.Claims.Merge(credential.Claims{Hosts: []string{string(name)}})
		}
		if n > 16 {
			target.Claims.Merge(credential.Claims{Hosts: []string{"github.corp.example"}})
		}
		if v := revokers.Judge(target, revokers.Evidence{Answer: no, Never: [2]revokers.Answer{no, no}}); v.Liveness != want {
			t.Errorf("%d hosts: %s %s", n, v.Liveness, v.Detail)
		}
	}
}
