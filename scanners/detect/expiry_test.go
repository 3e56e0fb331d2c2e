package detect

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// These carriers give a value an expiry that its content does not contain: a claim of untrusted
// text.
var carriers = map[string]bool{"Set-Cookie": true, "jar": true, "curl": true, "storage": true, "HAR": true}

func TestExpiryIsReadOffTheCookie(t *testing.T) {
	e := New(builtin(t))
	const b62 = "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX2yZ3Ab4Cd5Ef6Gh7"
	hex64 := strings.Repeat("9f86d081884c7d65", 4)
	url := base64.RawURLEncoding
	for _, ahead := range []time.Duration{-48 * time.Hour, 48 * time.Hour} {
		at := time.Now().Add(ahead).Truncate(time.Second).UTC()
		want := rules.OfflineUnexpired
		if ahead < 0 {
			want = rules.OfflineExpired
		}
		session := "grafana_session=" + hex64[:32]
		for name, text := range map[string]string{
			"WordPress":    fmt.Sprintf("Cookie: wordpress_logged_in_ab=alice%%7C%d%%7C%s%%7C%s", at.Unix(), b62[:43], hex64),
			"forward auth": fmt.Sprintf("Cookie: _forward_auth=%s=|%d|alice@app.example", b62[:43], at.Unix()),
			"Proxmox":      fmt.Sprintf("Cookie: PVEAuthCookie=PVE:alice@pam:%08X::%s==", at.Add(-2*time.Hour).Unix(), strings.Repeat(b62, 7)[:342]),
			"Spring":       "Cookie: remember-me=" + std(fmt.Sprintf("alice:%d:SHA256:%s", at.UnixMilli(), hex64)),
			"Symfony":      "Cookie: REMEMBERME=" + std(fmt.Sprintf("App.User:YWxpY2U=:%d:%s", at.Unix(), hex64)),
			"Devise":       "Cookie: remember_user_token=" + std(fmt.Sprintf(`{"_rails":{"message":"W10=","exp":"%s","pur":"cookie.remember_user_token"}}`, at.Format("2006-01-02T15:04:05.000Z"))) + "--" + hex64[:40],
			"koa":          "Cookie: koa.sess=" + url.EncodeToString(fmt.Appendf(nil, `{"user":"alice","role":"admin","_expire":%d,"_maxAge":86400000}`, at.UnixMilli())),
			"Set-Cookie":   "Set-Cookie: " + session + "; Expires=" + at.Format(time.RFC1123)[:26] + "GMT; HttpOnly",
			"jar":          fmt.Sprintf("app.example\tFALSE\t/\tTRUE\t%d\tgrafana_session\t%s", at.Unix(), hex64[:32]),
			"curl":         fmt.Sprintf(`* Added cookie grafana_session="%s" for domain app.example, path /, expire %d`, hex64[:32], at.Unix()),
			"storage":      fmt.Sprintf(`{"name":"grafana_session","value":"%s","expires":%d.5}`, hex64[:32], at.Unix()),
			"HAR":          fmt.Sprintf(`{"name":"grafana_session","value":"%s","expires":"%s"}`, hex64[:32], at.Format("2006-01-02T15:04:05.000Z")),
		} {
			b := []byte(text + "\n")
			n := 0
			for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}) {
				n++
				if carriers[name] {
					if m.Offline.State != rules.OfflineUnknown || m.Claims.Expires == nil || !m.Claims.Expires.Equal(at) {
						t.Errorf("%s: offline %+v, claims %v; want the claim %s alone", name, m.Offline, m.Claims.Expires, at)
					}
					continue
				}
				if m.Offline.State != want || m.Offline.Expires == nil || !m.Offline.Expires.Equal(at) {
					t.Errorf("%s: %+v, want %s at %s", name, m.Offline, want, at)
				}
			}
			if n != 1 {
				t.Errorf("%s: %d findings in %q", name, n, text)
			}
		}
	}
}
