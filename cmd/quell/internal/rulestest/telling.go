package rulestest

import (
	"context"

	"github.com/quellhq/quell/revokers"
)

// telling is a verifier that announces to the case's server which credential is asked about:
// the case's own credential is the only one that was issued.
type telling struct {
	revokers.Verifier
	server *server
	own    revokers.Target
}

// Verify implements revokers.Verifier.
func (t telling) Verify(ctx context.Context, target revokers.Target, endpoint string) (revokers.Answer, error) {
	never := !target.Secret.Equal(t.own.Secret)
	t.server.ask(never)
	defer t.server.ask(false)
	return t.Verifier.Verify(ctx, target, endpoint)
}
