package archive

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/inflate"
)

// marks are magic numbers of compressed formats that are too long to occur by chance.
var marks = []string{"\xfd7zXZ\x00", "7z\xbc\xaf\x27\x1c", "BZh91AY&SY", "Rar!\x1a\x07", "\x28\xb5\x2f\xfd", "\x04\x22\x4d\x18", "PK\x03\x04", "LZIP\x01", "mozLz40\x00", "\xff\x06\x00\x00sNaPpY"}

// markFar is the distance from the beginning, in bytes, within which a displaced mark is
// detected.
const markFar = 320

// damagedName is the name of the form of a compressed file with a damaged head.
const damagedName = "compressed file"

// packedNames are the file extensions of compressed formats that have a magic number.
var packedNames = []string{
	".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".lz", ".lzma", ".lz4", ".zlib", ".sz", ".zip", ".jar", ".war",
	".whl", ".apk", ".crx", ".7z", ".rar", ".rpm", ".pdf", ".docx", ".xlsx", ".pptx", ".odt",
}

// misnamed reports whether a file has the extension of a compressed format, but neither the
// magic number of any format nor text; or only letters that a magic number begins with.
func misnamed(head []byte, name string) bool {
	ext := strings.ToLower(path.Ext(name))
	if len(head) == 0 || !slices.Contains(packedNames, ext) {
		return false
	}
	return len(head) < 4 || !plausibleText(head[:min(len(head), 512)]) || slices.ContainsFunc(marks, func(m string) bool { return strings.HasPrefix(m, string(head)) })
}

// plausibleText reports whether b has neither control characters nor bytes that are not UTF-8.
func plausibleText(b []byte) bool {
	return !bytes.ContainsFunc(b, func(c rune) bool {
		return c == utf8.RuneError || c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b
	})
}

// damagedHead reports whether the first bytes of a compressed file are damaged: a mark has one
// wrong byte or is displaced, or the header of a deflate stream is wrong. Such a file can't be
// decoded, and quell must not report it as free of secrets.
func damagedHead(head []byte) bool {
	if len(head) < 16 || bytes.IndexByte(head[:min(len(head), 4096)], 0) < 0 && printableHead(head) {
		return false
	}
	near := head[:min(len(head), markFar)]
	for _, m := range marks {
		if oneWrong(near, m) {
			return true
		}
		// A short mark in the middle of a file proves nothing.
		if len(m) >= 5 && bytes.Contains(near, []byte(m)) && !executable(head) {
			return true
		}
	}
	return headless(head)
}

func printableHead(head []byte) bool {
	for _, c := range head[:16] {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// oneWrong reports whether b begins with mark except for one byte, or with the first three
// bytes of mark.
func oneWrong(b []byte, mark string) bool {
	if len(b) < len(mark) {
		return false
	}
	wrong, same := 0, true
	for i := range len(mark) {
		if b[i] != mark[i] {
			wrong++
			same = same && i >= 3
		}
	}
	return wrong > 0 && len(mark) >= 5 && (wrong == 1 || same)
}

// executable reports whether the file is a program, which can contain the marks of formats as
// constants.
func executable(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\x7fELF")) || bytes.HasPrefix(head, []byte("MZ"))
}

// minHeadless is the least output, in bytes, that identifies a deflate stream without its
// header.
const minHeadless = 1024

// headless reports whether deflate data begins where a gzip or zlib header would end, and part
// of the header is intact.
func headless(head []byte) bool {
	var at int
	switch {
	case head[0] == 0x1f && head[1] == 0x8b, head[1] == 0x8b && head[2] == 8, head[0] == 0x1f && head[2] == 8:
		at = 10
	case head[0] == 0x78, head[0]&15 == 8 && (head[1] == 0x9c || head[1] == 0xda):
		at = 2
	default:
		return false
	}
	z := inflate.NewReader(bytes.NewReader(head[at:]))
	defer z.Close()
	n := 0
	buf := make([]byte, minHeadless)
	for n < minHeadless {
		k, err := z.Read(buf)
		if n += k; err != nil {
			break
		}
	}
	return n >= minHeadless
}

var errHead = scanners.OfKind(scanners.GapDamaged, errors.New("its first bytes are damaged, encrypted or of a format that is not known"))

func damagedForm(*opening) error { return errHead }
