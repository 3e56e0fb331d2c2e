package git

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path"
	"strconv"
)

// staged is one file of the index.
type staged struct {
	path  string
	id    id
	mode  uint32
	stage int // above 0: one side of a conflict
}

// stagedIndex is the index with its cache of trees: folders that are known to match a tree.
type stagedIndex struct {
	files   []staged
	folders []staged // of a sparse index
	trees   map[string]id
}

var errIndex = errors.New("damaged index")

// readIndex reads the index of a work tree.
func (r *repository) readIndex(dir string) (stagedIndex, error) {
	return r.readIndexFile(path.Join(dir, "index"))
}

// readIndexFile reads versions 2 to 4 (git's Documentation/gitformat-index).
func (r *repository) readIndexFile(name string) (stagedIndex, error) {
	return r.readIndexDepth(name, 0)
}

func (r *repository) readIndexDepth(name string, depth int) (stagedIndex, error) {
	out := stagedIndex{trees: map[string]id{}}
	b, err := r.readFile(name, 1<<30)
	if err != nil {
		return out, err
	}
	h := r.hashLen
	if len(b) < 12+h || string(b[:4]) != "DIRC" {
		return out, errIndex
	}
	version := binary.BigEndian.Uint32(b[4:])
	if version < 2 || version > 4 {
		return out, errors.New("an index of a version that is not known here")
	}
	n := int(binary.BigEndian.Uint32(b[8:]))
	rest := b[12 : len(b)-h]
	last := ""
	for range n {
		const fixed = 40 // the fields of stat(2), before the id
		if len(rest) < fixed+h+2 {
			return out, errIndex
		}
		f := staged{mode: binary.BigEndian.Uint32(rest[24:]), id: id(rest[fixed : fixed+h])}
		flags := binary.BigEndian.Uint16(rest[fixed+h:])
		f.stage = int(flags >> 12 & 3)
		at := fixed + h + 2
		if flags&0x4000 != 0 {
			if version < 3 || len(rest) < at+2 {
				return out, errIndex
			}
			at += 2
		}
		if version == 4 {
			// This many bytes of the preceding path are dropped, and the following ones
			// appended.
			drop, k := offsetVarint(rest[at:])
			if k == 0 || drop > len(last) {
				return out, errIndex
			}
			at += k
			nul := bytes.IndexByte(rest[at:], 0)
			if nul < 0 {
				return out, errIndex
			}
			f.path = last[:len(last)-drop] + string(rest[at:at+nul])
			rest = rest[at+nul+1:]
		} else {
			nul := bytes.IndexByte(rest[at:], 0)
			if nul < 0 {
				return out, errIndex
			}
			f.path = string(rest[at : at+nul])
			size := (at + nul + 8) &^ 7 // padded with 1 to 8 NULs
			if size > len(rest) {
				return out, errIndex
			}
			rest = rest[size:]
		}
		last = f.path
		if f.mode == 0o40000 {
			// A sparse index names a folder outside of the cone by its tree.
			out.folders = append(out.folders, f)
			continue
		}
		out.files = append(out.files, f)
	}
	for len(rest) >= 8 {
		ext, size := string(rest[:4]), int(binary.BigEndian.Uint32(rest[4:]))
		if size < 0 || size > len(rest)-8 {
			break
		}
		switch ext {
		case "TREE":
			cachedTrees(rest[8:8+size], "", h, out.trees, 0)
		case "link":
			if err := r.merge(&out, name, rest[8:8+size], depth); err != nil {
				return out, err
			}
		}
		rest = rest[8+size:]
	}
	return out, nil
}

// offsetVarint is the integer that packs and indexes write offsets with.
func offsetVarint(b []byte) (v, n int) {
	for n < len(b) && n < 6 {
		c := b[n]
		v = v<<7 | int(c&0x7f)
		n++
		if c&0x80 == 0 {
			return v, n
		}
		v++
	}
	return 0, 0
}

// cachedTrees reads the index's extension that caches trees.
func cachedTrees(b []byte, dir string, hashLen int, out map[string]id, depth int) []byte {
	nul := bytes.IndexByte(b, 0)
	if nul < 0 || depth > maxDepth {
		return nil
	}
	if nul > 0 {
		dir = path.Join(dir, string(b[:nul]))
	}
	b = b[nul+1:]
	line, rest, ok := bytes.Cut(b, []byte{'\n'})
	count, below, ok2 := bytes.Cut(line, []byte{' '})
	n, err := strconv.Atoi(string(count))
	k, err2 := strconv.Atoi(string(below))
	if !ok || !ok2 || err != nil || err2 != nil {
		return nil
	}
	if n >= 0 {
		if len(rest) < hashLen {
			return nil
		}
		out[dir] = id(rest[:hashLen])
		rest = rest[hashLen:]
	}
	for range k {
		if rest = cachedTrees(rest, dir, hashLen, out, depth+1); rest == nil {
			return nil
		}
	}
	return rest
}
