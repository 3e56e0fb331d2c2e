package archive

import (
	"bytes"
	"unicode/utf16"
)

// charMap maps a font's codes to characters (ISO 32000-1, 9.10.3).
type charMap struct {
	width int // bytes per code
	codes map[int]string
}

// changes reports whether the map changes the text. A map that assigns every ASCII character
// its own value does not.
func (m *charMap) changes() bool {
	for code, s := range m.codes {
		if m.width > 1 || len(s) == 1 && s[0] > ' ' && int(s[0]) != code {
			return true
		}
	}
	return false
}

func (m *charMap) append(out, text []byte) []byte {
	if m.codes == nil {
		return append(out, text...)
	}
	for ; len(text) >= m.width; text = text[m.width:] {
		if s, ok := m.codes[codeOf(text[:m.width])]; ok {
			out = append(out, s...)
		} else {
			out = append(out, '?')
		}
	}
	return out
}

// readCharMap parses a stream that maps codes to Unicode. For any other stream it returns a map
// without codes.
func readCharMap(raw []byte) (m charMap) {
	if !bytes.Contains(raw[:min(len(raw), 4<<10)], []byte("begincmap")) {
		return m
	}
	raw = raw[:min(len(raw), 1<<20)]
	m = charMap{width: 2, codes: map[int]string{}}
	set := func(code []byte, n int, dst []byte) {
		if len(code) == 0 || len(code) > 2 || len(m.codes) > 1<<16 {
			return
		}
		var units []uint16
		for i := 0; i+1 < len(dst); i += 2 {
			units = append(units, uint16(dst[i])<<8|uint16(dst[i+1]))
		}
		if len(units) == 0 {
			return
		}
		units[len(units)-1] += uint16(n)
		m.width, m.codes[codeOf(code)+n] = len(code), string(utf16.Decode(units))
	}
	for len(raw) > 0 {
		i := bytes.Index(raw, []byte("beginbf"))
		if i < 0 {
			break
		}
		ranges := bytes.HasPrefix(raw[i:], []byte("beginbfrange"))
		raw = raw[i:]
		end := bytes.Index(raw, []byte("endbf"))
		if end < 0 {
			end = len(raw)
		}
		var args [][]byte // the strings of an entry
		list := false
		for k := 0; k < end; {
			switch raw[k] {
			case '[':
				list = true
			case ']':
				list, args = false, nil
			case '<':
				var s []byte
				s, k = hexString(raw, k+1)
				args = append(args, s)
				switch {
				case !ranges && len(args) == 2:
					set(args[0], 0, args[1])
					args = nil
				case ranges && list && len(args) > 2:
					set(args[0], len(args)-3, s)
				case ranges && len(args) == 3:
					for n := range min(1<<16, codeOf(args[1])-codeOf(args[0])+1) {
						set(args[0], n, s)
					}
					args = nil
				}
				continue
			}
			k++
		}
		raw = raw[min(len(raw), max(end, 1)):]
	}
	return m
}

func codeOf(b []byte) (n int) {
	for _, c := range b[:min(len(b), 2)] {
		n = n<<8 | int(c)
	}
	return n
}
