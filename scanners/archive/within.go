package archive

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/quellhq/quell/scanners"
)

const (
	endRecord, endLen = "PK\x05\x06", 22 // a zip's end record (APPNOTE 4.3.16)
	dirRecord, dirLen = "PK\x01\x02", 46 // an entry of its directory (APPNOTE 4.3.12)
	mark7z, len7z     = "7z\xbc\xaf\x27\x1c", 32
	markRar           = "Rar!\x1a\x07"
	markDMG, lenDMG   = "koly", 512
	maxDirectory      = 4 << 20 // bytes of a directory that is read to find a zip's beginning
)

// payloads are the marks of compressed data that follows a shell script, as makeself writes it.
var payloads = []string{"\x1f\x8b\x08", "BZh91AY&SY", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "\x04\x22\x4d\x18", "LZIP\x01"}

// Within implements scanners.Unpacker. A mark alone proves nothing, because programs contain
// marks as constants: a zip needs an end record whose numbers fit its directory, 7z and RAR a
// header with its checksum.
func (o *Opener) Within(w scanners.Window) (parts []scanners.Part) {
	if bytes.IndexByte(w.Data, 0) < 0 {
		return nil // each of these formats has NULs in its headers
	}
	each(w, "PK", func(i int) {
		switch h := w.Data[i:]; {
		case bytes.HasPrefix(h, []byte(endRecord)):
			if p, ok := zipBefore(w, i); ok {
				parts = append(parts, p)
			}
		case w.At == nil && bytes.HasPrefix(h, []byte(local)):
			if at := stored(h); at > 0 && o.find(h[at:]) != nil {
				parts = append(parts, scanners.Part{From: w.Offset + int64(i), Inner: true})
			}
		}
	})
	each(w, mark7z, func(i int) {
		h := w.Data[i:]
		if len(h) < len7z || crc32.ChecksumIEEE(h[12:len7z]) != binary.LittleEndian.Uint32(h[8:]) {
			return
		}
		from := w.Offset + int64(i)
		end := from + len7z + int64(binary.LittleEndian.Uint64(h[12:])) + int64(binary.LittleEndian.Uint64(h[20:]))
		parts = append(parts, scanners.Part{Form: "7z", From: from, To: max(end, from+len7z)})
	})
	each(w, markRar, func(i int) {
		if rarHeader(w.Data[i+len(markRar):]) {
			parts = append(parts, scanners.Part{Form: "rar", From: w.Offset + int64(i)})
		}
	})
	if w.Script {
		for _, m := range payloads {
			each(w, m, func(i int) {
				h := w.Data[i:]
				if i > 0 && w.Data[i-1] == '\n' && len(h) > 16 && (m[0] != '\x1f' || h[3]&0xe0 == 0 && (h[9] <= 13 || h[9] == 255)) {
					parts = append(parts, scanners.Part{Form: o.find(h).name, From: w.Offset + int64(i)})
				}
			})
		}
	}
	// An Apple disk image has its header at its end: mark, version 4, size of the header.
	if at := len(w.Data) - lenDMG; w.Last && at >= 0 && bytes.HasPrefix(w.Data[at:], []byte(markDMG+"\x00\x00\x00\x04\x00\x00\x02\x00")) {
		parts = append(parts, scanners.Part{Form: "DMG", Err: errUnsupported, To: w.Offset + int64(len(w.Data))})
	}
	return parts
}

// each calls f with the offsets of mark in the window's own part.
func each(w scanners.Window, mark string, f func(i int)) {
	for i := w.From; i < w.To; {
		k := bytes.Index(w.Data[i:], []byte(mark))
		if k < 0 || i+k >= w.To {
			return
		}
		f(i + k)
		i += k + len(mark)
	}
}

// zipBefore returns the zip whose end record is at Data[i:]. Its offsets count from its own
// beginning, or, after zip -A, from the beginning of the file.
func zipBefore(w scanners.Window, i int) (p scanners.Part, ok bool) {
	h := w.Data[i:]
	if len(h) < endLen {
		return p, false
	}
	entries, size, first := int64(binary.LittleEndian.Uint16(h[10:])), int64(binary.LittleEndian.Uint32(h[12:])), int64(binary.LittleEndian.Uint32(h[16:]))
	end := w.Offset + int64(i)
	p = scanners.Part{Form: "zip", To: end + endLen + int64(binary.LittleEndian.Uint16(h[20:]))}
	if entries == 0xffff || size == 0xffffffff || first == 0xffffffff { // zip64
		return p, i >= 20 && string(w.Data[i-20:i-16]) == "PK\x06\x07"
	}
	if binary.LittleEndian.Uint32(h[4:]) != 0 || binary.LittleEndian.Uint16(h[8:]) != uint16(entries) || entries == 0 || size < entries*dirLen || first+size > end {
		return p, false
	}
	dir, known := w.Bytes(end-size, min(size, maxDirectory))
	if known && !bytes.HasPrefix(dir, []byte(dirRecord)) {
		// The directory can be elsewhere, as at the beginning of Firefox's omni.ja.
		if dir, known = w.Bytes(first, min(size, maxDirectory)); known && !bytes.HasPrefix(dir, []byte(dirRecord)) || !known && !w.Last {
			return p, false
		}
		return p, true
	}
	if !known {
		return p, true
	}
	least, plain := first, true
	for n := int64(0); n < entries && len(dir) >= dirLen && string(dir[:4]) == dirRecord; n++ {
		least = min(least, int64(binary.LittleEndian.Uint32(dir[42:])))
		name := int(binary.LittleEndian.Uint16(dir[28:]))
		more := dirLen + name + int(binary.LittleEndian.Uint16(dir[30:])) + int(binary.LittleEndian.Uint16(dir[32:]))
		if more > len(dir) {
			plain = false
			break
		}
		packed := slices.Contains(packedNames, strings.ToLower(path.Ext(string(dir[dirLen:dirLen+name]))))
		encrypted := dir[8]&1 != 0
		plain = plain && binary.LittleEndian.Uint16(dir[10:]) == 0 && !packed && !encrypted
		dir = dir[more:]
	}
	p.From, p.Plain = end-size-first+least, plain
	return p, true
}

// stored returns the offset of the content in a zip's member that is not compressed, which begins
// with its local header (APPNOTE 4.3.7); 0: it is compressed, or the header is cut.
func stored(b []byte) int {
	const headerLen = 30
	if len(b) < headerLen || binary.LittleEndian.Uint16(b[8:]) != 0 {
		return 0
	}
	at := headerLen + int(binary.LittleEndian.Uint16(b[26:])) + int(binary.LittleEndian.Uint16(b[28:]))
	if at > len(b) {
		return 0
	}
	return at
}

// rarHeader reports whether the rest of RAR's mark and a valid header begin b.
func rarHeader(b []byte) bool {
	if len(b) > 14 && b[0] == 0 { // version 4: checksum, type, flags, size
		n := int(binary.LittleEndian.Uint16(b[6:]))
		return b[3] == 0x73 && n >= 7 && n < len(b) && uint16(crc32.ChecksumIEEE(b[3:1+n])) == binary.LittleEndian.Uint16(b[1:])
	}
	if len(b) < 16 || b[0] != 1 || b[1] != 0 { // version 5: checksum, size, header
		return false
	}
	n, k := binary.Uvarint(b[6:])
	return k > 0 && k <= 3 && n < 1<<16 && 6+k+int(n) <= len(b) && crc32.ChecksumIEEE(b[6:6+k+int(n)]) == binary.LittleEndian.Uint32(b[2:])
}

// appended passes on a zip that follows the end of a document. Some formats permit any bytes
// after their end.
func (x *opening) appended() error {
	const most = 4096
	n := min(x.size, most)
	tail := make([]byte, n)
	if k, _ := x.at.ReadAt(tail, x.size-n); k < len(tail) {
		return nil
	}
	w := scanners.Window{Data: tail, Offset: x.size - n, To: int(n), Last: true, At: x.at, Size: x.size}
	var last error
	each(w, endRecord, func(i int) {
		if p, ok := zipBefore(w, i); ok && p.From > 0 && last == nil {
			last = x.member(TrailingMember, io.NewSectionReader(x.at, p.From, min(p.To, x.size)-p.From))
		}
	})
	return last
}
