package git

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/scanners"
)

// id is an object's id: 20 bytes (SHA-1), or 32 in repositories of SHA-256.
type id string

// String is the id as git writes it.
func (i id) String() string { return hex.EncodeToString([]byte(i)) }

func parseID(s string, hashLen int) (id, bool) {
	if len(s) != 2*hashLen {
		return "", false
	}
	b, err := hex.DecodeString(s)
	return id(b), err == nil
}

// entry is one name of a tree.
type entry struct {
	mode string
	name string
	id   id
}

func (e entry) isTree() bool { return e.mode == "40000" }

// isLink reports a gitlink: a commit of another repository.
func (e entry) isLink() bool { return e.mode == "160000" }

// eachEntry reads a tree, and reports whether it is complete. A damaged tree ends early.
func eachEntry(b []byte, hashLen int, f func(mode, name, id []byte)) bool {
	for len(b) > 0 {
		sp := bytes.IndexByte(b, ' ')
		if sp < 0 {
			return false
		}
		nul := bytes.IndexByte(b[sp:], 0)
		if nul < 0 || len(b) < sp+nul+1+hashLen {
			return false
		}
		nul += sp
		f(bytes.TrimLeft(b[:sp], "0"), b[sp+1:nul], b[nul+1:nul+1+hashLen])
		b = b[nul+1+hashLen:]
	}
	return true
}

func entries(b []byte, hashLen int) (out []entry) {
	eachEntry(b, hashLen, func(mode, name, i []byte) { out = append(out, entry{string(mode), string(name), id(i)}) })
	return out
}

// commit is the data of a commit that attribution needs.
type commit struct {
	id      id
	tree    id
	parents []id
	author  string
	date    time.Time // the author's
	when    int64     // the committer's, in seconds
	subject string
}

// maxSubject is how many bytes of a subject a report shows.
const maxSubject = 200

// parseCommit reads a commit's headers. A missing header leaves its field empty.
func parseCommit(i id, b []byte, hashLen int) commit {
	c := commit{id: i}
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		if len(line) == 0 {
			break
		}
		key, value, _ := strings.Cut(string(line), " ")
		switch key {
		case "tree":
			c.tree, _ = parseID(value, hashLen)
		case "parent":
			if p, ok := parseID(value, hashLen); ok {
				c.parents = append(c.parents, p)
			}
		case "author":
			var s int64
			c.author, s = signature(value)
			c.date = time.Unix(s, 0).UTC()
		case "committer":
			_, c.when = signature(value)
		}
	}
	subject, _, _ := bytes.Cut(bytes.TrimLeft(b, "\n"), []byte{'\n'})
	c.subject = scanners.Clip(strings.ToValidUTF8(string(subject[:min(len(subject), 8*maxSubject)]), "\uFFFD"), maxSubject)
	return c
}

// commitLinks reads of a commit's headers the tree, the parents and the committer's date.
func commitLinks(b []byte, hashLen int) (tree id, parents []id, when int64) {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		if len(line) == 0 {
			break
		}
		word, value, _ := bytes.Cut(line, []byte{' '})
		switch string(word) {
		case "tree":
			tree, _ = parseID(string(value), hashLen)
		case "parent":
			if p, ok := parseID(string(value), hashLen); ok {
				parents = append(parents, p)
			}
		case "committer":
			_, when = signature(string(value))
		}
	}
	return tree, parents, when
}

// signature splits "Name <mail> seconds zone".
func signature(s string) (who string, seconds int64) {
	i := strings.LastIndexByte(s, '>')
	if i < 0 {
		return s, 0
	}
	at, _, _ := strings.Cut(strings.TrimSpace(s[i+1:]), " ")
	seconds, _ = strconv.ParseInt(at, 10, 64)
	// Only years that can be formatted: other dates come from a damaged or a wrong clock.
	if seconds < 0 || seconds > 1<<37 {
		seconds = 0
	}
	return strings.ToValidUTF8(s[:i+1], "\uFFFD"), seconds
}

// tagTarget is what a tag points to.
func tagTarget(b []byte, hashLen int) (id, bool) {
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	value, ok := strings.CutPrefix(string(line), "object ")
	if !ok {
		return "", false
	}
	return parseID(value, hashLen)
}
