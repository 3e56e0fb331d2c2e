// Package revokers has the values and interfaces of killing: targets, answers,
// verdicts and effects, and Judge, the only function that turns answers into a
// verdict.
package revokers

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Liveness is what is known about a credential. The zero value is Unknown.
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

// UnmarshalText reads unknown, live or dead.
func (l *Liveness) UnmarshalText(b []byte) error {
	i := slices.Index(livenessNames, string(b))
	if i < 0 {
		return fmt.Errorf("liveness %q is not live, dead or unknown", b)
	}
	*l = Liveness(i)
	return nil
}

// Reason explains a verdict in one machine-readable word.
type Reason string

// Reasons of Live and Dead.
const (
	Authenticated Reason = "authenticated"
	Revoked       Reason = "revoked"
	Expired       Reason = "expired"
	SignedOut     Reason = "signed_out"
)

// Reasons of Unknown that leave a question unanswered: the run is incomplete.
const (
	Refused       Reason = "refused"          // refused, without what Dead needs
	OtherIssuer   Reason = "other_issuer"     // the text places it at another host
	ControlFailed Reason = "control_failed"   // the operator's own credential was refused too
	Throttled     Reason = "throttled"        // 429, a limit, or no time left to ask
	Unreachable   Reason = "unreachable"      // no response, or 5xx
	Restricted    Reason = "restricted"       // the issuer demands more than the credential
	Unexpected    Reason = "unexpected"       // a response without a meaning
	AcceptsAll    Reason = "accepts_anything" // a never-issued credential was accepted
)

// Reasons of Unknown for which there was nothing to ask.
const (
	Unsupported Reason = "unsupported" // no read-only request decides
	NoHost      Reason = "no_host"     // no instance that it could belong to
	Canary      Reason = "canary"
	Malformed   Reason = "malformed" // its own check digits are wrong
	Partial     Reason = "partial"   // the value is incomplete
	Offline     Reason = "offline"
)

var unanswered = []Reason{Refused, OtherIssuer, ControlFailed, Throttled, Unreachable, Restricted, Unexpected, AcceptsAll}

// Reasons lists all reasons.
func Reasons() []Reason {
	return append([]Reason{Authenticated, Revoked, Expired, SignedOut, Unsupported, NoHost, Canary, Malformed, Partial, Offline}, unanswered...)
}

// Unanswered lists the reasons that leave a question unanswered.
func Unanswered() []Reason { return slices.Clone(unanswered) }

// Unanswered reports whether r leaves a question unanswered.
func (r Reason) Unanswered() bool { return slices.Contains(unanswered, r) }

// UnmarshalText also reads the spellings with spaces of protocol 1.
func (r *Reason) UnmarshalText(b []byte) error {
	*r = Reason(strings.ReplaceAll(string(b), " ", "_"))
	return nil
}

// Verdict is the conclusion from the evidence about a credential.
type Verdict struct {
	Liveness Liveness `json:"liveness"`
	Reason   Reason   `json:"reason"`
	Detail   string   `json:"detail,omitempty"`
	// Remedy is what the operator can set or do so that an Unknown is decided.
	Remedy   string            `json:"remedy,omitempty"`
	Host     string            `json:"host,omitempty"`
	Instance string            `json:"instance,omitempty"` // URL of the instance that was asked
	Endpoint string            `json:"endpoint,omitempty"`
	Identity map[string]string `json:"identity,omitempty"` // as the issuer reported it
	Expires  *time.Time        `json:"expires,omitempty"`
	At       time.Time         `json:"at"`
	// NegativeControl is set if the same endpoint refused a credential that was
	// never issued.
	NegativeControl bool `json:"negative_control"`
	// Control is the liveness of the operator's own credential, asked right
	// after; empty if there is none.
	Control string `json:"control,omitempty"`
	// Learned is the digest of the refusal that never-issued credentials got
	// while this one or the control was Live; see Refusal.
	Learned string `json:"learned,omitempty"`
	// Documented is the source of the refusal's meaning.
	Documented string `json:"documented,omitempty"`
}

// Unanswered reports whether the verdict leaves a question unanswered.
func (v Verdict) Unanswered() bool { return v.Liveness == Unknown && v.Reason.Unanswered() }

// Undecided returns an Unknown verdict, with the remedy of its reason if that does not depend
// on a target.
func Undecided(reason Reason, format string, args ...any) Verdict {
	return Verdict{Reason: reason, Detail: fmt.Sprintf(format, args...), Remedy: generalRemedy(reason), At: time.Now().UTC()}
}
