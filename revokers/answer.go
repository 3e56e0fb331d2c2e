package revokers

import (
	"fmt"
	"slices"
	"time"
)

// Class is what an answer means for the credential that was sent. The zero
// value is Silent.
type Class int

const (
	Silent  Class = iota // no response, 408, 429 or 5xx
	Accepts              // the endpoint let the credential in
	Refuses              // the endpoint refused it
	Other                // anything else: a page of a proxy, step-up, a missing permission
)

var classNames = []string{"silent", "accepts", "refuses", "other"}

func (c Class) String() string { return classNames[c] }

// MarshalText writes the class as one word.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (c *Class) UnmarshalText(b []byte) error {
	i := slices.Index(classNames, string(b))
	if i < 0 {
		return fmt.Errorf("class %q is not silent, accepts, refuses or other", b)
	}
	*c = Class(i)
	return nil
}

// Words that an issuer also gives for another reason than a dead credential.
const (
	AlsoAsker      = "asker"      // because of who asks, such as a disallowed address
	AlsoCredential = "credential" // to living credentials, such as another client's token
)

// Answer is the answer of one endpoint about a target.
type Answer struct {
	Class    Class  `json:"class"`
	Endpoint string `json:"endpoint"`
	Status   int    `json:"status,omitempty"`
	// Documented is the source that defines the meaning of this refusal; empty if there
	// is none.
	Documented string `json:"documented,omitempty"`
	Also       string `json:"also,omitempty"` // AlsoAsker, AlsoCredential or empty
	// Shape is the digest of a refusal's normalised form; see Refusal.
	Shape  string `json:"shape,omitempty"`
	Reason Reason `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Challenge is the scheme of WWW-Authenticate in lower case; several are
	// joined with commas. SentBasic is set if the probe sent Basic itself.
	Challenge string            `json:"challenge,omitempty"`
	SentBasic bool              `json:"-"`
	Identity  map[string]string `json:"identity,omitempty"`
	Captures  map[string]string `json:"-"`
	Expires   *time.Time        `json:"expires,omitempty"`
	// Remedy is what decides a refusal that proves nothing, where neither a
	// control nor a marker can.
	Remedy string `json:"-"`
	// RetryAfter is how long the issuer asks to wait.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	TimedOut   bool          `json:"-"`
	At         time.Time     `json:"at"`
	// Page is the structure of a page, for answers that no marker of the operator
	// decides; nil for other answers.
	Page *Page `json:"-"`
	// Raw is the refusal itself, for comparing it with others of the same run.
	Raw *Refusal `json:"-"`
}
