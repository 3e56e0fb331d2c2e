package revokers

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/quellhq/quell/rules/credential"
)

// A Verifier asks endpoints about a target. It is safe for concurrent use.
type Verifier interface {
	// Endpoints lists the endpoints that can be asked about t, the decisive one first. It is
	// empty if no read-only request decides.
	Endpoints(t Target) []string
	// Verify asks one of the endpoints. An error means that the question could
	// not be asked; a response of whatever kind is an Answer.
	Verify(ctx context.Context, t Target, endpoint string) (Answer, error)
}

// A Revoker ends targets at their issuer.
type Revoker interface {
	// Plan returns the effects for at most Batch targets of one rule and
	// instance. It only reads. Secrets in it are placeholders.
	Plan(ctx context.Context, ts []Target) ([]Effect, error)
	// Send executes one effect of Plan. It calls before with the final effect,
	// whose secrets are placeholders and whose late values are filled in, and
	// sends nothing unless before returns nil. An error after that means that
	// the effect may have happened.
	Send(ctx context.Context, ts []Target, e Effect, before func(Effect) error) (Receipt, error)
	// Batch is how many targets one effect can end; one at least.
	Batch() int
}

// A Rotator replaces a target where its consumers read it, in steps that can
// be resumed after a crash.
type Rotator interface {
	Steps(ctx context.Context, t Target) ([]Step, error)
	// Mark returns a keyed digest of what the store holds before s.
	Mark(ctx context.Context, t Target, s Step) ([]byte, error)
	// Do takes the step. A step that issues a secret fills fresh, one that
	// writes it reads fresh. The secret is never stored outside of the store. An
	// error wraps ErrRefused if the store answered that it did nothing.
	Do(ctx context.Context, t Target, s Step, fresh *credential.Secret) error
	// Did reports, after a crash, whether s happened since mark was taken.
	Did(ctx context.Context, t Target, s Step, mark []byte) (State, error)
	// Undo ends what a Lost step issued, and nothing else.
	Undo(ctx context.Context, t Target, s Step, mark []byte) error
}

// A Restorer takes a reversible revocation back.
type Restorer interface {
	// Restore sends the request that makes t live again. It calls before with the
	// final effect, as Revoker.Send does. An error after that means that the
	// request may have arrived. The acknowledgement is a claim and no proof.
	Restore(ctx context.Context, t Target, before func(Effect) error) (Acknowledgement, error)
}

// ErrRefused marks an error of a store that answered: it did nothing, and no
// request is on its way.
var ErrRefused = errors.New("nothing was changed")

// Step is one act of a rotation.
type Step struct {
	Name   string `json:"name"`
	Effect Effect `json:"effect"`
	// Where is the place in the store where consumers read the replacement.
	Where string `json:"where,omitempty"`
	Note  string `json:"note,omitempty"`
	// Issues is set if the step makes a new secret, and Needs if it writes the one
	// that an earlier step made.
	Issues bool `json:"issues,omitempty"`
	Needs  bool `json:"needs,omitempty"`
	// Ends is set if the step is what ends the old credential, or a part of that.
	Ends bool `json:"ends,omitempty"`
	// Repeats is set if a request of the step that arrives late or twice does no
	// more than one.
	Repeats bool `json:"repeats,omitempty"`
	// After is set for a step that is taken once the old credential is proven dead
	// and the new one live.
	After bool `json:"after,omitempty"`
	// Collateral describes what else the step ends, if anything.
	Collateral string `json:"collateral,omitempty"`
	// Order is the step's place among those of several rotators.
	Order int `json:"-"`
}

// A Replacer knows what replaced a target: a Rotator whose steps write the new
// value where it can be read again.
type Replacer interface {
	// Replacement returns the value that consumers read now.
	Replacement(ctx context.Context, t Target) (credential.Secret, error)
}

// A Keeper shows what the place of a write step holds: a Rotator that writes to stores
// of builds.
type Keeper interface {
	// Kept returns the value, or zero if the store shows none, as GitHub does.
	Kept(ctx context.Context, t Target, s Step) (credential.Secret, error)
}

// State is what a store shows about a step after a crash.
type State int

const (
	Unsure  State = iota // the store does not show it
	NotDone              // the step did not happen
	Done                 // the step happened
	Lost                 // it happened, and the secret that it issued is lost
)

func (s State) String() string { return []string{"unsure", "not_done", "done", "lost"}[s] }

// Effect is one act of a kill or rotation as a plan shows it. Variables in
// braces replace secrets, and late values that a read just before the
// request supplies.
type Effect struct {
	// Name is the revocation in the rules file, with the number of the request
	// if it has several.
	Name   string            `json:"name,omitempty"`
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
	// Late are the values of late placeholders. Only intents have them.
	Late map[string]string `json:"late,omitempty"`
	// Elements are the fingerprints of the credentials that the effect ends,
	// in the order of the request.
	Elements []string `json:"elements,omitempty"`
	// Reads is set for the request of a step that changes nothing.
	Reads bool `json:"reads,omitempty"`
}

// Receipt is the issuer's response to an effect, for each target in order. It
// is a claim and never a proof.
type Receipt struct {
	Each []Acknowledgement `json:"each"`
}

// Acknowledgement is a receipt's part about one target.
type Acknowledgement struct {
	Accepted bool      `json:"accepted"`
	Status   int       `json:"status,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	At       time.Time `json:"at"`
}

// Of returns the part about the target at index i.
func (r Receipt) Of(i int) Acknowledgement {
	if i < len(r.Each) {
		return r.Each[i]
	}
	return Acknowledgement{Detail: "the issuer's response has no part about this credential"}
}

// All returns a receipt with the same result for n targets.
func All(n int, a Acknowledgement) Receipt {
	r := Receipt{Each: make([]Acknowledgement, n)}
	for i := range r.Each {
		r.Each[i] = a
	}
	return r
}
