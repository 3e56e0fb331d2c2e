package serve

import (
	"slices"
	"sync"
	"time"

	"github.com/quellhq/quell/rules"
)

// own are the credentials that the server works with: quell never ends one of them, though it
// leaked and the policy allows it.
type own struct {
	mu     sync.Mutex
	fixed  []rules.Secret // of the configuration
	tokens []minted       // of a GitHub App's installations
}

type minted struct {
	secret rules.Secret
	at     time.Time
}

// mintedLasts is longer than an installation's token, which expires after an hour.
const mintedLasts = 2 * time.Hour

func (o *own) add(s rules.Secret) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fixed = append(o.fixed, s)
}

func (o *own) minted(s rules.Secret) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tokens = slices.DeleteFunc(o.tokens, func(m minted) bool { return time.Since(m.at) > mintedLasts })
	o.tokens = append(o.tokens, minted{s, time.Now()})
}

func (o *own) all() []rules.Secret {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := slices.Clone(o.fixed)
	for _, m := range o.tokens {
		out = append(out, m.secret)
	}
	return out
}

// knows keeps a secret of the configuration out of what leaves the process, and from being ended.
func (s *Server) knows(secret rules.Secret) {
	s.o.Redactor.Add(secret)
	s.own.add(secret)
}
