package run

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// A text of the day, a short one, and one that a live session's page has in a
// script are no markers.
func TestAProposedMarkerIsOnEveryPageOfItsKind(t *testing.T) {
	var n atomic.Int64
	page := func(status int, own, script string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			i := n.Add(1)
			w.WriteHeader(status)
			fmt.Fprintf(w, "<html><title>Home</title><p>Word of the day %c%c</p>", 'a'+rune(i%26), 'a'+rune(i/26%26))
			for k := range 40 + i%7 { // so much that nothing is learned of the pages
				fmt.Fprintf(w, "<p>text%c%c%c%c</p>", 'a'+rune(i%26), 'a'+rune(i/26%26), 'a'+rune(k%26), 'a'+rune(k/26))
			}
			fmt.Fprintf(w, "<p>%s</p><script>%s</script></html>", own, script)
		}
	}
	ask := func(a answers, more string) []string {
		r := again(t, t.TempDir(), "version = 1\n"+namedApp(a.serve(t), "control = \"env:CTL\"\n"+more), map[string]string{"CTL": controlSession})
		shown, err := r.AskInstances(t.Context())
		if err != nil || len(shown) != 1 {
			t.Fatalf("%v, %v", shown, err)
		}
		return shown[0].Settings
	}
	dead := page(401, "Bye</p><p>Log in again</p><p>Please sign in to go on", "")
	live := page(200, "Hello Alice Example", "var later = 'Log in again'")
	settings := ask(answers{dead, live, dead}, "")
	if i := slices.IndexFunc(settings, func(s string) bool { return strings.HasPrefix(s, "dead_marker") }); i < 0 || settings[i] != `dead_marker = "Please sign in to go on"` {
		t.Errorf("%q", settings)
	}
	dead = page(200, "Please sign in to go on", "'Hello'")
	settings = ask(answers{dead, live, dead}, "")
	if i := slices.IndexFunc(settings, func(s string) bool { return strings.HasPrefix(s, "live_marker") }); i < 0 || settings[i] != `live_marker = "Hello Alice Example"` {
		t.Errorf("%q", settings)
	}
}

// A wrong control or page is reported with its cause and the next step.
func TestWhatAskingAnApplicationShows(t *testing.T) {
	page := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<html><title>%s</title><p>%s</p></html>", text, text)
		}
	}
	dead, live := page(401, "Please sign in"), page(200, "Hello Alice Example")
	for name, c := range map[string]struct {
		with          answers
		control       bool
		problem, next string
		proposed      string
	}{
		"a live control":                   {answers{dead, live, dead}, true, "", "", ""},
		"no control":                       {answers{dead, live, dead}, false, "no control is configured", "sign in to ", ""},
		"no control, and no page":          {answers{page(404, "Not found"), live, page(404, "Not found")}, false, "no control is configured", "check probe_path: the application answers 404", ""},
		"a control that is over":           {answers{dead, dead, dead}, true, "it is no longer live", "renew the control", ""},
		"a page that is not there":         {answers{page(404, "Not found"), page(404, "Not found"), page(404, "Not found")}, true, "the page is not there: the control gets 404", "", "probe_path = "},
		"a page that is everybody's":       {answers{page(200, "Welcome"), page(200, "Welcome"), page(200, "Welcome")}, true, "get the same page", "if it is live, everybody gets that page", "probe_path = "},
		"a page that differs in its words": {answers{page(200, "Please sign in to go on"), page(200, "Hello Alice Example"), page(200, "Please sign in to go on")}, true, "differ in their text alone", "", "live_marker = "},
	} {
		more := ""
		if c.control {
			more = "control = \"env:CTL\"\n"
		}
		r := again(t, t.TempDir(), "version = 1\n"+namedApp(c.with.serve(t), more), map[string]string{"CTL": controlSession})
		shown, err := r.AskInstances(t.Context())
		if err != nil || len(shown) != 1 {
			t.Fatalf("%s: %v, %v", name, shown, err)
		}
		s := shown[0]
		if (s.Problem == "") != (c.problem == "") || !strings.Contains(s.Problem, c.problem) || (s.Next == "") != (c.next == "") || !strings.Contains(s.Next, c.next) {
			t.Errorf("%s: problem %q, next %q, settings %q", name, s.Problem, s.Next, s.Settings)
		}
		if c.proposed != "" && !slices.ContainsFunc(s.Settings, func(x string) bool { return strings.HasPrefix(x, c.proposed) }) {
			t.Errorf("%s: %q", name, s.Settings)
		}
	}
}
