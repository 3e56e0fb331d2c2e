package ci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/cilog"
)

// maxKnown is how many bytes of an archive's member are read into memory, so that equal ones
// are scanned once. A longer member is scanned each time.
const maxKnown = 8 << 20

// LogZip passes on the members of the archive of a run's logs, as GitHub builds it: each log
// once, though the archive has it as the job's and as its steps'. It gives what cilog.Zip gives.
func LogZip(ctx context.Context, b *Blob, at rules.Location, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) ([]cilog.JobLog, error) {
	var buf bytes.Buffer
	return cilog.Zip(ctx, b, b.Size, at.Path, func(a scanners.Artifact, r io.Reader) error {
		a.Location.System, a.Location.Run, a.Location.Attempt = at.System, at.Run, at.Attempt
		a.Location.Notes, a.Location.Origin = at.Notes, at.Origin
		return known(&buf, a, r, part)
	}, func(g scanners.Gap) {
		g.Location.System, g.Location.Run, g.Location.Attempt = at.System, at.Run, at.Attempt
		gap(g)
	})
}

// known gives an artifact a name for its content, where that fits into memory.
func known(buf *bytes.Buffer, a scanners.Artifact, r io.Reader, part func(scanners.Artifact, io.Reader) error) error {
	if _, ok := r.(scanners.AsIs); ok {
		return part(a, r)
	}
	buf.Reset()
	n, err := buf.ReadFrom(io.LimitReader(r, maxKnown+1))
	switch {
	case err != nil:
		// The content before the error is scanned, and the error is reported.
		return part(a, io.MultiReader(bytes.NewReader(buf.Bytes()), failing{err}))
	case n > maxKnown:
		return part(a, io.MultiReader(bytes.NewReader(buf.Bytes()), r))
	}
	sum := sha256.Sum256(buf.Bytes())
	a.Content = hex.EncodeToString(sum[:]) + path.Ext(a.Location.Path)
	return part(a, scanners.InMemory(buf.Bytes()))
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
