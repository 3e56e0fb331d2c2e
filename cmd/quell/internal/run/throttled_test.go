package run

import (
	"context"

	"github.com/quellhq/quell/revokers"
)

// onlyKnown throttles questions about credentials that the issuer does not
// know.
type onlyKnown struct {
	revokers.Verifier
	b *bench
}

func (v onlyKnown) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	v.b.issuer.mu.Lock()
	_, known := v.b.issuer.live[t.Secret.Reveal()]
	v.b.issuer.mu.Unlock()
	if !known {
		return revokers.Answer{Class: revokers.Silent, Endpoint: endpoint, Reason: revokers.Throttled, Status: 429}, nil
	}
	return v.Verifier.Verify(ctx, t, endpoint)
}
