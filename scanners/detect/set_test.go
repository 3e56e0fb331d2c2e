package detect

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

// The set has sessions and bearer tokens of many products in the texts where they leak, and
// look-alikes. It was written from the products' formats, not from the rules. The end of the
// file has the required results.

func (x tokens) upper(n int) string { return strings.ToUpper(x.hex(n)) }
func (x tokens) url(n int) string   { return x.of(n/2) + "-" + x.of(n-n/2-2) + "_" }
func (x tokens) lower(n int) string { return strings.ToLower(x.of(n)) }
func (x tokens) uuid() string {
	h := x.hex(30)
	return h[:8] + "-" + h[8:12] + "-4" + h[12:15] + "-a" + h[15:18] + "-" + h[18:30]
}
func (x tokens) b64(n int) string { return base64.StdEncoding.EncodeToString([]byte(x.of(n))) }

// sessions are cookies of products: name and value.
func (x tokens) sessions() [][2]string {
	end := time.Now().Add(48 * time.Hour)
	raw := base64.RawURLEncoding
	claims := fmt.Sprintf(`"exp":%d,"iat":%d`, end.Unix(), time.Now().Unix())
	jwe := raw.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + ".." + x.url(16) + "." + x.url(400) + "." + x.url(22)
	rails := strings.ReplaceAll(x.b64(180), "=", "%3D") + "--" + x.of(16) + "--" + x.of(22) + "%3D%3D"
	laravel := strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(`{"iv":"`+x.b64(16)+`","value":"`+x.b64(96)+`","mac":"`+x.hex(64)+`","tag":""}`)), "=")
	return [][2]string{
		{"user_session", x.url(48)},
		{"_gitlab_session", x.hex(32)},
		{"_gitlab_session", "cell-1-" + x.hex(32)},
		{"cloud.session.token", x.jwt(`{"iss":"session-service","aud":"atlassian",` + claims + `}`)},
		{"d", "xoxd-" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(x.b64(90))},
		{"__Secure-1PSID", "g.a000" + x.url(150)},
		{"ESTSAUTHPERSISTENT", "1.A" + x.url(40) + ".AgAB" + x.url(400)},
		{"CF_Authorization", x.jwt(`{"iss":"https://acme.cloudflareaccess.com","type":"app",` + claims + `}`)},
		{"li_at", "AQED" + x.url(148)},
		{"grafana_session", x.hex(32)},
		{"argocd.token", x.jwt(`{"iss":"argocd","sub":"admin:login",` + claims + `}`)},
		{"R_SESS", "token-x7k2p:" + x.lower(54)},
		{"KEYCLOAK_IDENTITY", x.jwt(`{"typ":"Serialized-ID","sid":"` + x.uuid() + `",` + claims + `}`)},
		{"_oauth2_proxy", x.url(300) + "|" + fmt.Sprint(time.Now().Unix()) + "|" + x.url(43)},
		{"i_like_gitea", x.hex(16)},
		{"PVEAuthCookie", fmt.Sprintf("PVE:root@pam:%08X::", time.Now().Unix()) + x.b64(258)},
		{"MMAUTHTOKEN", x.lower(26)},
		{"SVPNCOOKIE", x.b64(150)},
		{"webvpn", x.upper(12) + "@12288@" + x.upper(4) + "@" + x.upper(40)},
		{"MRHSession", x.hex(32)},
		{"LtpaToken2", base64.StdEncoding.EncodeToString([]byte(x.of(160)))},
		{".AspNetCore.Identity.Application", "CfDJ8" + x.url(300)},
		{".ASPXAUTH", x.upper(256)},
		{"connect.sid", "s%3A" + x.url(32) + "." + x.of(43)},
		{"sessionid", x.lower(32)},
		{"session", raw.EncodeToString([]byte(`{"_fresh":true,"_user_id":"`+x.hex(24)+`"}`)) + ".aR3" + x.of(3) + "." + x.of(27)},
		{"_acme_session", rails},
		{"laravel_session", laravel},
		{"REMEMBERME", base64.StdEncoding.EncodeToString([]byte(`App\Entity\User:YWxpY2U=:` + fmt.Sprint(end.Unix()) + ":" + x.hex(64)))},
		{"remember-me", strings.TrimRight(base64.StdEncoding.EncodeToString([]byte("alice:"+fmt.Sprint(end.UnixMilli())+":SHA256:"+x.hex(64))), "=")},
		{"_acme_key", "SFMyNTY.g3QAAAAC" + x.url(80) + "." + x.url(43)},
		{"session", "Fe26.2**" + x.hex(64) + "*" + x.url(22) + "*" + x.url(128) + "**" + x.hex(64) + "*" + x.url(43)},
		{"__Secure-next-auth.session-token", jwe},
		{"sb-abcdefghijklmnopqrst-auth-token", "base64-" + raw.EncodeToString([]byte(`{"access_token":"`+x.of(120)+`","refresh_token":"`+x.of(12)+`"}`))},
		{"wordpress_logged_in_" + x.hex(32), "alice%7C" + fmt.Sprint(end.Unix()) + "%7C" + x.of(43) + "%7C" + x.hex(64)},
		{"SSESS" + x.hex(32), x.url(43)},
		{"AIOHTTP_SESSION", "gAAAAABn" + x.url(120) + "=="},
		{"AWSELBAuthSessionCookie-0", x.b64(400)},
		{"WorkosCursorSessionToken", "user_" + x.upper(26) + "%3A%3A" + x.jwt(`{"iss":"https://authentication.cursor.sh","type":"session"}`)},
		{"sessionKey", "sk-ant-sid02-" + x.url(92) + "AA"},
		{"__Host-session", hex.EncodeToString([]byte(`{"user":"alice","sid":"` + x.hex(64) + `"}`))},
		{"zbx_session", base64.StdEncoding.EncodeToString([]byte(`{"sessionid":"` + x.hex(32) + `","serverCheckResult":true,"sign":"` + x.hex(64) + `"}`))},
		{"acme_sid", x.url(40)},            // of no known product
		{"acme-session-token", x.hex(64)},  // of no known product
		{"__Secure-portal.auth", x.of(48)}, // of no known product
	}
}

var places = []string{
	"> GET /account HTTP/1.1\n> Host: app.example\n> Cookie: lang=en; %s=%s; theme=dark\n",
	"#12 3.456 < set-cookie: %s=%s; Path=/; Secure; HttpOnly; SameSite=Lax\n",
	"* [HTTP/2] [1] [cookie: %s=%s]\n",
	"* h2h3 [cookie: %s=%s]\n",
	"* Added cookie %s=\"%s\" for domain app.example, path /, expire 1990000000\n",
	"curl 'https://app.example/' -H 'cookie: a=b; %s=%s'\n",
	"+ curl -sS -b '%s=%s' https://app.example/\n",
	"wget --header=\"Cookie: %s=%s\" https://app.example/\n",
	"#HttpOnly_.app.example\tTRUE\t/\tTRUE\t1990000000\t%s\t%s\n",
	".app.example\tTRUE\t/\tFALSE\t0\t%s\t%s\n",
	`{"cookies":[{"name":"%s","value":"%s","domain":"app.example","path":"/","expires":1990000000,"httpOnly":true,"secure":true}]}` + "\n",
	"        {\n          \"name\": \"%s\",\n          \"value\": \"%s\",\n          \"path\": \"/\",\n          \"httpOnly\": true\n        }\n",
	`{"log":"{\"headers\":{\"Cookie\":\"%s=%s\"}}"}` + "\n",
	"http-outgoing-0 >> \"Cookie: %s=%s[\\r][\\n]\"\n",
	"send: b'GET / HTTP/1.1\\r\\nHost: app.example\\r\\nCookie: %s=%s\\r\\n\\r\\n'\n",
	"  headers: AxiosHeaders { Accept: '*/*', Cookie: '%s=%s' }\n",
	"map[Cookie:[%s=%s] User-Agent:[Go-http-client/1.1]]\n",
	"    headers:\n      Cookie:\n      - %s=%s\n",
	`"cookies_string": "%s=%s",` + "\n",
	"2026-11-24T10:11:12.1234567Z \x1b[36;1mCookie: %s=%s\x1b[0m\n",
	"cy.setCookie('%s', '%s')\n",
	"web_add_cookie(\"%s=%s; DOMAIN=app.example\");\n",
	"Set-Cookie3: %s=\"%s\"; path=\"/\"; domain=.app.example; version=0\n",
	`{"cookies":[{"domain":"","expires":null,"name":"%s","path":"/","secure":false,"value":"%s"}]}` + "\n",
	`"cookies": {"lang": "en", "%s": "%s"}` + "\n",
	"HTTP_COOKIE=%s=%s\n",
	"<RequestsCookieJar[<Cookie %s=%s for app.example/>]>\n",
}

// bearers in headers, answers and addresses; %s is the token.
var bearerPlaces = []string{
	"> Authorization: Bearer %s\n", "* h2h3 [authorization: Bearer %s]\n", `{"authorization":"Bearer %s"}` + "\n", "curl -H 'Authorization: Bearer %s' https://api.example/\n",
	"curl --oauth2-bearer %s https://api.example/\n", `{"access_token":"%s","token_type":"Bearer"}` + "\n", `{\"access_token\":\"%s\"}` + "\n", "https://app.example/cb#access_token=%s&expires_in=3600\n",
	"export ACME_TOKEN=\"%s\"\n", "++ ACME_API_TOKEN=%s\n", "//registry.example/:_authToken=%s\n", "    \"Authorization\": [\"Bearer %s\"],\n",
	"'Authorization': 'Bearer %s'\n", "Proxy-Authorization: Bearer %s\n", "GET /stream?access_token=%s HTTP/1.1\n", "api.SetAuthToken(\"%s\")\n",
}

// lookalikes grant no access.
func (x tokens) lookalikes() []string {
	var out []string
	names := []string{"session", "sid", "access_token", "Authorization: Bearer", "Cookie: session", "Set-Cookie: acme_session", "token", "api_token"}
	masks := []string{"***", "********", "<masked>", "<redacted>", "[MASKED]", "[REDACTED]", "[Filtered]", "xxxxxxxxxxxxxxxxxxxxxxxx", "…", "${SESSION}", "$TOKEN", "{{ token }}", "%(token)s",
		"<your-token-here>", "$(get-token)", "process.env.TOKEN", "os.environ['TOKEN']", "your_access_token_here", "REPLACE_WITH_YOUR_TOKEN", "deleted", "deleteMe", "LOGGEDOFF", "null", "undefined",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0123456789abcdef0123456789abcdef", "deadbeefdeadbeefdeadbeefdeadbeef", "00000000-0000-0000-0000-000000000000", "getAccessTokenFromStorage", "a-list-of-words-with-dashes",
		"com.example.auth.TokenProvider", "/var/run/secrets/kubernetes.io/serviceaccount/token", "https://issuer.example/oauth2/token", "1732434000", "true"}
	for _, n := range names {
		for _, m := range masks {
			sep := "="
			if strings.HasSuffix(n, "Bearer") {
				sep = " "
			}
			out = append(out, n+sep+m, `{"`+n+`": "`+m+`"}`)
		}
	}
	for range 60 {
		out = append(out, "commit "+x.hex(40), "sha256:"+x.hex(64), "integrity sha512-"+x.b64(64), "request_id="+x.uuid(), "etag: \""+x.hex(32)+"\"", "trace-id: "+x.hex(32), "    digest: sha256:"+x.hex(64), "go.sum h1:"+x.b64(32)[:43]+"=",
			"_ga=GA1.2."+fmt.Sprint(1e8+x.r.IntN(9e8))+"."+fmt.Sprint(1.7e9), "build "+x.lower(12), "next_page_token: "+x.url(40))
	}
	for _, s := range []string{`{"alg":"HS256","typ":"JWT"}`, `{"theme":"dark"}`, `{"id":42,"cursor":"next"}`} {
		for range 20 {
			out = append(out, "state="+base64.RawURLEncoding.EncodeToString([]byte(s)), "eyJ"+x.of(3)+".eyJ"+x.of(3)+"."+x.of(4))
		}
	}
	return out
}

func TestTheSet(t *testing.T) {
	e := New(builtin(t))
	x := tokens{rand.New(rand.NewPCG(20, 26))}
	find := func(text string) (values []string) {
		// Only the matches that are shown by default count.
		for _, m := range matches(e, text) {
			if m.Confidence >= rules.Medium {
				values = append(values, m.Secret.Reveal())
			}
		}
		return values
	}
	positives, exact := 0, 0
	count := func(text, value string) {
		positives++
		got := find(text)
		for _, v := range got {
			if v == value {
				exact++
				return
			}
		}
		t.Logf("missed in %q: %q", text, got)
	}
	for i, s := range x.sessions() {
		for k := range places {
			if (i+k)%2 == 0 { // every family in half of the carriers, every carrier with half of the families
				count(fmt.Sprintf(places[k], s[0], s[1]), s[1])
			}
		}
	}
	for _, p := range bearerPlaces {
		for _, v := range []string{x.of(40), x.url(64), x.hex(40), x.lower(32), x.jwt(`{"iss":"https://id.example","exp":1990000000}`)} {
			count(fmt.Sprintf(p, v), v)
		}
	}
	looks, flagged := x.lookalikes(), 0
	for _, text := range looks {
		if got := find(text + "\n"); len(got) > 0 {
			flagged++
			t.Logf("flagged: %q: %q", text, got)
		}
	}
	t.Logf("%d of %d exact, %d of %d look-alikes flagged", exact, positives, flagged, len(looks))
	if positives < 300 || len(looks) < 1000 {
		t.Errorf("only %d and %d", positives, len(looks))
	}
	if float64(exact) < 0.98*float64(positives) || float64(flagged) > 0.003*float64(len(looks)) {
		t.Errorf("98 %% exact and at most 0.3 %% flagged are asked for")
	}
}
