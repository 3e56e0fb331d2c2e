// Package scanners turns sources into findings: a Source yields artifacts, a Detector examines
// chunks of their bytes, and the Pool connects both and bounds the bytes in flight.
package scanners

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/token"
)

// A Source opens a session over its target. It can be opened again, also while another session
// of it is read. An error means that nothing can be read.
type Source interface {
	Open(ctx context.Context) (Session, error)
}

// A Session is one reading of a source. It embeds Idle for all that it need not do, and a
// decorator embeds the session that it decorates, so that nothing is lost.
type Session interface {
	// Artifacts yields artifacts lazily. An error concerns one artifact, or a part of the source
	// that could not be read; the sequence continues. It is called once.
	Artifacts(ctx context.Context) iter.Seq2[Artifact, error]
	// Matched receives the location of each match. This includes matches that a marker in the
	// text suppresses, matches of a confidence too low to be shown, and content that an opener
	// could not read. It can be called concurrently.
	Matched(at rules.Location)
	// Attribution reports when Attribute can complete a finding at a location.
	Attribution(at rules.Location) Attribution
	// Attribute adds details that are too expensive to determine for all artifacts, such as the
	// author of the text or the layer that removed it. It is called after the last artifact was
	// read, and earlier if there are very many findings with an Attribution of Early.
	Attribute(ctx context.Context, findings []*rules.Finding) error
	// Finish is called after all artifacts were read: to report missing data, and to record what
	// was read.
	Finish(ctx context.Context, gap func(Gap))
	// Sources yields sources that became known by the reading, to be read after it.
	Sources(ctx context.Context) iter.Seq2[Source, error]
	// Notices are what a reader of the result should know and is not missing.
	Notices() []string
	// Close frees what the session holds. It is called once, last.
	Close()
}

// Attribution is the time at which a finding's location can be completed.
type Attribution int

const (
	Complete Attribution = iota // it is complete as it was found
	Early                       // while artifacts are read
	Late                        // after the last artifact was read
)

// Idle does nothing. Sessions embed it.
type Idle struct{}

func (Idle) Matched(rules.Location)                            {}
func (Idle) Attribution(rules.Location) Attribution            { return Complete }
func (Idle) Attribute(context.Context, []*rules.Finding) error { return nil }
func (Idle) Finish(context.Context, func(Gap))                 {}
func (Idle) Notices() []string                                 { return nil }
func (Idle) Close()                                            {}
func (Idle) Sources(context.Context) iter.Seq2[Source, error] {
	return func(func(Source, error) bool) {}
}

// Of is a session that yields artifacts and does nothing else.
func Of(artifacts func(ctx context.Context) iter.Seq2[Artifact, error]) Session {
	return plain{artifacts: artifacts}
}

type plain struct {
	Idle
	artifacts func(ctx context.Context) iter.Seq2[Artifact, error]
}

func (p plain) Artifacts(ctx context.Context) iter.Seq2[Artifact, error] { return p.artifacts(ctx) }

// A Detector finds credentials in a chunk. It is safe for concurrent use.
type Detector interface {
	// MaxLen returns the number of bytes of context that a match can need on either side. It is
	// the overlap of chunks.
	MaxLen() int
	Detect(c Chunk) iter.Seq[Match]
}

// Artifact is one named byte stream, or a container whose parts are read sequentially.
type Artifact struct {
	// Location is the common beginning of the findings' locations: source, path, commit, layer
	// …
	Location rules.Location

	// Open returns the bytes. It is called at most once, by one goroutine.
	Open func(ctx context.Context) (io.ReadCloser, error)

	// Companion opens the companion file whose name is this one's with the suffix from replaced by
	// to. It is nil if the source has no companion files.
	Companion func(from, to string) (io.ReadCloser, error)

	// Unmarked is set for a log with missing lines: the position in the run that other lines
	// state does not apply to the lines after the missing ones.
	Unmarked bool

	// Content identifies the bytes. Of the artifacts of a run with the same Content, the pool
	// scans one and reports its findings for each of them. It is empty if the bytes are not yet
	// known.
	Content string

	// Uncounted is set for bytes that are no artifact of their own, such as a batch of names: how
	// many batches there are may depend on the order of reading.
	Uncounted bool

	// Expanded is set for bytes that the source itself decompressed: it counts them by BoundsOf.
	Expanded bool

	// Done, if set, is called after the artifact was read and its gaps were reported.
	Done func()

	within *within               // collects archives within the file; nil: none are expected
	record *record               // collects the findings of an artifact with a Content
	where  func(line int) string // describes a line of an opener's text: Inner.Where
	// place maps a location in an artifact of names to the reported one; nil: the same.
	place func(rules.Location) rules.Location

	// Parts is set instead of Open for a container. It calls part for each member in turn; the
	// reader is valid during the call. An error of part ends the walk. A member's error goes to
	// gap and the walk continues.
	Parts func(ctx context.Context, part func(Artifact, io.Reader) error, gap func(Gap)) error
}

// Fatal is the error of a source that can't be read at all, for example because a server
// refuses the token. It ends the run without a result.
type Fatal struct{ Err error }

func (f *Fatal) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Fatal) Unwrap() error { return f.Err }

// Memory stores what a source needs for its next scan. It belongs to one set of rules: Recall
// returns nothing that was stored under another set. It contains no secret. A failure to store
// costs only work at the next scan, so it is not an error.
type Memory interface {
	Get(ctx context.Context, key string) ([]byte, bool)
	Put(ctx context.Context, key string, value []byte)
}

// Chunk is a piece of an artifact with context on both sides.
type Chunk struct {
	Artifact *Artifact
	// Data is reused after Detect returns: a Match must copy what it keeps.
	Data []byte
	// Offset, Line and Column are the position of Data[0]. Line and Column count from 1, Column
	// in bytes.
	Offset int64
	Line   int
	Column int
	Excess int // as in rules.Location, before Data[0]
	// From and To delimit the chunk's own part of Data. A match belongs to the chunk in whose
	// own part it starts.
	From, To int
	// Binary is set if the artifact is not text.
	Binary bool
	// Meter has the time left for the artifact; nil: no limit.
	Meter *Meter

	reached   func(kind string)
	track     *tracked   // nil if the artifact is not a CI log
	positions *positions // of Data; nil if Locate is called once
}

// Reached reports that a limit of the detector left out part of the chunk. kind is one of
// GapKinds.
func (c *Chunk) Reached(kind string) {
	if c.reached != nil {
		c.reached(kind)
	}
}

// OnLimit makes Reached call f. The pool sets a function of its own for its chunks.
func (c *Chunk) OnLimit(f func(kind string)) { c.reached = f }

// Unpacker opens files that contain other files. It is safe for concurrent use.
type Unpacker interface {
	// Head returns the number of bytes that Recognise needs from a file's beginning.
	Head() int
	// Recognise names the format of a file, or returns "" if it is no container.
	Recognise(head []byte, name string) string
	// Within returns the archives whose mark is in the window of a file that is no container
	// itself. A file that ends before the window belongs to no part.
	Within(w Window) []Part
	// Open calls member for each nested file, in the order of the container; the reader is
	// valid during the call. It calls gap with what it can't read and continues. The error
	// concerns the container.
	Open(ctx context.Context, form string, in Packed, b *Budget, member func(name string, r io.Reader) error, gap func(name string, err error)) error
}

// Packed is a file that contains other files.
type Packed struct {
	Name   string
	Reader io.Reader
	// At gives random access to the file if that needs no copy in memory. It has Size bytes.
	At   io.ReaderAt
	Size int64
	// Companion opens a companion file, as Artifact.Companion does; nil if there can be none.
	Beside func(from, to string) (io.ReadCloser, error)
}

// Budget counts what a top-level file contains, nested content included.
type Budget struct {
	Depth   int          // current nesting of formats
	Entries int          // number of entries
	Out     int64        // decompressed bytes
	Kept    int64        // bytes of nested files in memory
	Window  int64        // bytes in the decoders' history windows
	In      func() int64 // bytes of the file read so far
	// Databases has the databases of the file whose logs can follow, by name.
	Databases map[string][]byte
	// Waited is the time that openers spent waiting for memory.
	Waited time.Duration
	// Meter has the time left for the file. Began is the start of the work not yet counted.
	Meter *Meter
	Began time.Time
	// Target is charged with the bytes that exceed the file's size.
	Target Surplus
}

// Match is what a detector found.
type Match struct {
	Rule       *rules.Rule
	Secret     rules.Secret
	Start, End int // range of the secret's raw bytes in Chunk.Data
	Confidence rules.Confidence
	Decoded    []string
	// Views names the transformations (removal or joining of text) that made the match visible.
	Views []string
	// Pieces are the ranges of the secret if it consists of more than one.
	Pieces [][2]int
	// Partial is set if masking left only part of the secret.
	Partial bool
	// Mask is what the log shows of the runner's masking of the secret: one of the Mask values;
	// empty where the text is no log.
	Mask    string
	Offline rules.Offline
	Cookie  string
	Claims  rules.Claims
	Token   *token.Facts
	// Allowed is set if a marker in the text suppresses the match.
	Allowed bool
	// Suppressed is set if a path list of the rules suppresses the match.
	Suppressed bool
}

// How the runner that wrote a log masks a secret in it.
const (
	MaskPartial    = "partial"    // a mask hides a part of it
	MaskRegistered = "registered" // its line is the command that makes the runner mask it from then on
	MaskLine       = "line"       // its line has masks, of other values
	MaskNone       = "none"       // its line has none
)

// Finding returns the match as a finding without a location.
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
