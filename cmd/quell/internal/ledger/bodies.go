package ledger

import (
	"encoding/json"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// Found records where a credential was exposed.
type Found struct {
	Credential *rules.Ref       `json:"credential,omitempty"`
	Exposures  []rules.Location `json:"exposures"`
}

// Verdict records a verdict, with the host and the endpoint that answered.
type Verdict struct {
	revokers.Verdict
}

// Held records why nothing was sent and which setting or command changes that.
// Diff shows the plan's requests against today's.
type Held struct {
	Reason string `json:"why"`
	Remedy string `json:"remedy,omitempty"`
	Diff   string `json:"diff,omitempty"`
}

// Request is an effect as it was sent, with placeholders for secrets.
type Request struct {
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
	// Late are the values of placeholders that a read just before the request
	// supplied.
	Late map[string]string `json:"late,omitempty"`
}

// Store names where a store issues a replacement.
type Store struct {
	Vault      string `json:"vault"`
	StaticRole string `json:"static_role,omitempty"`
	KV         string `json:"kv,omitempty"`
}

// Intent records what is about to be sent. It is durable before the request
// leaves.
type Intent struct {
	Action   Word      `json:"action"`           // revoke, rotate, delete_logs …
	Method   string    `json:"method,omitempty"` // the revocation's name in the rules file
	Host     string    `json:"host,omitempty"`
	Instance string    `json:"instance,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Requests []Request `json:"requests,omitempty"`
	// Batch is the number of credentials that the request ends, 0 for one.
	Batch int `json:"batch,omitempty"`
	// Fence is the number of the lease that the actor holds. Append refuses an
	// intent whose number is outdated. 0: the actor holds no lease.
	Fence int64 `json:"fence,omitempty"`
	// Before is the last answer before the request.
	Before *Verdict `json:"before,omitempty"`
	// Learned is the digest of the refusal that the issuer gave to credentials
	// that were never issued.
	Learned string `json:"learned,omitempty"`
	// Step is the name of a rotation's step, or of one request of a revocation that
	// has several.
	Step string `json:"step,omitempty"`
	// Mark is the keyed digest of what the store holds before the step.
	Mark    []byte `json:"mark,omitempty"`
	Attempt int    `json:"attempt,omitempty"` // 1 for the first
	With    *Store `json:"with,omitempty"`
	// FoundAt is where the log to delete exposed the credential, and Origin what of a CI system
	// is copied or deleted, as in rules.Location.
	FoundAt []rules.Location `json:"found_at,omitempty"`
	Origin  string           `json:"origin,omitempty"`
}

// Kills reports whether the request ends or replaces a credential.
func (i Intent) Kills() bool {
	return i.Action == "revoke" || i.Action == "rotate" || i.Action == "rotate_and_revoke"
}

// Receipt records the issuer's answer to a request: a claim, not a proof.
type Receipt struct {
	Accepted bool      `json:"accepted"`
	Status   int       `json:"status,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	At       time.Time `json:"at"`
	// Intent is the id of the intent's entry, 0 if unknown.
	Intent int64  `json:"intent,omitempty"`
	Action Word   `json:"action,omitempty"`
	Step   string `json:"step,omitempty"` // as in Intent
}

// Rotation records a step of a rotation that is done, and where consumers find
// the replacement.
type Rotation struct {
	Where  string `json:"where"`
	Detail string `json:"detail,omitempty"`
	Step   string `json:"step,omitempty"`
	// Ends is set if the step is what ends the old value, or a part of that.
	Ends   bool      `json:"ends,omitempty"`
	Mark   []byte    `json:"mark,omitempty"`
	Intent int64     `json:"intent,omitempty"` // as in Receipt
	At     time.Time `json:"at"`
}

// Observation records the observations of a proof.
type Observation struct {
	prove.Confirmation
}

// Derived records the state of a credential that the kill may have ended too.
type Derived struct {
	Fingerprint string            `json:"fingerprint"`
	Kind        string            `json:"kind,omitempty"`
	Redacted    string            `json:"redacted,omitempty"`
	Liveness    revokers.Liveness `json:"liveness"`
	Reason      Word              `json:"reason,omitempty"`
	Detail      string            `json:"detail,omitempty"`
}

// Outcome records how an incident ended.
type Outcome struct {
	Outcome     Word    `json:"outcome"`
	Detail      string  `json:"detail,omitempty"`
	Control     Word    `json:"control,omitempty"`
	Seconds     float64 `json:"seconds,omitempty"`
	Looks       int     `json:"looks,omitempty"`
	ReplicaRisk float64 `json:"replica_risk,omitempty"`
}

// Override records an operator's decision against a rule, with the reason.
type Override struct {
	Reason string `json:"reason"`
	// Accepts lists the problems of the ledger that the operator accepts; see
	// Ledger.Accept.
	Accepts []Problem `json:"accepts,omitempty"`
}

// Key records an installation's public key. The first one in a ledger is signed with itself.
// Each further one counts once an entry that is signed with a listed key names it. An entry
// that is signed with its own key is a request to be listed.
type Key struct {
	PublicKey string `json:"public_key"` // Ed25519, base64
	SignedBy  string `json:"signed_by"`
	Signature string `json:"signature"`
	// Earlier is a digest of the ids of all entries that a release without
	// signatures wrote before this one.
	Earlier string `json:"earlier,omitempty"`
	Reason  string `json:"reason,omitempty"` // why the key was admitted
}

// Outcomes of a Restore.
const (
	Restored    Word = "restored"     // the issuer reports it as live again
	NotRestored Word = "not_restored" // the issuer refused, or the credential is not live
)

// Restore records that a reversible kill was undone, or that the attempt failed.
type Restore struct {
	Outcome Word   `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
	Intent  int64  `json:"intent,omitempty"` // as in Receipt
	Status  int    `json:"status,omitempty"`
}

// Outcomes of a Deletion.
const (
	WasCopied  Word = "copied"      // a sealed copy is kept; nothing was deleted yet
	WasDeleted Word = "deleted"     // the system deleted it, and it can't be read any more
	NotDeleted Word = "not_deleted" // the system refused, or it can still be read
	WasGone    Word = "gone"        // it was no longer kept before quell sent anything
)

// Deletion records a deleted log, artifact or cache. EvidenceHash is the SHA-256 of the sealed
// copy that was kept of it in the file Evidence.
type Deletion struct {
	What         string `json:"what"`
	Origin       string `json:"origin,omitempty"` // as in Intent
	Outcome      Word   `json:"outcome"`
	Detail       string `json:"detail,omitempty"`
	Evidence     string `json:"evidence,omitempty"`
	EvidenceHash string `json:"evidence_hash,omitempty"`
}

// The decisions of an Approval.
const (
	Approve Word = "approve" // the plan of this digest may be sent, until a time
	Hold    Word = "hold"    // nothing is sent for the incident, whatever was approved
	Release Word = "release" // the holds of the incident end
)

// Approval records what a person decided about a plan or an incident.
type Approval struct {
	Decision Word   `json:"decision"`
	Person   string `json:"person"`
	// Method is how the person signed in: token or oidc.
	Method Word `json:"method,omitempty"`
	// Subject is the claim sub of the OpenID provider, which a person keeps when their name changes.
	Subject string `json:"subject,omitempty"`
	// Plan is the digest of what may be sent; see plan.Digest. Empty for holds.
	Plan   string     `json:"plan,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// Notice records a message that was sent to an address, or a fact about the
// ledger.
type Notice struct {
	Kind    Word   `json:"kind,omitempty"`
	Method  string `json:"method,omitempty"` // the revocation that it announces
	Message string `json:"message"`
	To      string `json:"to,omitempty"` // hosts of the webhooks that took it
	// Until is the time from which apply sends what the notice announces.
	Until *time.Time `json:"until,omitempty"`
	// First and Last are ids of entries that the notice is about.
	First int64 `json:"first,omitempty"`
	Last  int64 `json:"last,omitempty"`
}

// Type implements Body, as the methods below do.
func (Found) Type() Type       { return TypeFound }
func (Verdict) Type() Type     { return TypeVerdict }
func (Held) Type() Type        { return TypeHeld }
func (Intent) Type() Type      { return TypeIntent }
func (Receipt) Type() Type     { return TypeReceipt }
func (Rotation) Type() Type    { return TypeRotation }
func (Observation) Type() Type { return TypeObservation }
func (Derived) Type() Type     { return TypeDerived }
func (Outcome) Type() Type     { return TypeOutcome }
func (Override) Type() Type    { return TypeOverride }
func (Key) Type() Type         { return TypeKey }
func (Restore) Type() Type     { return TypeRestore }
func (Deletion) Type() Type    { return TypeDeletion }
func (Approval) Type() Type    { return TypeApproval }
func (Notice) Type() Type      { return TypeNotice }

// Text is the decision in words.
func (a Approval) Text() string {
	s := a.Person
	switch a.Decision {
	case Approve:
		s += " approves plan " + a.Plan[:min(12, len(a.Plan))]
	case Hold:
		s += " holds the incident"
	case Release:
		s += " releases the incident"
	default:
		s += " " + string(a.Decision)
	}
	if a.Until != nil {
		s += " until " + a.Until.UTC().Format(time.RFC3339)
	}
	if a.Reason != "" {
		s += ": " + a.Reason
	}
	return s
}
