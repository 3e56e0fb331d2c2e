// Package revokers asks issuers whether a credential is alive, ends it, and
// proves that it is dead. It never imports scanners: what it acts on are
// rules' credentials.
package revokers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/quellhq/quell/rules"
)

// Liveness is what is known of a credential. The zero value is Unknown.
type Liveness int

const (
	Unknown Liveness = iota
	Live
	Dead
)

var livenessNames = []string{"unknown", "live", "dead"}

func (l Liveness) String() string { return livenessNames[l] }

// MarshalText writes unknown, live or dead.
func (l Liveness) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads it back.
func (l *Liveness) UnmarshalText(b []byte) error {
	for i, n := range livenessNames {
		if n == string(b) {
			*l = Liveness(i)
			return nil
		}
	}
	return fmt.Errorf("liveness %q is not live, dead or unknown", b)
}

// Reasons of a verdict.
const (
	Authenticated = "authenticated"
	Revoked       = "revoked"
	Expired       = "expired"
	Restricted    = "restricted"
	Throttled     = "throttled"
	Unreachable   = "unreachable"
	Unsupported   = "unsupported"
	Unexpected    = "unexpected"       // an answer that means nothing
	NoHost        = "no host"          // nobody named where it could be asked
	Anything      = "accepts anything" // the negative control was Live too
	Canary        = "canary"
	Malformed     = "malformed" // its own check digits are wrong
)

// Verdict is an answer to "is it alive?".
type Verdict struct {
	Liveness Liveness          `json:"liveness"`
	Reason   string            `json:"reason"`
	Detail   string            `json:"detail,omitempty"`
	Host     string            `json:"host,omitempty"`
	Identity map[string]string `json:"identity,omitempty"` // subject, owner, scopes …, as the issuer told
	Expires  *time.Time        `json:"expires,omitempty"`
	At       time.Time         `json:"at"`
	// Negative says that a token which was never issued was refused by the
	// same probe.
	Negative bool `json:"negative_control,omitempty"`
}

// Receipt is the issuer's answer to a revocation: a claim, never a proof.
type Receipt struct {
	Accepted bool      `json:"accepted"`
	Status   int       `json:"status,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	At       time.Time `json:"at"`
}

// Rotation is a replacement and where its consumers find it.
type Rotation struct {
	Where  string    `json:"where"`
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"`
}

// A Verifier reports whether c is alive. An error means that the question
// could not be asked.
type Verifier interface {
	Verify(ctx context.Context, c rules.Credential) (Verdict, error)
}

// A Revoker asks the issuer to end c. It is idempotent. A Receipt is a claim;
// see Confirm.
type Revoker interface {
	Revoke(ctx context.Context, c rules.Credential) (Receipt, error)
}

// A Rotator replaces c with a fresh credential where its consumers will find
// it.
type Rotator interface {
	Rotate(ctx context.Context, c rules.Credential) (Rotation, error)
}

// Preview is a request as a plan shows it: variables stand for secrets.
type Preview struct {
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
}

func unknown(reason, format string, args ...any) Verdict {
	return Verdict{Reason: reason, Detail: fmt.Sprintf(format, args...), At: time.Now().UTC()}
}
