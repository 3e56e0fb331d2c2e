package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// errLog reports a write-ahead log whose rows are not all rendered. The scan covers its bytes
// as they are, where long values are split.
var errLog = errors.New("write-ahead log: damaged or cut short: only the rows before are read")

// replay applies the committed transactions of a write-ahead log to a database, as SQLite does
// when it opens both (SQLite documentation: The WAL File Format). The frames of an earlier
// generation of the log, which have another salt, are ignored. The frames from the first
// damaged one on are not applied either, and errLog is returned.
func replay(file, log []byte) ([]byte, error) {
	const head, frame = 32, 24
	if len(log) == 0 {
		return file, nil
	}
	if len(log) < head {
		return file, errLog
	}
	var order binary.ByteOrder
	switch binary.BigEndian.Uint32(log) {
	case 0x377f0682:
		order = binary.LittleEndian
	case 0x377f0683:
		order = binary.BigEndian
	default:
		if len(bytes.Trim(log, "\x00")) == 0 { // erased
			return file, nil
		}
		return file, errLog
	}
	page := int(binary.BigEndian.Uint32(log[8:]))
	if page < 512 || page > 65536 || page&(page-1) != 0 {
		return file, errLog
	}
	s1, s2 := checksum(order, log[:24], 0, 0)
	if s1 != binary.BigEndian.Uint32(log[24:]) || s2 != binary.BigEndian.Uint32(log[28:]) {
		return file, errLog
	}
	salt := string(log[16:24])
	type write struct {
		at   int
		data []byte
	}
	var open []write
	f := log[head:]
	for ; len(f) >= frame+page; f = f[frame+page:] {
		s1, s2 = checksum(order, f[:8], s1, s2)
		s1, s2 = checksum(order, f[frame:frame+page], s1, s2)
		if earlier(f[8:16], salt) {
			return file, nil
		}
		if string(f[8:16]) != salt || s1 != binary.BigEndian.Uint32(f[16:]) || s2 != binary.BigEndian.Uint32(f[20:]) {
			return file, errLog
		}
		n := int(binary.BigEndian.Uint32(f))
		if n > maxStore/page {
			return file, fmt.Errorf("write-ahead log: %w: only the first %d MiB of the database are read", ErrLimit, maxStore>>20)
		}
		if n < 1 {
			return file, errLog
		}
		open = append(open, write{(n - 1) * page, f[frame : frame+page]})
		if size := int(binary.BigEndian.Uint32(f[4:])); size > 0 { // a commit
			if size > maxStore/page {
				return file, fmt.Errorf("write-ahead log: %w: only the first %d MiB of the database are read", ErrLimit, maxStore>>20)
			}
			if want := size * page; want > len(file) {
				file = append(file, make([]byte, want-len(file))...)
			}
			for _, w := range open {
				if w.at+page <= len(file) {
					copy(file[w.at:], w.data)
				}
			}
			open = open[:0]
		}
	}
	if len(open) > 0 || len(f) > 0 && (len(f) < 16 || !earlier(f[8:16], salt)) {
		return file, errLog
	}
	return file, nil
}

// earlier reports whether a frame is of an earlier generation of the log: both halves of its
// salt differ. Damage to one of them is none.
func earlier(have []byte, salt string) bool {
	return string(have[:4]) != salt[:4] && string(have[4:]) != salt[4:]
}

// checksum is the log's checksum, computed over pairs of 32-bit words.
func checksum(order binary.ByteOrder, b []byte, s1, s2 uint32) (uint32, uint32) {
	for ; len(b) >= 8; b = b[8:] {
		s1 += order.Uint32(b) + s2
		s2 += order.Uint32(b[4:]) + s1
	}
	return s1, s2
}
