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
	issuer   map[string]string // fingerprint -> URL of the instance
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

// IssuedBy records which instance a credential is of, by its URL.
func (p *Prober) IssuedBy(fingerprint, instance string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.issuer == nil {
		p.issuer = map[string]string{}
	}
	p.issuer[fingerprint] = instance
}

// Exchange binds c to its rule and its issuer: the one that is known to have
// issued it, or the only one that could have.
func (p *Prober) Exchange(c rules.Credential) (*Exchange, error) {
	list, err := p.exchanges(c)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	known := p.issuer[c.Fingerprint]
	p.mu.Unlock()
	for _, x := range list {
		if known != "" && x.Instance.URL.String() == known {
			return x, nil
		}
	}
	if len(list) > 1 {
		return nil, fmt.Errorf("any of %d instances of %s could have issued it, and none said that it is live", len(list), list[0].Instance.Provider)
	}
	return list[0], nil
}

func (p *Prober) exchanges(c rules.Credential) ([]*Exchange, error) {
	r := p.Set.Rule(c.Rule)
	if r == nil {
		return nil, fmt.Errorf("no rule %q", c.Rule)
	}
	all, err := p.Instances.Candidates(r, c)
	if err != nil {
		return nil, err
	}
	var out []*Exchange
	for _, i := range all {
		out = append(out, &Exchange{Client: p.Client, Instance: i, Rule: r, Credential: c, SeenLive: p.sawLive(c.Fingerprint)})
	}
	return out, nil
}

// Verify implements Verifier. Where several instances could have issued c, each
// is asked until one says live: another's "never heard of it" is no death, so c
// is Dead only if all of them say so. Once its issuer is known, only that is
// asked.
func (p *Prober) Verify(ctx context.Context, c rules.Credential) (Verdict, error) {
	if v, done := p.offline(c); done {
		return v, nil
	}
	list, err := p.exchanges(c)
	if err != nil {
		return unknown(NoHost, "%v", err), nil
	}
	if x, err := p.Exchange(c); err == nil {
		list = []*Exchange{x}
	}
	var last Verdict
	for n, x := range list {
		v := p.verify(ctx, x)
		if v.Liveness == Live {
			p.IssuedBy(c.Fingerprint, x.Instance.URL.String())
			p.SawLive(c.Fingerprint)
			return v, ctx.Err()
		}
		if n == 0 || v.Liveness == Unknown && last.Liveness == Dead {
			last = v
		}
	}
	return last, ctx.Err()
}

// verify asks one issuer, and about what it calls live its negative control.
func (p *Prober) verify(ctx context.Context, x *Exchange) Verdict {
	v := p.ask(ctx, x)
	if v.Liveness != Live {
		return v
	}
	n := p.control(ctx, x)
	if n.err == nil && n.v.Liveness == Live {
		return x.at(unknown(Anything, "the issuer also accepts a %s that was never issued", x.Credential.Kind))
	}
	v.Negative = n.err == nil && n.v.Liveness == Dead
	return v
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
	// Not a fingerprint, so that nothing takes it for a leaked credential's.
	c.Secret, c.Fingerprint, c.Findings, c.Offline = x.Instance.Control, "control of "+x.Instance.URL.String(), nil, rules.Offline{State: rules.OfflineUnknown}
	return c, true
}
