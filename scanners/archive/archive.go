// Package archive opens files that contain other files: archives, packages, compressed files,
// disk images and documents. It recognises a format by the first bytes of a file, not by the
// file's name.
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

// Limits bound the work and the memory that one file may cost.
type Limits struct {
	// Depth is the maximum nesting of formats.
	Depth int
	// Ratio bounds the unpacked bytes of a file, everything nested in it included: at most Free
	// bytes plus Ratio times the file's size. Deflate alone can expand data 1,032 times.
	Ratio, Free int64
	// Entries is the maximum number of entries of one file, nested ones included.
	Entries int
	// Kept is the maximum size, in bytes, of a nested file that is held in memory because its
	// format is read from the end: zip, 7z, ISO, PDF. It is never written to a disk.
	Kept int64
	// Window is the maximum total, in bytes, of the history windows of nested decoders.
	Window int64
}

// DefaultLimits are the limits of a scan.
var DefaultLimits = Limits{Depth: 8, Ratio: 300, Free: 2 << 30, Entries: 5_000_000, Kept: 256 << 20, Window: 192 << 20}

// Opener implements scanners.Unpacker.
type Opener struct {
	limits Limits
	forms  []form
	// first maps the first byte of a file to the formats that it can have.
	first [256][]*form
	// kept is a semaphore: it bounds how many files all goroutines together hold in memory.
	kept chan struct{}
	// databases bounds how many databases are read at a time: each is in memory with SQLite's
	// own copy and the text of its rows.
	databases chan struct{}
}

// New returns an Opener with the limits l.
func New(l Limits) *Opener {
	o := &Opener{limits: l, forms: forms(), kept: make(chan struct{}, 2), databases: make(chan struct{}, 1)}
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
	// Brotli has no magic number.
	if strings.HasSuffix(name, ".br") {
		return "brotli"
	}
	if misnamed(head, name) {
		return damagedName
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

// ErrLimit is wrapped by the errors that Open returns or passes to gap when a file contains
// more than Limits allow.
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
	// A panic of a library on hostile bytes fails this file only.
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("damaged %s (%T)", what, x)
		}
	}()
	x := &opening{ctx: ctx, opener: o, form: f, budget: b, name: in.Name, size: in.Size, openCompanion: in.Beside, deliver: member, gap: gap}
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

// keep reads the file into memory. The caller calls done to release the memory.
func (x *opening) keep() (done func(), err error) {
	o, b := x.opener, x.budget
	release := func() {}
	if b.Kept == 0 { // one slot for a file and everything nested in it
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
