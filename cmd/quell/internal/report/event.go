// Package report renders one stream of events: as text, as JSON lines, as
// SARIF and so on. A stream stays valid with its progress and notices removed.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// Protocol is the version of the JSON lines.
const Protocol = 1

// Event is one record of a run: one of the types below.
type Event interface{ eventType() string }

// Config comes first.
type Config struct {
	Protocol int       `json:"protocol"`
	Version  string    `json:"version"`
	Command  string    `json:"command"`
	Targets  []string  `json:"targets,omitempty"`
	Offline  bool      `json:"offline"`
	Rules    int       `json:"rules"`
	At       time.Time `json:"at"`
}

// Finding is a rule's match at a place.
type Finding struct {
	rules.Ref
	Description string         `json:"description,omitempty"`
	Secret      string         `json:"secret,omitempty"`
	Location    rules.Location `json:"location"`
	Decoded     []string       `json:"decoded"` // how the text was reached, outermost first
	Views       []string       `json:"views,omitempty"`
	Partial     bool           `json:"partial,omitempty"` // incomplete: it is never probed

	// Counts is set if it is partial and counts for --fail-on.
	Counts bool `json:"-"`
}

// Credential is a distinct secret with its findings counted.
type Credential struct {
	rules.Ref
	Findings  int              `json:"findings"`
	Locations []rules.Location `json:"locations"`
	Sealed    string           `json:"sealed,omitempty"` // the value, sealed (age) to the operator's key

	// Secret is the value itself for a person who asked to see it, and Inside how
	// the text of the first locations was reached. Findings hold both for programs.
	Secret string     `json:"-"`
	Inside [][]string `json:"-"`

	// Counts is set if it counts for --fail-on by the verdicts that follow, and Unanswered if
	// they leave a question open that makes the run incomplete.
	Counts     bool `json:"-"`
	Unanswered bool `json:"-"`
}

// Verdict is the result of asking the issuer about a credential.
type Verdict struct {
	Fingerprint string `json:"fingerprint"`
	revokers.Verdict
}

// Action is what a plan would do, or what was done.
type Action struct {
	rules.Ref
	Item       int               `json:"item,omitempty"` // its number in the plan, from 1
	Host       string            `json:"host,omitempty"`
	Instance   string            `json:"instance,omitempty"` // URL of the issuer
	Endpoint   string            `json:"endpoint,omitempty"` // the endpoint that answered live
	Action     string            `json:"action"`             // revoke, rotate, rotate_and_revoke, none, held, until_expiry
	Method     string            `json:"method,omitempty"`
	Tier       rules.Tier        `json:"tier,omitempty"`
	Scope      rules.Scope       `json:"scope,omitempty"`
	Reversible bool              `json:"reversible"`
	Collateral string            `json:"collateral,omitempty"`
	Requests   []revokers.Effect `json:"requests,omitempty"`
	// Unprovable is the reason why the result of the kill could not be proven.
	Unprovable string                    `json:"unprovable,omitempty"`
	Held       string                    `json:"held,omitempty"`
	SendsFrom  *time.Time                `json:"sends_from,omitempty"` // the end of a delay that holds it
	Remedy     string                    `json:"remedy,omitempty"`
	Outcome    prove.Outcome             `json:"outcome,omitempty"`
	Before     *time.Time                `json:"done_before,omitempty"` // when an earlier apply recorded the outcome; nothing was sent now
	Detail     string                    `json:"detail,omitempty"`
	Receipt    *revokers.Acknowledgement `json:"receipt,omitempty"`
	Rotation   *Rotation                 `json:"rotation,omitempty"`
	// Managed are the places in Vaults that keep it.
	Managed []string `json:"managed,omitempty"`
	// Least is the Vault policy of what its use shows that it needs.
	Least   string              `json:"least,omitempty"`
	Control string              `json:"control,omitempty"`
	Proof   []prove.Observation `json:"proof,omitempty"`
	// Code is the exit code that an item causes by itself, 0 for its outcome's.
	Code        int       `json:"-"`
	Looks       int       `json:"looks,omitempty"`
	ReplicaRisk float64   `json:"replica_risk,omitempty"`
	Derived     []Derived `json:"derived,omitempty"`
	Seconds     float64   `json:"seconds,omitempty"` // from the kill to the proof
}

// Left is what an action leaves, which decides the exit code.
type Left int

const (
	LeavesNothing    Left = iota // held, and neither live nor due to be asked about
	LeavesDead                   // dead, or nothing was sent
	LeavesAlive                  // not proven dead
	LeavesUnanswered             // a question about it was not answered
)

// Codes of actions whose outcome does not decide what they leave.
const (
	CodeNothing    = -1 // causes no exit code by itself
	CodeUnanswered = 4  // causes exit code 4
)

// Leaves returns what an action leaves.
func (a Action) Leaves() Left {
	switch {
	case a.Code == CodeUnanswered:
		return LeavesUnanswered
	case a.Code == CodeNothing:
		return LeavesNothing
	case a.Code == 0 && (a.Outcome == "" || a.Outcome == prove.Confirmed || a.Outcome == prove.AlreadyDead):
		return LeavesDead
	}
	return LeavesAlive
}

// Derived is what became of another credential of the same session or user at the
// same issuer, which a kill may or may not take with it.
type Derived struct {
	Fingerprint string            `json:"fingerprint"`
	Kind        rules.Kind        `json:"kind"`
	Redacted    string            `json:"redacted"`
	Liveness    revokers.Liveness `json:"liveness"`
	Reason      revokers.Reason   `json:"reason"`
}

// Rotation is a replacement and where its consumers find it.
type Rotation struct {
	Where  string `json:"where"`
	Detail string `json:"detail,omitempty"`
	// Replacement is the liveness of the new value, if it could be asked about.
	Replacement string    `json:"replacement,omitempty"`
	At          time.Time `json:"at"`
}

// Progress reports how far a run is.
type Progress struct {
	Message string `json:"message"`
}

// Notice is something that the reader should know and that is no finding. A
// notice with Incomplete set is a part of what was asked for that was not read.
type Notice struct {
	Message    string `json:"message"`
	Kind       string `json:"kind,omitempty"` // of what was not read: one of scanners.GapKinds; or NotDeleted
	Path       string `json:"path,omitempty"`
	Count      int64  `json:"count,omitempty"` // how many things of the kind, where it is more than one
	Incomplete bool   `json:"incomplete,omitempty"`
}

// NotDeleted is the kind of a notice about something that was to be deleted and stays.
const NotDeleted = "not_deleted"

// Summary comes last.
type Summary struct {
	Artifacts   int64 `json:"artifacts"`
	Bytes       int64 `json:"bytes"`
	Findings    int   `json:"findings"`
	Credentials int   `json:"credentials"`
	Live        int   `json:"live"`
	Dead        int   `json:"dead"`
	Unknown     int   `json:"unknown"`
	// Unanswered counts the unknown ones whose question was due and was not
	// answered: they make the run incomplete unless accepted.
	Unanswered int   `json:"unanswered"`
	Hidden     int   `json:"hidden"`     // below the confidence that is shown
	Suppressed int64 `json:"suppressed"` // by a list of paths that comes with the rules
	Allowed    int64 `json:"allowed"`    // suppressed by a marker in the text
	Incomplete int   `json:"incomplete"` // things that could not be read
	// Unrecorded counts the credentials whose answers the ledger did not take.
	Unrecorded int                   `json:"unrecorded,omitempty"`
	Outcomes   map[prove.Outcome]int `json:"outcomes,omitempty"`
	Seconds    float64               `json:"seconds"`
	ExitCode   int                   `json:"exit_code"`
}

func (Config) eventType() string     { return "config" }
func (Finding) eventType() string    { return "finding" }
func (Credential) eventType() string { return "credential" }
func (Verdict) eventType() string    { return "verdict" }
func (Action) eventType() string     { return "action" }
func (Progress) eventType() string   { return "progress" }
func (Notice) eventType() string     { return "notice" }
func (Summary) eventType() string    { return "summary" }

// types are the types of events.
var types = []Event{Config{}, Finding{}, Credential{}, Verdict{}, Action{}, Progress{}, Notice{}, Summary{}}

// IsType reports whether a value of JSON is the name of a type of events.
func IsType(value []byte) bool {
	var s string
	return json.Unmarshal(value, &s) == nil && slices.ContainsFunc(types, func(e Event) bool { return e.eventType() == s })
}

// Marshal writes an event as one JSON object whose first key is its type.
func Marshal(e Event) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	body := bytes.TrimSpace(b.Bytes())
	out := append([]byte(`{"type":"`+e.eventType()+`"`), ',')
	if len(body) == 2 {
		out = out[:len(out)-1]
	}
	return append(out, body[1:]...), nil
}

// Unmarshal reads one line of a JSON-lines report. Types that it does not know
// give nil; an object without a type is an error.
func Unmarshal(line []byte) (Event, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, err
	}
	if head.Type == "" {
		return nil, errors.New("report: an object without a type")
	}
	read := func(e any) error { return json.Unmarshal(line, e) }
	switch head.Type {
	case "config":
		var e Config
		err := read(&e)
		return e, err
	case "credential":
		var e Credential
		err := read(&e)
		return e, err
	case "verdict":
		var e Verdict
		err := read(&e)
		return e, err
	}
	return nil, nil
}
