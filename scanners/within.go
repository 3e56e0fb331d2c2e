package scanners

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Part is an archive within a file of another format, such as the archive of a self-extractor.
type Part struct {
	Form string
	// From and To are offsets in the file. If To is 0, the part extends to the file's end.
	From, To int64
	// Plain is set if the part is not compressed: the file's own bytes show its content.
	Plain bool
	// Inner is set for a member of an uncompressed archive that is a container itself. It is no
	// part of its own: an archive with such a member is not Plain.
	Inner bool
	// Err is set if the part can't be opened.
	Err error
}

// Window is a piece of a file in which an Unpacker searches for parts.
type Window struct {
	Data     []byte
	Offset   int64 // of Data[0] in the file
	From, To int   // delimit the window's own part of Data: a mark belongs to the window in which it begins
	Last     bool  // Data ends where the file ends
	Script   bool  // the file begins as a script
	// At gives random access to the file, which has Size bytes; nil: there is none.
	At   io.ReaderAt
	Size int64
}

// Bytes returns n bytes of the file. ok is false if they can't be read.
func (w Window) Bytes(from, n int64) (b []byte, ok bool) {
	if at := from - w.Offset; at >= 0 && n >= 0 && at+n <= int64(len(w.Data)) {
		return w.Data[at : at+n], true
	}
	if w.At == nil || from < 0 || n < 0 {
		return nil, false
	}
	b = make([]byte, n)
	k, _ := w.At.ReadAt(b, from)
	return b, int64(k) == n
}

// maxParts bounds the parts of a file that are opened.
const maxParts = 64

// within collects the parts of a file while it is scanned.
type within struct {
	at     io.ReaderAt
	size   int64
	script bool
	parts  []Part
	inner  []int64 // the offsets of members that are containers
	many   bool    // there are more than maxInner
}

// maxInner bounds the members that are remembered.
const maxInner = 1024

func (w *within) look(u Unpacker, c Chunk, last bool) {
	if w == nil || len(w.parts) > maxParts {
		return
	}
	if c.Offset == 0 {
		w.script = len(c.Data) > 2 && c.Data[0] == '#' && c.Data[1] == '!'
	}
	for _, p := range u.Within(Window{Data: c.Data, Offset: c.Offset, From: c.From, To: c.To, Last: last, Script: w.script, At: w.at, Size: w.size}) {
		switch {
		case !p.Inner:
			w.parts = append(w.parts, p)
		case len(w.inner) < maxInner:
			w.inner = append(w.inner, p.From)
		default:
			w.many = true
		}
	}
}

// plain reports whether the file's own bytes show all content of a part.
func (w *within) plain(p Part) bool {
	return p.Plain && !w.many && !slices.ContainsFunc(w.inner, func(at int64) bool { return at >= p.From && (p.To == 0 || at < p.To) })
}

// parts opens the parts. A stream can't be read again: its parts are reported.
func (r *run) parts(ctx context.Context, a Artifact, w *within, x *account, budget *Budget) error {
	if len(w.parts) == 0 {
		return nil
	}
	if budget == nil {
		budget = &Budget{In: func() int64 { return w.size }, Target: Surplus{Bounds: r.Bounds}}
	}
	a.within = nil
	budget.Depth++
	defer func() { budget.Depth-- }()
	for i, p := range w.parts {
		if slices.ContainsFunc(w.parts[:i], func(q Part) bool { return q.covers(p) }) || slices.ContainsFunc(w.parts[i+1:], func(q Part) bool { return q.covers(p) }) {
			continue
		}
		m := a
		m.Open, m.Parts, m.Companion = nil, nil, nil
		m.Location.Path += "!(" + p.Form + ")"
		if i >= maxParts {
			a.record.spoil()
			r.gap(Gap{Location: a.Location, Kind: GapLimitEntries, Err: fmt.Errorf("over %d archives within it", maxParts)})
			return nil
		}
		if p.Err != nil {
			a.record.spoil()
			r.gap(Gap{Location: a.Location, Kind: KindOf(p.Err), Reason: p.Form, Err: p.Err})
			continue
		}
		if w.at == nil {
			if !w.plain(p) {
				a.record.spoil()
				r.gap(Gap{Location: m.Location, Kind: GapUnsupported, Reason: p.Form, Err: errors.New("follows other bytes within a stream: unpack it first")})
			}
			continue
		}
		end := w.size
		if p.To > 0 {
			end = min(end, p.To)
		}
		part := io.NewSectionReader(w.at, p.From, end-p.From)
		if err := r.open(ctx, m, p.Form, Packed{Name: m.Location.Path, Reader: part, At: part, Size: part.Size()}, &peeked{}, x, budget); err != nil {
			return err
		}
	}
	return nil
}

// covers reports whether q contains p and more.
func (q Part) covers(p Part) bool {
	return q.Err == nil && q.From <= p.From && (q.To == 0 || p.To != 0 && q.To >= p.To) && (q.From != p.From || q.To != p.To)
}
