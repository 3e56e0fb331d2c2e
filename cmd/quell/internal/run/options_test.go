package run

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/prove"
)

func TestOnlyTheSelectedItemsAreApplied(t *testing.T) {
	b := setup(t, 4)
	p := b.plan()
	b.applier.Only = []string{"1", p.Items[2].Fingerprint[:8]}
	acts, err := apply(t.Context(), b.applier, p)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, a := range acts {
		if a.Outcome != prove.Confirmed {
			t.Errorf("%s: %s", a.Outcome, a.Detail)
		}
		numbers = append(numbers, a.Item)
	}
	slices.Sort(numbers)
	if !slices.Equal(numbers, []int{1, 3}) {
		t.Errorf("items %v were applied", numbers)
	}
	if r := b.issuer.requests(); len(r) != 1 || len(r[0]) != 2 {
		t.Errorf("%v", r)
	}
	b.applier.Only = []string{"5"}
	if _, err := apply(t.Context(), b.applier, p); err == nil {
		t.Error("an item that the plan does not have is no error")
	}
	// The rest of the plan is applied later.
	b.applier.Only = nil
	b.mustApply(p, prove.Confirmed)
	if r := b.issuer.requests(); len(r) != 2 || len(r[1]) != 2 {
		t.Errorf("%v", r)
	}
}

// ordered records the effects in the order in which they took place.
func ordered(b *bench, v *vaultRole) func() string {
	var acts []string
	v.rotated = func() { acts = append(acts, "rotate") }
	b.issuer.set(func(g *github) { g.revoked = func() { acts = append(acts, "revoke") } })
	return func() string { return strings.Join(acts, " ") }
}

func TestOrderOfRotationAndRevocation(t *testing.T) {
	for _, c := range []struct {
		name  string
		first bool
		want  string
	}{
		{"rotates first, so that consumers always have a value", false, "rotate revoke"},
		{"revokes first if asked", true, "revoke rotate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, 1)
			v := b.managed()
			p := b.plan()
			if p.Items[0].Action != plan.ActRotateRevoke {
				t.Fatalf("%s: %+v", p.Items[0].Action, p.Items[0].Hold)
			}
			acts := ordered(b, v)
			b.applier.RevokeFirst = c.first
			if a := b.mustApply(p, prove.Confirmed)[0]; a.Rotation == nil || a.Receipt == nil || !a.Receipt.Accepted {
				t.Errorf("%+v", a)
			}
			if acts() != c.want {
				t.Errorf("%s", acts())
			}
		})
	}
}

// The rotation fails after the revocation: the item is held with what helps, and
// the next apply rotates and proves without a second revocation.
func TestRevokeFirstAndTheRotationFails(t *testing.T) {
	b := setup(t, 1)
	v := b.managed()
	p := b.plan()
	v.broken = true
	b.applier.RevokeFirst = true
	if a := b.mustApply(p, prove.Held)[0]; !strings.Contains(a.Held, "was sent") || a.Remedy == "" || a.Code != ExitLeft {
		t.Errorf("%+v", a)
	}
	v.broken = false
	for _, again := range []bool{true, false} {
		b.applier.RevokeFirst = again
		b.mustApply(p, prove.Confirmed)
	}
	if r := b.issuer.requests(); len(r) != 1 || v.count() != 1 {
		t.Errorf("%d revocations, %d rotations", len(r), v.count())
	}
}

// An operator turns the switch on while an apply runs: nothing is sent after that.
func TestTheSwitchStopsARunningApply(t *testing.T) {
	for _, c := range []struct {
		name    string
		managed bool
		turn    string // the progress at which the switch is turned on
		want    string // effects
	}{
		{"before the revocation", false, "revoking", ""},
		{"between the rotation and the revocation", true, "revoking", "rotate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, 1)
			v := &vaultRole{}
			if c.managed {
				v = b.managed()
			}
			p := b.plan()
			acts := ordered(b, v)
			on := false
			b.applier.Switch = func(context.Context) *policy.Hold {
				if on {
					return policy.Switch()
				}
				return nil
			}
			b.applier.Progress = func(s string) { on = on || strings.HasPrefix(s, c.turn) }
			if a := b.mustApply(p, prove.Held)[0]; !strings.Contains(a.Held, "kill switch") || a.Remedy == "" {
				t.Errorf("%+v", a)
			}
			if acts() != c.want {
				t.Errorf("%q was sent", acts())
			}
			if types := b.types(b.creds[0]); slices.Contains(types, ledger.TypeReceipt) {
				t.Errorf("%v", types)
			}
			on, b.applier.Progress = false, nil
			b.mustApply(p, prove.Confirmed)
			if len(b.issuer.requests()) != 1 || c.managed && v.count() != 1 {
				t.Errorf("%d revocations, %d rotations", len(b.issuer.requests()), v.count())
			}
		})
	}
}

func TestTheSwitchIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.toml")
	env := map[string]string{"HOME": dir, "XDG_STATE_HOME": dir, "XDG_CONFIG_HOME": dir, "XDG_CACHE_HOME": dir}
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("version = 1\n"+s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	r, err := New(Options{Getenv: func(k string) string { return env[k] }, Policy: file, Redactor: report.NewRedactor()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, policy, why string
		change            func()
	}{
		{"off", "", "", func() {}},
		{"on", "[kill]\ndisabled = true\n", "kill switch", func() {}},
		{"off again", "[kill]\ndisabled = false\n", "", func() {}},
		{"a policy that is half written", "[kill]\ndisab", "can't be read", func() {}},
		{"a policy that is gone", "", "can't be read", func() { _ = os.Remove(file) }},
		{"the environment's", "", "kill switch", func() { env["QUELL_NO_KILL"] = "1" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(c.policy)
			c.change()
			h := r.Switch(t.Context())
			if (h == nil) != (c.why == "") || h != nil && (!strings.Contains(h.Reason, c.why) || h.Remedy == "") {
				t.Errorf("%+v", h)
			}
		})
	}
}
