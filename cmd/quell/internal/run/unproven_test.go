package run

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/rules"
)

// A logout can't be taken back: a live session whose death could not be proven is held before the
// logout is sent, with the command that proposes settings. Nothing else keeps the kill from being
// planned: the same application with one form of refusal, or with --break-glass, gets it.
func TestAKillThatCouldNotBeProvenIsHeld(t *testing.T) {
	var n atomic.Int64
	differs := func(w http.ResponseWriter, _ *http.Request) {
		k := n.Add(1)
		w.WriteHeader(400 + int(k%3))
		fmt.Fprint(w, strings.Repeat(fmt.Sprintf("<p>%d</p>", k), int(k%5)+1))
	}
	const held = "its death could not be proven"
	for name, c := range map[string]struct {
		app        answers
		more       string
		breakGlass string
		held       bool
	}{
		"a form of refusal":                        {answers{welcome, welcome, no}, ctl, "", false},
		"refusals without a form in common":        {answers{welcome, welcome, differs}, ctl, "", true},
		"a control that is not live":               {answers{welcome, no, no}, ctl, "", true},
		"refusals without a form, and a marker":    {answers{welcome, welcome, differs}, ctl + "dead_marker = \"signed out\"\n", "", false},
		"refusals without a form, and break-glass": {answers{welcome, welcome, differs}, ctl, "INC-7: the application is ours", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := again(t, t.TempDir(), "version = 1\n"+namedApp(c.app.serve(t), c.more+"logout_path = \"/logout\"\n"), map[string]string{"CTL": controlSession})
			checked, err := r.Checker().Check(t.Context(), []rules.Credential{sessionOf(r, leakedSession)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			planner := r.Planner(c.breakGlass)
			p, err := planner.Plan(t.Context(), checked)
			if err != nil {
				t.Fatal(err)
			}
			it := p.Items[0]
			switch {
			case c.held && (it.Action != plan.ActHeld || it.Hold == nil || !strings.HasPrefix(it.Hold.Reason, held) || !strings.Contains(it.Hold.Remedy, "quell policy check --ask")):
				t.Errorf("%s %+v", it.Action, it.Hold)
			case !c.held && !it.Kills():
				t.Errorf("%s %+v", it.Action, it.Hold)
			}
		})
	}
}
