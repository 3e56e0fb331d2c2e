// Package scanners turns sources into findings: a Source yields artifacts, a
// Detector looks at chunks of their bytes, and the Pool brings both together
// with a bound on the bytes in flight.
package scanners

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/token"
)

// A Source yields artifacts lazily. An error concerns one artifact, or a part
// of the source that could not be read; the sequence goes on.
type Source interface {
	Artifacts(ctx context.Context) iter.Seq2[Artifact, error]
}

// A Detector finds credentials in a chunk. It is safe for concurrent use.
type Detector interface {
	// MaxLen is how many bytes around a place a match may need: chunks overlap
	// by it on either side.
	MaxLen() int
	Detect(c Chunk) iter.Seq[Match]
}

// Artifact is one named byte stream, or a container whose parts come only in
// its own order.
type Artifact struct {
	// Location is what every finding in the artifact starts from: source,
	// path, commit, layer …
	Location rules.Location

	// Open returns the bytes. It is called at most once, by one goroutine.
	Open func(ctx context.Context) (io.ReadCloser, error)

	// Beside opens a file that stands beside this one, called as it is with suffix
	// behind; nil: nothing is known of what stands beside.
	Beside func(suffix string) (io.ReadCloser, error)

	// Unmarked is set for a log of which some lines are missing: what the others say about
	// where in the run they are does not hold for those after them.
	Unmarked bool

	where func(line int) string // of what an opener made: Inner.Where
	// place gives the location that is reported for one in an artifact of names; nil: the same.
	place func(rules.Location) rules.Location

	// Parts is set instead of Open for a container. It calls part for each
	// member in turn; the reader is valid during the call. An error of part
	// ends the walk; one of a member goes to gap and the walk goes on.
	Parts func(ctx context.Context, part func(Artifact, io.Reader) error, gap func(Gap)) error
}

// An Attributor is a Source that knows more about a place than is cheap to
// look up without a hit: who wrote it, which layer removed it. Attribute is
// called after the last artifact was read, and again if there are very many
// findings.
type Attributor interface {
	Attribute(ctx context.Context, findings []*rules.Finding) error
}

// A Settler is an Attributor that can attribute findings while artifacts are
// still read. Settled reports whether that holds for a finding at a location.
type Settler interface {
	Settled(at rules.Location) bool
}

// A Watcher is a Source that is told where something was found: also of what a
// marker suppressed, of what is of too low a confidence to be shown, and of what
// an opener could not read. Matched may be called by several goroutines at once.
type Watcher interface {
	Matched(at rules.Location)
}

// A Finisher is a Source that has something to do once all its artifacts were
// read: to say what is missing, to remember what was read.
type Finisher interface {
	Finish(ctx context.Context, gap func(Gap))
}

// Memory keeps what a source wants to know at its next scan. It belongs to one set
// of rules: what was remembered under another is not recalled. It holds no secret.
// What can't be kept is not: a memory saves work.
type Memory interface {
	Recall(ctx context.Context, key string) ([]byte, bool)
	Remember(ctx context.Context, key string, value []byte)
}

// Chunk is a piece of an artifact, with context on both sides.
type Chunk struct {
	Artifact *Artifact
	// Data is reused after Detect returns: a Match must copy what it keeps.
	Data []byte
	// Offset, Line and Column are the place of Data[0]; Line and Column count
	// from 1, Column in bytes.
	Offset int64
	Line   int
	Column int
	Excess int // as that of rules.Location, before Data[0]
	// From and To bound the part of Data that is this chunk's own: a match
	// belongs to the chunk in whose own part it starts.
	From, To int
	// Binary is set where the artifact is no text.
	Binary bool
	// Meter has the time that is left for the artifact; nil: it has no limit.
	Meter *Meter

	reached func(kind string)
	track   *tracked // nil: the artifact is no log of a CI system
}

// Reached reports that a limit of the detector left out a part of the chunk. kind is one of
// GapKinds.
func (c *Chunk) Reached(kind string) {
	if c.reached != nil {
		c.reached(kind)
	}
}

// OnLimit makes Reached call f. The pool does so for chunks of its own.
func (c *Chunk) OnLimit(f func(kind string)) { c.reached = f }

// Unpacker opens files that hold others. It is safe for concurrent use.
type Unpacker interface {
	// Head is how many bytes of a file's beginning Recognise wants.
	Head() int
	// Recognise names the form of a file; empty: it holds no others.
	Recognise(head []byte, name string) string
	// Open calls member for each thing inside, in the file's own order; the reader
	// is valid during the call. What can't be read goes to gap, and the rest is
	// read. The error ends the file.
	Open(ctx context.Context, form string, in Packed, b *Budget, member func(name string, r io.Reader) error, gap func(name string, err error)) error
}

// Packed is a file that holds others.
type Packed struct {
	Name   string
	Reader io.Reader
	// At reads anywhere in it, where that is possible without keeping it in
	// memory; Size goes with it.
	At   io.ReaderAt
	Size int64
}

// Budget counts what comes out of one file that is no part of another, with all
// that is inside of it.
type Budget struct {
	Depth   int          // forms within each other
	Entries int          // things
	Out     int64        // bytes
	Kept    int64        // bytes in memory
	Window  int64        // bytes that decoders keep of what they made
	In      func() int64 // bytes of the file that were read until now
	// Waited is the time that an opener waited for its turn.
	Waited time.Duration
	// Meter has the time that the file may take, and Began is when the work began that is not
	// counted yet.
	Meter *Meter
	Began time.Time
}

// Opener shows what a file of a certain form holds and its bytes do not show: it
// is read as it is, and then what the opener makes of it.
type Opener struct {
	Magic []byte // how such a file begins
	Max   int    // the most bytes that are kept for it
	// Open may call beside for a file that stands beside it; nil: there is none.
	Open func(ctx context.Context, file []byte, beside func(suffix string) ([]byte, error)) (Inner, error)
}

// Inner is what an opener sees, as text. Its findings stand at PATH!Name. An
// error beside it says what could not be read.
type Inner struct {
	Name string
	Text []byte
	// Where says in the file's own words what a line shows, as "table log, row 7";
	// nil: nothing more than the line.
	Where func(line int) string
	// Waited is the time that the opener waited for its turn.
	Waited time.Duration
}

// Match is what a detector saw.
type Match struct {
	Rule       *rules.Rule
	Secret     rules.Secret
	Start, End int // the secret's raw bytes in Chunk.Data
	Confidence rules.Confidence
	Decoded    []string
	// Views say what was removed from, or joined in, the text to find it.
	Views []string
	// Pieces are set where the secret stands in more than one: from and to.
	Pieces [][2]int
	// Partial is set where a masker left only a part of the secret.
	Partial bool
	Offline rules.Offline
	Cookie  string
	Claims  rules.Claims
	Token   *token.Facts
	// Allowed is set where a marker in the text asks not to report it.
	Allowed bool
	// Suppressed is set where a list of paths that comes with the rules suppresses it.
	Suppressed bool
}

// Finding turns the match into a finding without a location.
func (m Match) Finding() rules.Finding {
	f := rules.Finding{
		Ref: rules.Ref{
			Rule:       m.Rule.ID,
			Kind:       m.Rule.Kind,
			Confidence: m.Confidence,
			Redacted:   m.Secret.Hint(),
			Cookie:     m.Cookie,
			Claims:     m.Claims,
			Offline:    m.Offline,
			Token:      m.Token,
		},
		Secret:  m.Secret,
		Decoded: m.Decoded,
		Views:   m.Views,
		Partial: m.Partial,
	}
	if m.Rule.Provider != nil {
		f.Provider = m.Rule.Provider.ID
	}
	return f
}
