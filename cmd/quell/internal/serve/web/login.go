package web

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/rules"
)

// visitor is who sends a request.
type visitor struct {
	Person  string
	Method  string // token or oidc
	Subject string // at the OpenID provider
	Approve bool
	id      string // of the session; empty: a caller of the API
	csrf    string
}

// sessionMost is the longest that a login lasts.
const sessionMost = 24 * time.Hour

// cookie is the name of the session's cookie. The prefix makes browsers refuse it from a subdomain
// and without TLS.
func (c *Console) cookie(r *http.Request) string {
	if c.secure(r) {
		return "__Host-quell"
	}
	return "quell"
}

func (c *Console) setCookie(w http.ResponseWriter, r *http.Request, name, value string, age int) {
	// Lax, not Strict: a link in a message opens the page. What changes something is POST, and other
	// sites' are refused.
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: c.secure(r), SameSite: http.SameSiteLaxMode})
}

// visitor reads the session of a request; false: there is none.
func (c *Console) visitor(r *http.Request) (visitor, bool, error) {
	k, err := r.Cookie(c.cookie(r))
	if err != nil || k.Value == "" || len(k.Value) > 100 {
		return visitor{}, false, nil
	}
	now := time.Now()
	x, err := c.o.Store.Session(r.Context(), k.Value, now)
	if errors.Is(err, store.ErrUnknown) {
		return visitor{}, false, nil
	}
	if err != nil {
		return visitor{}, false, err
	}
	v := visitor{Person: x.Person, Method: x.Method, Subject: x.Subject, Approve: x.Approve, id: k.Value}
	// Removed people and reduced rights take effect at once.
	switch x.Method {
	case MethodToken:
		u, ok := c.user(x.Person)
		if !ok || !u.Read {
			return visitor{}, false, nil
		}
		v.Approve = u.Approve
	default:
		// The provider knows who has left a group; quell learns it at the next login.
		if c.o.People.OIDC == nil || !now.Before(x.Created.Add(c.most(x.Method))) {
			return visitor{}, false, nil
		}
	}
	if now.Sub(x.Seen) > time.Minute {
		if err := c.o.Store.Touch(r.Context(), k.Value, now, earlier(now.Add(c.o.People.Session), x.Created.Add(c.most(x.Method)))); err != nil {
			return visitor{}, false, err
		}
	}
	v.csrf = csrfOf(k.Value)
	return v, true, nil
}

// most is the longest that a login by a method lasts.
func (c *Console) most(method string) time.Duration {
	if o := c.o.People.OIDC; method == MethodOIDC && o != nil {
		return min(cmp.Or(o.Recheck, RecheckDefault), sessionMost)
	}
	return sessionMost
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (c *Console) user(name string) (User, bool) {
	for _, u := range c.o.People.Users {
		if u.Name == name {
			return u, true
		}
	}
	return User{}, false
}

// csrfOf is the token of a session's forms.
func csrfOf(session string) string {
	m := hmac.New(sha256.New, []byte(session))
	m.Write([]byte("quell form"))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// Methods of signing in.
const (
	MethodToken = "token"
	MethodOIDC  = "oidc"
)

// signedIn admits people that have a session, and sends others to the login page.
func (c *Console) signedIn(h func(http.ResponseWriter, *http.Request, visitor) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok, err := c.visitor(r)
		if err != nil {
			c.failed(w, r, visitor{}, err)
			return
		}
		if !ok {
			if r.Method != http.MethodGet {
				c.fail(w, r, visitor{}, http.StatusUnauthorized, "You are not signed in any more.")
				return
			}
			to := "/login"
			if localPath(r.URL.Path) {
				to += "?next=" + r.URL.Path
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil {
				c.fail(w, r, v, http.StatusBadRequest, "The form can't be read.")
				return
			}
			if !hmac.Equal([]byte(r.PostForm.Get("csrf")), []byte(v.csrf)) {
				c.fail(w, r, v, http.StatusForbidden, "The form is not one of this session. Open the page again.")
				return
			}
		}
		if err := h(w, r, v); err != nil {
			c.failed(w, r, v, err)
		}
	})
}

var local = regexp.MustCompile(`^/[a-z]{1,20}(/[A-Za-z0-9_-]{1,128})?$`)

// localPath reports whether a path is one of a page, so that a redirect leaves to no other site.
func localPath(p string) bool { return local.MatchString(p) && !strings.HasPrefix(p, "/log") }

type loginData struct {
	Tokens, OIDC bool
	Issuer       string
	Next, Error  string
}

func (c *Console) loginForm(w http.ResponseWriter, r *http.Request, code int, next, message string) {
	d := loginData{Tokens: len(c.o.People.Users) > 0, Next: next, Error: message}
	if o := c.o.People.OIDC; o != nil {
		d.OIDC, d.Issuer = true, hostOf(o.Issuer)
	}
	if !localPath(d.Next) {
		d.Next = ""
	}
	if err := c.render(w, r, code, "login", visitor{}, page{Title: "Sign in", Data: d}); err != nil {
		c.failed(w, r, visitor{}, err)
	}
}

func (c *Console) loginPage(w http.ResponseWriter, r *http.Request) {
	c.loginForm(w, r, http.StatusOK, r.URL.Query().Get("next"), "")
}

// login signs in with a token.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.fail(w, r, visitor{}, http.StatusBadRequest, "The form can't be read.")
		return
	}
	next := r.PostForm.Get("next")
	u, ok := c.byToken(strings.TrimSpace(r.PostForm.Get("token")))
	if !ok || !u.Read {
		// Only what is refused counts: all people have one address if a proxy is in front, and a
		// stranger's guesses must not lock them out.
		if !c.limit.allow(r.RemoteAddr) {
			w.Header().Set("Retry-After", "10")
			c.loginForm(w, r, http.StatusTooManyRequests, next, "Too many attempts. Wait ten seconds.")
			return
		}
		c.o.Log("a login was refused", "from", addressOf(r.RemoteAddr))
		c.loginForm(w, r, http.StatusUnauthorized, next, "This token is not one of the configuration.")
		return
	}
	c.begin(w, r, visitor{Person: u.Name, Method: MethodToken, Approve: u.Approve}, next)
}

// byToken compares a token with all users', each in constant time: how long it takes depends on
// the token's length alone.
func (c *Console) byToken(token string) (found User, ok bool) {
	given := rules.NewSecretString(token)
	defer given.Wipe()
	for _, u := range c.o.People.Users {
		if u.Token.Equal(given) {
			found, ok = u, true
		}
	}
	return found, ok
}

// begin starts a session under a new id, whatever id the browser sent (session fixation).
func (c *Console) begin(w http.ResponseWriter, r *http.Request, v visitor, next string) {
	if k, err := r.Cookie(c.cookie(r)); err == nil {
		if err := c.o.Store.End(r.Context(), k.Value); err != nil {
			c.failed(w, r, visitor{}, err)
			return
		}
	}
	id, now := random(), time.Now()
	x := store.Session{Person: v.Person, Method: v.Method, Subject: v.Subject, Approve: v.Approve, Created: now, Seen: now, Expires: now.Add(min(c.o.People.Session, c.most(v.Method)))}
	if err := c.o.Store.Begin(r.Context(), id, x); err != nil {
		c.failed(w, r, visitor{}, err)
		return
	}
	c.o.Log("login", "person", v.Person, "by", v.Method)
	c.setCookie(w, r, c.cookie(r), id, int(c.most(v.Method).Seconds()))
	if !localPath(next) {
		next = "/"
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// random is 32 random bytes.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := c.o.Store.End(r.Context(), v.id); err != nil {
		return err
	}
	c.setCookie(w, r, c.cookie(r), "", -1)
	w.Header().Set("Clear-Site-Data", `"cache", "cookies", "storage"`)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// limiter limits refused attempts to sign in, for each address and over all.
type limiter struct {
	mu    sync.Mutex
	by    map[string]*rate.Limiter
	total *rate.Limiter
}

// An address may try ten times at once and then every three seconds; all together, 200 times and
// then 20 times a second.
const (
	tries     = 10
	every     = 3 * time.Second
	maxLimits = 4096
)

func newLimiter() *limiter {
	return &limiter{by: map[string]*rate.Limiter{}, total: rate.NewLimiter(20, 200)}
}

func (l *limiter) allow(remote string) bool {
	key := addressOf(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.by[key]
	if x == nil {
		if len(l.by) >= maxLimits {
			clear(l.by) // the limit of all still holds
		}
		x = rate.NewLimiter(rate.Every(every), tries)
		l.by[key] = x
	}
	return x.Allow() && l.total.Allow()
}

// addressOf is the address of a client; of IPv6 its network of 64 bits, which one client has.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Unmap().Is4() {
		return host
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return p.String()
}
