package detect

import (
	"bytes"

	"github.com/quellhq/quell/rules/regex"
)

// maxField is the largest length of a field's value in bytes, and how far around a member an
// object is read. It must not exceed slack, for the reason given at maxCookies.
const maxField = slack

// field is the value that belongs to a name, without quotes and brackets.
type field struct {
	value span
	// quoted is set where quotes or a tag delimit the value, so that it may contain any byte.
	quoted bool
}

// fieldReader reads the text between a name and its value.
type fieldReader struct {
	b []byte
	i int
}

// readField reads the value of the name at b[name.start:name.end]: an assignment, a member
// of an object, a pair of strings, an XML element or attribute, an item of a list.
func readField(b []byte, name span) (field, bool) {
	r := fieldReader{b[:min(len(b), name.end+maxField)], name.end}
	if namesMember(b, name.start) {
		return memberValue(b, name)
	}
	opened := name.start > 0 && b[name.start-1] == '<'
	closed := r.quote() != nil
	switch {
	case opened && r.eat(">"):
		return r.until('<', 0)
	case r.eat("</"):
		// <stringProp name="Header.name">N</stringProp> <stringProp name="Header.value">V<
		if !r.past('>') {
			return field{}, false
		}
		r.space(true)
		if !r.has("<") || !r.past('>') {
			return field{}, false
		}
		return r.until('<', 0)
	}
	for closed && r.eat(">>") || r.eat("]") || closed && r.eat(")") {
	}
	r.space(false)
	switch {
	case r.eat("=>"), r.eat(":="), r.eat("+="), r.eat(":"):
		return r.operand(true)
	case r.has("=="):
		return field{}, false
	case r.eat("="):
		return r.operand(false)
	case r.has(",") && closed:
		r.i++
		r.space(true)
		if r.stringPrefix() == 0 && !r.atQuote() && !r.has("<<") {
			return field{}, false
		}
		return r.operand(true)
	case r.eat("("):
		if r.atQuote() {
			return r.operand(false)
		}
	case closed:
		if m := attributeRE().FindIndex(r.b[r.i:min(len(r.b), r.i+maxAttributes)]); m != nil {
			r.i += m[1]
			return r.operand(false)
		}
	case r.i > name.end: // a flag, or Docker's ENV
		if flagged(b, name.start) {
			return r.bare()
		}
	}
	return field{}, false
}

var (
	// attributeRE matches a later attribute of the same tag, or a later argument.
	attributeRE = regex.Lazy(`^[^<>\n]{0,200}?\b[Vv]alue=`)
	// nameKeyRE matches the key of a member whose value is a name.
	nameKeyRE = newTest(`(?i)(?:^|[\s{(<,"'])(?:name|key|header)\\{0,3}["']?\s{0,4}(?:=>|[:=])\s{0,4}b?\\{0,3}["']?$`)
	// valueKeyRE matches the key of a member that contains the value.
	valueKeyRE = regex.Lazy(`(?i)(?:^|[\s{(,;"'])value\\{0,3}["']?\s{0,4}(?:=>|[:=])`)
	// nestedRE matches members that contain the value of a field one level deeper.
	nestedRE = regex.Lazy(`^[^{}]{0,200}?(?:^|[\s,])\\{0,3}["']?(?:value|equalTo|exact|stringValue)\\{0,3}["']?\s{0,4}(?:=>|[:=])`)
	// envRE matches Docker's instruction, in which a space separates name and value.
	envRE = newTest(`\bENV\s+$`)
)

// flagged reports whether a name belongs to a flag, or to a variable in a Dockerfile.
func flagged(b []byte, start int) bool {
	return bytes.HasPrefix(b[start:], []byte("--")) || envRE.Match(b[max(0, start-16):start])
}

// namesMember reports whether the name that begins at start is itself the value of a member
// called name or key.
func namesMember(b []byte, start int) bool { return nameKeyRE.Match(b[max(0, start-24):start]) }

// memberValue finds the value of the object, tag or call one of whose members is the name.
func memberValue(b []byte, name span) (field, bool) {
	from, to := enclosing(b, name)
	// After the name first: in a list without braces the next pair's value comes before the
	// next name.
	if m := valueKeyRE().FindIndex(b[name.end:to]); m != nil {
		r := fieldReader{b[:to], name.end + m[1]}
		return r.operand(true)
	}
	before := valueKeyRE().FindAllIndex(b[from:name.start], 2)
	if len(before) != 1 {
		return field{}, false
	}
	r := fieldReader{b[:to], from + before[0][1]}
	return r.operand(true)
}

// enclosing is the innermost object, tag or call around a name, or else the text near it.
func enclosing(b []byte, name span) (from, to int) {
	from, to = max(0, name.start-maxField), min(len(b), name.end+maxField)
	depth := 0
	for i := name.start - 1; i >= from; i-- {
		switch b[i] {
		case '}', ')':
			depth++
		case '{', '(', '<':
			if b[i] == '<' && (i+1 >= len(b) || !isLetter(b[i+1])) {
				continue
			}
			if depth--; depth < 0 {
				from = i + 1
			}
		case '\n':
			if depth == 0 && i+2 < len(b) && b[i+1] == '-' && b[i+2] == ' ' {
				from = i + 1 // an item of YAML
			}
		}
	}
	depth = 0
	for i := name.end; i < to; i++ {
		switch b[i] {
		case '{', '(':
			depth++
		case '}', ')', '>':
			if b[i] == '>' && b[i-1] == '=' {
				continue
			}
			if depth--; depth < 0 {
				to = i
			}
		}
	}
	return from, to
}

// has reports whether s comes next.
func (r *fieldReader) has(s string) bool { return bytes.HasPrefix(r.b[min(r.i, len(r.b)):], []byte(s)) }

// eat moves past s, if it comes next.
func (r *fieldReader) eat(s string) bool {
	if !r.has(s) {
		return false
	}
	r.i += len(s)
	return true
}

// past moves past the next c of the line.
func (r *fieldReader) past(c byte) bool {
	k := bytes.IndexAny(r.b[r.i:min(len(r.b), r.i+maxAttributes)], string([]byte{c, '\n'}))
	if k < 0 || r.b[r.i+k] != c {
		return false
	}
	r.i += k + 1
	return true
}

// space moves past blanks, and over line breaks if lines is set.
func (r *fieldReader) space(lines bool) {
	for n := 0; r.i < len(r.b) && n < 64; n++ {
		switch c := r.b[r.i]; {
		case c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r'):
			r.i++
		default:
			return
		}
	}
}

// quote moves past a quotation mark with its escapes, and returns it.
func (r *fieldReader) quote() []byte {
	k := r.i
	for k < len(r.b) && k < r.i+7 && r.b[k] == '\\' {
		k++
	}
	if k == len(r.b) || r.b[k] != '"' && r.b[k] != '\'' && r.b[k] != '`' {
		return nil
	}
	q := r.b[r.i : k+1]
	r.i = k + 1
	return q
}

func (r *fieldReader) atQuote() bool {
	at := *r
	return at.quote() != nil
}

// stringPrefix is the length of a letter before a quote: Python's b'…', r'…', u'…'.
func (r *fieldReader) stringPrefix() int {
	if r.i+1 < len(r.b) && bytes.IndexByte([]byte("brufBRU"), r.b[r.i]) >= 0 && (r.b[r.i+1] == '\'' || r.b[r.i+1] == '"') {
		return 1
	}
	return 0
}

// openers come before a value that is the only item of a list, or that is preceded by its type.
var openers = regex.Lazy(`^(?:\[\]string\{|Slice\(\[|Str\(|(?i:string)\([0-9]{1,5}\)\s|<<|-[ ]|[>|][+-]?[ ]{0,4}\n\s{1,40}|\[|\()`)

// operand reads a value after what assigns it.
func (r *fieldReader) operand(lines bool) (field, bool) {
	at := r.i
	r.space(lines)
	if bytes.IndexByte(r.b[at:r.i], '\n') >= 0 && !r.atQuote() && !openers().Match(r.b[r.i:]) && !r.has("{") {
		return field{}, false // the next line belongs to another name
	}
	bracket := byte(0)
	for range 4 {
		m := openers().FindIndex(r.b[r.i:])
		if m == nil {
			break
		}
		if bracket = r.b[r.i+m[1]-1]; bracket != '[' && bracket != '(' && bracket != '{' {
			bracket = 0
		}
		if c := r.b[r.i]; c == '>' || c == '|' {
			r.i += m[1]
			return r.line()
		}
		r.i += m[1]
		if bracket != 0 {
			r.space(true)
		}
	}
	if bracket == 0 && r.has("{") {
		m := nestedRE().FindIndex(r.b[r.i+1:])
		if m == nil {
			return field{}, false
		}
		r.i += 1 + m[1]
		r.space(true)
	}
	r.i += r.stringPrefix()
	if q := r.quote(); q != nil {
		k := bytes.Index(r.b[r.i:], q)
		if k < 0 || bytes.IndexByte(r.b[r.i:r.i+k], '\n') >= 0 {
			return field{}, false
		}
		return field{span{r.i, r.i + k}, true}, k > 0
	}
	switch bracket {
	case '[':
		return r.until(']', ' ')
	case '(':
		return field{}, false // a call's argument is in quotes, or it is no value
	}
	return r.bare()
}

// line reads a value that ends with its line.
func (r *fieldReader) line() (field, bool) {
	k := bytes.IndexByte(r.b[r.i:], '\n')
	if k < 0 {
		k = len(r.b) - r.i
	}
	text := bytes.TrimRight(r.b[r.i:r.i+k], " \r")
	return field{span{r.i, r.i + len(text)}, true}, len(text) > 0
}

// until reads a value that ends with c, in its line.
func (r *fieldReader) until(c, or byte) (field, bool) {
	for k := r.i; k < len(r.b) && r.b[k] != '\n'; k++ {
		if r.b[k] == c {
			return field{span{r.i, k}, true}, k > r.i
		}
		if or != 0 && r.b[k] == or && !scheme().Match(r.b[r.i:k+1]) {
			break
		}
	}
	return field{}, false
}

// bareEnd marks the characters that end a value without quotes.
var bareEnd = func() (t [256]bool) {
	for c := range t {
		t[c] = c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte("\"'`<>\\,;)]}&[{"), byte(c)) >= 0
	}
	return t
}()

// bare reads a value without quotes; a word that names a scheme is part of it.
func (r *fieldReader) bare() (field, bool) {
	from := r.i
	if m := scheme().FindIndex(r.b[r.i:min(len(r.b), r.i+32)]); m != nil {
		r.i += m[1]
	}
	to := r.i
	for to < len(r.b) && !bareEnd[r.b[to]] {
		to++
	}
	if to == len(r.b) && to-from >= maxField {
		return field{}, false
	}
	to = proseEnd(r.b, r.i, to)
	return field{span{from, to}, false}, to > r.i
}

// proseEnd leaves out the punctuation that a sentence puts after a word.
func proseEnd(b []byte, from, to int) int {
	for to > from && bytes.IndexByte([]byte(".:!?|"), b[to-1]) >= 0 {
		to--
	}
	return to
}

// scheme is the authentication scheme of a header (RFC 9110, 11.1), with the space.
var scheme = regex.Lazy(`^(?i:bearer|token|ssws|splunk|apikey|api-key|geniekey|bot|oauth|dpop|jwt|session|negotiate)[ ]{1,8}(?:(?i:token|api_?key|access_?token)=)?`)
