package revokers

import (
	"fmt"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

// leeway is how long ago a credential's own expiry must be: clocks differ.
const leeway = 5 * time.Minute

// Over reports whether a credential expired according to its own content, longer
// ago than clocks differ.
func Over(c credential.Ref, now time.Time) bool {
	return c.Offline.State == credential.OfflineExpired && c.Offline.Expires != nil && now.Sub(*c.Offline.Expires) > leeway
}

// WithoutAsking is the verdict about a credential that needs no request or must
// not be sent. ok is false if its issuer has to be asked.
func WithoutAsking(set *rules.Set, c credential.Credential, canary bool, now time.Time) (Verdict, bool) {
	r := set.Rule(c.Rule)
	switch {
	case Honeytoken(set, c):
		v := Undecided(Canary, "a known honeytoken: it is never sent anywhere")
		v.Remedy = "none: its account belongs to a service that reports every use"
		return v, true
	case canary:
		return Undecided(Canary, "a canary: it is never sent anywhere"), true
	case r != nil && !r.ValidChecksum(c.Secret.Reveal()):
		v := Undecided(Malformed, "its check digits are wrong: it was not issued, or not copied whole")
		v.Remedy = wholeRemedy(r.ID)
		return v, true
	case Over(c.Ref, now):
		return Verdict{Liveness: Dead, Reason: Expired, Detail: "its own content shows that it expired", Expires: c.Offline.Expires, At: now.UTC()}, true
	case r == nil || !r.Probed():
		v := Undecided(Unsupported, "no request that only reads can tell whether a %s is live", c.Rule)
		if r != nil && r.Note != "" {
			v.Detail += ": " + r.Note
		}
		if r != nil && r.Provider != nil {
			v.Remedy = PageRemedy(r.Provider.ID)
		}
		if add := AddCommand(set, c); add != "" {
			v.Reason, v.Remedy = NoHost, add
			v.Detail = fmt.Sprintf("no instance of the policy has the cookie %q", c.Cookie)
			if r != nil && r.Note != "" {
				v.Detail += "; " + r.Note
			}
		}
		return v, true
	}
	return Verdict{}, false
}

// Stateless returns the form of a session whose state is in the cookie itself. ok is
// false if the application stores the state, or if the form does not show it.
func (t Target) Stateless() (form token.Stateless, ok bool) {
	if t.Kind != credential.KindSessionCookie {
		return form, false
	}
	form, ok = token.StatelessCookie(t.Cookie, t.Secret.Reveal())
	switch {
	case t.Rule.AnyForm:
		return form, ok
	case t.Rule.Stateless && !ok:
		return token.Stateless{Form: t.Rule.Description, Remedy: "change the key that signs it, which ends everyone's"}, true
	}
	return form, t.Rule.Stateless
}

// Pair returns the cookie without which t's own cookie is refused: its signature,
// where the control has one, where one was found near, or where the value is a
// session that holds no signature itself. Which of the signatures in a text
// belongs to a cookie is a guess, so a refusal of the pair proves nothing unless
// it was Live before. It is empty for other credentials.
func (t Target) Pair() string {
	for name, p := range t.Rule.Parts {
		if p.Suffix == "" || t.Cookie == "" {
			continue
		}
		c, _ := t.Instance.Control(t.Rule)
		_, control := c.Parts[name]
		_, found := t.Parts[name]
		if control || found || token.Unsigned(t.Secret.Reveal()) {
			return t.Cookie + p.Suffix
		}
	}
	return ""
}
