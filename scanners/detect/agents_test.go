package detect

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

// tokens generates values that no issuer ever issued.
type tokens struct{ r *rand.Rand }

func (x tokens) of(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[x.r.IntN(len(alphabet))]
	}
	return string(b)
}

func (x tokens) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[x.r.IntN(16)]
	}
	return string(b)
}

func (x tokens) jwt(claims string) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + e.EncodeToString([]byte(claims)) + "." + e.EncodeToString([]byte(x.of(256)))
}

// TestAgentsFiles covers the files in which agents and their tools keep sessions, each in the
// form that its program writes.
func TestAgentsFiles(t *testing.T) {
	e := New(builtin(t))
	x := tokens{rand.New(rand.NewPCG(5, 6))}
	future, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	type want struct {
		rule  string
		state rules.OfflineState
	}
	sid, oat, ort := "sk-ant-sid07-"+x.of(92)+"AA", "sk-ant-oat01-"+x.of(93)+"AA", "sk-ant-ort01-"+x.of(93)+"AA"
	codex := x.jwt(fmt.Sprintf(`{"iss":"https://auth.openai.com","exp":%d,"scope":"openid"}`, past.Unix()))
	cursor := x.jwt(`{"iss":"https://authentication.cursor.sh","type":"session"}`)
	opaque, refresh, ya, one, hf := x.of(43), x.of(64), "ya29."+x.of(160), "1//0g"+x.of(60), "hf_"+strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'k'
		}
		return r
	}, x.of(34))
	copilot := fmt.Sprintf("tid=%s;exp=%d;sku=free;st=dotcom;chat=1;8kp=1:%s", x.hex(32), past.Unix(), x.hex(64))
	for name, f := range map[string]struct {
		text string
		want map[string]want
	}{
		"~/.claude/.credentials.json": {fmt.Sprintf(`{"claudeAiOauth":{"accessToken":"%s","refreshToken":"%s","expiresAt":%d,"scopes":["user:inference"],"subscriptionType":"max"}}`, oat, ort, future.UnixMilli()),
			map[string]want{oat: {"claude-oauth-token", "unknown"}, ort: {"claude-refresh-token", "unknown"}}},
		"claude.ai in a transcript": {`{"type":"user","message":{"content":"here: Cookie: sessionKey=` + sid + `; x=1\n"}}`, map[string]want{sid: {"claude-session", "unknown"}}},
		"~/.codex/auth.json": {fmt.Sprintf(`{"OPENAI_API_KEY":null,"tokens":{"id_token":"%s","access_token":"%s","refresh_token":"rt_%s","account_id":"1"}}`, codex, codex, refresh),
			map[string]want{codex: {"jwt", "expired"}, "rt_" + refresh: {"codex-refresh-token", "unknown"}}},
		"Copilot": {`{"endpoints":{},"token":"` + copilot + `","refresh_in":1500}`, map[string]want{copilot: {"copilot-token", "expired"}}},
		"Cursor":  {"Cookie: WorkosCursorSessionToken=user_" + "01JABCDEFGHJKMNPQRSTVWXYZ0" + "%3A%3A" + cursor, map[string]want{"user_01JABCDEFGHJKMNPQRSTVWXYZ0%3A%3A" + cursor: {"cursor-session", "unknown"}}},
		"~/.mcp-auth/mcp-remote-0.1/x_tokens.json": {fmt.Sprintf("{\n  \"access_token\": \"%s\",\n  \"token_type\": \"Bearer\",\n  \"expires_in\": 3600,\n  \"refresh_token\": \"%s\"\n}", opaque, refresh),
			map[string]want{opaque: {"oauth-access-token", "unknown"}, refresh: {"oauth-refresh-token", "unknown"}}},
		"opencode's mcp-auth.json": {fmt.Sprintf(`{"srv":{"tokens":{"accessToken":"%s","refreshToken":"%s","expiresAt":%d}}}`, opaque, refresh, past.Unix()),
			map[string]want{opaque: {"oauth-access-token", "unknown"}, refresh: {"oauth-refresh-token", "unknown"}}},
		"mcp.json, a header":          {`{"mcpServers":{"a":{"url":"https://mcp.example/","headers":{"Authorization":"Bearer ` + opaque + `"}}}}`, map[string]want{opaque: {"bearer-token", "unknown"}}},
		"mcp.json, an argument":       {`{"command":"npx","args":["mcp-remote","https://mcp.example/sse?token=` + opaque + `"]}`, map[string]want{opaque: {"named-token-plain", "unknown"}}},
		"mcp.json, the environment":   {`{"env":{"ACME_API_TOKEN":"` + opaque + `"}}`, map[string]want{opaque: {"named-token", "unknown"}}},
		"~/.gemini/oauth_creds.json":  {fmt.Sprintf(`{"access_token":"%s","refresh_token":"%s","scope":"x","token_type":"Bearer","expiry_date":%d}`, ya, one, past.UnixMilli()), map[string]want{ya: {"google-access-token", "unknown"}, one: {"google-refresh-token", "unknown"}}},
		"~/.cache/huggingface/token":  {hf + "\n", map[string]want{hf: {"huggingface-access-token", "unknown"}}},
		"~/.aws/sso/cache/x.json":     {fmt.Sprintf(`{"startUrl":"https://a.awsapps.com/start","accessToken":"%s","expiresAt":"%s","refreshToken":"%s"}`, opaque, past.UTC().Format(time.RFC3339), refresh), map[string]want{opaque: {"oauth-access-token", "unknown"}, refresh: {"oauth-refresh-token", "unknown"}}},
		"Cursor's state.vscdb, a row": {"cursorAuth/accessToken\t" + cursor + "\n", map[string]want{cursor: {"jwt", "unknown"}}},
	} {
		got := map[string]want{}
		for _, m := range matches(e, f.text) {
			got[m.Secret.Reveal()] = want{m.Rule.ID, m.Offline.State}
		}
		for value, w := range f.want {
			if got[value] != w {
				t.Errorf("%s: %.20s…: %v, want %v", name, value, got[value], w)
			}
			delete(got, value)
		}
		for value, w := range got {
			t.Errorf("%s: %.20s… is found besides: %v", name, value, w)
		}
	}
}
