package run

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Whose session a request carries.
const (
	leakedSession  = sessionText
	controlSession = "s%3AopsOPSopsOPSopsOPSopsOPSopsOPSop" + "." + "e5F6e5F6e5F6e5F6e5F6e5F6e5F6e5F6e5F6e5F6e5F"
)

// answers is an application by whose session it is asked with.
type answers struct{ leaked, control, never http.HandlerFunc }

func reply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

var (
	welcome  = reply(200, "<p>hello</p>")
	no       = reply(401, "sign in")
	slow     = reply(429, "later", "Retry-After", "1000")
	down     = reply(503, "maintenance")
	signIn   = reply(302, "", "Location", "/login?next=/me")
	forbids  = reply(403, "forbidden")
	notFound = reply(404, "not found")
)

// serve starts the application at a host of its own.
func (a answers) serve(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := a.never
		if c, err := r.Cookie("connect.sid"); err == nil {
			switch c.Value {
			case leakedSession:
				h = a.leaked
			case controlSession:
				h = a.control
			}
		}
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// named writes an application into a policy.
func namedApp(url, more string) string {
	return fmt.Sprintf("[[instance]]\nprovider = \"express\"\nurl = %q\nown = true\nprobe_path = \"/me\"\n%s\n", url, more)
}

func askHostile(t *testing.T, policy string) Checked {
	t.Helper()
	r := again(t, t.TempDir(), "version = 1\n"+policy, map[string]string{"CTL": controlSession})
	return r.Checker().One(t.Context(), sessionOf(r, leakedSession))
}

const ctl = "control = \"env:CTL\"\n"

// Answers of hostile, careless and broken applications. Each has one verdict, and
// each Unknown a remedy which, once applied, is not given again.
func TestHostileApplications(t *testing.T) {
	huge := strings.Repeat("x", 2<<20)
	count := 0
	var mu sync.Mutex
	alternate := func(a, b http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			count++
			n := count
			mu.Unlock()
			if n%2 == 0 {
				a(w, r)
				return
			}
			b(w, r)
		}
	}
	const sole = "elsewhere = false\n"
	for name, c := range map[string]struct {
		app    answers
		more   string
		want   revokers.Liveness
		reason revokers.Reason
		fix    string // the remedy begins with it
	}{
		"its 401, nothing is configured":                       {answers{no, welcome, no}, "", revokers.Unknown, revokers.Refused, "elsewhere = false"},
		"its 401, with a control":                              {answers{no, welcome, no}, ctl, revokers.Unknown, revokers.Refused, "elsewhere = false"},
		"its 401, elsewhere said":                              {answers{no, welcome, no}, sole, revokers.Unknown, revokers.Refused, "control = "},
		"its 401, both":                                        {answers{no, welcome, no}, ctl + sole, revokers.Dead, "", ""},
		"its 401, and the control is refused":                  {answers{no, no, no}, ctl + sole, revokers.Unknown, revokers.ControlFailed, "control of "},
		"its 401, and the control is throttled":                {answers{no, slow, no}, ctl + sole, revokers.Unknown, revokers.ControlFailed, "control of "},
		"its 401, and the control is sent to the sign-in page": {answers{no, signIn, no}, ctl + sole, revokers.Unknown, revokers.ControlFailed, "control of "},
		"a 401 that never-issued ones do not get":              {answers{reply(401, "session ended by user"), welcome, no}, ctl + sole, revokers.Unknown, revokers.Refused, "dead_marker = "},
		"the same, with the marker":                            {answers{reply(401, "session ended by user"), welcome, no}, ctl + sole + "dead_marker = \"ended by user\"\n", revokers.Dead, "", ""},
		"the marker on a page that is down":                    {answers{reply(503, "ended by user"), welcome, no}, ctl + sole + "dead_marker = \"ended by user\"\n", revokers.Unknown, revokers.Unreachable, "quell check"},
		"a 401 of a WAF that differs each time":                {answers{alternate(reply(401, "ray 1 aaaa bbbb"), reply(401, "ray 2 cccc dddd eeee")), welcome, no}, ctl + sole, revokers.Unknown, revokers.Refused, "dead_marker = "},
		"403 for what is not permitted":                        {answers{forbids, welcome, forbids}, ctl + sole, revokers.Unknown, revokers.Refused, "dead_marker = "},
		"404 for what is not permitted":                        {answers{notFound, welcome, notFound}, ctl + sole, revokers.Unknown, revokers.Refused, "dead_marker = "},
		"redirect to the sign-in page":                         {answers{signIn, welcome, signIn}, ctl + sole, revokers.Unknown, revokers.Refused, "dead_marker = "},
		"redirect, with the marker in its query":               {answers{signIn, welcome, signIn}, ctl + sole + "dead_marker = \"next=/me\"\n", revokers.Dead, "", ""},
		"redirect to another host":                             {answers{reply(302, "", "Location", "https://sso.example/"), welcome, no}, ctl + sole, revokers.Unknown, revokers.Unexpected, "probe_path"},
		"a Basic challenge":                                    {answers{reply(401, "", "WWW-Authenticate", `Basic realm="x"`), welcome, reply(401, "", "WWW-Authenticate", `Basic realm="x"`)}, ctl + sole, revokers.Unknown, revokers.Refused, "probe_path of"},
		"a Basic challenge after a Bearer one":                 {answers{reply(401, "", "WWW-Authenticate", `Bearer, Basic realm="a, b"`), welcome, reply(401, "", "WWW-Authenticate", `Bearer, Basic realm="a, b"`)}, ctl + sole, revokers.Unknown, revokers.Refused, "probe_path of"},
		"a Digest challenge":                                   {answers{reply(401, "", "WWW-Authenticate", `Digest realm="x", nonce="1"`), welcome, reply(401, "", "WWW-Authenticate", `Digest realm="x", nonce="1"`)}, ctl + sole, revokers.Unknown, revokers.Refused, "probe_path of"},
		"a Negotiate challenge":                                {answers{reply(401, "", "WWW-Authenticate", "Negotiate"), welcome, reply(401, "", "WWW-Authenticate", "Negotiate")}, ctl + sole, revokers.Unknown, revokers.Refused, "probe_path of"},
		"the marker under a Negotiate challenge":               {answers{reply(401, "ended", "WWW-Authenticate", "Negotiate"), welcome, no}, ctl + sole + "dead_marker = \"ended\"\n", revokers.Unknown, revokers.Refused, "probe_path of"},
		"everybody is let in":                                  {answers{welcome, welcome, welcome}, ctl + sole, revokers.Unknown, revokers.AcceptsAll, "probe_path of"},
		"one of two never-issued ones is let in":               {answers{welcome, welcome, alternate(welcome, no)}, ctl + sole, revokers.Unknown, revokers.AcceptsAll, "probe_path of"},
		"live":                                                 {answers{welcome, welcome, no}, "", revokers.Live, revokers.Authenticated, ""},
		"live, and never-issued ones are throttled":            {answers{welcome, welcome, slow}, "", revokers.Live, revokers.Authenticated, "quell plan"},
		"throttled":          {answers{slow, welcome, no}, ctl + sole, revokers.Unknown, revokers.Throttled, "quell check"},
		"down":               {answers{down, welcome, no}, ctl + sole, revokers.Unknown, revokers.Unreachable, "quell check"},
		"408":                {answers{reply(408, ""), welcome, reply(408, "")}, ctl + sole, revokers.Unknown, revokers.Unreachable, "quell check"},
		"a refusal of 2 MiB": {answers{reply(401, huge), welcome, reply(401, huge)}, ctl + sole, revokers.Unknown, revokers.Unexpected, "probe_path"},
		"200 without a body": {answers{reply(200, ""), welcome, no}, ctl + sole, revokers.Unknown, revokers.Unexpected, "probe_path"},
		"204":                {answers{reply(204, ""), welcome, no}, ctl + sole, revokers.Unknown, "", ""},
		"a page that says signed out, status 200, marker": {answers{reply(200, "please sign in"), welcome, reply(200, "please sign in")}, ctl + sole + "live_marker = \"hello\"\n", revokers.Unknown, revokers.Refused, "dead_marker = "},
		"step-up is demanded":                             {answers{reply(401, "", "WWW-Authenticate", `Bearer error="insufficient_user_authentication"`), welcome, no}, ctl + sole, revokers.Unknown, revokers.Restricted, "quell check"},
		"the refusal echoes the session": {answers{reply(401, "unknown "+leakedSession), welcome, func(w http.ResponseWriter, r *http.Request) {
			c, _ := r.Cookie("connect.sid")
			w.WriteHeader(401)
			_, _ = fmt.Fprint(w, "unknown "+c.Value)
		}}, ctl + sole, revokers.Dead, "", ""},
		"the refusal has a code of the form of an id": {answers{reply(401, "e1b6f0d2-9c1f-4b7e-8a55-000000000001"), welcome, reply(401, "e1b6f0d2-9c1f-4b7e-8a55-000000000002")}, ctl + sole, revokers.Unknown, revokers.Refused, "dead_marker = "},
	} {
		t.Run(name, func(t *testing.T) {
			url := c.app.serve(t)
			v := askHostile(t, namedApp(url, c.more)).Verdict()
			if name == "204" {
				if v.Liveness == revokers.Dead {
					t.Error("dead")
				}
				return
			}
			if v.Liveness != c.want || c.reason != "" && v.Reason != c.reason {
				t.Errorf("%s %s: %s", v.Liveness, v.Reason, v.Detail)
			}
			if !strings.HasPrefix(v.Remedy, c.fix) || (v.Liveness == revokers.Unknown) != (c.fix != "" && v.Liveness != revokers.Live) {
				t.Errorf("remedy %q, want %q", v.Remedy, c.fix)
			}
			if v.Liveness != revokers.Unknown || v.Reason != revokers.Refused {
				return
			}
			// Following the remedy changes the verdict, or at least what is missing.
			more := c.more
			for _, part := range strings.Split(v.Remedy, ", and ") {
				switch {
				case strings.HasPrefix(part, "control = "):
					more += ctl
				case strings.HasPrefix(part, "elsewhere = false"):
					more += sole
				case strings.HasPrefix(part, "dead_marker = "):
					more += "dead_marker = \"" + markerOf(t, url) + "\"\n"
				}
			}
			if more == c.more {
				return // another page, which this application does not have
			}
			if fixed := askHostile(t, namedApp(url, more)).Verdict(); fixed.Liveness != revokers.Dead {
				t.Errorf("with %q: %s %s: %s, remedy %q", more, fixed.Liveness, fixed.Reason, fixed.Detail, fixed.Remedy)
			}
		})
	}
}

// markerOf is what the operator sees in the answer to an ended session.
func markerOf(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", "connect.sid="+leakedSession)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if to := res.Header.Get("Location"); to != "" {
		return to
	}
	b := make([]byte, 3) // what every answer of the WAF has
	n, _ := res.Body.Read(b)
	return strings.TrimSpace(string(b[:n]))
}

// elsewhere = false is a statement about servers that the policy does not name.
// Where it names another one that can have issued the session, that one decides
// too.
func TestTwoApplicationsThatCanHaveIssuedIt(t *testing.T) {
	const both = ctl + "elsewhere = false\n"
	for name, c := range map[string]struct {
		a, b answers
		want revokers.Liveness
	}{
		"one refuses, the other is silent":      {answers{no, welcome, no}, answers{down, welcome, no}, revokers.Unknown},
		"one refuses, the other is throttled":   {answers{no, welcome, no}, answers{slow, welcome, no}, revokers.Unknown},
		"one refuses, the other redirects":      {answers{no, welcome, no}, answers{signIn, welcome, signIn}, revokers.Unknown},
		"one refuses, the other's control died": {answers{no, welcome, no}, answers{no, no, no}, revokers.Unknown},
		"one refuses, the other accepts":        {answers{no, welcome, no}, answers{welcome, welcome, no}, revokers.Live},
		"one refuses, the other is open to all": {answers{no, welcome, no}, answers{welcome, welcome, welcome}, revokers.Unknown},
		"both refuse":                           {answers{no, welcome, no}, answers{no, welcome, no}, revokers.Dead},
	} {
		for order, first := range map[string]bool{"": true, ", the other way round": false} {
			x, y := namedApp(c.a.serve(t), both), namedApp(c.b.serve(t), both)
			if !first {
				x, y = y, x
			}
			checked := askHostile(t, x+y)
			v := checked.Verdict()
			if v.Liveness != c.want || v.Liveness == revokers.Unknown && v.Remedy == "" {
				t.Errorf("%s%s: %s %s (%s), remedy %q", name, order, v.Liveness, v.Reason, v.Detail, v.Remedy)
			}
			if v.Liveness != revokers.Live && checked.Target != nil {
				t.Errorf("%s%s: it would be ended at %s", name, order, checked.Target.URL())
			}
		}
	}
	// Two that accept it: whose it is is not known, and neither is asked to end it.
	x, y := namedApp(answers{welcome, welcome, no}.serve(t), ""), namedApp(answers{welcome, welcome, no}.serve(t), "")
	if checked := askHostile(t, x+y); checked.Target != nil {
		t.Error("two say live, and one is chosen")
	}
	_ = rules.High
}
