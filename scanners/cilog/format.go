package cilog

import (
	"bytes"
	"slices"
	"sort"

	"github.com/quellhq/quell/scanners"
)

//go:generate go test -run FormatsAreListed -update

// Format is how one CI system writes a log, or a runtime whose output is found in the logs
// of several. All of its fields but Name and About are optional; its functions keep no state
// and may be called by several goroutines at once.
//
// To add one, declare a variable of this type in a file of its own and run
// go generate ./scanners/cilog, which lists it in formats.go.
type Format struct {
	// Name is the system's name in reports (location.system); empty for a runtime, which does
	// not show which system ran it.
	Name string
	// About is what writes such logs, in words.
	About string
	// First lists the bytes that a line may begin with for Line or Mark to be called; 0 is any
	// digit. Without First, Mark is called on lines that begin with a digit.
	First string
	// Detect reports whether a log is the system's by its beginning, DetectHead bytes at most.
	Detect func(head []byte) bool
	// Line recognises what was written around a line, from the line alone: a chunk may begin
	// anywhere in a log, and a line of one system may be in the log of another. stamp is the
	// length of the time and the space that the line begins with; a line with only these needs
	// no Line.
	Line func(b []byte, stamp int) Line
	// Mark returns the position in the run that a line names. text is where the line's text
	// begins.
	Mark func(b []byte, text int) Mark
	// Known is set if other logs have lines like Mark's: marks then count only in logs that
	// Detect recognised.
	Known bool
	// Control does the same for a terminal control sequence, the n bytes from b[at] on.
	Control func(b []byte, at, n int) Mark
	// Repeated returns the length of a prefix, such as the name of a service, that counts only
	// if an adjacent line has the same one; at most LongestRepeated.
	Repeated func(b []byte) int
	// Masks are the words that the system writes in place of a secret. Asterisks need no entry.
	Masks []string
	// Output are the members of JSON events that hold a program's output, as `"log":"`.
	Output []string
}

// Line is what was written around a line's text.
type Line struct {
	Prefix int // bytes before the text
	// The last Trailer bytes don't belong to the text, except for the last Keep of them.
	Trailer, Keep int
	Joins         bool // the text continues where the preceding line's ended
	Continues     bool // the next line's text continues where this one's ends
}

// Mark is a position in the run that a log names; the zero value is none. Its name is
// b[From:To] of the bytes that the function got.
type Mark struct {
	Kind     scanners.MarkKind
	From, To int
	Known    bool // as in Format; Marks sets it
}

// named is a mark whose name extends from b[from] to the end of the line or to a control
// sequence.
func named(kind scanners.MarkKind, b []byte, from int) Mark {
	to := len(b)
	if k := bytes.IndexAny(b[from:], "\r\n\x1b"); k >= 0 {
		to = from + k
	}
	return Mark{Kind: kind, From: from, To: to}
}

// DetectHead is how many bytes of a log Detect gets.
const DetectHead = 16 << 10

// LongestRepeated limits the length of a service's name, including what separates it from the
// text.
const LongestRepeated = 64

var bom = []byte("\xef\xbb\xbf")

// First marks the first bytes of lines in which Recognise may find something.
var First = func() (t [256]bool) {
	t[bom[0]] = true
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for _, f := range formats {
		for _, c := range []byte(f.First) {
			t[c] = true
		}
	}
	return t
}()

// ofByte are the formats with a Line, by the first byte of the lines.
var ofByte = func() (t [256][]*Format) {
	for _, f := range formats {
		for c := range t {
			if f.Line != nil && f.begins(byte(c)) {
				t[c] = append(t[c], f)
			}
		}
	}
	return t
}()

// marking are the formats with a Mark, by the first byte of the lines.
var marking = func() (t [256][]*Format) {
	for _, f := range formats {
		for c := range t {
			if f.Mark != nil && (f.begins(byte(c)) || f.First == "" && digit(byte(c))) {
				t[c] = append(t[c], f)
			}
		}
	}
	return t
}()

// stamped are the formats with a Line of which lines begin with a time.
var stamped = slices.DeleteFunc(slices.Clone(formats), func(f *Format) bool { return f.Line == nil || !f.begins('0') })

// controlling are the formats with a Control.
var controlling = slices.DeleteFunc(slices.Clone(formats), func(f *Format) bool { return f.Control == nil })

func (f *Format) begins(c byte) bool {
	return bytes.IndexByte([]byte(f.First), c) >= 0 || digit(c) && bytes.IndexByte([]byte(f.First), '0') >= 0
}

// Recognise finds what a CI system or a runtime wrote around a line. Of several formats, the
// one with the longest prefix counts.
func Recognise(b []byte) Line {
	if len(b) < 8 {
		return Line{}
	}
	c := b[0]
	if c == bom[0] && bytes.HasPrefix(b, bom) {
		x := Recognise(b[len(bom):])
		if x.Prefix > 0 {
			x.Prefix += len(bom)
		}
		return x
	}
	var best Line
	list, stamp := ofByte[c], 0
	if digit(c) {
		if stamp = timestamp(b); stamp > 0 {
			best.Prefix, list = stamp, stamped
		}
	}
	for _, f := range list {
		if x := f.Line(b, stamp); x.Prefix > best.Prefix {
			best = x
		}
	}
	return best
}

// Text is a line without its prefix.
func Text(b []byte) []byte { return b[Recognise(b[:min(len(b), 128)]).Prefix:] }

// Repeated returns the prefix that is one only if an adjacent line has the same; nil: none.
func Repeated(b []byte) []byte {
	b = b[:min(len(b), LongestRepeated)]
	for _, f := range formats {
		if f.Repeated == nil {
			continue
		}
		if n := f.Repeated(b); n > 0 {
			return b[:n]
		}
	}
	return nil
}

// System is the system whose log begins with head; empty: none or several match. A log may
// contain the log of another system: the system whose sign comes first counts.
func System(head []byte) string {
	head = head[:min(len(head), DetectHead)]
	name, n := detect(head)
	if n > 1 {
		name, n = detect(head[:sort.Search(len(head), func(k int) bool { _, n := detect(head[:k]); return n > 0 })])
	}
	if n > 1 {
		return ""
	}
	return name
}

// detect counts the systems whose log begins with head, and names the last of them.
func detect(head []byte) (name string, n int) {
	for _, f := range formats {
		if f.Detect != nil && f.Detect(head) {
			name = f.Name
			n++
		}
	}
	return name, n
}

// Marks calls found with the mark of a line for each system. text is where the line's text
// begins.
func Marks(b []byte, text int, found func(system string, m Mark)) {
	skip := 0 // a byte order mark precedes the first line's time
	if bytes.HasPrefix(b, bom) && len(b) > len(bom) && text >= len(bom) {
		skip = len(bom)
	}
	for _, f := range marking[b[skip]] {
		if m := f.Mark(b[skip:], text-skip); m.Kind != 0 {
			m.From, m.To = m.From+skip, m.To+skip
			m.Known = f.Known
			found(f.Name, m)
		}
	}
}

// Controls does the same for a control sequence, the n bytes from b[at] on.
func Controls(b []byte, at, n int, found func(system string, m Mark)) {
	for _, f := range controlling {
		if m := f.Control(b, at, n); m.Kind != 0 {
			found(f.Name, m)
		}
	}
}

// Masks lists what the systems write in place of a secret.
var Masks = func() (out [][]byte) {
	for _, f := range formats {
		for _, m := range f.Masks {
			out = append(out, []byte(m))
		}
	}
	return out
}()

// Output lists the members of JSON events that hold a program's output.
var Output = func() (out [][]byte) {
	for _, f := range formats {
		for _, k := range f.Output {
			if !slices.ContainsFunc(out, func(o []byte) bool { return string(o) == k }) {
				out = append(out, []byte(k))
			}
		}
	}
	return out
}()
