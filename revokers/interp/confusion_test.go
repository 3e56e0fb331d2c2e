package interp_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// states of a session at an application.
const (
	stateLive    = "live"
	stateOut     = "logged out"
	stateExpired = "expired"
	stateNever   = "never issued"
	stateNone    = "no cookie"
)

// sites are applications with different ways to answer a request with a session. noise is text
// that differs from page to page.
var sites = map[string]func(w http.ResponseWriter, state, noise string){
	"401": func(w http.ResponseWriter, state, noise string) {
		if state != stateLive {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, "<html><h1>Unauthorized</h1>%s</html>", noise)
			return
		}
		fmt.Fprintf(w, "<html>alice %s</html>", noise)
	},
	"a redirect": func(w http.ResponseWriter, state, noise string) {
		if state != stateLive {
			w.Header().Set("Location", "/login?next=/me")
			w.WriteHeader(http.StatusFound)
			return
		}
		fmt.Fprintf(w, "<html>alice %s</html>", noise)
	},
	"the login form in place": func(w http.ResponseWriter, state, noise string) {
		if state != stateLive {
			fmt.Fprintf(w, "<html><title>Sign in</title><form action=/login method=post><input name=u><input name=p type=password></form>%s</html>", noise)
			return
		}
		fmt.Fprintf(w, "<html><title>Account</title>alice %s</html>", noise)
	},
	"a home page for everyone": func(w http.ResponseWriter, state, noise string) {
		if state != stateLive {
			fmt.Fprintf(w, "<html><title>Home</title><a href=/login>Enter</a>%s</html>", noise)
			return
		}
		fmt.Fprintf(w, "<html><title>Home</title>alice <form action=/logout method=post><button>Out</button></form>%s</html>", noise)
	},
	"a document": func(w http.ResponseWriter, state, _ string) {
		if state != stateLive {
			fmt.Fprintf(w, `{"user":null,"at":%d}`, time.Now().Unix())
			return
		}
		fmt.Fprintf(w, `{"user":{"name":"alice"},"at":%d}`, time.Now().Unix())
	},
	"expiry in words of its own": func(w http.ResponseWriter, state, noise string) {
		switch state {
		case stateLive:
			fmt.Fprintf(w, "<html>alice %s</html>", noise)
		case stateExpired, stateOut:
			fmt.Fprintf(w, "<html>Your session has expired. %s</html>", noise)
		default:
			w.Header().Set("Location", "/login")
			w.WriteHeader(http.StatusFound)
		}
	},
	"a bad signature is an error, no session is none": func(w http.ResponseWriter, state, noise string) {
		switch state {
		case stateNever:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "bad cookie")
		default: // everyone else gets the same page
			fmt.Fprintf(w, "<html>Welcome %s</html>", noise)
		}
	},
	"a cookie that is deleted": func(w http.ResponseWriter, state, noise string) {
		if state == stateOut || state == stateExpired {
			w.Header().Set("Set-Cookie", "acme=; Max-Age=0; Path=/")
		}
		if state == stateNever {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, "<html>hello %s</html>", noise)
	},
	"everyone gets in": func(w http.ResponseWriter, _, noise string) { fmt.Fprintf(w, "<html>hello %s</html>", noise) },
}

// noises generate the parts in which two pages of one state differ.
var noises = map[string]func(r *rand.Rand) string{
	"quiet":   func(*rand.Rand) string { return "" },
	"a nonce": func(r *rand.Rand) string { return fmt.Sprintf("<input type=hidden name=nonce value=%x>", r.Uint64()) },
	"a time":  func(*rand.Rand) string { return time.Now().Format("<p>Generated 2006-01-02T15:04:05.000Z</p>") },
	"an id":   func(r *rand.Rand) string { return fmt.Sprintf("<p>Request %08x-%d</p>", r.Uint32(), r.IntN(10000)) },
	"two halves": func(r *rand.Rand) string {
		return []string{"<div><h2>Now new</h2><a href=/a>A</a></div>", "<div class=b>Try B today</div><p>More</p>"}[r.IntN(2)]
	},
	"a script with a nonce": func(r *rand.Rand) string {
		return fmt.Sprintf("<script nonce=%x>window.page={id:'%c%c%x',at:%d,n:\"%s\"};track(\"v1\") // %x</script>", r.Uint64(), 'a'+r.IntN(26), 'a'+r.IntN(26), r.Uint64(), time.Now().UnixMicro(), letters(r, 16), r.Uint32())
	},
	"a count": func(r *rand.Rand) string { return fmt.Sprintf("<p>%d users online</p>", r.IntN(2000)) },
}

// letters is a nonce without a digit.
func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

// lab is one site with one noise.
type lab struct {
	answer func(w http.ResponseWriter, state, noise string)
	noise  func(*rand.Rand) string

	mu     sync.Mutex
	r      *rand.Rand
	states map[string]string // by the cookie's value
}

func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := stateNone
	if c, err := r.Cookie("acme"); err == nil && c.Value != "" {
		if state = l.states[c.Value]; state == "" {
			state = stateNever
		}
	}
	l.answer(w, state, l.noise(l.r))
}

func (l *lab) set(value, state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[value] = state
}

const (
	leakedValue  = "q8Zk2mXw71Lp0vB3nT5rU4yC"
	otherValue   = "H3kPz90sQmWe7TbV2xRn5LdA"
	controlValue = "Zt6YbN1uKq4oGf8JcXw2MhRe"
)

// No answer of any site, however noisy, makes a session Live that is not, or
// Dead that is live.
func TestNoFalseLiveAndNoFalseDead(t *testing.T) {
	ask := func(in *issuer.Instance, asker *guard.Asker, value string, seen *revokers.Sighting, sent, before bool) (revokers.Verdict, *revokers.Sighting) {
		target := webTarget(t, in)
		target.Secret = credential.NewSecretString(value)
		target.Named, target.Seen = true, seen
		p := interp.Probe{Doer: &issuer.Client{Timeout: 5 * time.Second}}
		e, err := asker.Ask(t.Context(), p, target, p.Endpoints(target)[0])
		if err != nil {
			t.Fatal(err)
		}
		if sent {
			e.Sent = &revokers.Acknowledgement{Accepted: true}
		}
		if before {
			e.Before = &revokers.Answer{Class: revokers.Accepts}
		}
		v := revokers.Judge(target, e)
		if v.Liveness == revokers.Live {
			seen = &revokers.Sighting{Endpoint: v.Endpoint, At: v.At, Learned: e.Learned}
		}
		return v, seen
	}
	asked, proven, due := 0, 0, 0
	for name, answer := range sites {
		for kind, noise := range noises {
			for _, control := range []bool{false, true} {
				for seed := range uint64(3) {
					what := fmt.Sprintf("%s, %s, control %v, %d", name, kind, control, seed)
					l := &lab{answer: answer, noise: noise, r: rand.New(rand.NewPCG(seed, 1)), states: map[string]string{controlValue: stateLive, otherValue: stateLive}}
					srv := httptest.NewServer(l)
					u, _ := url.Parse(srv.URL)
					in := &issuer.Instance{Provider: "webapp", URL: u, Operator: true, Cookie: "acme", Settings: map[string]string{"probe_path": "/me", "logout_path": "/logout", "login_path": "/login"}}
					if control {
						in.Controls = []issuer.Control{{Secret: credential.NewSecretString(controlValue)}}
					}
					for _, state := range []string{stateLive, stateOut, stateExpired, stateNever} {
						l.set(leakedValue, state)
						v, _ := ask(in, &guard.Asker{}, leakedValue, nil, false, false)
						asked++
						if v.Liveness == revokers.Live && (state != stateLive || name == "everyone gets in") {
							t.Errorf("%s: %s is Live: %s", what, state, v.Detail)
						}
						if v.Liveness == revokers.Dead && state == stateLive {
							t.Errorf("%s: a live session is Dead: %s", what, v.Detail)
						}
					}
					// A kill: Live, logged out, and the other user's goes on.
					asker := &guard.Asker{}
					l.set(leakedValue, stateLive)
					v, seen := ask(in, asker, leakedValue, nil, false, false)
					if v.Liveness == revokers.Live {
						due++
						l.set(leakedValue, stateOut)
						dead := 0
						for range 8 {
							if v, _ = ask(in, asker, leakedValue, seen, true, true); v.Liveness == revokers.Dead {
								dead++
							}
						}
						if dead == 8 {
							proven++
						} else if name != "expiry in words of its own" && name != "a cookie that is deleted" {
							t.Errorf("%s: %d of 8 looks prove it dead: %s %s", what, dead, v.Reason, v.Detail)
						}
						if v, _ := ask(in, asker, otherValue, nil, false, false); v.Liveness == revokers.Dead {
							t.Errorf("%s: another user's session is Dead", what)
						}
						l.set(leakedValue, stateLive)
						if v, _ := ask(in, asker, leakedValue, seen, true, true); v.Liveness == revokers.Dead {
							t.Errorf("%s: it came back to life and is Dead", what)
						}
					}
					srv.Close()
				}
			}
		}
	}
	t.Logf("%d verdicts of %d sites × %d noises; %d of %d kills are proven", asked, len(sites), len(noises), proven, due)
	if proven == 0 || !strings.Contains(controlValue, "Zt6") {
		t.Error("nothing was proven")
	}
}

// stateWaits is a live session that gets a 401 until its user has entered a second factor.
const stateWaits = "waits for a second factor"

// A refusal that differs from those of never-issued sessions only in a code or in a JSON document
// is not the same refusal, however noisy the page around it is.
func TestARefusalOfALiveSessionIsNoDeath(t *testing.T) {
	page := func(dead, waits string) func(w http.ResponseWriter, state, noise string) {
		return func(w http.ResponseWriter, state, noise string) {
			switch state {
			case stateLive:
				fmt.Fprintf(w, "<html>alice %s</html>", noise)
			case stateWaits:
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprintf(w, "<html><h1>Refused</h1>%s%s</html>", waits, noise)
			default:
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprintf(w, "<html><h1>Refused</h1>%s%s</html>", dead, noise)
			}
		}
	}
	for name, answer := range map[string]func(w http.ResponseWriter, state, noise string){
		"a code":              page("<p>SEC0004010</p>", "<p>SEC0004170</p>"),
		"a number":            page("<p>Refused: 4010</p>", "<p>Refused: 4170</p>"),
		"a document":          page(`<script type="application/json">{"reason":"no_session"}</script>`, `<script type="application/json">{"reason":"mfa"}</script>`),
		"a document of Next":  page(`<script id="__NEXT_DATA__">{"props":{"n":0,"user":null}}</script>`, `<script id="__NEXT_DATA__">{"props":{"n":0,"user":{}}}</script>`),
		"a cut document":      page(`<script type="application/ld+json">{"reason":"no</script>`, `<script type="application/ld+json">{"reason":"mf</script>`),
		"a script's word":     page(`<script>window.S={reason:"no_session",t:"x"}</script>`, `<script>window.S={reason:"mfa",t:"x"}</script>`),
		"a script's number":   page(`<script>show(4010);</script>`, `<script>show(4170);</script>`),
		"a script's code":     page(`<script>a();login()</script>`, `<script>a();factor()</script>`),
		"a text in a script":  page(`<script>S=JSON.parse('{"reason":"none","id":"0"}')</script>`, `<script>S=JSON.parse('{"reason":"mfa","id":"0"}')</script>`),
		"a field's value":     page(`<form><input type=hidden name=reason value=none></form>`, `<form><input type=hidden name=reason value=mfa></form>`),
		"the query of a link": page(`<a href="/login?reason=none">Go</a>`, `<a href="/login?reason=mfa">Go</a>`),
	} {
		for kind, noise := range noises {
			l := &lab{answer: answer, noise: noise, r: rand.New(rand.NewPCG(1, 2)), states: map[string]string{controlValue: stateLive, leakedValue: stateLive}}
			srv := httptest.NewServer(l)
			u, _ := url.Parse(srv.URL)
			in := &issuer.Instance{Provider: "webapp", URL: u, Operator: true, Cookie: "acme", Settings: map[string]string{"probe_path": "/me", "login_path": "/login"}, Controls: []issuer.Control{{Secret: credential.NewSecretString(controlValue)}}}
			asker, p, target := &guard.Asker{}, interp.Probe{Doer: &issuer.Client{Timeout: 5 * time.Second}}, webTarget(t, in)
			target.Secret, target.Named = credential.NewSecretString(leakedValue), true
			ask := func(state string) revokers.Verdict {
				l.set(leakedValue, state)
				e, err := asker.Ask(t.Context(), p, target, p.Endpoints(target)[0])
				if err != nil {
					t.Fatal(err)
				}
				if target.Seen != nil {
					e.Sent, e.Before = &revokers.Acknowledgement{Accepted: true}, &revokers.Answer{Class: revokers.Accepts}
				}
				v := revokers.Judge(target, e)
				if v.Liveness == revokers.Live {
					target.Seen = &revokers.Sighting{Endpoint: v.Endpoint, At: v.At, Learned: e.Learned}
				}
				return v
			}
			if v := ask(stateLive); v.Liveness != revokers.Live {
				t.Errorf("%s, %s: %s, %s", name, kind, v.Liveness, v.Detail)
			}
			for range 4 {
				if v := ask(stateWaits); v.Liveness == revokers.Dead {
					t.Errorf("%s, %s: a live session is Dead: %s", name, kind, v.Detail)
				}
				if v := ask(stateOut); v.Liveness != revokers.Dead {
					t.Errorf("%s, %s: a death is not proven: %s, %s", name, kind, v.Liveness, v.Detail)
				}
			}
			srv.Close()
		}
	}
}
