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
