package scanners

import (
	"context"
	"errors"
	"io/fs"

	"github.com/quellhq/quell/rules"
)

// The kinds of gaps. The list is closed: --allow accepts gaps by these words, reports carry
// them in the field kind of a notice. Kinds are added, never renamed.
const (
	// GapUnreadable: reading failed, by an error of the file system or the network.
	GapUnreadable = "unreadable"
	// GapDenied: the permission to read is missing.
	GapDenied = "denied"
	// GapMissing: something is named, as a target or by another part, and does not exist.
	GapMissing = "missing"
	// GapNotFetched: a clone or a platform leaves it out: large files, a shallow clone's
	// history, objects of a partial clone, logs and artifacts that are not kept.
	GapNotFetched = "not_fetched"
	// GapDamaged: the bytes break the rules of their format: a wrong checksum, a premature end.
	GapDamaged = "damaged"
	// GapEncrypted: the content is encrypted and its key is not known.
	GapEncrypted = "encrypted"
	// GapUnsupported: quell recognises the format, and does not open it.
	GapUnsupported = "unsupported"
	// GapOutside: a link leads out of the target. quell does not follow it.
	GapOutside = "outside"
	// GapNotFile: a target that is neither a file nor a folder, such as a device.
	GapNotFile = "not_a_file"
	// GapLimitBytes: more bytes come out of a packed file than quell reads of one.
	GapLimitBytes = "limit_bytes"
	// GapLimitEntries: a container has more members than quell reads of one.
	GapLimitEntries = "limit_entries"
	// GapLimitDepth: containers or encodings are nested deeper than quell opens them.
	GapLimitDepth = "limit_depth"
	// GapLimitMemory: a format that quell reads in memory is too large for that.
	GapLimitMemory = "limit_memory"
	// GapLimitTime: a file takes more time than its size justifies.
	GapLimitTime = "limit_time"
	// GapLimitDecoding: more decoded bytes come of a text than quell looks at.
	GapLimitDecoding = "limit_decoding"
	// GapLimitMatch: a match may be longer than the part of the text that quell looks at.
	GapLimitMatch = "limit_match"
	// GapLimitFindings: one file has more findings than a report lists.
	GapLimitFindings = "limit_findings"
	// GapInternal: a defect of quell.
	GapInternal = "internal_error"
	// GapInterrupted: the run ended before all was read.
	GapInterrupted = "interrupted"
)

// GapKinds lists all kinds.
func GapKinds() []string {
	return []string{GapUnreadable, GapDenied, GapMissing, GapNotFetched, GapDamaged, GapEncrypted, GapUnsupported, GapOutside, GapNotFile,
		GapLimitBytes, GapLimitEntries, GapLimitDepth, GapLimitMemory, GapLimitTime, GapLimitDecoding, GapLimitMatch, GapLimitFindings,
		GapInternal, GapInterrupted}
}

// Gap is something that was asked for and not read.
type Gap struct {
	Location rules.Location
	// Kind is one of GapKinds. The pool fills it in from Err where a source leaves it empty.
	Kind   string
	Reason string
	Err    error
	// Count is how many things of the kind were not read at this place; 0 means one.
	Count int64
}

func (g Gap) Error() string {
	where := g.Location.Path
	if where == "" {
		where = g.Location.Artifact
	}
	if g.Err == nil {
		return where + ": " + g.Reason
	}
	if g.Reason == "" || g.Reason == where {
		return where + ": " + g.Err.Error()
	}
	return where + ": " + g.Reason + ": " + g.Err.Error()
}

// Unwrap gives the cause.
func (g Gap) Unwrap() error { return g.Err }

// OfKind gives err a kind of gap.
func OfKind(kind string, err error) error {
	if err == nil {
		return nil
	}
	return kinded{kind, err}
}

type kinded struct {
	kind string
	error
}

func (k kinded) Unwrap() error { return k.error }

// KindOf is the kind of gap that an error causes: the one given by OfKind, else one that
// follows from the error itself.
func KindOf(err error) string {
	var k kinded
	switch {
	case errors.As(err, &k):
		return k.kind
	case errors.Is(err, fs.ErrPermission):
		return GapDenied
	case errors.Is(err, fs.ErrNotExist):
		return GapMissing
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return GapInterrupted
	}
	return GapUnreadable
}
