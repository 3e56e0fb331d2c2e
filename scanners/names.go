package scanners

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"

	"github.com/quellhq/quell/rules"
)

// Names collects names of files, archive members and link targets, to be scanned as text. An
// empty line separates two names, so that the detector does not join them as wrapped text.
type Names struct{ text bytes.Buffer }

// fullNames is the size in bytes from which the collected text should be scanned.
const fullNames = 256 << 10

// Add adds a name and its related words.
func (n *Names) Add(words ...string) {
	for i, w := range words {
		if i > 0 {
			n.text.WriteByte('\t')
		}
		n.text.WriteString(apart(w))
	}
	n.text.WriteString("\n\n")
}

// Full reports whether the caller should take the text now.
func (n *Names) Full() bool { return n.text.Len() > fullNames }

// Take returns the text and resets n.
func (n *Names) Take() []byte {
	if n.text.Len() == 0 {
		return nil
	}
	text := bytes.Clone(n.text.Bytes())
	n.text.Reset()
	return text
}

// The minimum length of a part of a name that can be a token, and the maximum length of a file
// extension, in bytes.
const minNamed, maxExtension = 16, 8

// Apart returns a name as Add writes it: of the same length, without line breaks.
func Apart(name string) string { return apart(name) }

// bareHex matches hashes as names of objects, layers or cached files. No token without a prefix
// has this form.
var bareHex = regexp.MustCompile(`\b[0-9a-f]{32,}\b`)

// apart replaces the separator after each long part of a name by a space, so that a token ends
// there that is a folder's name or a file's name without extension. The length stays the same.
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
		for { // a.tar.gz has two extensions
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

// Entry is the name and the location of a file or a folder.
type Entry struct {
	Name     string
	Location rules.Location
}

// EntryNames returns an artifact of names. Each finding in it has its entry's location.
func EntryNames(at rules.Location, list []Entry) Artifact {
	var names Names
	for _, e := range list {
		names.Add(e.Name)
	}
	text := names.Take()
	return Artifact{
		Location: at,
		Open: func(context.Context) (io.ReadCloser, error) {
			return asIsCloser{AsIs{Reader: InMemory(text)}}, nil
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
