package run

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/revokers/rows"
	"github.com/quellhq/quell/rules"
)

// quell is killed after it deleted the row of a session, before the receipt. Without a control
// the death counts only if the store accepted: its row was there, and is gone.
func TestARowThatWasDeletedBeforeACrash(t *testing.T) {
	for name, c := range map[string]struct {
		late    map[string]string
		receipt bool
		want    prove.Outcome
	}{
		"the row was there":                     {map[string]string{rows.LateRows: "1"}, false, prove.Confirmed},
		"the table had no such row":             {map[string]string{rows.LateRows: "0"}, false, prove.Unconfirmed},
		"nothing is known about the row":        {nil, false, prove.Unconfirmed},
		"the store answered that it refused it": {map[string]string{rows.LateRows: "1"}, true, prove.Unconfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			s, home := newSite(t, sessionText), t.TempDir()
			path := filepath.Join(home, "sessions.db")
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(`CREATE TABLE session (sid TEXT PRIMARY KEY)`); err != nil {
				t.Fatal(err)
			}
			pol := strings.Replace(s.policy("sessions_db = \"env:DB\"\n"), "logout_path = \"/logout\"\n", "", 1)
			r := again(t, home, pol, map[string]string{"DB": "sqlite:" + path})
			cred := sessionOf(r, sessionText)
			checked, err := r.Checker().Check(t.Context(), []rules.Credential{cred}, nil)
			if err != nil {
				t.Fatal(err)
			}
			p, err := r.Planner("").Plan(t.Context(), checked)
			if err != nil || !p.Items[0].Kills() || p.Items[0].Requests[0].Method != "SQL" {
				t.Fatalf("%v: %+v", err, p.Items[0])
			}
			led, err := r.Ledger(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer led.Close()
			it, was := p.Items[0], checked[0].Verdict()
			before := ledger.Verdict{Verdict: was}
			request := ledger.Request{Method: it.Requests[0].Method, URL: it.Requests[0].URL, Body: it.Requests[0].Body, Late: c.late}
			lease, err := led.Acquire(t.Context(), time.Minute, cred.Fingerprint)
			if err != nil || len(lease) != 1 {
				t.Fatal(lease, err)
			}
			entries := []ledger.Entry{{Incident: cred.Fingerprint, Run: "plan", Body: ledger.Intent{Action: "revoke", Method: it.Revoke, Instance: it.Instance, Endpoint: was.Endpoint, Requests: []ledger.Request{request}, Batch: 1, Fence: lease[0].Fence, Attempt: 1, Before: &before, Learned: it.Seen.Learned}}}
			if c.receipt {
				entries = append(entries, ledger.Entry{Incident: cred.Fingerprint, Run: "plan", Body: ledger.Receipt{Action: "revoke", Detail: "refused", At: time.Now()}})
			}
			if err := led.Append(t.Context(), entries...); err != nil {
				t.Fatal(err)
			}
			if err := led.Release(t.Context(), lease[0]); err != nil {
				t.Fatal(err)
			}
			s.set(func(s *site) { delete(s.live, sessionText) })
			a, err := r.Applier(led, "")
			if err != nil {
				t.Fatal(err)
			}
			var got report.Action
			if err := a.Apply(t.Context(), p, "plan", func(x report.Action) error { got = x; return nil }); err != nil {
				t.Fatal(err)
			}
			if got.Outcome != c.want {
				t.Errorf("%s: %s; %+v", got.Outcome, got.Detail, got.Receipt)
			}
			if r, err := led.Verify(t.Context(), nil); err != nil || !r.OK() {
				t.Error(r.Problems, err)
			}
		})
	}
}
