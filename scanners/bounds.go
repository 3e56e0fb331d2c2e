package scanners

import (
	"context"
	"errors"
	"sync/atomic"
)

// Limits of what the containers of a target expand to, all of them together. They exceed the
// limits of a single file (archive.DefaultLimits), so one container alone never reaches them.
const (
	// freeExpansion is the number of bytes that any target may expand to.
	freeExpansion = 4 << 30
	// ExpansionRatio is how many bytes more it may expand to for each byte of its own files.
	ExpansionRatio = 300
)

// ErrExpansion is the error of a container that is not read to its end because the containers of
// the target together expand to more than its size justifies.
var ErrExpansion = OfKind(GapLimitBytes, errors.New("the containers of this target together expand to more bytes than are read: scan this one on its own"))

// Bounds are what the artifacts of a target may cost together, so that many hostile files cost
// no more than one: bytes from the expansion of containers and of encoded text, and time. Its
// methods are safe for concurrent use; a nil Bounds has no limit.
type Bounds struct {
	in, out      atomic.Int64 // bytes
	shared, pool atomic.Int64 // nanoseconds left of Patience.Shared and of Patience.Pool
	pooled       bool         // pool has a limit
}

// NewBounds returns the bounds of one target.
func NewBounds(p Patience) *Bounds {
	b := &Bounds{pooled: p.Pool > 0}
	b.shared.Store(int64(p.Shared))
	b.pool.Store(int64(p.Pool))
	return b
}

// Read adds n bytes of the target's own files.
func (b *Bounds) Read(n int64) {
	if b != nil {
		b.in.Add(n)
	}
}

// Expand adds n bytes that an expansion yields beyond the size of the file that is expanded. It
// returns ErrExpansion, and adds nothing, if that is beyond the limit.
func (b *Bounds) Expand(n int64) error {
	if b != nil && n > 0 && b.out.Add(n) > freeExpansion+ExpansionRatio*b.in.Load() {
		b.out.Add(-n)
		return ErrExpansion
	}
	return nil
}

// Surplus charges a Bounds with the bytes of one expansion that exceed the bytes it is made of.
type Surplus struct {
	Bounds  *Bounds
	charged int64
}

// Expand adds what is new since the last call. out and in are totals, in bytes.
func (s *Surplus) Expand(out, in int64) error {
	if s.Bounds == nil || out-in <= s.charged {
		return nil
	}
	if err := s.Bounds.Expand(out - in - s.charged); err != nil {
		return err
	}
	s.charged = out - in
	return nil
}

type boundsKey struct{}

// BoundsOf returns the bounds of the target that is being scanned, for sources that expand
// containers themselves. Such a source sets Artifact.Expanded.
func BoundsOf(ctx context.Context) *Bounds {
	b, _ := ctx.Value(boundsKey{}).(*Bounds)
	return b
}
