package git

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zlib"
)

// This file reads names and reflogs in the binary tables of git 2.45 and later, by git's
// Documentation/technical/reftable.

var errTable = errors.New("damaged reftable")

// table is the content of one file, or of a stack of them.
type table struct {
	refs map[string]id
	syms map[string]string
	// logs are in the order of the file: each ref's newest entry first.
	logs []tableLog
}

type tableLog struct {
	ref      string
	old, new id
	who      string
	message  string
}

// reftable reads the stack in a folder of the store.
func (r *repository) reftable(dir string) (table, error) {
	out := table{refs: map[string]id{}, syms: map[string]string{}}
	list, err := r.readFile(path.Join(dir, "tables.list"), 1<<20)
	if err != nil {
		return out, err
	}
	names := strings.Fields(string(list))
	var logs [][]tableLog
	for _, name := range names {
		if path.Base(name) != name {
			return out, errTable
		}
		b, err := r.readFile(path.Join(dir, name), maxRefFile)
		if err != nil {
			return out, err
		}
		from := len(out.logs)
		if err := out.read(b); err != nil {
			return out, fmt.Errorf("%s: %w", name, err)
		}
		logs = append(logs, out.logs[from:])
	}
	// The newest table comes first, as does the newest entry in each.
	out.logs = nil
	for k := len(logs) - 1; k >= 0; k-- {
		out.logs = append(out.logs, logs[k]...)
	}
	return out, nil
}

// cursor reads a block's fields; the first incomplete field ends it.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) varint() int {
	v, n := offsetVarint(c.b)
	if n == 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

// read adds one table's records.
func (t *table) read(b []byte) error {
	if len(b) < 24+68 || string(b[:4]) != "REFT" {
		return errTable
	}
	head, foot, hashLen := 24, 68, 20
	switch b[4] {
	case 1:
	case 2:
		head, foot = 28, 72
		if string(b[24:28]) == "s256" {
			hashLen = 32
		}
	default:
		return errors.New("a reftable of a version that is not known here")
	}
	if len(b) < head+foot {
		return errTable
	}
	blockSize := uint24(b[5:8])
	body := b[:len(b)-foot]
	for off := 0; off < len(body); {
		at := off
		if off == 0 {
			at = head
		}
		if at+4 > len(body) {
			break
		}
		kind, size := body[at], uint24(body[at+1:at+4])
		var used int
		switch kind {
		case 'r':
			if size < at-off+4 || off+size > len(body) {
				return errTable
			}
			if err := t.refBlock(body[at+4:off+size], hashLen); err != nil {
				return err
			}
			used = size
		case 'g':
			z, err := zlib.NewReader(bytes.NewReader(body[at+4:]))
			if err != nil {
				return errTable
			}
			src := bytes.NewReader(body[at+4:])
			if err := z.(zlib.Resetter).Reset(src, nil); err != nil {
				return errTable
			}
			inflated, err := io.ReadAll(io.LimitReader(z, int64(size)))
			if err != nil {
				return errTable
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(z, 1)) // to the checksum
			if err := t.logBlock(inflated, hashLen); err != nil {
				return err
			}
			// Log blocks follow one another without padding.
			off = len(body) - src.Len()
			continue
		case 'o', 'i':
			used = size
		case 0: // padding
			off = at + 1
			if blockSize > 0 && off%blockSize != 0 {
				off += blockSize - off%blockSize
			}
			continue
		default:
			return errTable
		}
		if used <= 0 {
			return errTable
		}
		off += used
		// Blocks are aligned where the header gives a size; an index may be larger.
		if blockSize > 0 && off%blockSize != 0 && off < len(body) && body[off] == 0 {
			off += blockSize - off%blockSize
		}
	}
	return nil
}

// records returns a block without its restart table.
func records(b []byte) ([]byte, bool) {
	if len(b) < 2 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(b[len(b)-2:]))
	if end := len(b) - 2 - 3*n; end >= 0 {
		return b[:end], true
	}
	return nil, false
}

func (t *table) refBlock(b []byte, hashLen int) error {
	b, ok := records(b)
	if !ok {
		return errTable
	}
	c := cursor{b: b}
	last := ""
	for len(c.b) > 0 {
		prefix, rest := c.varint(), c.varint()
		suffix := c.take(rest >> 3)
		if c.bad || prefix > len(last) {
			return errTable
		}
		name := last[:prefix] + string(suffix)
		last = name
		c.varint() // the update's number
		delete(t.refs, name)
		delete(t.syms, name)
		switch rest & 7 {
		case 0:
		case 1:
			t.refs[name] = id(c.take(hashLen))
		case 2:
			t.refs[name] = id(c.take(hashLen))
			c.take(hashLen) // what the tag points to
		case 3:
			t.syms[name] = string(c.take(c.varint()))
		default:
			return errTable
		}
		if c.bad {
			delete(t.refs, name)
			return errTable
		}
	}
	return nil
}

func (t *table) logBlock(b []byte, hashLen int) error {
	b, ok := records(b)
	if !ok {
		return errTable
	}
	c := cursor{b: b}
	last := ""
	for len(c.b) > 0 {
		prefix, rest := c.varint(), c.varint()
		suffix := c.take(rest >> 3)
		if c.bad || prefix > len(last) {
			return errTable
		}
		key := last[:prefix] + string(suffix)
		last = key
		if rest&7 == 0 {
			continue // deleted
		}
		name, _, _ := strings.Cut(key, "\x00")
		l := tableLog{ref: name, old: id(c.take(hashLen)), new: id(c.take(hashLen))}
		l.who = string(c.take(c.varint()))
		l.who += " <" + string(c.take(c.varint())) + ">"
		c.varint() // when
		c.take(2)  // and where
		l.message = string(c.take(c.varint()))
		if c.bad {
			return errTable
		}
		t.logs = append(t.logs, l)
	}
	return nil
}
