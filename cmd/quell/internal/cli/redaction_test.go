package cli

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// echoing is an application that repeats the session which it was sent, in any encoding
// and anywhere in an answer, well formed or not.
type echoing struct {
	*rand.Rand
	mu   sync.Mutex
	live map[string]bool
}

// encoded writes a value in one of the forms that a reader can decode.
func encoded(r *rand.Rand, v string) string {
	j, _ := json.Marshal(map[string]string{"session": v})
	return []string{v, url.QueryEscape(v), url.PathEscape(v), hex.EncodeToString([]byte(v)), strings.ToUpper(hex.EncodeToString([]byte(v))), string(j),
		base64.StdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte("x" + v)), base64.StdEncoding.EncodeToString([]byte("yz" + v + "end")),
		fmt.Sprintf("%q", v), url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(v))),
	}[r.IntN(11)]
}

func (e *echoing) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := q.Cookie("acme.sso")
	if err != nil {
		http.Error(w, "sign in", http.StatusUnauthorized)
		return
	}
	text := encoded(e.Rand, c.Value)
	switch e.IntN(200) { // an incident takes about a hundred requests
	case 0: // what Go's client quotes in its errors
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			fmt.Fprintf(conn, [...]string{"HTTP/1.1 %s OK\r\n\r\n", "%s", "HTTP/1.1 200 OK\r\nbad header %s\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: http://[%s\r\n\r\n"}[e.IntN(4)], text)
			conn.Close()
		}
		return
	case 1:
		http.Error(w, "broken: "+text, http.StatusInternalServerError)
		return
	case 2:
		http.Redirect(w, q, "http://127.0.0.2:1/?s="+url.QueryEscape(text), http.StatusFound)
		return
	}
	w.Header().Set("X-Session", text)
	w.Header().Set("Content-Type", "text/html")
	switch {
	case q.URL.Path == "/logout":
		delete(e.live, c.Value)
		http.Redirect(w, q, "/?was="+url.QueryEscape(text), http.StatusSeeOther)
	case e.live[c.Value]:
		fmt.Fprintf(w, "<title>%s</title><p>hello <a href=/logout?s=%s>sign out</a></p>", text, text)
	default:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Session realm=%q", text))
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "<title>Please sign in, %s</title>", text)
	}
}

// sessionValue is a made-up value of a cookie.
func sessionValue(r *rand.Rand) string {
	letters := []string{"0123456789abcdef", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "abcdefghijklmnop0123456789-_.~!*"}[r.IntN(4)]
	var b strings.Builder
	for range 24 + r.IntN(60) {
		b.WriteByte(letters[r.IntN(len(letters))])
	}
	return []string{"", "s%3A", "v1."}[r.IntN(3)] + b.String() + []string{"", "%3D%3D", "=="}[r.IntN(3)]
}

// No output, log, plan, report or table of a whole incident contains a session or a token
// in any form: not as found, in names, nor as an issuer's answers repeat it.
// QUELL_CAMPAIGN is how long new values are tried (make campaign-redaction).
func TestNoOutputOfAnIncidentHasItsSecret(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv("QUELL_CAMPAIGN"))
	campaign := err == nil
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	began, rounds, ended, checked := time.Now(), 0, 0, int64(0)
	for ; rounds < 2 || campaign && time.Since(began) < lasts; rounds++ {
		a, n := redactionRound(t, rand.New(rand.NewPCG(seed, uint64(rounds))))
		ended += a
		checked += n
		if t.Failed() {
			t.Fatalf("seed %d, round %d", seed, rounds)
		}
	}
	t.Logf("%d rounds, %d sessions ended, %d bytes of output checked in %s", rounds, ended, checked, time.Since(began).Round(time.Second))
}

func redactionRound(t *testing.T, r *rand.Rand) (ended int, checked int64) {
	dir, home, out := t.TempDir(), t.TempDir(), t.TempDir()
	app := &echoing{Rand: rand.New(rand.NewPCG(r.Uint64(), 1)), live: map[string]bool{}}
	server := httptest.NewServer(app)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	secrets := []string{sessionValue(r), sessionValue(r), sessionValue(r)}
	control := sessionValue(r)
	for _, s := range append(secrets[:2:2], control) {
		app.live[s] = true
	}
	var log strings.Builder
	for _, s := range secrets {
		j, _ := json.Marshal(map[string]string{"host": host, "cookie": "acme.sso=" + s})
		fmt.Fprintf(&log, "> GET /me HTTP/1.1\n> Host: %s\n> Cookie: acme.sso=%s\n\n%s\n", host, s, j)
		fmt.Fprintf(&log, "config: %s\n", base64.StdEncoding.EncodeToString([]byte("Host: "+host+"\nCookie: acme.sso="+s+"\n")))
		fmt.Fprintf(&log, "##[group]%s\nhttps://%s/x?acme.sso=%s\n", encoded(r, s), host, url.QueryEscape(s))
	}
	write(t, filepath.Join(dir, url.PathEscape(secrets[0]), "job.log"), log.String())
	policy := fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"webapp\"\nurl = %q\nown = true\ncookie = \"acme.sso\"\nprobe_path = \"/me\"\nlogout_path = \"/logout\"\nsettle = \"1ms\"\n", server.URL)
	if r.IntN(2) == 0 {
		policy += "control = \"env:CTL\"\n"
	}
	if r.IntN(4) > 0 {
		policy += "dead_marker = \"Please sign in\"\n"
	}
	write(t, filepath.Join(home, "policy.toml"), policy)
	getenv := func(name string) string {
		return map[string]string{"HOME": home, "XDG_STATE_HOME": home + "/state", "XDG_CONFIG_HOME": home + "/config", "XDG_CACHE_HOME": home + "/cache", "CTL": control, "QUELL_POLICY": home + "/policy.toml"}[name]
	}
	wrote := map[string]string{}
	at := func(name string) string { return filepath.Join(out, name) }
	quell := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		code := Run(t.Context(), args, strings.NewReader(""), &stdout, &stderr, getenv)
		name := fmt.Sprintf("%d: %s", len(wrote), strings.Join(args, " "))
		wrote[name+", standard output"], wrote[name+", standard error"] = stdout.String(), fmt.Sprintf("exit %d\n%s", code, stderr.String())
		return stdout.String()
	}
	scan := []string{"scan", []string{"log", "path"}[r.IntN(2)], dir, "--show", "all,incomplete", "--confidence", "low"}
	for _, format := range report.Formats() {
		quell(append(scan, "--format", format, "--report", format+"="+at(format))...)
	}
	if !strings.Contains(wrote[fmt.Sprintf("0: %s --format text --report text=%s, standard output", strings.Join(scan, " "), at("text"))], "session cookie") {
		t.Error("nothing was found, so nothing is shown")
	}
	quell("check", at("jsonl"))
	quell("policy", "check", "--ask")
	for range 2 { // an answer that decides nothing holds items
		quell("plan", at("jsonl"), "--output", at("plan.json"), "--show", "all", "--break-glass", "INC-7, see "+encoded(r, secrets[0]))
		ended += strings.Count(quell("apply", at("plan.json"), "--format", "jsonl"), `"outcome":"Confirmed"`)
		quell("apply", at("plan.json"))
	}
	quell("ledger", "--admit", base64.StdEncoding.EncodeToString(make([]byte, ed25519.PublicKeySize)), "--reason", "INC-7: Cookie: acme.sso="+secrets[1])
	quell("recheck")
	for _, line := range strings.Split(quell("ledger"), "\n") {
		if id, _, ok := strings.Cut(line, " "); ok && len(id) == 8 && id != "incident" {
			quell("ledger", id)
			quell("ledger", id, "--format", "json")
			quell("ledger", "--prove", id, "--output", at("proof-"+id))
		}
	}
	quell("ledger", "--format", "jsonl")
	quell("ledger", "--export", at("ledger.jsonl"))
	quell("ledger", "--verify")
	for _, root := range []string{home, out} {
		if err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				b, err := os.ReadFile(p)
				wrote["the file "+p] = string(b)
				return err
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range wrote {
		checked += int64(len(b))
	}
	for n, s := range append(secrets, control) {
		for form, text := range shapes(s) {
			for where, b := range wrote {
				if strings.Contains(b, text) {
					i := strings.Index(b, text)
					t.Errorf("secret %d (%s) as %s is in %s: …%s…", n, s, form, where, b[max(0, i-80):min(len(b), i+len(text)+80)])
				}
			}
		}
	}
	return ended, checked
}
