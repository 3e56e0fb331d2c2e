package archive

import (
	"path"
	"strings"
)

// clean returns a member's name without root and "..", with control characters replaced.
func clean(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if name == "" {
		return "(no name)"
	}
	return name
}

// stem returns the name for the content of a compressed file.
func stem(name string) string {
	base := path.Base(name)
	if i := strings.LastIndexByte(base, '!'); i >= 0 {
		base = base[i+1:]
	}
	for _, ext := range []string{".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".lz4", ".lz", ".lzma", ".br", ".sz", ".s2", ".jsonlz4", ".mozlz4"} {
		if s, ok := strings.CutSuffix(base, ext); ok && s != "" {
			switch ext {
			case ".tgz", ".tbz2", ".txz", ".tzst":
				return s + ".tar"
			case ".jsonlz4":
				return s + ".json"
			}
			return s
		}
	}
	return "(content)"
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// words returns the printable runs in bytes without a defined meaning, such as extra fields,
// that are long enough to contain a token.
func words(b []byte) string {
	const least = 16
	var out []string
	begin := -1
	for i := 0; i <= len(b); i++ {
		if i < len(b) && b[i] >= ' ' && b[i] < 0x7f {
			if begin < 0 {
				begin = i
			}
			continue
		}
		if begin >= 0 && i-begin >= least {
			out = append(out, string(b[begin:i]))
		}
		begin = -1
	}
	return strings.Join(out, "\t")
}
