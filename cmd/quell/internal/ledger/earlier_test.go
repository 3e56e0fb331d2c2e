package ledger

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

type earlierBody struct {
	name string
	kind Type
	body string
	want Body
}

// earlierBodies are bodies as the release before the table schema_version wrote
// them.
func earlierBodies() []earlierBody {
	at := time.Date(2026, 5, 3, 1, 16, 34, 0, time.UTC)
	return []earlierBody{
		{"found is a list of locations", TypeFound, `[{"source":"log","path":"job.log","line":3,"column":9,"end_line":3,"end_column":40,"offset":100,"end_offset":131}]`,
			Found{Exposures: []rules.Location{{Source: "log", Path: "job.log", Line: 3, Column: 9, EndLine: 3, EndColumn: 40, Offset: 100, EndOffset: 131}}}},
		{"found is null", TypeFound, `null`, Found{}},
		{"a verdict's reason has spaces", TypeVerdict, `{"liveness":"unknown","reason":"accepts anything","detail":"a \"reason\":\"of two words\" stays","host":"git.example.com","identity":{"subject":"root"},"at":"2026-05-03T01:16:34Z","negative_control":true}`,
			Verdict{Verdict: revokers.Verdict{Reason: "accepts_anything", Detail: `a "reason":"of two words" stays`, Host: "git.example.com", Identity: map[string]string{"subject": "root"}, At: at, NegativeControl: true}}},
		{"held is a string", TypeHeld, `"the kill switch is on"`, Held{Reason: "the kill switch is on"}},
		{"held has a lever", TypeHeld, `{"why":"not owned","lever":"[[own]] in the policy"}`, Held{Reason: "not owned", Remedy: "[[own]] in the policy"}},
		{"held is null", TypeHeld, `null`, Held{}},
		{"an intent to revoke", TypeIntent, `{"action":"revoke","host":"git.example.com","method":"self","requests":[{"method":"DELETE","url":"https://git.example.com/api/v4/personal_access_tokens/self","header":{"Private-Token":"{token}"},"body":{"a":1}}],"together":3}`,
			Intent{Action: "revoke", Host: "git.example.com", Method: "self", Batch: 3, Requests: []Request{{Method: "DELETE", URL: "https://git.example.com/api/v4/personal_access_tokens/self", Header: map[string]string{"Private-Token": "{token}"}, Body: []byte(`{"a":1}`)}}}},
		{"an intent to rotate", TypeIntent, `{"action":"rotate","with":{"vault":"https://vault.example.com","static_role":"database/app"}}`,
			Intent{Action: "rotate", With: &Store{Vault: "https://vault.example.com", StaticRole: "database/app"}}},
		{"an action of several words", TypeIntent, `{"action":"rotate and revoke"}`, Intent{Action: "rotate_and_revoke"}},
		{"an intent to delete a log", TypeIntent, `{"action":"delete the run's logs","found_at":[{"source":"log","path":"a","line":1,"column":1,"end_line":1,"end_column":2,"offset":0,"end_offset":1}]}`,
			Intent{Action: "delete_logs", FoundAt: []rules.Location{{Source: "log", Path: "a", Line: 1, Column: 1, EndLine: 1, EndColumn: 2, EndOffset: 1}}}},
		{"a receipt", TypeReceipt, `{"accepted":true,"status":204,"at":"2026-05-03T01:16:34Z"}`, Receipt{Accepted: true, Status: 204, At: at}},
		{"a receipt of a deletion", TypeReceipt, `{"action":"delete the run's logs","outcome":"deleted, and gone"}`, Receipt{Accepted: true, Action: "delete_logs", Detail: "deleted, and gone"}},
		{"a rotation", TypeRotation, `{"where":"vault.example.com database/app","detail":"version 2","at":"2026-05-03T01:16:34Z"}`, Rotation{Where: "vault.example.com database/app", Detail: "version 2", At: at}},
		{"the looks of a proof", TypeObservation, `{"outcome":"Confirmed","detail":"d","control":"no positive control","observations":[{"after":1000,"verdict":{"liveness":"dead","reason":"revoked","at":"2026-05-03T01:16:34Z"},"control":{"liveness":"live","reason":"authenticated","at":"2026-05-03T01:16:34Z"}}],"took":5}`,
			Observation{prove.Confirmation{Outcome: prove.Confirmed, Detail: "d", Control: "no_positive_control", Took: 5, Observations: []prove.Observation{{After: 1000, Verdict: revokers.Verdict{Liveness: revokers.Dead, Reason: "revoked", At: at}, Control: &revokers.Verdict{Liveness: revokers.Live, Reason: "authenticated", At: at}}}}}},
		{"a derived credential", TypeDerived, `{"fingerprint":"ab","kind":"refresh token","redacted":"gho_…x","liveness":"dead","reason":"no host"}`,
			Derived{Fingerprint: "ab", Kind: "refresh token", Redacted: "gho_…x", Liveness: revokers.Dead, Reason: "no_host"}},
		{"an outcome", TypeOutcome, `{"control":"no positive control","detail":"d","outcome":"UntilExpiry","seconds":1.5}`, Outcome{Outcome: "UntilExpiry", Detail: "d", Control: "no_positive_control", Seconds: 1.5}},
		{"an override", TypeOverride, `{"reason":"INC-1, no time"}`, Override{Reason: "INC-1, no time"}},
	}
}

func TestBodiesOfTheEarlierReleaseAreRead(t *testing.T) {
	for _, c := range earlierBodies() {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decode(c.kind, []byte(c.body))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("%v\n got %+v\nwant %+v", err, got, c.want)
			}
			b, err := encode(got)
			if err != nil {
				t.Fatal(err)
			}
			for _, old := range []string{"no positive control", "rotate and revoke", "delete the", "accepts anything", "lever", "together", "no host"} {
				if strings.Contains(string(b), old) {
					t.Errorf("written as %s", b)
				}
			}
			if again, err := Decode(c.kind, b); err != nil || !reflect.DeepEqual(again, c.want) {
				t.Errorf("not read back: %v\n%s", err, b)
			}
		})
	}
}
