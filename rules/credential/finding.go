package credential

import (
	"fmt"
	"slices"
	"time"
)

// Confidence is how sure a finding is before its issuer is asked.
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

// Kind is what a credential is.
type Kind string

const (
	KindAPIKey        Kind = "API key"
	KindBearer        Kind = "bearer token"
	KindRefresh       Kind = "refresh token"
	KindSessionCookie Kind = "session cookie"
	KindJWT           Kind = "JWT"
	KindUnsigned      Kind = "unsigned token" // anybody may write one: who accepts it has a hole
	KindPassword      Kind = "password"
	KindPrivateKey    Kind = "private key"
	KindPublic        Kind = "public key" // in pages and apps by design: what it grants, any visitor has
	KindOther         Kind = "secret"
)

// Kinds lists all kinds.
var Kinds = []Kind{KindAPIKey, KindBearer, KindRefresh, KindSessionCookie, KindJWT, KindUnsigned, KindPassword, KindPrivateKey, KindPublic, KindOther}

// Location is where a finding stands. Lines and columns count from 1, columns
// in bytes of the raw line; EndColumn is one past the last byte.
type Location struct {
	Source    string `json:"source"`             // path, log, git, image
	Artifact  string `json:"artifact,omitempty"` // what holds it, in words: "blob 1f0c…", "image config"
	Path      string `json:"path"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
	Offset    int64  `json:"offset"` // bytes from the artifact's start
	EndOffset int64  `json:"end_offset"`
	// Excess and EndExcess are how many bytes the line has before Column and EndColumn
	// beyond its UTF-16 code units: SARIF counts in these.
	Excess    int    `json:"-"`
	EndExcess int    `json:"-"`
	Commit    string `json:"commit,omitempty"`
	Layer     string `json:"layer,omitempty"`
	System    string `json:"system,omitempty"` // of a log: github, gitlab, … as scanners/cilog names them
	Job       string `json:"job,omitempty"`
	Step      string `json:"step,omitempty"`
	Group     string `json:"group,omitempty"` // of a log's lines: a command, a section

	// Spans are set where the secret stands in more than one piece, with
	// terminal codes, a line's stamp or a line break between.
	Spans []Span `json:"spans,omitempty"`

	// Notes are facts about the place that only some sources know: the author
	// and date of a commit, the history line of a layer, "removed by layer 4".
	Notes map[string]string `json:"notes,omitempty"`
}

// Span is a piece of an artifact, counted as Location counts.
type Span struct {
	Line      int `json:"line"`
	Column    int `json:"column"`
	EndLine   int `json:"end_line"`
	EndColumn int `json:"end_column"`
}

// OfflineState is what can be told about a secret without asking anybody.
type OfflineState string

const (
	OfflineUnknown   OfflineState = "unknown"
	OfflineExpired   OfflineState = "expired"
	OfflineUnexpired OfflineState = "unexpired"
)

// Offline is the verdict read off the secret itself.
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
	// Views name what lay between the secret's pieces: "log" for terminal codes
	// and line prefixes, "joined" for line breaks.
	Views []string
	// Partial is set if the value is incomplete: a masker replaced a part, or it
	// was cut at the end of what could be read. It is never probed.
	Partial bool
}
