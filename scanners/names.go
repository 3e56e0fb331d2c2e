package scanners

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"

	"github.com/quellhq/quell/rules"
)

// Names collects names to be scanned as text: of files, of archive members, of what they link
// to. An empty line separates two names, so that the detector does not take them for one text
// that was wrapped.
type Names struct{ text bytes.Buffer }

// fullNames is how much text Names collects before it is to be scanned.
const fullNames = 256 << 10

// Add adds a name, and words that belong to it.
func (n *Names) Add(words ...string) {
	for i, w := range words {
		if i > 0 {
			n.text.WriteByte('\t')
		}
		n.text.WriteString(apart(w))
	}
	n.text.WriteString("\n\n")
}

// Full reports whether it is time to take the text.
func (n *Names) Full() bool { return n.text.Len() > fullNames }

// Take gives the text, and forgets it.
func (n *Names) Take() []byte {
	if n.text.Len() == 0 {
		return nil
	}
	text := bytes.Clone(n.text.Bytes())
	n.text.Reset()
	return text
}

// Shortest part of a name that may be a token, and longest extension of a file.
const minNamed, maxExtension = 16, 8

// Apart is a name as Names adds it, for those who keep track of names themselves: it has the
// same length, and no line break.
func Apart(name string) string { return apart(name) }

// bareHex is a hash as the name of an object, a layer or a cached file: without a prefix, no
// token looks so.
var bareHex = regexp.MustCompile(`\b[0-9a-f]{32,}\b`)

// apart sets the long parts of a name off from what follows them: a token that is a folder's
// name, or a file's without the extension, ends there. The length of the name does not change.
func apart(name string) string {
	if len(name) < minNamed {
		return name
	}
	b := []byte(strings.ReplaceAll(name, "\n", " "))
	for _, run := range bareHex.FindAllIndex(b, -1) {
		if run[0] == 0 || b[run[0]-1] != '=' {
			copy(b[run[0]:run[1]], bytes.Repeat([]byte{' '}, run[1]-run[0]))
		}
	}
	begin := 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) && b[i] != '/' {
			continue
		}
		end := i
		for { // a.tar.gz has two
			dot := bytes.LastIndexByte(b[begin:end], '.')
			if dot < minNamed || end-begin-dot > maxExtension+1 {
				break
			}
			end = begin + dot
			b[end] = ' '
		}
		if i < len(b) && end-begin >= minNamed {
			b[i] = ' '
		}
		begin = i + 1
	}
	return string(b)
}

// Entry is the name of a file or a folder, and where it is.
type Entry struct {
	Name     string
	Location rules.Location
}

// EntryNames is an artifact of names, of which every finding has its entry's location.
func EntryNames(at rules.Location, list []Entry) Artifact {
	var names Names
	for _, e := range list {
		names.Add(e.Name)
	}
	text := names.Take()
	return Artifact{
		Location: at,
		Open: func(context.Context) (io.ReadCloser, error) {
			return asIsCloser{AsIs{InMemory(text)}}, nil
		},
		place: func(l rules.Location) rules.Location {
			k := (l.Line - 1) / 2
			if k < 0 || k >= len(list) {
				return l
			}
			out := list[k].Location
			out.Line, out.EndLine, out.Column, out.EndColumn = 1, 1, l.Column, l.EndColumn
			out.EndOffset = int64(l.EndColumn - 1)
			out.Offset = int64(l.Column - 1)
			return out
		},
	}
}
