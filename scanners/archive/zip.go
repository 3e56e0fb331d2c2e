package archive

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/zip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/quellhq/quell/scanners/inflate"
)

func unzip(o *opening) error {
	z, err := zip.NewReader(o.at, o.size)
	if err != nil {
		return errors.Join(err, unzipCut(o))
	}
	if z.Comment != "" {
		o.note(z.Comment)
	}
	var known []extent
	for _, f := range z.File {
		if at, err := f.DataOffset(); err == nil {
			known = append(known, extent{at, at + int64(f.CompressedSize64)})
		}
		o.note(f.Name, f.Comment)
		if f.FileInfo().IsDir() {
			continue
		}
		name := clean(f.Name)
		if f.Flags&1 != 0 {
			o.gap(name, errEncrypted)
			continue
		}
		r, err := zipped(f)
		if err != nil {
			o.gap(name, err)
			continue
		}
		var content io.Reader = r
		if inRuns(name) {
			content = &document{r: r}
		}
		err = o.member(name, content)
		r.close()
		if err != nil {
			return err
		}
	}
	return o.unlisted(known)
}

// extent is a part of a file.
type extent struct{ from, to int64 }

// records are how a zip's parts begin that are no members, and how long they are (APPNOTE
// 4.3.9 to 4.3.16).
var records = []struct {
	magic string
	fixed int64
	sizes []int // where two bytes say how much more there is
}{
	{"PK\x01\x02", 46, []int{28, 30, 32}},
	{"PK\x05\x06", 22, []int{20}},
	{"PK\x06\x06", 12, []int{4}}, // eight bytes, the first two of which tell
	{"PK\x06\x07", 20, nil},
	{"PK\x07\x08", 16, nil},
	{"PK\x05\x05", 6, []int{4}},
}

// unlisted looks at what of a zip is no part of what its directory lists: members that were
// taken out of it, signatures, what stands before it and behind.
func (o *opening) unlisted(known []extent) error {
	slices.SortFunc(known, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	at := o.from
	for _, x := range append(known, extent{o.size, o.size}) {
		if err := o.between(at, x.from); err != nil {
			return err
		}
		at = max(at, x.to)
	}
	return nil
}

// between looks at a part of a zip that is of no listed member, but may be their headers and
// the directory.
func (o *opening) between(at, end int64) error {
	var h [localLen + 16]byte
	for at < end {
		n, _ := o.at.ReadAt(h[:min(int64(len(h)), end-at)], at)
		if n < 4 {
			return nil
		}
		if string(h[:4]) == local && n >= localLen {
			data := at + localLen + int64(binary.LittleEndian.Uint16(h[26:])) + int64(binary.LittleEndian.Uint16(h[28:]))
			if data >= end {
				return nil // the next member's
			}
			return unzipCut(&opening{ctx: o.ctx, at: io.NewSectionReader(o.at, at, end-at), size: end - at, name: o.name, member: o.member, gap: o.gap, names: o.names})
		}
		size := int64(0)
		for _, r := range records {
			if string(h[:4]) == r.magic && int64(n) >= r.fixed {
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
		// Sizes behind a member whose directory has them stand without a mark, and headers may
		// be set in line.
		if next := bytes.Index(h[:min(n, 24+4)], []byte("PK")); next > 0 && next <= 24 {
			at += int64(next)
			continue
		}
		if end-at <= 24 {
			return nil
		}
		return o.member(restMember, io.NewSectionReader(o.at, at, end-at))
	}
	return nil
}

// after looks at what stands behind the end that an archive tells of itself.
func (o *opening) after(end int64) {
	if end <= 0 || end >= o.size {
		return
	}
	in := bufio.NewReader(io.NewSectionReader(o.at, end, o.size-end))
	x := &opening{in: in, buf: in, member: o.member, gap: o.gap}
	x.behind(nil)
}

// zipped gives an entry's bytes, all that come, and then says whether they are what
// the archive promised: the library's own reader drops the last ones where they are
// not.
func zipped(f *zip.File) (*promised, error) {
	raw, err := f.OpenRaw()
	if err != nil {
		return nil, err
	}
	r, done, err := decoded(f.Method, raw, f.UncompressedSize64)
	if err != nil {
		return nil, err
	}
	return &promised{r: r, size: f.UncompressedSize64, sum: f.CRC32, crc: crc32.NewIEEE(), close: done}, nil
}

// decoded gives what a member of a method holds, and what to call when it was read.
func decoded(method uint16, raw io.Reader, size uint64) (r io.Reader, done func(), err error) {
	done = func() {}
	switch method {
	case zip.Store:
		r = raw
	case zip.Deflate:
		z := inflate.NewReader(raw)
		r, done = z, func() { z.Close() }
	case 12:
		r = bzip2.NewReader(raw)
	case zstd.ZipMethodWinZip, zstd.ZipMethodPKWare:
		r, err = zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	case 14:
		r, err = zipLZMA(raw, size)
	case 95:
		r, err = xz.NewReader(raw, maxWindow)
	default:
		err = fmt.Errorf("zip: method %d is not known", method)
	}
	return r, done, err
}

// promised compares what was read with what a header said of it.
type promised struct {
	r    io.Reader
	n    uint64
	size uint64
	sum  uint32
	crc  hash.Hash32

	close func() // lets what r holds be used again
}

func (p *promised) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += uint64(n)
	if p.crc != nil {
		_, _ = p.crc.Write(b[:n])
	}
	if err == io.EOF {
		switch {
		case p.n != p.size:
			err = fmt.Errorf("%d bytes, not the %d that its header says", p.n, p.size)
		case p.crc != nil && p.crc.Sum32() != p.sum:
			err = errors.New("its checksum is wrong")
		}
	}
	return n, err
}

// zipLZMA gives what a member of method 14 holds (APPNOTE 5.8.8): a version, the size of
// the properties, the properties, and a stream without the header that the library wants.
func zipLZMA(r io.Reader, size uint64) (io.Reader, error) {
	var h [9]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint16(h[2:]) != 5 {
		return nil, errors.New("zip: damaged LZMA properties")
	}
	return unLZMA(io.MultiReader(bytes.NewReader(binary.LittleEndian.AppendUint64(h[4:9:9], size)), r))
}

// local is how a member begins (APPNOTE 4.3.7).
const local, localLen = "PK\x03\x04", 30

// unzipCut reads the members of a zip whose directory is lost, one behind the other, as far
// as it is told where the next one begins, and what is left as it is.
func unzipCut(o *opening) error {
	at := o.from
	for {
		var h [localLen]byte
		if _, err := o.at.ReadAt(h[:], at); err != nil || string(h[:4]) != local {
			break // the directory, or the end
		}
		flags, method := binary.LittleEndian.Uint16(h[6:]), binary.LittleEndian.Uint16(h[8:])
		packed, size := int64(binary.LittleEndian.Uint32(h[18:])), int64(binary.LittleEndian.Uint32(h[22:]))
		name := make([]byte, binary.LittleEndian.Uint16(h[26:]))
		if _, err := o.at.ReadAt(name, at+localLen); err != nil {
			break
		}
		data := at + localLen + int64(len(name)) + int64(binary.LittleEndian.Uint16(h[28:]))
		if data >= o.size {
			return nil // nothing of it is here
		}
		o.note(string(name))
		// Sizes may stand behind the bytes; those of more than 4 GiB elsewhere.
		told := flags&8 == 0 && packed != math.MaxUint32
		if !told && (flags&1 != 0 || method != zip.Deflate) || method == zip.Store && packed != size {
			return o.rest(at)
		}
		end := o.size
		if told {
			end = min(end, data+packed)
		}
		if flags&1 != 0 {
			o.gap(clean(string(name)), errEncrypted)
		} else if r, done, err := decoded(method, io.NewSectionReader(o.at, data, end-data), uint64(size)); err != nil {
			o.gap(clean(string(name)), err)
		} else {
			if told {
				r = &promised{r: r, size: uint64(size)}
			}
			err := o.member(clean(string(name)), r)
			if z, ok := r.(*inflate.Reader); ok && err == nil {
				_, err = io.Copy(io.Discard, z)
				packed = z.Offset()
			}
			done()
			if err != nil {
				return err
			}
		}
		if at = data + packed; told {
			continue
		}
		// Behind a descriptor of 12 to 24 bytes.
		var tail [24 + len(local)]byte
		n, _ := o.at.ReadAt(tail[:], at)
		at += int64(max(0, bytes.Index(tail[:n], []byte(local))))
	}
	return o.rest(at)
}

// rest gives what stands behind the members that could be read. Where there were none, the
// file is looked at as it is anyway.
func (o *opening) rest(at int64) error {
	if at == o.from || at >= o.size {
		return nil
	}
	return o.member(restMember, io.NewSectionReader(o.at, at, o.size-at))
}

// zipApp knows a zip behind a script, as Python's zipapps and jars that start themselves are.
func zipApp(head []byte) bool { return bytes.Contains(head, []byte(local)) }

func unzipApp(o *opening) error {
	head := make([]byte, headLen)
	n, _ := o.at.ReadAt(head, 0)
	o.from = int64(max(0, bytes.Index(head[:n], []byte(local))))
	if err := o.member("(script)", bytes.NewReader(head[:o.from])); err != nil {
		return err
	}
	return unzip(o)
}
