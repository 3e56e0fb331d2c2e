package scanners

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// stream scans one artifact, and then the text that an opener extracts from it.
func (r *run) stream(ctx context.Context, a Artifact, b io.Reader, x *account, own bool) error {
	if m, ok := b.(*memory); ok && len(m.all) <= chunkSize && m.Len() == len(m.all) &&
		!slices.ContainsFunc(r.Openers, func(o Opener) bool { return bytes.HasPrefix(m.all, o.Magic) }) {
		return r.whole(ctx, a, m.all, x, own)
	}
	b, inner := r.opened(a, b)
	if err := r.read(ctx, a, b, x, own); err != nil || inner == nil {
		return err
	}
	began := time.Now()
	in, err := inner(ctx)
	x.Spend(time.Since(began) - in.Waited)
	if err != nil {
		a.record.spoil()
		r.gap(Gap{Location: a.Location, Kind: kindInside(err), Err: err})
	}
	if len(in.Text) == 0 {
		return nil
	}
	a.Location.Path += "!" + in.Name
	a.where = in.Where
	return r.read(ctx, a, bytes.NewReader(in.Text), x, false)
}

// opened checks the first bytes of b. If they match an opener, the returned reader keeps a copy
// of everything read, for the opener to use at the end.
func (r *run) opened(a Artifact, b io.Reader) (io.Reader, func(context.Context) (Inner, error)) {
	longest := 0
	for _, o := range r.Openers {
		longest = max(longest, len(o.Magic))
	}
	if longest == 0 {
		return b, nil
	}
	head := make([]byte, longest)
	n, err := readFull(b, head)
	head = head[:n]
	var whole io.Reader = &prefixed{head, b}
	if err != nil {
		// A short file, or an error, which the reader must return again.
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			whole = &prefixed{head, failing{err}}
		}
		return whole, nil
	}
	for _, o := range r.Openers {
		if bytes.HasPrefix(head, o.Magic) {
			kept := &keeper{max: o.Max}
			return io.TeeReader(Filled(whole), kept), func(ctx context.Context) (Inner, error) {
				if kept.over {
					return Inner{}, OfKind(GapLimitMemory, fmt.Errorf("larger than %d MiB: scanned as it is, not opened", o.Max>>20))
				}
				return o.Open(ctx, kept.b, beside(a, o.Max))
			}
		}
	}
	return whole, nil
}

// beside returns a function that reads companion files of an artifact.
func beside(a Artifact, most int) func(string) ([]byte, error) {
	if a.Beside == nil {
		return nil
	}
	return func(suffix string) ([]byte, error) {
		f, err := a.Beside(suffix)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
		if err == nil && len(b) > most {
			err = fmt.Errorf("larger than %d MiB", most>>20)
		}
		return b, err
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// keeper keeps what is written to it, up to a limit in bytes.
type keeper struct {
	b    []byte
	max  int
	over bool
}

func (k *keeper) Write(p []byte) (int, error) {
	if k.over = k.over || len(k.b)+len(p) > k.max; k.over {
		k.b = nil
	} else {
		k.b = append(k.b, p...)
	}
	return len(p), nil
}

// readFull fills b until an error or a hole.
func readFull(r io.Reader, b []byte) (int, error) {
	n, err := fill(r, b)
	if err == io.EOF && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
