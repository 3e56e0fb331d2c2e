package archive

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"

	"github.com/quellhq/quell/scanners"
)

// maxParts bounds the nesting of a message's parts, because a part can be a message.
const maxParts = 16

// maxHeader is the maximum size of a message's header, in bytes.
const maxHeader = 1 << 20

// unmail opens a message or a mailbox: it yields the text and the decoded parts.
func unmail(o *opening) error {
	whole := func() *io.SectionReader { return io.NewSectionReader(o.at, 0, o.size) }
	if err := o.plain(wholeMember, whole()); err != nil {
		return err
	}
	in := bufio.NewReaderSize(whole(), headLen)
	if head, _ := in.Peek(2048); bytes.IndexByte(head, 0) >= 0 {
		o.gap("", errMail)
	}
	for {
		if b, err := in.Peek(1); err != nil || b[0] != '\n' && b[0] != '\r' {
			break
		}
		_, _ = in.Discard(1)
	}
	if first, _ := in.Peek(len(postmark)); string(first) != postmark {
		return o.message(in, "", 0)
	}
	box := &mailbox{in: in, blank: true}
	for n := 1; box.next(); n++ {
		if err := o.counts(); err != nil {
			return err
		}
		if err := o.message(box, fmt.Sprintf("(message %d)", n), 0); err != nil {
			return err
		}
	}
	return nil
}

// mailbox reads the messages of a mailbox one after another. A message begins with a postmark
// line after an empty line.
type mailbox struct {
	in    *bufio.Reader
	line  []byte // the unread part of a line
	begun bool   // line, or the text read last, lacks the end of its line
	blank bool   // the last line was empty
	end   bool   // the message has ended
}

// next advances to the next message, and reports whether there is one.
func (m *mailbox) next() bool {
	if _, err := io.Copy(io.Discard, m); err != nil {
		return false
	}
	for { // the postmark
		_, err := m.in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return false
		}
		break
	}
	m.end, m.blank, m.begun = false, false, false
	return true
}

func (m *mailbox) Read(b []byte) (int, error) {
	for len(m.line) == 0 {
		if m.end {
			return 0, io.EOF
		}
		if m.blank && !m.begun {
			if head, _ := m.in.Peek(len(postmark)); string(head) == postmark {
				m.end = true
				continue
			}
		}
		line, err := m.in.ReadSlice('\n')
		m.line = line
		m.blank = !m.begun && len(bytes.TrimRight(line, "\r\n")) == 0
		m.begun = err == bufio.ErrBufferFull
		if err != nil && !m.begun {
			m.end = true
		}
	}
	n := copy(b, m.line)
	m.line = m.line[n:]
	return n, nil
}

// message opens the parts of one message.
func (o *opening) message(r io.Reader, name string, depth int) error {
	body := bufio.NewReader(r)
	header, err := readHeader(body)
	if err != nil {
		o.gap(name, err)
		return nil
	}
	return o.part(header, body, name, depth)
}

// readHeader reads a message's header as mail programs do: it skips lines that are not fields.
func readHeader(r *bufio.Reader) (textproto.MIMEHeader, error) {
	h := textproto.MIMEHeader{}
	last, size := "", 0
	for {
		line, err := r.ReadString('\n')
		if size += len(line); size > maxHeader {
			return nil, limitOf(scanners.GapLimitMemory, "a header of over %d KiB", maxHeader>>10)
		}
		text := strings.TrimRight(line, "\r\n")
		if text == "" {
			if err == io.EOF && line == "" {
				err = errMail
			}
			return h, err
		}
		if text[0] == ' ' || text[0] == '\t' {
			if v := h[last]; len(v) > 0 {
				v[len(v)-1] += " " + strings.TrimSpace(text)
			}
		} else if name, value, ok := strings.Cut(text, ":"); ok {
			last = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
			h[last] = append(h[last], strings.TrimSpace(value))
		}
		if err != nil {
			return nil, errMail // the header does not end
		}
	}
}

// boundaryOf returns the media type and the boundary of a part. It also accepts boundaries
// whose characters require quotes but have none, because programs write them.
func boundaryOf(field string) (kind, boundary string) {
	kind, params, err := mime.ParseMediaType(field)
	if err == nil {
		return kind, params["boundary"]
	}
	kind = firstWord(field)
	i := strings.Index(strings.ToLower(field), "boundary")
	if i < 0 {
		return kind, ""
	}
	_, value, _ := strings.Cut(field[i:], "=")
	value = strings.TrimSpace(value)
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		boundary, _, _ = strings.Cut(quoted, `"`)
		return kind, boundary
	}
	boundary, _, _ = strings.Cut(value, ";")
	return kind, strings.TrimSpace(boundary)
}

// part opens one part. Text that is not encoded belongs to the message.
func (o *opening) part(h textproto.MIMEHeader, body io.Reader, name string, depth int) error {
	if depth > maxParts {
		o.gap(name, limitOf(scanners.GapLimitDepth, "%d parts within each other", depth))
		return nil
	}
	kind, boundary := boundaryOf(h.Get("Content-Type"))
	if strings.HasPrefix(kind, "multipart/") {
		return o.parts(body, boundary, name, depth)
	}
	var plain io.Reader
	switch encoding := firstWord(h.Get("Content-Transfer-Encoding")); encoding {
	case "base64":
		plain = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		plain = quotedprintable.NewReader(body)
	case "", "7bit", "8bit", "binary":
		text := bufio.NewReader(body)
		if body = text; base64Lines(text) {
			plain = base64.NewDecoder(base64.StdEncoding, text) // the header is damaged
		}
	default:
		o.gap(name, kindUnsupported(errors.New("mail: the encoding of a part is not supported")))
		return nil
	}
	switch {
	case kind == "message/rfc822" && plain == nil:
		return o.message(body, name, depth+1)
	case plain == nil:
		if o.stray(bufio.NewReader(body)) {
			o.gap(name, errMail)
		}
		return nil
	case name == "":
		name = "(body)"
	}
	return o.member(name, discreet{plain})
}

// parts opens the parts of a multipart body.
func (o *opening) parts(body io.Reader, boundary, name string, depth int) error {
	if boundary == "" {
		o.gap(name, errMail)
		return nil
	}
	parts := multipart.NewReader(body, boundary)
	for n := 1; ; n++ {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			o.gap(name, errMail)
			return nil
		}
		if err := o.counts(); err != nil {
			return err
		}
		if err := o.part(p.Header, p, join(name, partName(p, n)), depth+1); err != nil {
			return err
		}
	}
}

// errMail replaces the errors of the libraries, which quote lines of the message.
var errMail = scanners.OfKind(scanners.GapDamaged, errors.New("mail: damaged or cut short"))

// discreet is a reader whose errors quote no input.
type discreet struct{ io.Reader }

func (d discreet) Read(b []byte) (int, error) {
	n, err := d.Reader.Read(b)
	if err != nil && err != io.EOF && !errors.Is(err, scanners.ErrTime) && !errors.Is(err, ErrLimit) && !errors.Is(err, scanners.ErrExpansion) {
		err = errMail
	}
	return n, err
}

func partName(p *multipart.Part, n int) string {
	if name := p.FileName(); name != "" {
		return clean(name)
	}
	return fmt.Sprintf("(part %d)", n)
}
