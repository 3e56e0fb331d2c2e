// Package pack reads git's pack files: all objects of a pack in parallel, decompressing each
// object and applying each delta once, or one object by its id. It trusts nothing that a file
// states about itself. A damaged object is an error of its own, and the others are read.
//
// The formats are documented in git's Documentation/gitformat-pack.
package pack

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"sort"
	"strings"
)

// Kind is an object's type, with its number in a pack.
type Kind uint8

const (
	Commit Kind = 1
	Tree   Kind = 2
	Blob   Kind = 3
	Tag    Kind = 4

	ofsDelta Kind = 6
	refDelta Kind = 7
)

var kindNames = [8]string{Commit: "commit", Tree: "tree", Blob: "blob", Tag: "tag"}

// String returns git's name of the kind.
func (k Kind) String() string { return kindNames[k&7] }

// ParseKind parses git's name of a kind.
func ParseKind(s []byte) (Kind, bool) {
	for k := Commit; k <= Tag; k++ {
		if string(s) == kindNames[k] {
			return k, true
		}
	}
	return 0, false
}

// MaxObject is the largest object, in bytes, that is kept in memory: a base of deltas, or a
// delta's result. git makes no deltas of files over 512 MiB (core.bigFileThreshold). Larger
// objects are streamed.
const MaxObject = 512 << 20

// Pack is a pack with its index. It is safe for concurrent use.
type Pack struct {
	Name    string // pack-….pack
	HashLen int    // 20 or 32

	data  mapping
	idx   mapping
	end   int64 // offset of the trailer
	made  bool  // the index was computed from the objects' bytes
	doubt error

	n      int
	fan    []byte
	ids    []byte
	stride int // distance between two ids
	crcs   []byte
	off32  []byte
	off64  []byte
}

// FS opens packs. It is an os.Root, so that no link leads out of it.
type FS interface {
	Open(name string) (*os.File, error)
}

// Open opens the pack called name, which ends in .pack, and the index next to it. An error that
// wraps ErrNoIndex concerns only the index; use Index instead.
func Open(fs FS, name string, hashLen int) (*Pack, error) {
	p := &Pack{Name: path.Base(name), HashLen: hashLen}
	if err := p.open(fs, name); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Pack) open(fs FS, name string) (err error) {
	if p.idx, err = openMapping(fs, strings.TrimSuffix(name, ".pack")+".idx"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoIndex, err)
	}
	if err = p.readIndex(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoIndex, err)
	}
	if p.data, err = openMapping(fs, name); err != nil {
		return err
	}
	if _, err = p.header(); err != nil {
		return err
	}
	p.doubt = p.matches()
	return nil
}

// matches compares the pack's checksum with the one in the index.
func (p *Pack) matches() error {
	h := int64(p.HashLen)
	of, err := p.idx.at(p.idx.size()-2*h, h)
	if err != nil {
		return err
	}
	have, err := p.data.at(p.end, h)
	if err == nil && !bytes.Equal(of, have) {
		err = errors.New("its index was made of other bytes")
	}
	return err
}

// Doubt returns the reason for which the pack can lack objects although its index is intact:
// its checksum differs from the one in the index. nil means no doubt.
func (p *Pack) Doubt() error { return p.doubt }

// Sure reports whether a walk detects each object whose bytes do not match its id: the index
// has a checksum for each object, or was computed here. Checksums prove the absence of damage,
// not of forgery; see Visitor.Verify.
func (p *Pack) Sure() bool { return p.made || p.doubt == nil && p.crcs != nil }

// ErrNoIndex is wrapped by Open's error if the pack has no readable index.
var ErrNoIndex = errors.New("index")

// header verifies the pack's first twelve bytes and returns the number of objects.
func (p *Pack) header() (uint32, error) {
	size := p.data.size()
	if size < int64(12+p.HashLen) {
		return 0, errors.New("pack: too short")
	}
	h, err := p.data.at(0, 12)
	if err != nil {
		return 0, err
	}
	if v := binary.BigEndian.Uint32(h[4:]); string(h[:4]) != "PACK" || v != 2 && v != 3 {
		return 0, errors.New("pack: not a pack of version 2 or 3")
	}
	p.end = size - int64(p.HashLen)
	return binary.BigEndian.Uint32(h[8:]), nil
}

// Close releases the files. No slice of the pack may be used afterwards.
func (p *Pack) Close() {
	p.data.close()
	p.idx.close()
}

// readIndex parses an index of version 1 or 2.
func (p *Pack) readIndex() error {
	b, err := p.idx.at(0, p.idx.size())
	if err != nil {
		return err
	}
	h := p.HashLen
	if len(b) < 1024+2*h {
		return errors.New("too short")
	}
	sum := newHash(h)
	sum.Write(b[:len(b)-h])
	if !bytes.Equal(sum.Sum(nil), b[len(b)-h:]) {
		return errors.New("its checksum is wrong")
	}
	two := len(b) > 8 && string(b[:4]) == "\xfftOc"
	if two {
		if v := binary.BigEndian.Uint32(b[4:]); v != 2 {
			return fmt.Errorf("version %d is not known", v)
		}
		b = b[8:]
	}
	if len(b) < 1024+2*h {
		return errors.New("too short")
	}
	p.fan, b = b[:1024], b[1024:len(b)-2*h]
	var last uint32
	for i := range 256 {
		c := binary.BigEndian.Uint32(p.fan[4*i:])
		if c < last {
			return errors.New("its counts go backwards")
		}
		last = c
	}
	p.n = int(last)
	if !two {
		if len(b) != p.n*(4+h) {
			return errors.New("its size is not that of its objects")
		}
		p.ids, p.stride, p.off32 = b[min(4, len(b)):], 4+h, b
		return nil
	}
	if len(b) < p.n*(h+8) || (len(b)-p.n*(h+8))%8 != 0 {
		return errors.New("its size is not that of its objects")
	}
	p.ids, b = b[:p.n*h], b[p.n*h:]
	p.crcs, b = b[:4*p.n], b[4*p.n:]
	p.off32, p.off64 = b[:4*p.n], b[4*p.n:]
	p.stride = h
	return nil
}

// Checksum returns the trailing checksum of the pack in hex.
func (p *Pack) Checksum() string {
	b, err := p.data.at(p.end, int64(p.HashLen))
	if err != nil {
		return ""
	}
	return hex.EncodeToString(b)
}

// Stamp identifies a state of the pack's file by its size and modification time.
func (p *Pack) Stamp() string { return p.data.stamp }

// Size returns the size of the pack in bytes.
func (p *Pack) Size() int64 { return p.data.size() }

// Len returns the number of objects.
func (p *Pack) Len() int { return p.n }

// ID returns the id of the object at position i of the index.
func (p *Pack) ID(i int) []byte { return p.ids[i*p.stride : i*p.stride+p.HashLen] }

// Find returns an object's position in the index.
func (p *Pack) Find(id []byte) (int, bool) {
	if p.n == 0 || len(id) != p.HashLen {
		return 0, false
	}
	lo := 0
	if id[0] > 0 {
		lo = int(binary.BigEndian.Uint32(p.fan[4*(int(id[0])-1):]))
	}
	hi := int(binary.BigEndian.Uint32(p.fan[4*int(id[0]):]))
	end := hi
	lo, hi = p.narrow(id, lo, hi)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); bytes.Compare(p.ID(mid), id) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < end && bytes.Equal(p.ID(lo), id)
}

// narrow returns a part of the sorted positions from lo to hi that contains the first one whose
// id is not less than id. Ids are hashes and thus evenly distributed: the first look is near the
// goal.
func (p *Pack) narrow(id []byte, lo, hi int) (int, int) {
	const near = 8
	at := func(i int) uint64 { return binary.BigEndian.Uint64(p.ids[i*p.stride:]) }
	want := binary.BigEndian.Uint64(id)
	least, most := uint64(id[0])<<56, uint64(id[0])<<56|(1<<56-1)
	for range 3 {
		if hi-lo <= near || want < least || want > most {
			break
		}
		mid := min(hi-1, lo+int(float64(want-least)/(float64(most-least)+1)*float64(hi-lo)))
		switch x := at(mid); {
		case x < want:
			lo, least = mid+1, x
			if i := mid + near; i < hi && at(i) > want {
				hi = i
			}
		case x > want:
			hi, most = mid, x
			if i := mid - near; i >= lo && at(i) < want {
				lo = i + 1
			}
		default:
			return lo, hi
		}
	}
	return lo, hi
}

// Prefix returns at most two ids for which match returns 0. match compares an id with the
// wanted prefix.
func (p *Pack) Prefix(match func(id []byte) int) (ids [][]byte) {
	i := sort.Search(p.n, func(i int) bool { return match(p.ID(i)) >= 0 })
	for ; i < p.n && len(ids) < 2 && match(p.ID(i)) == 0; i++ {
		ids = append(ids, slices.Clone(p.ID(i)))
	}
	return ids
}

// offset returns the offset of the object at position i of the index, or -1 if it is invalid.
func (p *Pack) offset(i int) int64 {
	if p.stride != p.HashLen { // version 1
		return p.inside(int64(binary.BigEndian.Uint32(p.off32[i*p.stride:])))
	}
	v := binary.BigEndian.Uint32(p.off32[4*i:])
	if v&(1<<31) == 0 {
		return p.inside(int64(v))
	}
	k := int(v &^ (1 << 31))
	if 8*k+8 > len(p.off64) {
		return -1
	}
	o := binary.BigEndian.Uint64(p.off64[8*k:])
	if o >= 1<<62 {
		return -1
	}
	return p.inside(int64(o))
}

func (p *Pack) inside(off int64) int64 {
	if off < 12 || off >= p.end {
		return -1
	}
	return off
}

// entry is the header of an object in the pack.
type entry struct {
	kind  Kind
	size  int64  // decompressed: of the object or the delta
	base  int64  // ofsDelta: offset of the base
	refID []byte // refDelta: id of the base
	data  int64  // offset of the zlib stream
}

// maxHeader is the maximum size of an entry's header, in bytes: ten for the size, plus ten for
// an offset or 32 for a SHA-256 id.
const maxHeader = 10 + 32

var errHeader = errors.New("damaged header")

// entryAt reads the header of the object at off.
func (p *Pack) entryAt(off int64) (entry, error) {
	b, err := p.data.at(off, min(maxHeader, p.end-off))
	if err != nil {
		return entry{}, err
	}
	return parseEntry(b, off, p.HashLen)
}

func parseEntry(b []byte, off int64, hashLen int) (e entry, err error) {
	if len(b) == 0 {
		return e, errHeader
	}
	c, i := b[0], 1
	e.kind, e.size = Kind(c>>4&7), int64(c&15)
	for shift := 4; c&0x80 != 0; shift += 7 {
		if i == len(b) || shift > 56 {
			return e, errHeader
		}
		c = b[i]
		i++
		e.size |= int64(c&0x7f) << shift
	}
	switch e.kind {
	case Commit, Tree, Blob, Tag:
	case ofsDelta:
		if i == len(b) {
			return e, errHeader
		}
		c = b[i]
		i++
		v := int64(c & 0x7f)
		for c&0x80 != 0 {
			if i == len(b) || v >= 1<<54 {
				return e, errHeader
			}
			c = b[i]
			i++
			v = (v+1)<<7 | int64(c&0x7f)
		}
		if v <= 0 || v > off-12 {
			return e, errors.New("delta of an object outside of the pack")
		}
		e.base = off - v
	case refDelta:
		if i+hashLen > len(b) {
			return e, errHeader
		}
		e.refID = b[i : i+hashLen]
		i += hashLen
	default:
		return e, fmt.Errorf("unknown kind %d", e.kind)
	}
	e.data = off + int64(i)
	return e, nil
}
