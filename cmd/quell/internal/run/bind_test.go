package run

import (
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

func finding(rule string, kind rules.Kind, cookie, value string, offset int64) rules.Finding {
	return rules.Finding{Ref: rules.Ref{Rule: rule, Kind: kind, Cookie: cookie, Offline: rules.Offline{State: rules.OfflineUnknown}}, Secret: rules.NewSecret([]byte(value)),
		Location: rules.Location{Path: "a.json", Offset: offset, EndOffset: offset + int64(len(value))}}
}

func bind(t *testing.T, findings ...rules.Finding) map[string]rules.Credential {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	key := rules.FingerprintKey{7}
	out := map[string]rules.Credential{}
	all, err := Credentials(findings, key, set)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		out[c.Secret.Reveal()] = c
	}
	return out
}

func TestExpiredWithARefreshTokenIsNotDead(t *testing.T) {
	past := time.Now().Add(-time.Hour)
	access := finding("jwt", rules.KindJWT, "", "access", 10)
	access.Offline = rules.Offline{State: rules.OfflineExpired, Expires: &past}
	access.Confidence = rules.High
	refresh := finding("oauth-refresh-token", rules.KindRefresh, "", "refresh", 900)
	other := finding("jwt", rules.KindJWT, "", "far away", 900+together+100)
	other.Offline = access.Offline
	other.Confidence = rules.High
	got := bind(t, access, refresh, other)
	a, r, o := got["access"], got["refresh"], got["far away"]
	if a.Group != r.Fingerprint || r.Group != r.Fingerprint || !a.Renewable || r.Renewable || a.Role != "access token" {
		t.Errorf("%+v\n%+v", a, r)
	}
	if o.Group != "" || o.Renewable {
		t.Errorf("%+v", o)
	}
	if !FailOn("suspect").Counts(a, nil) || FailOn("suspect").Counts(o, nil) {
		t.Error("what can be renewed is not over, and what can't be is")
	}
}

func TestWhatIsNoGroup(t *testing.T) {
	past := time.Now().Add(-time.Hour)
	got := bind(t, finding("jwt", rules.KindJWT, "", "alone", 0), finding("oauth-refresh-token", rules.KindRefresh, "", "too far", together+100))
	if got["alone"].Group != "" || got["too far"].Group != "" {
		t.Errorf("%v", got)
	}
	refresh := finding("oauth-refresh-token", rules.KindRefresh, "", "over", 100)
	refresh.Offline = rules.Offline{State: rules.OfflineExpired, Expires: &past}
	if got := bind(t, finding("jwt", rules.KindJWT, "", "access", 0), refresh); got["access"].Renewable {
		t.Error("what has expired renews nothing")
	}
	if got := bind(t, finding("nextauth-session", rules.KindSessionCookie, "authjs.session-token.2", "c", 0), finding("nextauth-session", rules.KindSessionCookie, "authjs.session-token.3", "d", 50)); len(got) != 2 {
		t.Errorf("the first piece is missing: %v", got)
	}
}

func TestTheNextAnswerIsAnotherSession(t *testing.T) {
	got := bind(t, finding("jwt", rules.KindJWT, "", "a1", 0), finding("oauth-refresh-token", rules.KindRefresh, "", "r1", 100),
		finding("jwt", rules.KindJWT, "", "a2", 1000), finding("oauth-refresh-token", rules.KindRefresh, "", "r2", 1100))
	if got["a1"].Group != got["r1"].Fingerprint || got["a2"].Group != got["r2"].Fingerprint || got["r1"].Group == got["r2"].Group {
		t.Errorf("%v", got)
	}
}

func TestPairsFindEachOther(t *testing.T) {
	got := bind(t, finding("slack-session-cookie", rules.KindSessionCookie, "d", "xoxd", 0), finding("slack-client-token", rules.KindSessionCookie, "", "xoxc", 300),
		finding("aws-access-token", rules.KindAPIKey, "", "AKIA", 500), finding("aws-secret-key", rules.KindAPIKey, "", "secret", 600), finding("aws-session-token", rules.KindBearer, "", "IQoJ", 700))
	if got["xoxd"].Group != got["xoxc"].Fingerprint || len(got) != 3 || len(got["secret"].Findings) != 3 {
		t.Errorf("%v", got)
	}
}

func TestPiecesOfACookieAreOne(t *testing.T) {
	got := bind(t, finding("nextauth-session", rules.KindSessionCookie, "__Secure-next-auth.session-token.1", "second", 5000),
		finding("nextauth-session", rules.KindSessionCookie, "__Secure-next-auth.session-token.0", "first-", 10),
		finding("aspnetcore-session", rules.KindSessionCookie, ".AspNetCore.CookiesC1", "one-", 9000), finding("aspnetcore-session", rules.KindSessionCookie, ".AspNetCore.CookiesC2", "two", 9500),
		finding("aws-alb-session", rules.KindSessionCookie, "AWSELBAuthSessionCookie-0", "alone", 12000),
		finding("nextauth-session", rules.KindSessionCookie, "authjs.session-token.2", "late", 13000), finding("nextauth-session", rules.KindSessionCookie, "authjs.session-token.0", "early", 13500))
	if len(got) != 5 {
		t.Errorf("%d credentials", len(got))
	}
	c := got["first-second"]
	if c.Cookie != "__Secure-next-auth.session-token" || len(c.Findings) != 2 {
		t.Errorf("%+v", c)
	}
	if got["one-two"].Cookie != ".AspNetCore.Cookies" || got["alone"].Cookie != "AWSELBAuthSessionCookie-0" || got["late"].Cookie == "" {
		t.Errorf("%v", got)
	}
}

func TestASignedCookieAndItsSignatureAreOne(t *testing.T) {
	far := finding("cookie-signature", rules.KindSessionCookie, "koa.sess.sig", "far", 90000)
	got := bind(t, finding("koa-session", rules.KindSessionCookie, "koa.sess", "value", 10), finding("cookie-signature", rules.KindSessionCookie, "koa.sess.sig", "sig", 90), far,
		finding("cookie-signature", rules.KindSessionCookie, "session.sig", "another", 95))
	v, s := got["value"], got["sig"]
	if v.Group != v.Fingerprint || s.Group != v.Fingerprint || v.Role != "signed cookie" || s.Role != "signature" {
		t.Errorf("%+v\n%+v", v, s)
	}
	if got["far"].Group != "" || got["another"].Group != "" {
		t.Errorf("%+v", got)
	}
}
