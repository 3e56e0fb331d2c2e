package postgres

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// The leaked password opens sessions until it has ended: the time up to which sessions
// end is read after that, and before the consumers reload.
func TestSessionsAreNotedOnceThePasswordEnded(t *testing.T) {
	const staticRole, reload, lease = 10, 50, 60 // of package vault
	for name, c := range map[string]struct {
		with          issuer.Rotation
		after, before int
	}{
		"a static role": {issuer.Rotation{Sessions: true, StaticRole: "database/app"}, staticRole, reload},
		"generated":     {issuer.Rotation{Sessions: true, Generate: "default"}, orderSet, reload},
		"a lease":       {issuer.Rotation{Sessions: true, Lease: "database/creds/app/1"}, lease, orderEnd},
	} {
		u := &url.URL{Scheme: "postgres", Host: "127.0.0.1:5432", Path: "/app"}
		in := &issuer.Instance{Provider: "postgres", URL: u, Admin: credential.NewSecretString("watch:made-up"), Settings: map[string]string{"user": "app"}, Rotate: &c.with}
		steps, err := Rotator{}.Steps(t.Context(), revokers.Target{Instance: in})
		if err != nil {
			t.Fatal(name, err)
		}
		n := slices.IndexFunc(steps, func(s revokers.Step) bool { return s.Name == noteSessions })
		if n < 0 || steps[n].Order <= c.after || steps[n].Order >= c.before {
			t.Errorf("%s: %+v", name, steps)
		}
		if last := steps[len(steps)-1]; last.Name != endSessions || !strings.Contains(string(last.Effect.Body), "after the old password ended") {
			t.Errorf("%s: %+v", name, last)
		}
	}
}
