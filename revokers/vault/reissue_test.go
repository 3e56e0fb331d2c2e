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
		_, target := against(t, says(404, `{"errors":[]}`), "made-up", c.with)
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

// A lost token ends by itself after the trial, but a periodic one does not.
func TestALostTokenThatIsPeriodic(t *testing.T) {
	for period, want := range map[int]string{0: "", 3600: "revoke -accessor"} {
		f, target := against(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"data":{"accessor":"a","period":%d}}`, period)
		}, "made-up-leaked", issuer.Rotation{Reissue: true, KV: "secret/ci#token"})
		old := fmt.Append(nil, time.Now().Add(-time.Hour).Unix())
		err := rotator().Undo(t.Context(), target, revokers.Step{Name: issueToken}, old)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "made-up")) {
			t.Errorf("period %d: %v", period, err)
		}
		if len(f.requests()) == 0 {
			t.Error("the token was not looked up")
		}
	}
}
