package plan

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// earlierPlan is a plan as the release before identifiers with underscores wrote it.
const earlierPlan = `{"version":1,"created":"2026-05-03T10:00:00Z","recipients":["age1p3h0d5vtqf6n2w9c60yfz57l25sms500jlug3x34mstmtfhgq93snsd2mu"],"items":[` +
	`{"fingerprint":"99867260802154bb0a5361d4b742b9b2","rule":"express-session","provider":"express","kind":"session cookie","redacted":"s%3A…(80 bytes)","cookie":"connect.sid","offline":{"state":"unknown"},"exposures":[{"source":"log","path":"b.log","line":1,"column":21,"end_line":1,"end_column":101,"offset":20,"end_offset":100}],"verdict":{"liveness":"live","reason":"authenticated","detail":"the issuer answered 200","host":"127.0.0.1:39727","at":"2026-05-03T10:00:00Z","negative_control":true},"action":"revoke","instance":"http://127.0.0.1:39727","revoke":"logout","tier":"self","scope":"this session","reversible":false,"settle":"1s","requests":[{"method":"POST","url":"http://127.0.0.1:39727/logout","header":{"Cookie":"connect.sid={token}"}}],"sealed":"YWdl"},` +
	`{"fingerprint":"a1","rule":"vault-service-token","provider":"vault","kind":"bearer token","redacted":"hvs.…","offline":{"state":"unknown"},"exposures":[],"verdict":{"liveness":"live","reason":"authenticated"},"action":"rotate and revoke","scope":"all sessions of the user","reversible":false,"rotate":{"vault":"http://127.0.0.1:8200","static_role":"app"},"sealed":"YWdl"},` +
	`{"fingerprint":"b2","rule":"jwt","kind":"JWT","redacted":"eyJ…","offline":{"state":"unexpired"},"exposures":[],"verdict":{"liveness":"unknown","reason":"signed out"},"action":"until expiry","scope":"everybody","reversible":false,"sealed":""}]}`

func TestAPlanOfAnEarlierReleaseLoads(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]any{
		"plan": json.RawMessage(earlierPlan), "key": base64.StdEncoding.EncodeToString(pub),
		"signature": base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte("quell plan v1\n"+earlierPlan))),
	})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := Verify(file, []ed25519.PublicKey{pub}, time.Now())
	if err != nil || len(p.Items) != 3 {
		t.Fatal(err)
	}
	for i, want := range []struct {
		action string
		scope  rules.Scope
		kills  bool
		reason revokers.Reason
	}{
		{ActRevoke, rules.ScopeSession, true, revokers.Authenticated},
		{ActRotateRevoke, rules.ScopeUser, true, revokers.Authenticated},
		{ActWait, rules.ScopeEveryone, false, revokers.SignedOut},
	} {
		if it := p.Items[i]; it.Action != want.action || it.Scope != want.scope || it.Kills() != want.kills || it.Verdict.Reason != want.reason {
			t.Errorf("item %d: %s %s %s", i+1, it.Action, it.Scope, it.Verdict.Reason)
		}
	}
	first := p.Items[0]
	if first.Kind != rules.KindSessionCookie || first.Requests[0].Header["Cookie"] != "connect.sid={token}" || time.Duration(first.Settle) != time.Second || p.Items[1].Rotate.StaticRole != "app" {
		t.Errorf("%+v", first)
	}
}
