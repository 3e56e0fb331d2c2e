package vault

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
)

// A replacement lives for longer once it can be found again: in KV, or in all of the
// stores of builds, whose writes have the order 40.
func TestAReplacementIsExtendedOnceItIsWritten(t *testing.T) {
	const stores = 40
	for name, c := range map[string]struct {
		with          issuer.Rotation
		after, before int
		state         revokers.State
	}{
		"stores alone":  {issuer.Rotation{Reissue: true, Stores: []string{"github:acme/app#X"}}, stores, orderReload, revokers.Unsure},
		"KV and stores": {issuer.Rotation{Reissue: true, KV: "secret/ci#token", Stores: []string{"github:acme/app#X"}}, orderWrite, stores, revokers.NotDone},
	} {
		_, target := against(t, always(404, `{"errors":[]}`), "made-up", c.with)
		steps, err := rotator().Steps(t.Context(), target)
		if err != nil {
			t.Fatal(name, err)
		}
		for _, s := range steps {
			if s.Name != extendToken {
				continue
			}
			if s.Order <= c.after || s.Order >= c.before {
				t.Errorf("%s: order %d", name, s.Order)
			}
			if state, err := rotator().Did(t.Context(), target, s, nil); err != nil || state != c.state {
				t.Errorf("%s: %v %v", name, state, err)
			}
		}
	}
}

// A lost token lives for its trial, or for the period of the leaked token or of the token
// role: until then no other is issued.
func TestForHowLongALostTokenLives(t *testing.T) {
	for name, c := range map[string]struct {
		token, role int // periods in seconds
		age         time.Duration
		ended       bool
	}{
		"no period, soon":            {0, 0, time.Minute, false},
		"no period, after the trial": {0, 0, 7 * time.Minute, true},
		"the token's period":         {3600, 0, 7 * time.Minute, false},
		"the role's period":          {0, 3600, 7 * time.Minute, false},
		"after the role's period":    {0, 3600, 62 * time.Minute, true},
		"a short period":             {10, 10, 4 * time.Minute, false},
	} {
		f, target := against(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/v1/auth/token/roles/ci" {
				fmt.Fprintf(w, `{"data":{"name":"ci","orphan":true,"token_period":%d}}`, c.role)
				return
			}
			fmt.Fprintf(w, `{"data":{"accessor":"a","period":%d}}`, c.token)
		}, "made-up-leaked", issuer.Rotation{Reissue: true, Token: "ci", KV: "secret/ci#token"})
		step := revokers.Step{Name: issueToken}
		mark, err := rotator().Mark(t.Context(), target, step)
		if err != nil || len(f.requests()) != 2 {
			t.Fatal(name, err)
		}
		var at, lives int64
		if _, err := fmt.Sscanf(string(mark), "%d %d", &at, &lives); err != nil {
			t.Fatal(name, err)
		}
		err = rotator().Undo(t.Context(), target, step, fmt.Appendf(nil, "%d %d", at-int64(c.age.Seconds()), lives))
		if (err == nil) != c.ended || err != nil && !strings.Contains(err.Error(), "more (hint: apply again then)") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
