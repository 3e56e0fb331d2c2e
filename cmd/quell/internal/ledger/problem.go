package ledger

import "fmt"

// ProblemKind names a way in which a ledger differs from what was signed.
type ProblemKind string

// The kinds of problems that Verify reports.
const (
	Changed     ProblemKind = "changed"      // an entry does not follow from the one before it
	Renumbered  ProblemKind = "renumbered"   // the ids of entries have a gap
	Truncated   ProblemKind = "truncated"    // entries that were signed are missing at the end
	Rewritten   ProblemKind = "rewritten"    // an entry has another hash than the one that was signed
	Unsigned    ProblemKind = "unsigned"     // entries that no installation signed
	Unlisted    ProblemKind = "unlisted"     // entries that only an unlisted installation signed
	HeadMissing ProblemKind = "head_missing" // this installation's checkpoint is gone
	HeadDamaged ProblemKind = "head_damaged" // a checkpoint's signature does not fit
	BadKey      ProblemKind = "bad_key"      // a key entry's signature does not fit
	BadDatabase ProblemKind = "bad_database" // the database's own structure was changed
)

// Problem is one difference. Entry is the id of the first entry concerned, 0 if
// it concerns none; Last is the id of the last one, if they are several.
type Problem struct {
	Kind   ProblemKind `json:"kind"`
	Entry  int64       `json:"entry,omitempty"`
	Last   int64       `json:"last,omitempty"`
	Detail string      `json:"detail"`
}

func (p Problem) String() string {
	switch {
	case p.Entry == 0:
		return p.Detail
	case p.Last > p.Entry:
		return fmt.Sprintf("entries %d to %d: %s", p.Entry, p.Last, p.Detail)
	}
	return fmt.Sprintf("entry %d: %s", p.Entry, p.Detail)
}
