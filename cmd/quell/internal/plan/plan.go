// Package plan is the document between decision and execution: the requests that apply would
// send, and the reasons for which items are held. Secrets in it are sealed, the whole is
// signed, and a modified or old plan is refused.
package plan

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Plan describes the actions of an apply.
type Plan struct {
	Version    int       `json:"version"`
	Created    time.Time `json:"created"`
	BreakGlass string    `json:"break_glass,omitempty"` // the reason for overriding ownership
	Recipients []string  `json:"recipients"`
	Items      []Item    `json:"items"`
	// Deletions are the requests that delete the copies of the leak in CI systems. Apply sends
	// them once all credentials in a copy are dead.
	Deletions []Deletion `json:"deletions,omitempty"`
}

// Deletion is one request that deletes a log, an artifact or a cache.
type Deletion struct {
	System string `json:"system"`
	Kind   string `json:"kind"`   // logs, artifacts or caches
	Origin string `json:"origin"` // as in rules.Location
	What   string `json:"what"`
	Method string `json:"method"`
	URL    string `json:"url"`
	// With is the origin of the logs of the run that a cache belongs to.
	With       string     `json:"with,omitempty"`
	Tier       rules.Tier `json:"tier"`
	Reversible bool       `json:"reversible"` // never
	Collateral string     `json:"collateral,omitempty"`
	// Credentials are the fingerprints of the credentials that were found in it.
	Credentials []string         `json:"credentials"`
	FoundAt     []rules.Location `json:"found_at,omitempty"`
	// Comments are addresses of pull requests that get a comment about it.
	Comments []string     `json:"comments,omitempty"`
	Actor    string       `json:"actor,omitempty"` // who started the run
	Hold     *policy.Hold `json:"hold,omitempty"`
}

// Fill sets the request of a deletion, and the hold that keeps it from being sent.
func (d *Deletion) Fill(kind, origin, what, method, url, takes string, hold *policy.Hold) {
	d.Kind, d.Origin, d.What, d.Method, d.URL, d.Collateral, d.Hold = kind, origin, what, method, url, takes, hold
}

// Item is the part of the plan about one credential.
type Item struct {
	rules.Ref
	Exposures []rules.Location   `json:"exposures"`
	Verdict   revokers.Verdict   `json:"verdict"`
	Action    string             `json:"action"` // one of the Act constants
	Hold      *policy.Hold       `json:"hold,omitempty"`
	Instance  string             `json:"instance,omitempty"`  // URL of the instance that receives the requests
	Page      string             `json:"page,omitempty"`      // the instance's probe_path, which distinguishes instances with one URL
	User      string             `json:"user,omitempty"`      // the instance's user, likewise
	Namespace string             `json:"namespace,omitempty"` // the instance's namespace, likewise
	Seen      *revokers.Sighting `json:"seen,omitempty"`      // where and when it was Live
	Captures  map[string]string  `json:"captures,omitempty"`
	Batch     int                `json:"batch,omitempty"` // number of credentials that one request can end
	// Unprovable is the reason for which the result of the kill can't be proven.
	Unprovable string            `json:"unprovable,omitempty"`
	Revoke     string            `json:"revoke,omitempty"` // the rule's revocation
	Tier       rules.Tier        `json:"tier,omitempty"`
	Scope      rules.Scope       `json:"scope,omitempty"`
	Reversible bool              `json:"reversible"`
	Collateral string            `json:"collateral,omitempty"`
	Settle     rules.Duration    `json:"settle,omitempty"`
	Requests   []revokers.Effect `json:"requests,omitempty"`
	Rotate     *Rotate           `json:"rotate,omitempty"`
	// Managed are the paths in Vaults at which the value is stored.
	Managed []string `json:"managed,omitempty"`
	// Least is the Vault policy that permits only the paths that the audit log shows it used.
	Least  string `json:"least,omitempty"`
	Sealed string `json:"sealed"`
}

// Rotate names what Vault would replace.
type Rotate struct {
	Vault      string `json:"vault"`
	StaticRole string `json:"static_role,omitempty"`
	KV         string `json:"kv,omitempty"`
}

// Actions of an item.
const (
	ActRevoke       = "revoke"
	ActRotate       = "rotate"
	ActRotateRevoke = "rotate_and_revoke"
	ActNone         = "none"
	ActHeld         = "held"
	ActWait         = "until_expiry" // nothing can end it before it expires
)

// normalise converts the spellings with spaces of earlier releases.
func (it *Item) normalise() {
	it.Action = strings.ReplaceAll(it.Action, " ", "_")
	it.Scope = rules.ScopeOf(string(it.Scope))
}

// Kills reports whether the item's action ends the credential.
func (it Item) Kills() bool {
	return it.Action == ActRevoke || it.Action == ActRotate || it.Action == ActRotateRevoke
}

// signed is the file: the plan's exact bytes and a signature of them.
type signed struct {
	Plan      json.RawMessage `json:"plan"`
	Key       string          `json:"key"` // Ed25519 public key, base64
	Signature string          `json:"signature"`
}

// domain separates these signatures from those of other documents.
const domain = "quell plan v1\n"

// body returns the signed bytes: those that Verify gets after the outer encoder has compacted
// them.
func (p *Plan) body() ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	var c bytes.Buffer
	if err := json.Compact(&c, b); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return c.Bytes(), nil
}

// ID returns the plan's identifier in the ledger. Verify returns the same for the signed file.
func (p *Plan) ID() (string, error) {
	b, err := p.body()
	if err != nil {
		return "", err
	}
	return idOf(b), nil
}

func idOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// Sign returns the signed file.
func Sign(p *Plan, key ed25519.PrivateKey) ([]byte, error) {
	body, err := p.body()
	if err != nil {
		return nil, err
	}
	sig := ed25519.Sign(key, append([]byte(domain), body...))
	s := signed{body, base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)), base64.StdEncoding.EncodeToString(sig)}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return out.Bytes(), nil
}

// Errors of Verify.
var (
	ErrChanged = errors.New("the plan was changed after it was signed (hint: make it again with quell plan)")
	ErrSigner  = errors.New("the plan was signed by a key that is not trusted here (hint: --trust-key, if you know the signer)")
	ErrFuture  = errors.New("the plan was made in the future (hint: check the clocks of both machines)")
)

// Verify returns a plan if one of the trusted keys signed it and its time is not in the future.
// The caller decides how old it can be.
func Verify(file []byte, trusted []ed25519.PublicKey, now time.Time) (*Plan, string, error) {
	var s signed
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, "", errors.New("this is no plan file (hint: quell plan REPORT --output plan.json makes one)")
	}
	key, err := base64.StdEncoding.DecodeString(s.Key)
	sig, err2 := base64.StdEncoding.DecodeString(s.Signature)
	if err != nil || err2 != nil || len(key) != ed25519.PublicKeySize {
		return nil, "", ErrChanged
	}
	known := false
	for _, t := range trusted {
		known = known || t.Equal(ed25519.PublicKey(key))
	}
	if !known {
		return nil, "", ErrSigner
	}
	var c bytes.Buffer
	if err := json.Compact(&c, s.Plan); err != nil {
		return nil, "", ErrChanged
	}
	if !ed25519.Verify(key, append([]byte(domain), c.Bytes()...), sig) {
		return nil, "", ErrChanged
	}
	var p Plan
	if err := json.Unmarshal(s.Plan, &p); err != nil || p.Version != 1 {
		return nil, "", fmt.Errorf("the plan is of version %d, which this quell does not know", p.Version)
	}
	for i := range p.Items {
		p.Items[i].normalise()
	}
	if now.Sub(p.Created) < -time.Minute {
		return nil, "", ErrFuture
	}
	return &p, idOf(c.Bytes()), nil
}
