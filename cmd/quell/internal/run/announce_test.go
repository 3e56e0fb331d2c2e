package run

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// collateral makes n credentials whose revocation ends others too, under a policy that
// allows that after a delay. The messages to its webhook are recorded.
func collateral(t *testing.T, n int, delay time.Duration) (b *bench, announced *[]string) {
	t.Helper()
	b = setup(t, n)
	revoke := &b.set.Rule("github-pat").Revokes[0]
	revoke.Tier, revoke.Collateral = rules.TierCollateral, "it ends every session of the user"
	tiers, d := []rules.Tier{rules.TierSelf, rules.TierCollateral}, rules.Duration(delay)
	b.applier.Policy.Kill.Tiers, b.applier.Policy.Kill.Delay = &tiers, &d
	announced = &[]string{}
	b.applier.Notify = func(_ context.Context, text string) ([]string, error) {
		*announced = append(*announced, text)
		return []string{"hooks.example.com"}, nil
	}
	return b, announced
}

func TestAKillThatTakesMoreWaitsForItsNotice(t *testing.T) {
	b, told := collateral(t, 3, time.Hour)
	p := b.plan()
	for range 2 {
		for _, a := range b.mustApply(p, prove.Held) {
			if a.SendsFrom == nil || time.Until(*a.SendsFrom) < 59*time.Minute || !strings.HasPrefix(a.Held, "delay") || !strings.Contains(a.Remedy, "a new plan") || a.Code != ExitLeft {
				t.Errorf("held: %s; remedy: %s; from %v; code %d", a.Held, a.Remedy, a.SendsFrom, a.Code)
			}
		}
	}
	if len(*told) != 1 || len(b.issuer.requests()) != 0 {
		t.Fatalf("%d messages, %d requests", len(*told), len(b.issuer.requests()))
	}
	for _, c := range b.creds {
		if strings.Contains((*told)[0], c.Secret.Reveal()) || !strings.Contains((*told)[0], "every session") {
			t.Errorf("the message: %s", (*told)[0])
		}
		entries, err := b.applier.Ledger.Incident(t.Context(), c.Fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		var notices []ledger.Notice
		for _, e := range entries {
			if n, ok := e.Body.(ledger.Notice); ok {
				notices = append(notices, n)
			}
		}
		if len(notices) != 1 || notices[0].Until == nil || notices[0].To != "hooks.example.com" {
			t.Errorf("%+v", notices)
		}
	}
	// Today's policy decides: the delay is over.
	*b.applier.Policy.Kill.Delay = 0
	b.mustApply(p, prove.Confirmed)
	if len(*told) != 1 || len(b.issuer.requests()) != 1 {
		t.Errorf("%d messages, %d requests", len(*told), len(b.issuer.requests()))
	}
}

// The notice counts for a later plan too: contain makes one each time.
func TestANoticeCountsForALaterPlan(t *testing.T) {
	b, told := collateral(t, 1, time.Hour)
	b.mustApply(b.plan(), prove.Held)
	*b.applier.Policy.Kill.Delay = 0
	var got []report.Action
	if err := b.applier.Apply(t.Context(), b.plan(), "plan-2", func(a report.Action) error { got = append(got, a); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Outcome != prove.Confirmed || len(*told) != 1 {
		t.Errorf("%+v, %d messages", got, len(*told))
	}
}

func TestWithoutANoticeNothingIsSent(t *testing.T) {
	b, _ := collateral(t, 1, 0)
	p := b.plan()
	b.applier.Notify = func(context.Context, string) ([]string, error) {
		return nil, errors.New("notify hooks.example.com: no answer in time")
	}
	if a := b.mustApply(p, prove.Held)[0]; !strings.Contains(a.Held, "no notice") || a.Remedy == "" {
		t.Errorf("%+v", a)
	}
	if types := b.types(b.creds[0]); slices.Contains(types, ledger.TypeNotice) || len(b.issuer.requests()) != 0 {
		t.Errorf("%v", types)
	}
	// One of two webhooks is enough, and without any the ledger has the notice.
	b.applier.Notify = nil
	b.mustApply(p, prove.Confirmed)
	if types := b.types(b.creds[0]); !slices.Contains(types, ledger.TypeNotice) {
		t.Errorf("%v", types)
	}
}

func TestWhatGivesNoNotice(t *testing.T) {
	for name, change := range map[string]func(b *bench){
		"a dry run":                                  func(b *bench) { b.applier.DryRun = true },
		"a kill of the one credential":               func(b *bench) { b.set.Rule("github-pat").Revokes[0].Tier = rules.TierSelf },
		"a kill that the policy does not allow":      func(b *bench) { b.applier.Policy.Kill.Tiers = nil },
		"a kill that the switch stops":               func(b *bench) { b.applier.NoKill = true },
		"a kill that an earlier apply began to send": func(b *bench) { b.crashed(b.plan(), true) },
	} {
		t.Run(name, func(t *testing.T) {
			b, told := collateral(t, 1, time.Hour)
			p := b.plan()
			change(b)
			if _, err := apply(t.Context(), b.applier, p); err != nil || len(*told) != 0 {
				t.Errorf("%v %v", *told, err)
			}
		})
	}
}

// The webhook's path is a secret: it is neither in the output nor in the ledger.
func TestTheWebhookOfAPolicyStaysSecret(t *testing.T) {
	hits := 0
	const path = "/services/T000/made-up-path-of-a-hook"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hits++; r.URL.Path != path {
			t.Error(r.URL)
		}
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	env := map[string]string{"HOME": dir, "XDG_STATE_HOME": dir, "XDG_CONFIG_HOME": dir, "XDG_CACHE_HOME": dir, "HOOK": s.URL + path}
	rt, err := New(Options{Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	rt.Policy = &policy.Policy{Version: 1, Notify: []string{"env:HOOK", "http://127.0.0.1:1" + path}}
	led, err := ledger.Open(t.Context(), filepath.Join(dir, "x.db"), ledger.Options{Key: signKey})
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	a, err := rt.Applier(led, "")
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := a.Notify(t.Context(), "text")
	if hits != 1 || len(hosts) != 1 || err == nil || strings.Contains(err.Error(), "made-up") {
		t.Errorf("%d %v %v", hits, hosts, err)
	}
	if out := rt.Redactor.String("see " + env["HOOK"]); strings.Contains(out, "made-up") {
		t.Error(out)
	}
}
