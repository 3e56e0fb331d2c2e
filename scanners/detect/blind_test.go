package detect_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"html"
	"math/rand/v2"
	"strings"
	"time"
)

// The blind set has credentials and look-alikes written only from the formats' published
// descriptions, before their author had read the detector, and committed before the first run.
// blind_run_test.go measures the set and lists the corrections made here since, with reasons.

// A blindText is one text as it leaks, with the values to find in it.
type blindText struct {
	name string // family/carrier
	text string
	want []string // values that the issuer accepts, exactly; empty for a look-alike
	low  bool     // the policy gives it low confidence: only a generic name, no host
}

type dice struct{ *rand.Rand }

func (d dice) from(alphabet string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[d.IntN(len(alphabet))])
	}
	return b.String()
}

const (
	blindLower  = "abcdefghijklmnopqrstuvwxyz"
	blindUpper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	blindDigits = "0123456789"
	blindHex    = blindDigits + "abcdef"
	blindAlnum  = blindLower + blindUpper + blindDigits
	blindURL    = blindAlnum + "-_"
)

func (d dice) hex(n int) string   { return d.from(blindHex, n) }
func (d dice) alnum(n int) string { return d.from(blindAlnum, n) }
func (d dice) url(n int) string   { return d.alnum(1) + d.from(blindURL, n-2) + d.alnum(1) }
func (d dice) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.IntN(256))
	}
	return b
}
func (d dice) b64(n int) string    { return base64.StdEncoding.EncodeToString(d.bytes(n)) }
func (d dice) rawurl(n int) string { return base64.RawURLEncoding.EncodeToString(d.bytes(n)) }
func (d dice) uuid() string {
	b := d.bytes(16)
	b[6], b[8] = b[6]&15|64, b[8]&63|128
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func blindPercent(s string) string {
	return strings.NewReplacer("%", "%25", "+", "%2B", "/", "%2F", "=", "%3D", ":", "%3A", "|", "%7C", "@", "%40", `"`, "%22", "{", "%7B", "}", "%7D", ",", "%2C", ";", "%3B", "[", "%5B", "]", "%5D").Replace(s)
}

var blindSoon = time.Now().Add(200 * 24 * time.Hour).Unix()

func (d dice) jwt(alg string, claims map[string]any) string {
	size := map[string]int{"HS256": 32, "HS384": 48, "HS512": 64, "RS256": 256, "ES256": 64, "EdDSA": 64, "PS256": 256}[alg]
	h, _ := json.Marshal(map[string]any{"alg": alg, "typ": "JWT", "kid": d.alnum(12)})
	if claims["exp"] == nil {
		claims["exp"] = blindSoon
	}
	c, _ := json.Marshal(claims)
	e := base64.RawURLEncoding
	return e.EncodeToString(h) + "." + e.EncodeToString(c) + "." + d.rawurl(size)
}

func (d dice) jwe() string {
	h := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM"}`))
	return h + ".." + d.rawurl(12) + "." + d.rawurl(180) + "." + d.rawurl(16)
}

func (d dice) sub() map[string]any {
	return map[string]any{"sub": d.uuid(), "iss": "https://id.acme-" + d.from(blindLower, 4) + ".io", "iat": blindSoon - 9000000}
}

func (d dice) github(prefix string) string {
	body := d.alnum(30)
	n, sum := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		sum = string((blindDigits + blindUpper + blindLower)[n%62]) + sum
		n /= 62
	}
	return prefix + body + sum
}

// A blindFamily makes the cookies of one product. The first cookie is the credential unless
// wanted lists more.
type blindFamily struct {
	id     string
	low    bool
	host   string
	cookie func(d dice) (name, value string)
	beside func(d dice) string         // other cookies of the same product, not credentials
	inside func(value string) []string // what the issuer accepts, where it differs from the cookie
}

func blindFamilies() []blindFamily {
	named := func(id, name string, value func(d dice) string) blindFamily {
		return blindFamily{id: id, cookie: func(d dice) (string, string) { return name, value(d) }}
	}
	iron := func(d dice) string {
		return "Fe26.2**" + d.hex(64) + "*" + d.rawurl(16) + "*" + d.rawurl(140) + "**" + d.hex(64) + "*" + d.rawurl(32)
	}
	rails := func(d dice) string { return blindPercent(d.b64(240) + "--" + d.b64(12) + "--" + d.b64(16)) }
	gorilla := func(d dice) string {
		inner := fmt.Sprintf("%d|%s|%s", blindSoon-20000000, base64.URLEncoding.EncodeToString(d.bytes(90)), d.bytes(32))
		return base64.URLEncoding.EncodeToString([]byte(inner))
	}
	fs := []blindFamily{
		named("github", "user_session", func(d dice) string { return d.url(48) }),
		named("gitlab", "_gitlab_session", func(d dice) string { return d.hex(32) }),
		named("gitlab-cell", "_gitlab_session", func(d dice) string { return "cell-1-" + d.hex(32) }),
		named("atlassian-cloud", "cloud.session.token", func(d dice) string {
			return d.jwt("RS256", map[string]any{"iss": "session-service", "aud": "atlassian", "sub": d.hex(24), "sessionId": d.uuid(), "email": "ops@acme-corp.io"})
		}),
		named("seraph", "seraph.rememberme.cookie", func(d dice) string { return d.from(blindDigits, 5) + "%3A" + d.hex(40) }),
		named("google", "__Secure-1PSID", func(d dice) string { return "g.a000" + d.url(150) }),
		named("entra", "ESTSAUTHPERSISTENT", func(d dice) string { return "0.A" + d.url(48) + ".AgAB" + d.url(420) }),
		named("sharepoint", "FedAuth", func(d dice) string { return "77u/PD94bWwg" + d.b64(300) }),
		named("okta-sid", "sid", func(d dice) string { return "102" + d.url(24) }),
		named("okta-idx", "idx", func(d dice) string {
			h := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM","zip":"DEF","oid":"00o` + d.alnum(17) + `"}`))
			return h + ".." + d.rawurl(12) + "." + d.rawurl(300) + "." + d.rawurl(16)
		}),
		named("auth0", "auth0", func(d dice) string {
			body := append([]byte("\x81\xa7session\x82\xa6handle\xc4\x40"), d.bytes(64)...)
			body = append(body, []byte("\xa7expires\xd6\xff")...)
			body = append(body, byte(blindSoon>>24), byte(blindSoon>>16), byte(blindSoon>>8), byte(blindSoon))
			return "s%3Av1." + base64.RawURLEncoding.EncodeToString(body) + "." + blindPercent(strings.TrimRight(d.b64(32), "="))
		}),
		named("auth0-sdk", "appSession", func(d dice) string {
			h := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"dir","enc":"A256GCM","iat":%d,"uat":%d,"exp":%d}`, blindSoon-900, blindSoon-800, blindSoon))
			return h + ".." + d.rawurl(12) + "." + d.rawurl(400) + "." + d.rawurl(16)
		}),
		named("forgerock", "iPlanetDirectoryPro", func(d dice) string {
			return "AQIC5wM2LY4Sfc" + d.url(40) + ".*AAJTSQACMDIAAlNLABQ" + d.from(blindDigits, 20) + "AAJTMQACMDE.*"
		}),
		{id: "salesforce", host: "acme.my.salesforce.com", cookie: func(d dice) (string, string) {
			return "sid", "00D" + d.alnum(12) + "!" + d.alnum(40) + "." + d.alnum(55)
		}},
		named("servicenow", "glide_session_store", func(d dice) string { return strings.ToUpper(d.hex(32)) }),
		named("zendesk", "_zendesk_shared_session", func(d dice) string { return "-" + d.b64(160) + "--" + d.hex(40) }),
		named("notion", "token_v2", func(d dice) string { return "v02%3Auser_token_or_cookies%3A" + d.url(120) }),
		named("linkedin", "li_at", func(d dice) string { return "AQED" + d.url(148) }),
		{id: "facebook", cookie: func(d dice) (string, string) {
			return "xs", d.from("123456789", 2) + "%3A" + d.url(14) + "%3A2%3A17" + d.from(blindDigits, 8) + "%3A-1%3A" + d.from("123456789", 4)
		}, beside: func(d dice) string { return "c_user=1000" + d.from(blindDigits, 11) }},
		named("instagram", "sessionid", func(d dice) string {
			return d.from("123456789", 10) + "%3A" + d.alnum(14) + "%3A" + d.from("123456789", 2) + "%3A" + d.url(40)
		}),
		{id: "twitter", host: "x.com", cookie: func(d dice) (string, string) { return "auth_token", d.hex(40) },
			beside: func(d dice) string { return "ct0=" + d.hex(160) }},
		named("reddit", "reddit_session", func(d dice) string { return d.from("123456789", 8) + "%2C2026-03-04T09%3A22%3A51%2C" + d.hex(40) }),
		named("cf-access", "CF_Authorization", func(d dice) string {
			return d.jwt("RS256", map[string]any{"iss": "https://acme.cloudflareaccess.com", "aud": []string{d.hex(64)}, "type": "app", "email": "a@acme-corp.io", "sub": d.uuid()})
		}),
		named("cloudflare", "vses2", func(d dice) string { return d.hex(32) + "-" + d.url(40) }),
		named("datadog", "dogweb", func(d dice) string { return d.hex(64) }),
		named("sentry", "sentrysid", func(d dice) string { return d.from(blindLower+blindDigits, 32) }),
		named("circleci", "ring-session", func(d dice) string { return d.b64(90) }),
		{id: "jenkins", cookie: func(d dice) (string, string) {
			return "JSESSIONID." + d.hex(8), "node0" + d.from(blindLower+blindDigits, 25) + ".node0"
		}},
		named("grafana", "grafana_session", func(d dice) string { return d.hex(32) }),
		named("kibana", "sid", iron),
		named("opensearch", "security_authentication", iron),
		named("argocd", "argocd.token", func(d dice) string {
			return d.jwt("HS256", map[string]any{"iss": "argocd", "sub": "admin:login", "jti": d.uuid()})
		}),
		named("rancher", "R_SESS", func(d dice) string {
			return "token-" + d.from(blindLower+blindDigits, 5) + ":" + d.from(blindLower+blindDigits, 54)
		}),
		named("nexus", "NXSESSIONID", func(d dice) string { return d.uuid() }),
		named("sonarqube", "JWT-SESSION", func(d dice) string {
			return d.jwt("HS256", map[string]any{"sub": d.uuid(), "lastRefreshTime": int64(1764000000000), "xsrfToken": d.hex(26)})
		}),
		named("keycloak", "KEYCLOAK_IDENTITY", func(d dice) string {
			return d.jwt("HS512", map[string]any{"iss": "https://sso.acme-corp.io/realms/main", "typ": "Serialized-ID", "sid": d.uuid(), "state_checker": d.url(43), "sub": d.uuid()})
		}),
		{id: "oauth2-proxy", cookie: func(d dice) (string, string) {
			return "_oauth2_proxy", base64.URLEncoding.EncodeToString(d.bytes(210)) + "|" + fmt.Sprint(blindSoon-20000000) + "|" + base64.URLEncoding.EncodeToString(d.bytes(32))
		}},
		named("forward-auth", "_forward_auth", func(d dice) string {
			return base64.URLEncoding.EncodeToString(d.bytes(32)) + "|" + fmt.Sprint(blindSoon) + "|dev@acme-corp.io"
		}),
		named("authelia", "authelia_session", func(d dice) string { return d.from(blindAlnum+"!@^*", 30) + d.alnum(2) }),
		named("authentik", "authentik_session", func(d dice) string {
			return d.jwt("HS256", map[string]any{"sid": d.from(blindLower+blindDigits, 32), "iss": "authentik", "sub": d.hex(64), "authenticated": true, "acr": "goauthentik.io/core/default"})
		}),
		named("pomerium", "_pomerium", func(d dice) string {
			return d.jwt("ES256", map[string]any{"jti": d.uuid(), "iss": "auth.acme-corp.io"})
		}),
		named("kratos", "ory_kratos_session", gorilla),
		named("teleport", "__Host-session", func(d dice) string {
			return hex.EncodeToString([]byte(`{"user":"alice","sid":"` + d.hex(64) + `"}`))
		}),
		named("gitea", "i_like_gitea", func(d dice) string { return d.hex(16) }),
		named("forgejo", "i_like_forgejo", func(d dice) string { return d.hex(16) }),
		named("teamcity", "TCSESSIONID", func(d dice) string { return strings.ToUpper(d.hex(32)) }),
		{id: "octopus", cookie: func(d dice) (string, string) {
			return "OctopusIdentificationToken_" + d.uuid(), blindPercent(d.b64(120))
		}},
		{id: "jupyterhub", cookie: func(d dice) (string, string) {
			v := d.b64(32)
			n := "jupyterhub-hub-login"
			return n, fmt.Sprintf("2|1:0|10:%d|%d:%s|%d:%s|%s", blindSoon-20000000, len(n), n, len(v), v, d.hex(64))
		}},
		named("proxmox", "PVEAuthCookie", func(d dice) string {
			return "PVE:root@pam:" + fmt.Sprintf("%08X", time.Now().Unix()-60) + "::" + d.b64(256)
		}),
		named("zabbix", "zbx_session", func(d dice) string {
			return base64.StdEncoding.EncodeToString([]byte(`{"sessionid":"` + d.hex(32) + `","serverCheckResult":true,"serverCheckTime":1764000000,"sign":"` + d.hex(64) + `"}`))
		}),
		named("mattermost", "MMAUTHTOKEN", func(d dice) string { return d.from(blindLower+blindDigits, 26) }),
		named("rocketchat", "rc_token", func(d dice) string { return d.url(43) }),
		named("portainer", "portainer_api_key", func(d dice) string {
			return d.jwt("HS256", map[string]any{"id": 1, "username": "admin", "role": 1, "scope": "default"})
		}),
		named("sourcegraph", "sgs", gorilla),
		{id: "ivanti", host: "vpn.acme-corp.io", cookie: func(d dice) (string, string) { return "DSID", d.hex(32) },
			beside: func(d dice) string { return "DSFirstAccess=1764021000; DSLastAccess=1764021344" }},
		named("fortigate", "SVPNCOOKIE", func(d dice) string { return blindPercent(d.b64(150)) }),
		named("asa", "webvpn", func(d dice) string {
			h := func(n int) string { return strings.ToUpper(d.hex(n)) }
			return h(32) + "@" + d.from("123456789", 6) + "@" + h(4) + "@" + h(32)
		}),
		{id: "f5", cookie: func(d dice) (string, string) { return "MRHSession", d.hex(32) },
			beside: func(d dice) string { return "LastMRH_Session=" + d.hex(8) }},
		named("netscaler", "NSC_AAAC", func(d dice) string { return d.hex(65) }),
		named("globalprotect", "GP_SESSION_CK", func(d dice) string { return d.hex(32) }),
		named("ltpa", "LtpaToken2", func(d dice) string { return d.b64(192) }),
		named("sap", "MYSAPSSO2", func(d dice) string { return "AjQxMDMB" + d.b64(180) }),
		named("siteminder", "SMSESSION", func(d dice) string { return d.b64(240) }),
		{id: "oam", cookie: func(d dice) (string, string) {
			return "OAMAuthnCookie_portal.acme-corp.io:443", blindPercent(d.b64(180))
		}},
		named("isam", "PD-S-SESSION-ID", func(d dice) string { return "2_0_" + d.url(60) }),
		{id: "php", low: true, cookie: func(d dice) (string, string) { return "PHPSESSID", d.from(blindLower+blindDigits, 26) }},
		{id: "tomcat", low: true, cookie: func(d dice) (string, string) { return "JSESSIONID", strings.ToUpper(d.hex(32)) }},
		named("aspx", ".ASPXAUTH", func(d dice) string { return strings.ToUpper(d.hex(256)) }),
		named("owin", ".AspNet.ApplicationCookie", func(d dice) string { return d.url(320) }),
		{id: "aspnetcore", cookie: func(d dice) (string, string) {
			return ".AspNetCore.Identity.Application", base64.RawURLEncoding.EncodeToString(append([]byte{9, 0xf0, 0xc9, 0xf0}, d.bytes(280)...))
		}},
		named("express", "connect.sid", func(d dice) string { return "s%3A" + d.url(32) + "." + blindPercent(strings.TrimRight(d.b64(32), "=")) }),
		named("django", "sessionid", func(d dice) string { return d.from(blindLower+blindDigits, 32) }),
		{id: "flask", cookie: func(d dice) (string, string) {
			p := base64.RawURLEncoding.EncodeToString([]byte(`{"_fresh":true,"_id":"` + d.hex(64) + `","_user_id":"7"}`))
			ts := base64.RawURLEncoding.EncodeToString([]byte{0x69, 0x20, byte(d.IntN(256)), byte(d.IntN(256))})
			return "session", p + "." + ts + "." + d.rawurl(20)
		}},
		named("rails-gcm", "_storefront_session", rails),
		named("heroku", "heroku_session", rails),
		{id: "rails-3", cookie: func(d dice) (string, string) {
			m := "\x04\b{\aI\"\x0fsession_id\x06:\x06EFI\"%" + d.hex(32) + "\x06;\x00TI\"\x19warden.user.user.key"
			return "_portal_session", blindPercent(base64.StdEncoding.EncodeToString([]byte(m))) + "--" + d.hex(40)
		}},
		{id: "devise", cookie: func(d dice) (string, string) {
			in := base64.StdEncoding.EncodeToString([]byte(`[[42],"$2a$12$` + d.alnum(22) + `","1764000000.123"]`))
			out := base64.StdEncoding.EncodeToString([]byte(`{"_rails":{"message":"` + in + `","exp":"` + time.Unix(blindSoon, 0).UTC().Format("2006-01-02T15:04:05.000Z") + `","pur":"cookie.remember_user_token"}}`))
			return "remember_user_token", blindPercent(out) + "--" + d.hex(40)
		}},
		{id: "laravel", cookie: func(d dice) (string, string) {
			e := base64.StdEncoding.EncodeToString([]byte(`{"iv":"` + d.b64(16) + `","value":"` + d.b64(64) + `","mac":"` + d.hex(64) + `","tag":""}`))
			return "laravel_session", blindPercent(e)
		}},
		{id: "symfony", cookie: func(d dice) (string, string) {
			return "REMEMBERME", blindPercent(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `App\Entity\User:%s:%d:%s`, base64.StdEncoding.EncodeToString([]byte("ann@acme-corp.io")), blindSoon, d.hex(64))))
		}},
		{id: "spring-remember", cookie: func(d dice) (string, string) {
			return "remember-me", strings.TrimRight(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "carol:%d:SHA256:%s", blindSoon*1000, d.hex(64))), "=")
		}},
		named("spring-session", "SESSION", func(d dice) string { return base64.StdEncoding.EncodeToString([]byte(d.uuid())) }),
		{id: "koa", cookie: func(d dice) (string, string) {
			return "koa.sess", base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"userId":%d,"_expire":%d,"_maxAge":86400000}`, d.IntN(9999), blindSoon*1000))
		}, beside: func(d dice) string { return "koa.sess.sig=" + d.rawurl(20) }},
		named("phoenix", "_shop_key", func(d dice) string { return "SFMyNTY.g3QAAAAB" + d.url(90) + "." + d.rawurl(32) }),
		named("nextauth", "__Secure-next-auth.session-token", func(d dice) string { return d.jwe() }),
		named("authjs", "authjs.session-token", func(d dice) string { return d.jwe() }),
		{id: "supabase", cookie: func(d dice) (string, string) {
			in := `{"access_token":"` + d.jwt("HS256", d.sub()) + `","token_type":"bearer","expires_in":3600,"expires_at":` + fmt.Sprint(blindSoon) + `,"refresh_token":"` + d.alnum(12) + `"}`
			return "sb-" + d.from(blindLower, 20) + "-auth-token", "base64-" + base64.RawURLEncoding.EncodeToString([]byte(in))
		}, inside: func(value string) []string {
			var s struct {
				Access  string `json:"access_token"`
				Refresh string `json:"refresh_token"`
			}
			b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(value, "base64-"))
			if err == nil {
				err = json.Unmarshal(b, &s)
			}
			if err != nil {
				panic(err)
			}
			return []string{s.Access, s.Refresh}
		}},
		named("clerk", "__session", func(d dice) string {
			return d.jwt("RS256", map[string]any{"iss": "https://clerk.acme-corp.io", "sid": "sess_" + d.alnum(27), "sts": "active", "sub": "user_" + d.alnum(27)})
		}),
		named("firebase", "__session", func(d dice) string {
			return d.jwt("RS256", map[string]any{"iss": "https://session.firebase.google.com/acme-prod", "aud": "acme-prod", "sub": d.alnum(28), "auth_time": 1764000000})
		}),
		named("play", "PLAY_SESSION", func(d dice) string { return d.jwt("HS256", map[string]any{"data": map[string]any{"user": "77"}}) }),
		{id: "wordpress", cookie: func(d dice) (string, string) {
			return "wordpress_logged_in_" + d.hex(32), "editor%7C" + fmt.Sprint(blindSoon) + "%7C" + d.alnum(43) + "%7C" + d.hex(64)
		}},
		{id: "drupal", cookie: func(d dice) (string, string) { return "SSESS" + d.hex(32), d.url(43) }},
		named("codeigniter", "ci_session", func(d dice) string { return d.hex(40) }),
		{id: "yii", cookie: func(d dice) (string, string) {
			return "_identity", d.hex(64) + blindPercent(`a:2:{i:0;s:9:"_identity";i:1;s:47:"[7,"`+d.url(32)+`",2592000]";}`)
		}},
		named("shiro", "rememberMe", func(d dice) string { return d.b64(256) }),
		named("rack", "rack.session", func(d dice) string { return "BAh7" + d.b64(90) + "--" + d.hex(40) }),
		{id: "aiohttp", cookie: func(d dice) (string, string) {
			b := append([]byte{0x80, 0, 0, 0, 0, 0x69, 0x20}, d.bytes(150)...)
			return "AIOHTTP_SESSION", base64.URLEncoding.EncodeToString(b)
		}},
		named("pyramid", "auth_tkt", func(d dice) string {
			return d.hex(128) + fmt.Sprintf("%08x", blindSoon-20000000) + "dave!userid_type:b64unicode"
		}),
		named("alb", "AWSELBAuthSessionCookie-0", func(d dice) string { return d.b64(300) }),
		named("easyauth", "AppServiceAuthSession", func(d dice) string { return d.b64(220) }),
		named("directus", "directus_session_token", func(d dice) string {
			return d.jwt("HS256", map[string]any{"id": d.uuid(), "role": d.uuid(), "app_access": true, "session": d.url(64), "iss": "directus"})
		}),
		named("cursor", "WorkosCursorSessionToken", func(d dice) string {
			return "user_01" + d.from(blindUpper+blindDigits, 24) + "%3A%3A" + d.jwt("HS256", map[string]any{"iss": "https://authentication.cursor.sh", "type": "session", "sub": "auth0|user_01" + d.alnum(24)})
		}),
		named("claude-web", "sessionKey", func(d dice) string { return "sk-ant-sid02-" + d.url(94) + "AA" }),
		named("unknown-app", "acme_portal_sid", func(d dice) string { return d.url(48) }),
		named("unknown-host", "__Host-backoffice-session", func(d dice) string { return d.rawurl(40) }),
		named("unknown-auth", "intranetAuthToken", func(d dice) string { return d.hex(64) }),
	}
	return fs
}

// A blindCarrier writes name=value in one kind of text. Its last argument is another pair of
// the same cookie jar, or empty.
type blindCarrier struct {
	id    string
	write func(d dice, host, name, value, beside string) string
}

func blindPair(name, value, beside string) string {
	if beside == "" {
		return name + "=" + value
	}
	return beside + "; " + name + "=" + value
}

func blindJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func blindCarriers() []blindCarrier {
	type obj = map[string]any
	until := time.Unix(blindSoon, 0).UTC()
	stamp := func(d dice) string {
		return fmt.Sprintf("2026-11-2%dT0%d:1%d:44.%07dZ ", d.IntN(5), d.IntN(9), d.IntN(9), d.IntN(9999999))
	}
	return []blindCarrier{
		{"curl-verbose", func(d dice, h, n, v, b string) string {
			return "* Connected to " + h + " (198.51.100.7) port 443\n> GET /home HTTP/1.1\n> Host: " + h + "\n> User-Agent: curl/7.68.0\n> Cookie: " + blindPair(n, v, b) + "; theme=dark\n>\n< HTTP/1.1 200 OK\n"
		}},
		{"lower-case", func(d dice, h, n, v, b string) string {
			return stamp(d) + "request headers:\n" + stamp(d) + "cookie: _ga=GA1.2.11223344.1700000000; " + blindPair(n, v, b) + "\n" + stamp(d) + "accept: */*\n"
		}},
		{"curl-h2h3", func(d dice, h, n, v, b string) string {
			return "* h2h3 [:method: GET]\n* h2h3 [:authority: " + h + "]\n* h2h3 [cookie: " + blindPair(n, v, b) + "]\n* Using Stream ID: 1\n"
		}},
		{"curl-http2", func(d dice, h, n, v, b string) string {
			return "* [HTTP/2] [1] [:authority: " + h + "]\n* [HTTP/2] [1] [cookie: " + blindPair(n, v, b) + "]\n> GET /a HTTP/2\n"
		}},
		{"curl-engine", func(d dice, h, n, v, b string) string {
			return "* Added cookie " + n + "=\"" + v + "\" for domain " + h + ", path /, expire " + fmt.Sprint(blindSoon) + "\n"
		}},
		{"curl-b", func(d dice, h, n, v, b string) string {
			return "+ curl -sS --fail -b '" + blindPair(n, v, b) + "' https://" + h + "/api/me\n"
		}},
		{"curl-cookie-equals", func(d dice, h, n, v, b string) string {
			return "$ curl --cookie=\"" + blindPair(n, v, b) + "\" \\\n    -o out.json 'https://" + h + "/export'\n"
		}},
		{"curl-header", func(d dice, h, n, v, b string) string {
			return "curl 'https://" + h + "/graphql' \\\n  -H 'accept: application/json' \\\n  -H 'cookie: " + blindPair(n, v, b) + "; lang=en' \\\n  --compressed\n"
		}},
		{"curl-config", func(d dice, h, n, v, b string) string {
			return "url = \"https://" + h + "/\"\ncookie = \"" + blindPair(n, v, b) + "\"\nsilent\n"
		}},
		{"wget", func(d dice, h, n, v, b string) string {
			return "RUN wget -q --header=\"Cookie: " + blindPair(n, v, b) + "\" https://" + h + "/dl/tool.tgz\n"
		}},
		{"httpie", func(d dice, h, n, v, b string) string {
			return "http GET https://" + h + "/me 'Cookie:" + blindPair(n, v, b) + "' Accept:application/json\n"
		}},
		{"powershell", func(d dice, h, n, v, b string) string {
			return "$session = New-Object Microsoft.PowerShell.Commands.WebRequestSession\n$session.Cookies.Add((New-Object System.Net.Cookie(\"" + n + "\", \"" + v + "\", \"/\", \"" + h + "\")))\nInvoke-WebRequest -Uri \"https://" + h + "/\" -WebSession $session\n"
		}},
		{"set-cookie", func(d dice, h, n, v, b string) string {
			return "< HTTP/2 302\n< location: /home\n< set-cookie: " + n + "=" + v + "; Path=/; Domain=" + h + "; Expires=" + until.Format("Mon, 02 Jan 2006 15:04:05 GMT") + "; HttpOnly; Secure; SameSite=Lax\n"
		}},
		{"netscape", func(d dice, h, n, v, b string) string {
			return "# Netscape HTTP Cookie File\n\n." + h + "\tTRUE\t/\tFALSE\t0\tlang\ten\n#HttpOnly_" + h + "\tFALSE\t/\tTRUE\t" + fmt.Sprint(blindSoon) + "\t" + n + "\t" + v + "\n"
		}},
		{"lwp", func(d dice, h, n, v, b string) string {
			return "#LWP-Cookies-2.0\nSet-Cookie3: " + n + "=\"" + v + "\"; path=\"/\"; domain=" + h + "; path_spec; secure; expires=\"" + until.Format("2006-01-02 15:04:05Z") + "\"; HttpOnly=None; version=0\n"
		}},
		{"har-cookies", func(d dice, h, n, v, b string) string {
			return blindJSON(obj{"log": obj{"version": "1.2", "entries": []any{obj{"startedDateTime": "2026-11-20T10:00:00Z",
				"request": obj{"method": "GET", "url": "https://" + h + "/", "headers": []any{obj{"name": "Host", "value": h}},
					"cookies": []any{obj{"name": n, "value": v, "path": "/", "domain": h, "httpOnly": true, "secure": true}}},
				"response": obj{"status": 200}}}}})
		}},
		{"har-headers", func(d dice, h, n, v, b string) string {
			return blindJSON(obj{"log": obj{"entries": []any{obj{"request": obj{"method": "GET", "url": "https://" + h + "/x",
				"headers": []any{obj{"name": "Accept", "value": "*/*"}, obj{"name": "Cookie", "value": blindPair(n, v, b)}}}}}}})
		}},
		{"playwright", func(d dice, h, n, v, b string) string {
			j, _ := json.MarshalIndent(obj{"cookies": []any{obj{"name": n, "value": v, "domain": h, "path": "/", "expires": float64(blindSoon) + 0.5, "httpOnly": true, "secure": true, "sameSite": "Lax"}}, "origins": []any{}}, "", "  ")
			return string(j)
		}},
		{"edit-this-cookie", func(d dice, h, n, v, b string) string {
			j, _ := json.MarshalIndent([]any{obj{"domain": "." + h, "expirationDate": blindSoon, "hostOnly": false, "httpOnly": true, "name": n, "path": "/", "sameSite": "unspecified", "secure": true, "session": false, "storeId": "0", "value": v, "id": 1}}, "", "    ")
			return string(j)
		}},
		{"puppeteer-line", func(d dice, h, n, v, b string) string {
			return "await page.setCookie({ name: '" + n + "', value: '" + v + "', domain: '" + h + "', httpOnly: true });\n"
		}},
		{"selenium", func(d dice, h, n, v, b string) string {
			return "driver.add_cookie({'name': '" + n + "', 'value': '" + v + "', 'domain': '" + h + "'})\n"
		}},
		{"cypress", func(d dice, h, n, v, b string) string {
			return "cy.setCookie('" + n + "', '" + v + "')\n"
		}},
		{"json-escaped", func(d dice, h, n, v, b string) string {
			in := blindJSON(obj{"headers": obj{"host": h, "cookie": blindPair(n, v, b)}})
			return blindJSON(obj{"level": "debug", "msg": in, "ts": 1764000000.5}) + "\n"
		}},
		{"http-client-repr", func(d dice, h, n, v, b string) string {
			return "send: b'GET /me HTTP/1.1\\r\\nHost: " + h + "\\r\\nUser-Agent: python-requests/2.32\\r\\nCookie: " + blindPair(n, v, b) + "\\r\\n\\r\\n'\nreply: 'HTTP/1.1 200 OK\\r\\n'\n"
		}},
		{"python-dict", func(d dice, h, n, v, b string) string {
			return "import requests\n\ncookies = {\n    '" + n + "': '" + v + "',\n    'lang': 'en',\n}\nr = requests.get('https://" + h + "/', cookies=cookies)\n"
		}},
		{"requests-jar", func(d dice, h, n, v, b string) string {
			return "DEBUG cookies <RequestsCookieJar[<Cookie " + n + "=" + v + " for " + h + "/>]>\n"
		}},
		{"scrapy", func(d dice, h, n, v, b string) string {
			return "2026-11-20 10:00:01 [scrapy.downloadermiddlewares.cookies] DEBUG: Sending cookies to: <GET https://" + h + "/>\nCookie: " + blindPair(n, v, b) + "\n"
		}},
		{"axios", func(d dice, h, n, v, b string) string {
			return "AxiosError: Request failed with status code 500\n  config: {\n    headers: AxiosHeaders {\n      Accept: 'application/json',\n      Cookie: '" + blindPair(n, v, b) + "'\n    },\n    baseURL: 'https://" + h + "'\n"
		}},
		{"node-raw-request", func(d dice, h, n, v, b string) string {
			return "    _header: 'GET /v1/me HTTP/1.1\\r\\n' +\n      'Cookie: " + blindPair(n, v, b) + "\\r\\n' +\n      'Host: " + h + "\\r\\n' +\n      '\\r\\n',\n"
		}},
		{"node-set-cookie", func(d dice, h, n, v, b string) string {
			return "  'set-cookie': [\n    '" + n + "=" + v + "; Path=/; HttpOnly; SameSite=Strict'\n  ],\n"
		}},
		{"go-map", func(d dice, h, n, v, b string) string {
			return stamp(d) + "request: GET https://" + h + "/ map[Accept:[*/*] Cookie:[" + blindPair(n, v, b) + "] User-Agent:[Go-http-client/1.1]]\n"
		}},
		{"jvm-wire", func(d dice, h, n, v, b string) string {
			return "10:00:01.120 [main] DEBUG org.apache.http.wire - http-outgoing-0 >> \"Host: " + h + "[\\r][\\n]\"\n10:00:01.121 [main] DEBUG org.apache.http.wire - http-outgoing-0 >> \"Cookie: " + blindPair(n, v, b) + "[\\r][\\n]\"\n"
		}},
		{"restassured", func(d dice, h, n, v, b string) string {
			return "Request URI:\thttps://" + h + "/me\nCookies:\t\t" + n + "=" + v + "\nMultiparts:\t\t<none>\n"
		}},
		{"dotnet", func(d dice, h, n, v, b string) string {
			return "trce: System.Net.Http.HttpClient.Default.ClientHandler[102]\n      Request Headers:\n      Host: " + h + "\n      Cookie: " + blindPair(n, v, b) + "\n"
		}},
		{"faraday", func(d dice, h, n, v, b string) string {
			return "I, [2026-11-20T10:00:00.1 #42]  INFO -- request: Accept: \"*/*\"\nCookie: \"" + blindPair(n, v, b) + "\"\n"
		}},
		{"vcr", func(d dice, h, n, v, b string) string {
			return "http_interactions:\n- request:\n    method: get\n    uri: https://" + h + "/me\n    headers:\n      Cookie:\n      - " + blindPair(n, v, b) + "\n  response:\n    status:\n      code: 200\n"
		}},
		{"postman", func(d dice, h, n, v, b string) string {
			return blindJSON(obj{"info": obj{"name": "acme"}, "item": []any{obj{"request": obj{"url": obj{"raw": "https://" + h + "/me"}, "header": []any{obj{"key": "Cookie", "value": blindPair(n, v, b), "type": "text"}}}}}})
		}},
		{"burp", func(d dice, h, n, v, b string) string {
			raw := "GET / HTTP/1.1\r\nHost: " + h + "\r\nCookie: " + blindPair(n, v, b) + "\r\n\r\n"
			return "<items burpVersion=\"2026.1\"><item><host ip=\"198.51.100.9\">" + h + "</host><request base64=\"true\"><![CDATA[" + base64.StdEncoding.EncodeToString([]byte(raw)) + "]]></request></item></items>\n"
		}},
		{"ansible", func(d dice, h, n, v, b string) string {
			return "ok: [localhost] => {\"changed\": false, \"cookies_string\": " + blindJSON(blindPair(n, v, b)) + ", \"status\": 200, \"url\": \"https://" + h + "/\"}\n"
		}},
		{"html", func(d dice, h, n, v, b string) string {
			return "<tr><td class=\"msg\">request headers: &quot;Cookie&quot;: &quot;" + html.EscapeString(blindPair(n, v, b)) + "&quot;, &quot;Host&quot;: &quot;" + h + "&quot;</td></tr>\n"
		}},
		{"jetbrains-jar", func(d dice, h, n, v, b string) string {
			return "# domain\tpath\tname\tvalue\tdate\n" + h + "\t/\t" + n + "\t" + v + "\t" + until.Format("Mon Jan 02 15:04:05 UTC 2006") + "\n"
		}},
		{"phpinfo", func(d dice, h, n, v, b string) string {
			return "<tr><td class=\"e\">$_COOKIE['" + n + "']</td><td class=\"v\">" + html.EscapeString(v) + "</td></tr>\n"
		}},
		{"loadrunner", func(d dice, h, n, v, b string) string {
			return "\tweb_add_cookie(\"" + n + "=" + v + "; DOMAIN=" + h + "\");\n"
		}},
		{"jmeter", func(d dice, h, n, v, b string) string {
			return "<elementProp name=\"" + n + "\" elementType=\"Cookie\" testname=\"" + n + "\">\n  <stringProp name=\"Cookie.value\">" + html.EscapeString(v) + "</stringProp>\n  <stringProp name=\"Cookie.domain\">" + h + "</stringProp>\n</elementProp>\n"
		}},
		{"cgi-env", func(d dice, h, n, v, b string) string {
			return "SERVER_NAME=" + h + "\nHTTP_COOKIE=" + blindPair(n, v, b) + "\nREQUEST_METHOD=GET\n"
		}},
		{"docker-build", func(d dice, h, n, v, b string) string {
			return stamp(d) + "#12 3.456 > Host: " + h + "\n" + stamp(d) + "#12 3.457 > Cookie: " + blindPair(n, v, b) + "\n"
		}},
		{"ansi", func(d dice, h, n, v, b string) string {
			return "\x1b[36mCookie\x1b[0m:\x1b[33m " + blindPair(n, v, b) + "\x1b[0m\n"
		}},
		{"dotenv", func(d dice, h, n, v, b string) string {
			return "BASE_URL=https://" + h + "\nCOOKIE=\"" + blindPair(n, v, b) + "\"\n"
		}},
		{"mitmdump", func(d dice, h, n, v, b string) string {
			return "198.51.100.3:51244: GET https://" + h + "/ HTTP/2.0\n    user-agent: x\n    cookie: " + blindPair(n, v, b) + "\n << HTTP/2.0 200 OK 1.2k\n"
		}},
	}
}

// fits reports whether the format's own rules allow the value in this carrier.
func (c blindCarrier) fits(f blindFamily, value string) bool {
	switch c.id {
	case "go-map", "curl-h2h3", "curl-http2": // these print the characters that would end the value
		return !strings.ContainsAny(value, "[] ")
	}
	return true
}

// lone reports whether a carrier holds one cookie and none of its neighbours.
func (c blindCarrier) lone(text, beside string) bool {
	return beside != "" && !strings.Contains(text, beside)
}

func blindCookies() []blindText {
	d := dice{rand.New(rand.NewPCG(20261125, 4))}
	fs, cs := blindFamilies(), blindCarriers()
	var out []blindText
	// Every family appears in six carriers; coprime strides distribute them evenly.
	for i, f := range fs {
		for k := range 6 {
			c := cs[(i*7+k*11)%len(cs)]
			name, value := f.cookie(d)
			host := f.host
			if host == "" {
				host = pick(d, "app", "portal", "build", "id") + ".acme-" + d.from(blindLower, 4) + ".io"
			}
			beside := ""
			if f.beside != nil {
				beside = f.beside(d)
			}
			if !c.fits(f, value) {
				continue
			}
			text := c.write(d, host, name, value, beside)
			if c.lone(text, beside) && f.id == "twitter" && !strings.Contains(text, host) {
				continue // forty hex digits and no name of X
			}
			want := []string{value}
			if f.inside != nil {
				want = f.inside(value)
			}
			out = append(out, blindText{f.id + "/" + c.id, text, want, f.low})
		}
	}
	return out
}

// blindTokens are bearer values and credentials that have files of their own.
func blindTokens() []blindText {
	d := dice{rand.New(rand.NewPCG(20261125, 5))}
	type obj = map[string]any
	var out []blindText
	add := func(name, text string, want ...string) { out = append(out, blindText{name, text, want, false}) }

	kinds := map[string]func() string{
		"jwt-hs256": func() string { return d.jwt("HS256", d.sub()) },
		"jwt-rs256": func() string { return d.jwt("RS256", d.sub()) },
		"jwt-es256": func() string { return d.jwt("ES256", d.sub()) },
		"jwt-eddsa": func() string { return d.jwt("EdDSA", d.sub()) },
		"jwe":       func() string { return d.jwe() },
		"opaque":    func() string { return d.url(43) },
		"hex":       func() string { return d.hex(64) },
		"ya29":      func() string { return "ya29.a0" + d.url(180) },
		"gho":       func() string { return d.github("gho_") },
		"kratos":    func() string { return "ory_st_" + d.alnum(32) },
		"entra": func() string {
			return d.jwt("RS256", map[string]any{"iss": "https://sts.windows.net/" + d.uuid() + "/", "tid": d.uuid(), "oid": d.uuid(), "ver": "1.0", "appid": d.uuid()})
		},
		"k8s": func() string {
			return d.jwt("RS256", map[string]any{"iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:ci:builder", "kubernetes.io": map[string]any{"namespace": "ci", "serviceaccount": map[string]any{"name": "builder", "uid": d.uuid()}}})
		},
	}
	order := []string{"jwt-hs256", "jwt-rs256", "jwt-es256", "jwt-eddsa", "jwe", "opaque", "hex", "ya29", "gho", "kratos", "entra", "k8s"}
	carriers := []struct {
		id    string
		write func(v string) string
	}{
		{"header", func(v string) string {
			return "> GET /v1/me HTTP/1.1\n> Host: api.acme-corp.io\n> Authorization: Bearer " + v + "\n"
		}},
		{"header-lower", func(v string) string { return "authorization: bearer " + v + "\ncontent-type: text/plain\n" }},
		{"proxy", func(v string) string { return "Proxy-Authorization: Bearer " + v + "\r\n" }},
		{"curl-h2", func(v string) string {
			return "* h2 [:authority: api.acme-corp.io]\n* h2 [authorization: Bearer " + v + "]\n"
		}},
		{"curl-H", func(v string) string {
			return "curl -X POST -H \"Authorization: Bearer " + v + "\" https://api.acme-corp.io/v1/deploy\n"
		}},
		{"curl-oauth2", func(v string) string { return "+ curl --oauth2-bearer " + v + " https://api.acme-corp.io/\n" }},
		{"x-auth-token", func(v string) string { return "X-Auth-Token: " + v + "\nAccept: */*\n" }},
		{"json-access-token", func(v string) string {
			return `{"access_token":"` + v + `","token_type":"Bearer","expires_in":3600,"scope":"read write"}`
		}},
		{"json-twice", func(v string) string {
			return blindJSON(obj{"body": blindJSON(obj{"accessToken": v, "tokenType": "Bearer"})})
		}},
		{"fragment", func(v string) string {
			return "GET https://app.acme-corp.io/cb#access_token=" + v + "&token_type=bearer&expires_in=3600 200\n"
		}},
		{"query", func(v string) string {
			return "198.51.100.4 - - [20/Nov/2026:10:00:00 +0000] \"GET /ws?access_token=" + v + "&v=2 HTTP/1.1\" 101 0\n"
		}},
		{"go-map", func(v string) string { return "headers: map[Authorization:[Bearer " + v + "] Accept:[*/*]]\n" }},
		{"python-dict", func(v string) string { return "{'Authorization': 'Bearer " + v + "', 'Accept': '*/*'}\n" }},
		{"axios", func(v string) string {
			return "    headers: AxiosHeaders {\n      Authorization: 'Bearer " + v + "',\n"
		}},
		{"set-x", func(v string) string { return "++ ACCESS_TOKEN=" + v + "\n+ export ACCESS_TOKEN\n" }},
		{"kubeconfig", func(v string) string { return "users:\n- name: ci\n  user:\n    token: " + v + "\n" }},
		{"yaml-secret", func(v string) string {
			return "apiVersion: v1\nkind: Secret\ndata:\n  token: " + base64.StdEncoding.EncodeToString([]byte(v)) + "\n"
		}},
		{"local-storage", func(v string) string {
			return blindJSON(obj{"cookies": []any{}, "origins": []any{obj{"origin": "https://app.acme-corp.io", "localStorage": []any{obj{"name": "oidc.user:https://id.acme-corp.io:web", "value": blindJSON(obj{"access_token": v, "profile": obj{"name": "Ann"}})}}}}})
		}},
		{"extraheader", func(v string) string {
			return "[http \"https://dev.azure.com/\"]\n\textraheader = AUTHORIZATION: bearer " + v + "\n"
		}},
		{"postman-auth", func(v string) string {
			return blindJSON(obj{"auth": obj{"type": "bearer", "bearer": []any{obj{"key": "token", "value": v, "type": "string"}}}})
		}},
		{"gcloud-http", func(v string) string {
			return "-- headers start --\nb'authorization': b'Bearer " + v + "'\n-- headers end --\n"
		}},
		{"form-body", func(v string) string { return "--data 'grant_type=client_credentials&access_token=" + v + "&x=1'\n" }},
		{"httpie", func(v string) string { return "https api.acme-corp.io/me Authorization:'Bearer " + v + "'\n" }},
		{"tf-trace", func(v string) string {
			return "2026-11-20T10:00:00.000Z [DEBUG] provider: HTTP Request: tf_http_req_method=GET \"Authorization\"=\"Bearer " + v + "\"\n"
		}},
	}
	for i, c := range carriers {
		for k := range 6 {
			kind := order[(i*5+k*7)%len(order)]
			v := kinds[kind]()
			add(kind+"/"+c.id, c.write(v), v)
		}
	}

	for range 4 {
		c, dd := "xoxc-"+d.from(blindDigits, 12)+"-"+d.from(blindDigits, 13)+"-"+d.from(blindDigits, 13)+"-"+d.hex(64), "xoxd-"+blindPercent(d.b64(120))
		add("slack-pair/curl", "curl 'https://acme.slack.com/api/client.counts' -b 'd="+dd+"; d-s=1764000000' --data-raw 'token="+c+"'\n", c, dd)
		add("slack-pair/python", "session = {\"token\": \""+c+"\", \"cookie\": \"d="+dd+"\"}\n", c, dd)
	}
	for range 4 {
		a, r := "sk-ant-oat01-"+d.url(93)+"AA", "sk-ant-ort01-"+d.url(93)+"AA"
		add("claude-code", blindJSON(obj{"claudeAiOauth": obj{"accessToken": a, "refreshToken": r, "expiresAt": blindSoon * 1000, "scopes": []string{"user:inference"}}}), a, r)
		id, ac, rt := d.jwt("RS256", map[string]any{"iss": "https://auth.openai.com", "sub": "auth0|" + d.alnum(24)}), d.jwt("RS256", map[string]any{"iss": "https://auth.openai.com", "aud": []string{"https://api.openai.com/v1"}}), "rt_"+d.url(80)
		add("codex", blindJSON(obj{"OPENAI_API_KEY": nil, "tokens": obj{"id_token": id, "access_token": ac, "refresh_token": rt, "account_id": d.uuid()}}), id, ac, rt)
		y, g := "ya29.a0"+d.url(200), "1//0"+d.url(98)
		add("gemini", blindJSON(obj{"access_token": y, "refresh_token": g, "scope": "openid", "token_type": "Bearer", "expiry_date": blindSoon * 1000}), y, g)
		m, mr := d.url(40), d.url(44)
		add("mcp-remote", blindJSON(obj{"access_token": m, "token_type": "bearer", "expires_in": 3600, "refresh_token": mr, "scope": "mcp"}), m, mr)
		add("mcp-config", blindJSON(obj{"mcpServers": obj{"acme": obj{"url": "https://mcp.acme-corp.io/sse", "headers": obj{"Authorization": "Bearer " + m}}}}), m)
		cp := "tid=" + d.hex(32) + ";exp=" + fmt.Sprint(blindSoon) + ";sku=copilot_for_business_seat;st=dotcom;chat=1;8kp=1:" + d.hex(64)
		add("copilot", `{"token":"`+cp+`","refresh_in":1500}`, cp)
		np := d.uuid()
		add("npmrc", "//npm.acme-corp.io/:_authToken="+np+"\nalways-auth=true\n", np)
		gh := d.github("ghs_")
		add("extraheader-basic", "git -c http.extraheader=\"AUTHORIZATION: basic "+base64.StdEncoding.EncodeToString([]byte("x-access-token:"+gh))+"\" fetch origin\n", gh)
		pw := d.url(26)
		add("netrc", "machine git.acme-corp.io\n  login ci-bot\n  password "+pw+"\n", pw)
		ju := d.hex(48)
		add("jupyter-url", "[I 2026-11-20 10:00:00.000 ServerApp] http://notebook.acme-corp.io:8888/lab?token="+ju+"\n", ju)
		rf := d.url(64)
		add("aws-sso-cache", blindJSON(obj{"startUrl": "https://acme.awsapps.com/start", "region": "eu-west-1", "accessToken": "aoa" + rf, "expiresAt": time.Unix(blindSoon, 0).UTC().Format(time.RFC3339), "refreshToken": "aor" + rf}), "aoa"+rf, "aor"+rf)
		sig := d.hex(64)
		url := "https://acme-artifacts.s3.eu-west-1.amazonaws.com/build.tgz?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIA" + d.from(blindUpper+"234567", 16) + "%2F" + time.Now().UTC().Format("20060102") + "%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=" + time.Now().UTC().Format("20060102T150405Z") + "&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=" + sig
		add("presigned", "Downloading "+url+"\n", url)
		vt := "hvs.CAES" + d.url(90)
		add("vault", "export VAULT_TOKEN="+vt+"\n", vt)
		mac := hmac.New(sha256.New, d.bytes(8))
		mac.Write(d.bytes(8))
		ck := "s%3A" + d.url(32) + "." + blindPercent(strings.TrimRight(base64.StdEncoding.EncodeToString(mac.Sum(nil)), "="))
		add("unknown-prefix-connect", "Set-Cookie: acme.connect.sid="+ck+"; Path=/; HttpOnly\n", ck)
		ls := []string{d.url(32), d.url(32)}
		add("tokens-list", "{\n  \"tokens\": [\n    \""+ls[0]+"\",\n    \""+ls[1]+"\"\n  ]\n}\n", ls...)
		sh := d.url(14)
		add("short-named", "api_token: '"+sh+"'\n", sh)
	}
	return out
}

// blindLookalikes are generated over the families of look-alikes.
func blindLookalikes() []blindText {
	d := dice{rand.New(rand.NewPCG(20261125, 6))}
	var out []blindText
	add := func(name, text string) { out = append(out, blindText{name: name, text: text}) }
	cs := blindCarriers()

	random := []func() string{
		func() string { return d.hex(32) }, func() string { return d.hex(64) }, func() string { return d.url(43) },
		func() string { return d.alnum(32) }, func() string { return blindPercent(d.b64(48)) }, func() string { return d.uuid() },
	}
	laravel := func() string {
		return blindPercent(base64.StdEncoding.EncodeToString([]byte(`{"iv":"` + d.b64(16) + `","value":"` + d.b64(64) + `","mac":"` + d.hex(64) + `","tag":""}`)))
	}
	names := map[string][]string{
		"csrf": {"csrftoken", "XSRF-TOKEN", "_csrf", "_xsrf", "csrf_token", "__RequestVerificationToken", "__AntiXsrfToken", ".AspNetCore.Antiforgery.w5W7x28NAIs", "_gorilla_csrf", "next-auth.csrf-token",
			"__Host-next-auth.csrf-token", "splunkweb_csrf_token_8000", "hubspotapi-csrf", "atl_token", "atlassian.xsrf.token", "ct0", "NX-ANTI-CSRF-TOKEN", "form_key", "MMCSRF", "idccsrf", "crumb"},
		"login-transaction": {"auth_verification", "nonce.k8sIx", ".AspNetCore.Correlation.oidc.Zx", ".AspNetCore.OpenIdConnect.Nonce.CfDJ8", "AUTH_SESSION_ID", "KC_RESTART", "SVPNTMPCOOKIE", "DSSIGNIN", "did", "_oauth2_proxy_csrf"},
		"affinity": {"AWSALB", "AWSALBCORS", "AWSELB", "AWSALBTG", "AWSALBTGCORS", "ARRAffinity", "ARRAffinitySameSite", "ApplicationGatewayAffinity", "BIGipServerpool_web", "TS01a2b3c4", "SERVERID", "route",
			"INGRESSCOOKIE", "GCLB", "GAESA", "__cflb", "citrix_ns_id", "sticky", "force-stream", "glide_user_route"},
		"waf": {"__cf_bm", "_cfuvid", "cf_clearance", "__cfruid", "cf_chl_2", "_abck", "bm_sz", "bm_sv", "ak_bmsc", "visid_incap_1234567", "incap_ses_769_1234567", "nlbi_1234567", "datadome", "_px3", "_pxvid", "reese84", "aws-waf-token", "__stripe_mid", "__stripe_sid"},
		"analytics": {"_ga", "_ga_ABC123DEF4", "_gid", "_gat", "_gcl_au", "_fbp", "_fbc", "__utma", "_hjSessionUser_123456", "_hjSession_123456", "ai_session", "ai_user", "_dd_s", "amplitude_id_x", "AMP_abc123", "ajs_anonymous_id",
			"mp_abc_mixpanel", "_pk_id.1.ab12", "_pk_ses.1.ab12", "_parsely_session", "optimizelyEndUserId", "_clck", "_clsk", "hubspotutk", "__hssc", "__hstc", "OptanonConsent", "CookieConsent", "euconsent-v2", "didomi_token", "s_fid",
			"noflush_Region", "aws-csds-token", "BrowserId", "_octo", "_device_id", "guest_id", "_splunk_rum_sid", "fpc", "buid", "esctx", "x-ms-gateway-slice", "stsservicecookie", "NID", "AEC", "SOCS", "1P_JAR", "__dcfduid", "__sdcfduid"},
		"flags": {"grafana_session_expiry", "__client_uat", "wordpress_test_cookie", "wp-settings-time-1", "_zendesk_authenticated", "auth0.is.authenticated", "KEYCLOAK_REMEMBER_ME", "DSFirstAccess", "LastMRH_Session", "webvpnc", "GCP_IAP_UID", "mage-cache-sessid"},
	}
	for _, group := range []string{"csrf", "login-transaction", "affinity", "waf", "analytics", "flags"} {
		for i, n := range names[group] {
			for k := range 6 {
				c := cs[(i*5+k*13+len(group))%len(cs)]
				v := random[(i+k)%len(random)]()
				if n == "XSRF-TOKEN" && k%2 == 0 {
					v = laravel()
				}
				if strings.HasPrefix(n, ".AspNetCore.") && k%2 == 0 {
					v = base64.RawURLEncoding.EncodeToString(append([]byte{9, 0xf0, 0xc9, 0xf0}, d.bytes(120)...))
				}
				add(group+"/"+n+"/"+c.id, c.write(d, "app.acme-"+d.from(blindLower, 4)+".io", n, v, ""))
			}
		}
	}
	for range 5 {
		add("linkedin-csrf", "Cookie: JSESSIONID=\"ajax:"+d.from(blindDigits, 19)+"\"; lang=v=2\n")
	}

	// Values that mean "no session": logout marks, masks, placeholders.
	sessions := []string{"session", "connect.sid", "sessionid", "PHPSESSID", "SMSESSION", "rememberMe", "user_session", "_gitlab_session", "laravel_session", "authjs.session-token"}
	nothing := []string{"deleted", "deleteMe", "EXPIRED", "LOGGEDOFF", "null", "undefined", "0", "***", "<masked>", "<redacted>", "[MASKED]", "[REDACTED]", "[Filtered]", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		"${SESSION_COOKIE}", "$SESSION", "{{session_cookie}}", "%(session)s", "<your-session-cookie>", "$(cat cookie.txt)", "YOUR_SESSION_COOKIE_HERE", "00000000000000000000000000000000", "0123456789abcdef0123456789abcdef", "deadbeefdeadbeefdeadbeefdeadbeef", "process.env.SESSION_COOKIE"}
	for i, v := range nothing {
		for k := range 8 {
			c := cs[(i*3+k*7)%len(cs)]
			n := sessions[(i+k)%len(sessions)]
			add("nothing/"+v+"/"+c.id, c.write(d, "app.acme-corp.io", n, v, ""))
		}
	}
	bearers := []string{"***", "<masked>", "<redacted>", "[REDACTED]", "[FILTERED]", "[hidden]", "$TOKEN", "${TOKEN}", "${{ secrets.TOKEN }}", "{{ token }}", "{token}", "<token>", "<access_token>", "YOUR_ACCESS_TOKEN", "your-token-here", "xxxxxxxxxxxxxxxx", "token", "%s", "` + token + `", "abc123", "mF_9.B5f-4.1JqM", "..."}
	for _, b := range bearers {
		add("bearer/"+b, "> Authorization: Bearer "+b+"\n")
		add("bearer-curl/"+b, "curl -H \"Authorization: Bearer "+b+"\" https://api.acme-corp.io/v1/things\n")
		add("bearer-json/"+b, `{"headers": {"Authorization": "Bearer `+b+`"}}`+"\n")
		add("bearer-python/"+b, "headers = {'Authorization': 'Bearer "+b+"'}\n")
	}

	// Tokens printed in standards and tutorials.
	join := func(p ...string) string { return strings.Join(p, ".") }
	e := base64.RawURLEncoding
	enc := func(s string) string { return e.EncodeToString([]byte(s)) }
	jwtio := join(enc(`{"alg":"HS256","typ":"JWT"}`), enc(`{"sub":"1234567890","name":"John Doe","iat":1516239022}`), "SflKxwRJSMeKKF2QT4fwpMeJf36"+"POk6yJV_adQssw5c")
	rfc := join(enc("{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}"), enc("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"), "dBjftJeZ4CVP-mB92K27"+"uhbUJU1p1r_wW1gFWFOEjXk")
	supa := join(enc(`{"alg":"HS256","typ":"JWT"}`), enc(`{"iss":"supabase-demo","role":"anon","exp":1983812996}`), "CRXP1A7WOeoJeXxjNni43kdQ"+"wgnWNReilDMblYTn_I0")
	for _, t := range []string{jwtio, rfc, supa} {
		for _, w := range []string{"Authorization: Bearer %s\n", `{"access_token":"%s"}`, "TOKEN=%s\n", "curl -b 'session=%s' https://app.acme-corp.io\n", "const token = '%s';\n", "see https://jwt.io/#debugger-io?token=%s\n"} {
			add("example-jwt", fmt.Sprintf(w, t))
		}
	}
	for range 8 {
		add("not-jwt", "eyJ"+d.alnum(30)+"\n")
		add("not-jwt-b64json", "payload="+base64.StdEncoding.EncodeToString([]byte(`{"page":`+fmt.Sprint(d.IntN(900))+`,"sort":"name","dir":"asc"}`))+"\n")
		add("source-map", "//# sourceMappingURL=data:application/json;base64,"+base64.StdEncoding.EncodeToString([]byte(`{"version":3,"sources":["a.js"],"mappings":"AAAA"}`))+"\n")
		add("jwk", `{"kty":"EC","crv":"P-256","x":"`+d.rawurl(32)+`","y":"`+d.rawurl(32)+`","kid":"`+d.url(20)+`"}`)
		add("jwt-header-only", enc(`{"alg":"RS256","typ":"JWT"}`)+"\n")
	}

	// Hashes and identifiers.
	for range 12 {
		add("git", "commit "+d.hex(40)+"\nAuthor: A <a@acme-corp.io>\n")
		add("checkout", "HEAD is now at "+d.hex(7)+" Merge "+d.hex(40)+" into "+d.hex(40)+"\n")
		add("digest", "Digest: sha256:"+d.hex(64)+"\n")
		add("integrity", "      \"integrity\": \"sha512-"+d.b64(64)+"\",\n")
		add("go.sum", "golang.org/x/net v0.17.0 h1:"+d.b64(32)+"\n")
		add("etag", "< etag: \""+d.hex(32)+"\"\n< x-request-id: "+d.uuid()+"\n")
		add("trace", "traceparent: 00-"+d.hex(32)+"-"+d.hex(16)+"-01\n")
		add("cache-key", "Cache restored from key: linux-node-"+d.hex(64)+"\n")
		add("container", "Started container "+d.hex(64)+"\n")
		add("session-log", "session "+d.uuid()+" opened for user root by (uid=0)\n")
		add("test-id", "[ChromeDriver] Session "+d.hex(32)+" created\n")
		add("next-token", `{"Items":[],"NextToken":"`+d.b64(60)+`"}`)
		add("nonce", "Content-Security-Policy: script-src 'nonce-"+d.b64(16)+"'\n")
		add("public-key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"+d.b64(32)+" ci@acme\n")
		add("recaptcha", "<div class=\"g-recaptcha\" data-sitekey=\"6L"+d.url(38)+"\"></div>\n")
		add("sri", "<script src=\"a.js\" integrity=\"sha384-"+d.b64(48)+"\"></script>\n")
		add("client-id", "client_id="+d.uuid()+"\n")
		add("websocket", "Sec-WebSocket-Key: "+d.b64(16)+"\nSec-WebSocket-Accept: "+d.b64(20)+"\n")
	}
	// Source code that mentions tokens.
	for i, line := range []string{
		"token = getAccessTokenFromStorage()", "sessionId: req.session.id,", "const accessToken = await refreshAccessToken(user);", "access_token = os.environ['ACCESS_TOKEN']",
		"csrfToken: document.querySelector('meta[name=csrf]').content", "if (cookie.name === 'session_token') {", "session_token: string;", "refresh_token = models.CharField(max_length=255)",
		"String sessionId = request.getSession().getId();", "cookies.set('session', encryptedSession, options)", "def set_session_cookie(response, session_cookie_name):", "bearerToken := strings.TrimPrefix(h, \"Bearer \")",
		"export type AccessTokenResponse = { accessToken: string }", "session_cookie_secure = true", "SESSION_COOKIE_NAME = 'acme_session_identifier'", "tokens: ['identifier', 'keyword', 'punctuation'],",
		"auth_token_expiration_minutes: 1440", "Authorization: Bearer token is missing or malformed", "error: invalid_token: The access token expired", "--cookie-jar cookies.txt --cookie cookies.txt",
	} {
		for k := range 3 {
			add("code", strings.Repeat("  ", k)+line+"\n"+fmt.Sprintf("// line %d\n", i))
		}
	}
	return out
}
