package revokers

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/quellhq/quell/rules"
)

// Native is what TOML can't say about an issuer, in Go.
type Native interface {
	// Probe decides liveness.
	Probe(ctx context.Context, x *Exchange) Verdict
}

// NativeRevoke is a revocation in Go.
type NativeRevoke interface {
	Revoke(ctx context.Context, x *Exchange) (Receipt, error)
	Preview(x *Exchange) []Preview
}

// Natives are the natives by the names that rules files use.
type Natives struct {
	Probes  map[string]Native
	Revokes map[string]NativeRevoke
}

// Prober is the Verifier for all rules: offline verdicts first, then one probe
// at the issuer that the rules or the operator pinned, and for whatever is
// Live a negative control.
type Prober struct {
	Set       *rules.Set
	Natives   Natives
	Instances Instances
	Client    *Client
	// IsCanary tells credentials that must never be used: the operator's list.
	IsCanary func(rules.Credential) bool

	mu       sync.Mutex
	negative map[string]*negative
	seen     map[string]bool
}

// negative is the result of one negative control, asked for once.
type negative struct {
	once sync.Once
	v    Verdict
	err  error
}

// SawLive records that the credential was live before this process.
func (p *Prober) SawLive(fingerprint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[string]bool{}
	}
	p.seen[fingerprint] = true
}

func (p *Prober) sawLive(fingerprint string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[fingerprint]
}

// Exchange binds c to its rule and issuer.
func (p *Prober) Exchange(c rules.Credential) (*Exchange, error) {
	r := p.Set.Rule(c.Rule)
	if r == nil {
		return nil, fmt.Errorf("no rule %q", c.Rule)
	}
	i, err := p.Instances.Resolve(r, c)
	if err != nil {
		return nil, err
	}
	return &Exchange{Client: p.Client, Instance: i, Rule: r, Credential: c, SeenLive: p.sawLive(c.Fingerprint)}, nil
}

// Verify implements Verifier.
func (p *Prober) Verify(ctx context.Context, c rules.Credential) (Verdict, error) {
	if v, done := p.offline(c); done {
		return v, nil
	}
	x, err := p.Exchange(c)
	if err != nil {
		return unknown(NoHost, "%v", err), nil
	}
	v := p.ask(ctx, x)
	if v.Liveness != Live {
		return v, ctx.Err()
	}
	n := p.control(ctx, x)
	if n.err == nil && n.v.Liveness == Live {
		return x.at(unknown(Anything, "the issuer also accepts a %s that was never issued", c.Kind)), nil
	}
	v.Negative = n.err == nil && n.v.Liveness == Dead
	p.SawLive(c.Fingerprint)
	return v, ctx.Err()
}

// offline is the verdict that needs nobody's answer.
func (p *Prober) offline(c rules.Credential) (Verdict, bool) {
	r := p.Set.Rule(c.Rule)
	switch {
	case r == nil || r.Probe == nil:
		return unknown(Unsupported, "nothing that only reads tells whether a %s is alive", c.Rule), true
	case p.IsCanary != nil && p.IsCanary(c):
		return unknown(Canary, "a canary: it is never sent anywhere"), true
	case !r.ValidChecksum(c.Secret.Reveal()):
		return unknown(Malformed, "its check digits are wrong: it was not issued, or not copied whole"), true
	case c.Offline.State == rules.OfflineExpired:
		return Verdict{Liveness: Dead, Reason: Expired, Detail: "it says so itself", Expires: c.Offline.Expires, At: time.Now().UTC()}, true
	}
	return Verdict{}, false
}

func (p *Prober) ask(ctx context.Context, x *Exchange) Verdict {
	if missing, ok := x.Has(x.Rule.Probe.Needs); !ok {
		return x.at(unknown(Unsupported, "the instance has no %s", missing))
	}
	if name := x.Rule.Probe.Native; name != "" {
		n, ok := p.Natives.Probes[name]
		if !ok {
			return unknown(Unsupported, "no native %s", name)
		}
		return x.at(n.Probe(ctx, x))
	}
	return x.Probe(ctx)
}

// control asks the same probe about a credential that was never issued, once
// for each rule and issuer.
func (p *Prober) control(ctx context.Context, x *Exchange) *negative {
	key := x.Rule.ID + "\x00" + x.Instance.URL.String()
	p.mu.Lock()
	if p.negative == nil {
		p.negative = map[string]*negative{}
	}
	n := p.negative[key]
	if n == nil {
		n = &negative{}
		p.negative[key] = n
	}
	p.mu.Unlock()
	n.once.Do(func() {
		fake, err := x.Rule.NeverIssued(x.Credential.Secret, rand.Reader)
		if err != nil {
			n.err = err
			return
		}
		y := *x
		y.Credential.Secret, y.Kept, y.SeenLive = fake, nil, false
		n.v = p.ask(ctx, &y)
	})
	return n
}

// Control makes the credential that proves that probes get through: the
// operator's own at the same issuer.
func (x *Exchange) Control() (rules.Credential, bool) {
	if x.Instance.Control.IsZero() || x.Instance.Control.Equal(x.Credential.Secret) {
		return rules.Credential{}, false
	}
	c := x.Credential
	c.Secret, c.Fingerprint, c.Findings, c.Offline = x.Instance.Control, "", nil, rules.Offline{State: rules.OfflineUnknown}
	return c, true
}
