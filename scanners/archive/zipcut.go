package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/zip"

	"github.com/quellhq/quell/scanners/inflate"
)

// local is the signature of a member's local header, localLen the header's fixed size in bytes
// (APPNOTE 4.3.7).
const local, localLen = "PK\x03\x04", 30

// extent is the range of a file that contains a member's data.
type extent struct {
	from, to int64
	f        *zip.File
}

// records are the signatures and sizes of a zip's records other than members (APPNOTE 4.3.9 to
// 4.3.16).
var records = []struct {
	magic string
	fixed int64
	sizes []int // offsets of two-byte fields that state further sizes
}{
	{"PK\x01\x02", 46, []int{28, 30, 32}},
	{"PK\x05\x06", 22, []int{20}},
	{"PK\x06\x06", 12, []int{4}}, // eight bytes; only the lowest two are used
	{"PK\x06\x07", 20, nil},
	{"PK\x05\x05", 6, []int{4}},
}

// unlisted scans what the directory does not list: members removed from the directory,
// signatures, and the data before and after the zip.
func (o *opening) unlisted(known []extent) error {
	slices.SortFunc(known, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	at := o.from
	for _, x := range known {
		if err := o.between(at, o.localHeader(at, x)); err != nil {
			return err
		}
		at = max(at, x.to)
	}
	return o.between(at, o.size)
}

// localHeader returns the offset of a member's local header, which ends where the data begins.
// It notes words that the directory lacks.
func (o *opening) localHeader(from int64, x extent) int64 {
	const longest = localLen + 2*math.MaxUint16
	from = max(from, x.from-longest)
	if from >= x.from {
		return x.from
	}
	h := make([]byte, x.from-from)
	n, _ := o.at.ReadAt(h, from)
	h = h[:n]
	for end := len(h); ; {
		k := bytes.LastIndex(h[:end], []byte(local))
		if k < 0 {
			return x.from // unlisted scans these bytes as they are
		}
		if end = k; k+localLen > len(h) {
			continue
		}
		name, extra := int(binary.LittleEndian.Uint16(h[k+26:])), int(binary.LittleEndian.Uint16(h[k+28:]))
		if k+localLen+name+extra != len(h) {
			continue
		}
		b := h[k+localLen:]
		if string(b[:name]) != x.f.Name {
			o.note(string(b[:name]))
		}
		if !bytes.Equal(b[name:], x.f.Extra) {
			if w := words(unlessName(b[name:], x.f.Name)); w != "" {
				o.note(w)
			}
		}
		return from + int64(k)
	}
}

// between scans a part of a zip that belongs to no listed member: the directory or unlisted
// data.
func (o *opening) between(at, end int64) error {
	var h [localLen + 16]byte
	for at < end {
		n, err := o.at.ReadAt(h[:min(int64(len(h)), end-at)], at)
		if n == 0 {
			return err
		}
		if n >= localLen && string(h[:4]) == local {
			return unzipCut(&opening{ctx: o.ctx, opener: o.opener, form: o.form, budget: o.budget, at: io.NewSectionReader(o.at, at, end-at), size: end - at, name: o.name, deliver: o.deliver, gap: o.gap})
		}
		size := int64(0)
		for _, r := range records {
			if string(h[:min(n, 4)]) == r.magic && int64(n) >= r.fixed {
				size = r.fixed
				for _, k := range r.sizes {
					size += int64(binary.LittleEndian.Uint16(h[k:]))
				}
			}
		}
		if size > 0 {
			at += size
			continue
		}
		if size = o.zeros(at, end); size > 0 { // members can be aligned
			at += size
			continue
		}
		return o.member(restMember, io.NewSectionReader(o.at, at, end-at))
	}
	return nil
}

// zeros counts the zero bytes from an offset on.
func (o *opening) zeros(at, end int64) (n int64) {
	var b [4096]byte
	for at+n < end {
		k, _ := o.at.ReadAt(b[:min(int64(len(b)), end-at-n)], at+n)
		rest := len(bytes.TrimLeft(b[:k], "\x00"))
		if n += int64(k - rest); rest > 0 || k == 0 {
			break
		}
	}
	return n
}

// unzipCut reads consecutive members of a zip whose directory is missing, until it can't locate
// the next one. The remaining bytes are scanned as they are.
func unzipCut(o *opening) error {
	at := o.from
	for {
		next, err := o.cutMember(at)
		if err != nil {
			return err
		}
		if next <= at {
			break
		}
		at = next
	}
	o.emitNotes()
	// If there is no member at all, the caller scans the whole file.
	if at == o.from || at >= o.size {
		return o.over
	}
	return o.plain(restMember, io.NewSectionReader(o.at, at, o.size-at))
}

// cutMember opens the member at an offset and returns the offset after it. It returns at if
// there is no member or if the member's end can't be located.
func (o *opening) cutMember(at int64) (next int64, err error) {
	var h [localLen]byte
	if _, err := o.at.ReadAt(h[:], at); err != nil || string(h[:4]) != local {
		return at, nil // the directory, or the end
	}
	flags, method, sum := binary.LittleEndian.Uint16(h[6:]), binary.LittleEndian.Uint16(h[8:]), binary.LittleEndian.Uint32(h[14:])
	packed, size := int64(binary.LittleEndian.Uint32(h[18:])), int64(binary.LittleEndian.Uint32(h[22:]))
	name := make([]byte, binary.LittleEndian.Uint16(h[26:]))
	if _, err := o.at.ReadAt(name, at+localLen); err != nil {
		return at, nil
	}
	data := at + localLen + int64(len(name)) + int64(binary.LittleEndian.Uint16(h[28:]))
	o.note(string(name))
	if data >= o.size {
		return o.size, nil // the file ends before the member's data
	}
	// The sizes can follow the data; those above 4 GiB are stored elsewhere.
	stated := flags&8 == 0 && packed != math.MaxUint32
	if !stated && (flags&1 != 0 || method != zip.Deflate) || method == zip.Store && packed != size {
		return at, nil
	}
	end := o.size
	if stated {
		end = min(end, data+packed)
	}
	if flags&1 != 0 {
		o.gap(clean(string(name)), errEncrypted)
		return data + packed, o.counts()
	}
	r, done, _, err := o.decoded(method, io.NewSectionReader(o.at, data, end-data), end-data, uint64(size))
	if err != nil {
		o.gap(clean(string(name)), err)
		if !stated {
			return at, nil
		}
		return data + packed, o.counts()
	}
	defer done()
	content := r
	if stated {
		content = newPromised(r, uint64(size), sum)
	}
	if err := o.member(clean(string(name)), content); err != nil {
		return at, err
	}
	if stated {
		return data + packed, nil
	}
	z := r.(*inflate.Reader)
	if _, err := io.Copy(io.Discard, z); err != nil {
		// Damaged: continue at the next signature.
		next := o.findLocal(data)
		return next, o.plain(join(clean(string(name)), restMember), io.NewSectionReader(o.at, data, next-data))
	}
	return o.nextLocal(data + z.Offset()), nil
}

// nextLocal returns the offset of the next member after a descriptor of 12 to 24 bytes, or at.
func (o *opening) nextLocal(at int64) int64 {
	var tail [24 + len(local)]byte
	n, _ := o.at.ReadAt(tail[:], at)
	return at + int64(max(0, bytes.Index(tail[:n], []byte(local))))
}

// findLocal returns the offset of the next local header from at on, or the end of the file.
func (o *opening) findLocal(at int64) int64 {
	b := make([]byte, 64<<10)
	for at < o.size {
		n, err := o.at.ReadAt(b[:min(int64(len(b)), o.size-at)], at)
		if k := bytes.Index(b[:n], []byte(local)); k >= 0 {
			return at + int64(k)
		}
		if n < len(b) || err != nil {
			break
		}
		at += int64(n - len(local) + 1)
	}
	return o.size
}
