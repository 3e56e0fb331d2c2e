package archive

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// postmark begins each message of a mailbox (RFC 4155).
const postmark = "From "

// patchMark matches the first line of a git patch, which is plain text.
var patchMark = regexp.MustCompile(`^From [0-9a-f]{40,64} `)

// mailHead recognises a mailbox, or a message with an encoded part, by the header (RFC 5322):
// one of a few fields that every message has, and one that declares an encoded body. Web
// archives (RFC 2557) match too; git patches lack the second field.
func mailHead(head []byte) bool {
	head = bytes.TrimLeft(head, "\r\n")
	box := bytes.HasPrefix(head, []byte(postmark))
	if box {
		var first []byte
		first, head, _ = bytes.Cut(head, []byte{'\n'})
		box = !patchMark.Match(first)
	}
	var begins, encoded, mime, ended bool
	for len(head) > 0 {
		line, rest, ok := bytes.Cut(head, []byte{'\n'})
		head = rest
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 || !ok {
			ended = ok
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || len(name) > 76 || slices.ContainsFunc(name, func(c byte) bool { return noFieldName[c] }) {
			// A mail program wrote this line of a mailbox. After a field that declares an encoded
			// body, the line is damaged, or the empty line before the body is.
			if box || begins && encoded {
				continue
			}
			return false
		}
		switch lowerField(name) {
		case "from", "received", "return-path", "message-id", "delivered-to", "subject", "snapshot-content-location":
			begins = true
		case "mime-version":
			mime = true
		case "content-type":
			mime = true
			word := firstWord(string(value))
			encoded = encoded || strings.HasPrefix(word, "multipart/") || strings.HasPrefix(word, "message/")
		case "content-transfer-encoding":
			word := firstWord(string(value))
			encoded = encoded || word != "7bit" && word != "8bit" && word != "binary" && word != ""
		}
	}
	return begins && (encoded || box || mime && !ended)
}

// noFieldName marks bytes that the names of fields don't contain.
var noFieldName = [256]bool{' ': true, '\t': true, '"': true, '{': true, '}': true, '<': true, '>': true, '/': true}

// lowerField is the name of a field in lower case, or empty if it is longer than those that
// mailHead looks for: most files are no mail, and have lines with a colon nevertheless.
func lowerField(name []byte) string {
	if len(name) == 0 || len(name) > len("snapshot-content-location") || bytes.IndexByte([]byte("frmdsc"), name[0]|0x20) < 0 {
		return ""
	}
	return strings.ToLower(string(name))
}

// firstWord returns the first word of a field's value in lower case, without quotes and
// comments (RFC 2045, 5.1 and 6.1).
func firstWord(value string) string {
	var out strings.Builder
	depth := 0
	for _, c := range strings.TrimSpace(value) {
		switch {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0 || c == '"':
		case c == ';' || c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if out.Len() > 0 {
				return strings.ToLower(out.String())
			}
		default:
			out.WriteRune(c)
		}
	}
	return strings.ToLower(out.String())
}
