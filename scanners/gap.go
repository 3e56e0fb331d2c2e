package scanners

import (
	"context"
	"errors"
	"io/fs"

	"github.com/quellhq/quell/rules"
)

// The kinds of gaps. The list is closed: --allow accepts gaps by these names, and reports have
// them in the field kind of a notice. Kinds are added, never renamed.
const (
	// GapUnreadable: an error of the file system or the network prevented reading.
	GapUnreadable = "unreadable"
	// GapDenied: permission to read is missing.
	GapDenied = "denied"
	// GapMissing: a target or a reference names something that does not exist.
	GapMissing = "missing"
	// GapNotFetched: a clone or a platform lacks the data: large files, the history of a
	// shallow clone, objects of a partial clone, logs and artifacts that were not retained.
	GapNotFetched = "not_fetched"
	// GapDamaged: the data violates its format: a wrong checksum, a premature end.
	GapDamaged = "damaged"
	// GapEncrypted: the content is encrypted with an unknown key.
	GapEncrypted = "encrypted"
	// GapUnsupported: quell recognises the format but does not open it.
	GapUnsupported = "unsupported"
	// GapOutside: a link leads out of the target. quell does not follow it.
	GapOutside = "outside"
	// GapNotFile: a target is neither a file nor a folder, for example a device.
	GapNotFile = "not_a_file"
	// GapLimitBytes: a packed file expands to more bytes than the limit.
	GapLimitBytes = "limit_bytes"
	// GapLimitEntries: a container has more members than the limit.
	GapLimitEntries = "limit_entries"
	// GapLimitDepth: containers or encodings are nested deeper than the limit.
	GapLimitDepth = "limit_depth"
	// GapLimitMemory: the file is too large for a format that quell reads in memory.
	GapLimitMemory = "limit_memory"
	// GapLimitTime: a file takes more time than its size justifies.
	GapLimitTime = "limit_time"
	// GapLimitDecoding: a text decodes to more bytes than the limit.
	GapLimitDecoding = "limit_decoding"
	// GapLimitMatch: a match can be longer than the text that quell examines for it.
	GapLimitMatch = "limit_match"
	// GapLimitFindings: one file has more findings than a report lists.
	GapLimitFindings = "limit_findings"
	// GapInternal: a defect of quell.
	GapInternal = "internal_error"
	// GapInterrupted: the run ended before everything was read.
	GapInterrupted = "interrupted"
)

// GapKinds lists all kinds.
func GapKinds() []string {
	return []string{GapUnreadable, GapDenied, GapMissing, GapNotFetched, GapDamaged, GapEncrypted, GapUnsupported, GapOutside, GapNotFile,
		GapLimitBytes, GapLimitEntries, GapLimitDepth, GapLimitMemory, GapLimitTime, GapLimitDecoding, GapLimitMatch, GapLimitFindings,
		GapInternal, GapInterrupted}
}

// Gap is something that the run should have read but did not.
type Gap struct {
	Location rules.Location
	// Kind is one of GapKinds. If a source leaves it empty, the pool derives it from Err.
	Kind   string
	Reason string
	Err    error
	// Count is the number of things of this kind that were not read here; 0 means one.
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

// Unwrap returns the cause.
func (g Gap) Unwrap() error { return g.Err }

// OfKind attaches a kind of gap to err.
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

// KindOf returns the kind of gap that an error causes: the kind attached by OfKind, or one
// derived from the error.
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
