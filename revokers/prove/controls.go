package prove

import (
	"context"
	"sync"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
)

// Controls asks controls on behalf of concurrent confirmations. Callers that arrive while a
// request is in flight share the next request, so that no answer is older than the question.
type Controls struct {
	mu    sync.Mutex
	lanes map[string]*lane
}

type lane struct {
	mu   guard.Turn // held during a request
	next *shared    // the request that has not begun
}

type shared struct {
	once   sync.Once
	answer *revokers.Answer
	err    error
}

// Ask asks v about control at an endpoint.
func (c *Controls) Ask(ctx context.Context, v revokers.Verifier, control revokers.Target, endpoint string) (*revokers.Answer, error) {
	key := control.Rule.ID + "\x00" + control.Instance.Key() + "\x00" + endpoint + "\x00" + control.Cookie
	c.mu.Lock()
	if c.lanes == nil {
		c.lanes = map[string]*lane{}
	}
	l := c.lanes[key]
	if l == nil {
		l = &lane{mu: guard.NewTurn()}
		c.lanes[key] = l
	}
	if l.next == nil {
		l.next = &shared{}
	}
	s := l.next
	c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.once.Do(func() {
		c.mu.Lock()
		if l.next == s {
			l.next = nil
		}
		c.mu.Unlock()
		a, err := v.Verify(ctx, control, endpoint)
		s.answer, s.err = &a, err
	})
	return s.answer, s.err
}
