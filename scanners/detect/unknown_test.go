package detect

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

func matches(e *Engine, text string) (out []scanners.Match) {
	for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: []byte(text), Line: 1, Column: 1, To: len(text)}) {
		out = append(out, m)
	}
	return out
}

func TestUnknownCookiesAreWeighed(t *testing.T) {
	e := New(builtin(t))
	x := tokens{rand.New(rand.NewPCG(7, 8))}
	for text, want := range map[string]string{
		"Set-Cookie: acme_login=" + x.of(32) + "; Path=/; HttpOnly":                                                     "medium",
		"Set-Cookie: acme_login=" + x.of(32) + "; Path=/":                                                               "low",
		"Set-Cookie: acme_login=" + x.of(32) + strings.Repeat("; a=b", 200) + "; HttpOnly":                              "low", // the attribute belongs to another cookie
		"Cookie: acme_sid=" + x.of(32):                                                                                  "medium",
		"Cookie: acme_login=s%3A" + x.of(32) + "." + x.of(43):                                                           "medium", // made by express
		"Set-Cookie: acme_login=" + x.uuid() + "; HttpOnly":                                                             "medium",
		"Set-Cookie: acme_sid=" + x.uuid():                                                                              "",
		"Cookie: acme_sid=" + x.of(19):                                                                                  "",
		"Cookie: acme_color=" + x.of(32):                                                                                "",
		"#HttpOnly_a.example\tFALSE\t/\tTRUE\t0\tacme_login\t" + x.of(32):                                               "medium",
		"a.example\tFALSE\t/\tTRUE\t0\tacme_login\t" + x.of(32):                                                         "low",
		`{"name":"acme_login","value":"` + x.of(32) + `","httpOnly":true}`:                                              "medium",
		`{"name":"acme_login","value":"` + x.of(32) + `","httpOnly":false}`:                                             "low",
		`{"name":"acme_login","value":"` + x.of(32) + `","httpOnly":false,"httpOnly":true}`:                             "", // no browser writes this
		`{"name":"acme_login","httpOnly":true}`:                                                                         "",
		"* Replaced cookie acme_login=\"" + x.of(32) + "\" for domain a.example, path /, expire 0":                      "low",
		"Cookie: " + strings.Repeat("n", maxName) + "_sid=" + x.of(32) + "; acme_sid=" + x.of(32):                       "",
		"Cookie: acme_sid=" + x.of(32) + "; theme=" + x.of(32) + "; acme_auth=" + x.of(32) + "; csrf_token=" + x.of(32): "medium medium",
	} {
		var got []string
		for _, m := range matches(e, text) {
			if m.Rule.ID != "unknown-session" && m.Rule.ID != "unknown-session-object" {
				t.Errorf("%s in %q", m.Rule.ID, text)
			}
			got = append(got, m.Confidence.String())
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %q, want %q", text, s, want)
		}
	}
}

// A header longer than the limit is not reported in part.
func TestLongCookiesAreNotCut(t *testing.T) {
	e := New(builtin(t))
	x := tokens{rand.New(rand.NewPCG(13, 14))}
	for _, text := range []string{"Cookie: acme_sid=%s; a=b\n", "#HttpOnly_a.example\tFALSE\t/\tTRUE\t0\tacme_sid\t%s\n", "cy.setCookie('acme_sid', '%s')\n"} {
		for _, m := range matches(e, fmt.Sprintf(text, x.of(maxCookies+100))) {
			t.Errorf("%s: %d bytes in %.30q", m.Rule.ID, m.Secret.Len(), text)
		}
	}
}

// A header that contains its own name in its values is read once.
func TestCookiesInCookiesAreReadOnce(t *testing.T) {
	e := New(builtin(t))
	const n = 200
	b := []byte(strings.Repeat("cookie=sid=q8Zk2mXw71Lp0vB3nT5r;sid=q8Zk2mXw71Lp0vB3nT5r;", n))
	l := look{e: e, s: &scratch{}, chunk: scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, To: len(b)}, budget: maxDerived}
	l.text(&text{data: b}, 0)
	if len(l.found) > 6*n {
		t.Errorf("%d matches are weighed of %d", len(l.found), n)
	}
}

func TestEndsThatValuesState(t *testing.T) {
	e := New(builtin(t))
	x := tokens{rand.New(rand.NewPCG(9, 10))}
	end := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	raw := base64.RawURLEncoding
	msgpack := "\x82\xa7session\x81\xa6handle\xc4\x40" + strings.Repeat("h", 64) + "\xa7expires\xd6\xff" + string([]byte{byte(end.Unix() >> 24), byte(end.Unix() >> 16), byte(end.Unix() >> 8), byte(end.Unix())})
	aad := base64.StdEncoding.EncodeToString([]byte(`{"exp":"2031-02-03T04:05:06Z","iat":"2031-02-03T03:05:06Z"}`))
	for name, text := range map[string]string{
		"presigned": "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20310203T030506Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=" + x.hex(64),
		"sas":       "https://a.blob.core.windows.net/c?sv=2022-11-02&st=2030-01-01T00%3A00%3A00Z&se=2031-02-03T04%3A05%3A06Z&sr=b&sp=r&sig=" + x.of(43) + "%3D",
		"saml":      "SAMLResponse=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(`<samlp:Response ID="`+x.of(80)+`"><Conditions NotOnOrAfter="2031-02-03T04:05:06Z"/>`+x.of(120)))),
		"copilot":   fmt.Sprintf("tid=%s;exp=%d;sku=free;st=dotcom;8kp=1:%s", x.hex(32), end.Unix(), x.hex(64)),
		"auth0":     "Cookie: auth0=s%3Av1." + raw.EncodeToString([]byte(msgpack)) + "." + x.of(43),
		"iron":      "Cookie: sid=Fe26.2**" + x.hex(64) + "*" + x.of(22) + "*" + x.of(128) + "*" + fmt.Sprint(end.UnixMilli()) + "*" + x.hex(64) + "*" + x.of(43),
		"dashboard": "Cookie: jweToken=" + url.PathEscape(`{"protected":"`+x.of(120)+`","aad":"`+aad+`"}`),
	} {
		list := matches(e, text+"\n")
		if len(list) != 1 || list[0].Offline.State != rules.OfflineUnexpired || !list[0].Offline.Expires.Equal(end) {
			t.Errorf("%s: %q: %+v", name, text, list)
		}
	}
}

func TestANeighboursExpiryIsAClaim(t *testing.T) {
	x := tokens{rand.New(rand.NewPCG(13, 14))}
	list := matches(New(builtin(t)), `{"accessToken":"`+x.of(43)+`","expiresAt":"2031-02-03T04:05:06Z"}`+"\n")
	end := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	if len(list) != 1 || list[0].Offline.State != rules.OfflineUnknown || list[0].Claims.Expires == nil || !list[0].Claims.Expires.Equal(end) {
		t.Errorf("%+v", list)
	}
}

func TestTokensThatGrantNoAccess(t *testing.T) {
	e := New(builtin(t))
	x := tokens{rand.New(rand.NewPCG(11, 12))}
	jwt := func(header string, signature int) string {
		raw := base64.RawURLEncoding
		return raw.EncodeToString([]byte(header)) + "." + raw.EncodeToString([]byte(`{"iss":"https://id.example","sub":"`+x.of(12)+`"}`)) + "." + raw.EncodeToString([]byte(x.of(signature)))
	}
	if got := matches(e, "DPoP: "+jwt(`{"typ":"dpop+jwt","alg":"ES256"}`, 64)+"\n"); len(got) > 0 {
		t.Errorf("a proof is no credential: %v", got)
	}
	if got := matches(e, jwt(`{"alg":"ES256"}`, 64)+"\n"); len(got) != 1 || got[0].Confidence != rules.High {
		t.Errorf("%v", got)
	}
	if got := matches(e, jwt(`{"alg":"ES256"}`, 63)+"\n"); len(got) != 1 || got[0].Confidence != rules.Medium {
		t.Errorf("a signature that was cut off: %v", got)
	}
	if got := matches(e, jwt(`{"alg":"none"}`, 0)+"\n"); len(got) != 1 || got[0].Rule.Kind != rules.KindUnsigned || got[0].Confidence != rules.Low {
		t.Errorf("unsigned: %v", got)
	}
}
