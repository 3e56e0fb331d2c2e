package credential

import (
	"fmt"
	"slices"
	"time"
)

// Confidence is the certainty of a finding before its issuer is asked.
type Confidence int

const (
	Low Confidence = iota
	Medium
	High
)

var confidenceNames = []string{"low", "medium", "high"}

func (c Confidence) String() string { return confidenceNames[c] }

// MarshalText writes low, medium or high.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads low, medium or high.
func (c *Confidence) UnmarshalText(b []byte) error {
	v, ok := ParseConfidence(string(b))
	if !ok {
		return fmt.Errorf("confidence %q is not low, medium or high", b)
	}
	*c = v
	return nil
}

// ParseConfidence reads low, medium or high.
func ParseConfidence(s string) (Confidence, bool) {
	i := slices.Index(confidenceNames, s)
	return Confidence(max(i, 0)), i >= 0
}

// Kind is the type of a credential.
type Kind string

const (
	KindAPIKey        Kind = "API key"
	KindBearer        Kind = "bearer token"
	KindRefresh       Kind = "refresh token"
	KindSessionCookie Kind = "session cookie"
	KindJWT           Kind = "JWT"
	KindUnsigned      Kind = "unsigned token" // anybody can write one: a server that accepts it is vulnerable
	KindPassword      Kind = "password"
	KindPrivateKey    Kind = "private key"
	KindPublic        Kind = "public key" // published in pages and apps: it grants only what any visitor has
	KindOther         Kind = "secret"
)

// Kinds lists all kinds.
var Kinds = []Kind{KindAPIKey, KindBearer, KindRefresh, KindSessionCookie, KindJWT, KindUnsigned, KindPassword, KindPrivateKey, KindPublic, KindOther}

// Location is the position of a finding. Lines and columns count from 1, columns in bytes of
// the raw line; EndColumn is one past the last byte.
type Location struct {
	Source    string `json:"source"`             // path, log, git, image
	Artifact  string `json:"artifact,omitempty"` // description of the artifact: "blob 1f0c…", "image config"
	Path      string `json:"path"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
	Offset    int64  `json:"offset"` // bytes from the artifact's start
	EndOffset int64  `json:"end_offset"`
	// Excess and EndExcess are by how many the line's bytes before Column and EndColumn
	// outnumber its UTF-16 code units, which SARIF counts.
	Excess    int    `json:"-"`
	EndExcess int    `json:"-"`
	Commit    string `json:"commit,omitempty"`
	Layer     string `json:"layer,omitempty"`
	System    string `json:"system,omitempty"` // CI system of a log: github, gitlab, … as in scanners/cilog
	// Run and Attempt name the run (pipeline, build) of a CI system: its identifier there, and
	// the attempt from 1.
	Run     string `json:"run,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Job     string `json:"job,omitempty"`
	Step    string `json:"step,omitempty"`
	Group   string `json:"group,omitempty"` // group of log lines: a command, a section

	// Origin names what a CI system keeps and can delete: the system, a colon and the address in
	// its API. Only a source that fetched from an address of the operator's sets it, never the
	// text that was read.
	Origin string `json:"origin,omitempty"`

	// Spans are set if the secret consists of several pieces, with terminal codes, a line's
	// timestamp or a line break between them.
	Spans []Span `json:"spans,omitempty"`

	// Notes are facts that only some sources know: the author and date of a commit, the history
	// line of a layer, "removed by layer 4".
	Notes map[string]string `json:"notes,omitempty"`
}

// Span is a range of an artifact, counted as in Location.
type Span struct {
	Line      int `json:"line"`
	Column    int `json:"column"`
	EndLine   int `json:"end_line"`
	EndColumn int `json:"end_column"`
}

// OfflineState is the state of a secret as far as it can be determined without its issuer.
type OfflineState string

const (
	OfflineUnknown   OfflineState = "unknown"
	OfflineExpired   OfflineState = "expired"
	OfflineUnexpired OfflineState = "unexpired"
)

// Offline is the verdict from the secret's own content.
type Offline struct {
	State   OfflineState `json:"state"`
	Expires *time.Time   `json:"expires,omitempty"`
}

// Finding is a rule's match at a location.
type Finding struct {
	Ref
	Secret   Secret
	Location Location
	Decoded  []string // the decodings that led to the text, outermost first
	// Views name what separated the secret's pieces: "log" for terminal codes and line
	// prefixes, "joined" for line breaks.
	Views []string
	// Partial is set if the value is incomplete: masking replaced a part, or the text ended
	// within it. quell never probes it.
	Partial bool
}
