// Package archive opens files that hold others: archives, packages, compressed
// files, disk images and documents. It recognises a form by the first bytes of a
// file, not by the name.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/quellhq/quell/scanners"
)

// Limits bound what is opened.
type Limits struct {
	// Depth is how many forms within forms are opened.
	Depth int
	// Ratio is how often its own size all that is inside of a file may have
	// together, beyond Free bytes. Deflate alone makes 1,032 of one.
	Ratio, Free int64
	// Entries is how many things one file may hold, with all that is inside.
	Entries int
	// Kept is the largest file within another that is kept in memory, where its
	// form is read from the end: zip, 7z, ISO, PDF. It is not written to a disk.
	Kept int64
	// Window is how many bytes the decoders of forms within each other may keep of what they
	// made, together.
	Window int64
}

// DefaultLimits are those of a scan.
var DefaultLimits = Limits{Depth: 8, Ratio: 300, Free: 2 << 30, Entries: 5_000_000, Kept: 256 << 20, Window: 192 << 20}

// Opener implements scanners.Unpacker.
type Opener struct {
	limits Limits
	forms  []form
	// first lists the forms that a file with a certain first byte may have.
	first [256][]*form
	// kept bounds what is kept by all goroutines together: each waits its turn.
	kept chan struct{}
}

// New makes an opener.
func New(l Limits) *Opener {
	o := &Opener{limits: l, forms: forms(), kept: make(chan struct{}, 2)}
	for i := range o.forms {
		f := &o.forms[i]
		for c := range o.first {
			if f.at > 0 || f.magic == "" || f.magic[0] == byte(c) {
				o.first[c] = append(o.first[c], f)
			}
		}
	}
	return o
}

// Head implements scanners.Unpacker.
func (o *Opener) Head() int { return headLen }

// Recognise implements scanners.Unpacker.
func (o *Opener) Recognise(head []byte, name string) string {
	if f := o.find(head); f != nil {
		return f.name
	}
	// Brotli has no magic.
	if strings.HasSuffix(name, ".br") {
		return "brotli"
	}
	return ""
}

func (o *Opener) find(head []byte) *form {
	if len(head) == 0 {
		return nil
	}
	for _, f := range o.first[head[0]] {
		if len(head) >= f.at+len(f.magic) && string(head[f.at:f.at+len(f.magic)]) == f.magic && (f.known == nil || f.known(head)) {
			return f
		}
	}
	return nil
}

func (o *Opener) named(what string) *form {
	for i := range o.forms {
		if o.forms[i].name == what {
			return &o.forms[i]
		}
	}
	if what == "brotli" {
		return &form{name: what, open: unbrotli}
	}
	return nil
}

// ErrLimit is the error of a file that holds more than quell reads of one.
var ErrLimit = errors.New("holds more than is read of one file")

func limitOf(kind, format string, args ...any) error {
	return scanners.OfKind(kind, fmt.Errorf("%w: %s", ErrLimit, fmt.Sprintf(format, args...)))
}

var errEncrypted = scanners.OfKind(scanners.GapEncrypted, errors.New("encrypted: it can't be read"))

// Open implements scanners.Unpacker.
func (o *Opener) Open(ctx context.Context, what string, in scanners.Packed, b *scanners.Budget, member func(name string, r io.Reader) error, gap func(name string, err error)) (err error) {
	f := o.named(what)
	if f == nil {
		return fmt.Errorf("%s is not opened", what)
	}
	if b.Depth >= o.limits.Depth {
		return limitOf(scanners.GapLimitDepth, "%d forms within each other", b.Depth)
	}
	// A library's panic on hostile bytes concerns this file.
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("damaged %s (%T)", what, x)
		}
	}()
	x := &opening{ctx: ctx, opener: o, form: f, budget: b, name: in.Name, size: in.Size, deliver: member, gap: gap}
	x.in = guarded{in.Reader, b}
	if in.At != nil {
		x.at = guardedAt{in.At, b}
	}
	if f.seeks && x.at == nil {
		done, err := x.keep()
		if err != nil {
			return err
		}
		defer done()
	}
	return x.run()
}

// keep reads the file into memory. done gives the memory back.
func (x *opening) keep() (done func(), err error) {
	o, b := x.opener, x.budget
	release := func() {}
	if b.Kept == 0 { // one turn for a file with all that is inside
		began := time.Now()
		select {
		case o.kept <- struct{}{}:
			release = func() { <-o.kept }
			b.Waited += time.Since(began)
		case <-x.ctx.Done():
			return nil, x.ctx.Err()
		}
	}
	left := o.limits.Kept - b.Kept
	kept, err := io.ReadAll(io.LimitReader(x.in, left+1))
	if err == nil && int64(len(kept)) > left {
		err = scanners.OfKind(scanners.GapLimitMemory, fmt.Errorf("a %s of over %d MiB within another file is not opened", x.form.name, left>>20))
	}
	if err != nil {
		release()
		return nil, err
	}
	n := int64(len(kept)) + 1
	b.Kept += n
	x.at, x.size = guardedAt{readerAt(kept), b}, int64(len(kept))
	return func() { b.Kept -= n; release() }, nil
}
