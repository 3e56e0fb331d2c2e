package git

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"path"

	"github.com/quellhq/quell/scanners"
)

// A split index contains the differences from a shared index, which has most of its entries
// (git's Documentation/gitformat-index, "Split index").

// merge completes an index with the shared one that its extension link names. depth is how many
// shared indexes led here: a shared one must not be split itself.
func (r *repository) merge(x *stagedIndex, name string, link []byte, depth int) error {
	h := r.hashLen
	if len(link) < h {
		return errIndex
	}
	of := id(link[:h])
	if of == zero(h) {
		return nil
	}
	if depth > 0 {
		return errIndex
	}
	base, err := r.readIndexDepth(path.Join(path.Dir(name), "sharedindex."+of.String()), depth+1)
	if err != nil {
		return fmt.Errorf("the shared part of a split index: %w", fileError(err))
	}
	rest := link[h:]
	deleted, rest, err := bitmap(rest, len(base.files))
	if err != nil {
		return err
	}
	replaced, _, err := bitmap(rest, len(base.files))
	if err != nil {
		return err
	}
	files := make([]staged, 0, len(base.files)+len(x.files))
	own := x.files
	for k, f := range base.files {
		switch {
		case deleted[k]:
		case replaced[k]:
			if len(own) == 0 {
				return errIndex
			}
			// The replacing entries come first, in order and without their names.
			n := own[0]
			n.path, own = f.path, own[1:]
			files = append(files, n)
		default:
			files = append(files, f)
		}
	}
	x.files = append(files, own...)
	x.folders = append(x.folders, base.folders...)
	return nil
}

var errBitmap = scanners.OfKind(scanners.GapDamaged, errors.New("damaged bitmap in an index"))

// bitmap decodes a compressed bitmap (EWAH) of at most n bits, and returns what follows it. No
// bytes at all are an empty bitmap.
func bitmap(b []byte, n int) (set map[int]bool, rest []byte, err error) {
	set = map[int]bool{}
	if len(b) == 0 {
		return set, nil, nil
	}
	if len(b) < 8 {
		return nil, nil, errBitmap
	}
	words := int(binary.BigEndian.Uint32(b[4:]))
	b = b[8:]
	if words < 0 || len(b) < 8*words+4 {
		return nil, nil, errBitmap
	}
	rest = b[8*words+4:]
	at := 0
	for b = b[:8*words]; len(b) > 0; {
		// A run of equal words, followed by literal words.
		marker := binary.BigEndian.Uint64(b)
		b = b[8:]
		run, literal := int(marker>>1&0xffffffff), int(marker>>33)
		if len(b) < 8*literal || run > n/64+1 {
			return nil, nil, errBitmap
		}
		for k := range run * 64 {
			if marker&1 == 1 && at+k < n {
				set[at+k] = true
			}
		}
		at += run * 64
		for range literal {
			w := binary.BigEndian.Uint64(b)
			b = b[8:]
			for ; w != 0; w &= w - 1 {
				k := at + bits.TrailingZeros64(w)
				if k >= n {
					return nil, nil, errBitmap
				}
				set[k] = true
			}
			at += 64
		}
	}
	return set, rest, nil
}
