package pack

import "errors"

var errDelta = errors.New("damaged delta")

// uvarint reads a size as deltas encode it: seven bits per byte, the lowest first.
func uvarint(d []byte) (v int64, rest []byte, err error) {
	for i, shift := 0, 0; i < len(d) && shift <= 56; i, shift = i+1, shift+7 {
		v |= int64(d[i]&0x7f) << shift
		if d[i]&0x80 == 0 {
			return v, d[i+1:], nil
		}
	}
	return 0, nil, errDelta
}

// resultSize returns the result's size, as the delta's header states it.
func resultSize(d []byte, base int) (int64, []byte, error) {
	from, d, err := uvarint(d)
	if err != nil {
		return 0, nil, err
	}
	if from != int64(base) {
		return 0, nil, errors.New("delta of another object")
	}
	return uvarint(d)
}

// apply builds an object from its base and a delta's instructions. dst has the size that the
// delta states.
func apply(dst, base, d []byte) error {
	o := 0
	for len(d) > 0 {
		c := d[0]
		d = d[1:]
		if c&0x80 == 0 { // insert
			n := int(c)
			if n == 0 || n > len(d) || n > len(dst)-o {
				return errDelta
			}
			copy(dst[o:], d[:n])
			d, o = d[n:], o+n
			continue
		}
		var off, n int
		if c&0x7f == 0x7f { // a fast path for all seven argument bytes
			if len(d) < 7 {
				return errDelta
			}
			off = int(d[0]) | int(d[1])<<8 | int(d[2])<<16 | int(d[3])<<24
			n = int(d[4]) | int(d[5])<<8 | int(d[6])<<16
			d = d[7:]
		} else {
			for i := range 4 {
				if c&(1<<i) != 0 {
					if len(d) == 0 {
						return errDelta
					}
					off |= int(d[0]) << (8 * i)
					d = d[1:]
				}
			}
			for i := range 3 {
				if c&(16<<i) != 0 {
					if len(d) == 0 {
						return errDelta
					}
					n |= int(d[0]) << (8 * i)
					d = d[1:]
				}
			}
		}
		if n == 0 {
			n = 0x10000
		}
		if off < 0 || off > len(base) || n > len(base)-off || n > len(dst)-o {
			return errDelta
		}
		copy(dst[o:], base[off:off+n])
		o += n
	}
	if o != len(dst) {
		return errDelta
	}
	return nil
}
