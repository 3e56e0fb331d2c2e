package archive

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
)

// maxParts bounds the nesting of a message's parts, which may hold messages.
const maxParts = 16

// maxHeader bounds a message's header.
const maxHeader = 1 << 20

// mailHead knows a message with something encoded in it, or a box of messages, by its header
// (RFC 5322): one of a few fields that each has, and one that says how its body is encoded.
// Web archives (RFC 2557) have them too, patches that git wrote the first alone.
func mailHead(head []byte) bool {
	head = head[:min(len(head), 16<<10)]
	box := bytes.HasPrefix(head, []byte("From "))
	if box {
		_, head, _ = bytes.Cut(head, []byte{'\n'})
	}
	var begins, encoded bool
	for {
		line, rest, ok := bytes.Cut(head, []byte{'\n'})
		head = rest
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 || !ok {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || len(name) > 60 || bytes.ContainsAny(name, " \t\"{}<>/") {
			return false
		}
		is := func(kinds ...string) bool {
			kind := strings.ToLower(string(bytes.TrimSpace(value)))
			return slices.ContainsFunc(kinds, func(k string) bool { return strings.HasPrefix(kind, k) })
		}
		switch strings.ToLower(string(name)) {
		case "from", "received", "return-path", "message-id", "delivered-to", "subject", "snapshot-content-location":
			begins = true
		case "content-type":
			encoded = encoded || is("multipart/", "message/")
		case "content-transfer-encoding":
			encoded = encoded || is("base64", "quoted-printable")
		case "mime-version":
			encoded = encoded || box
		}
	}
	return begins && encoded
}

// unmail opens a message or a box of them: it is text, and what its parts encode.
func unmail(o *opening) error {
	whole := func() *io.SectionReader { return io.NewSectionReader(o.at, 0, o.size) }
	if err := o.member(wholeMember, whole()); err != nil {
		return err
	}
	first := make([]byte, 5)
	if n, _ := o.at.ReadAt(first, 0); n < 5 || string(first) != "From " {
		return o.message(whole(), "", 0)
	}
	box := &mailbox{in: bufio.NewReader(whole())}
	for n := 1; box.next(); n++ {
		if err := o.message(box, fmt.Sprintf("(message %d)", n), 0); err != nil {
			return err
		}
	}
	return nil
}

// mailbox gives the messages of a box, each to its end: they begin with a line of its own.
type mailbox struct {
	in   *bufio.Reader
	line []byte // what is left to be given of a line
	end  bool   // of a message
}

// next goes to the next message, and reports whether there is one.
func (m *mailbox) next() bool {
	if _, err := io.Copy(io.Discard, m); err != nil {
		return false
	}
	if _, err := m.in.ReadSlice('\n'); err != nil {
		return false
	}
	m.end = false
	return true
}

func (m *mailbox) Read(b []byte) (int, error) {
	for len(m.line) == 0 {
		if m.end {
			return 0, io.EOF
		}
		if head, _ := m.in.Peek(5); string(head) == "From " {
			m.end = true
			continue
		}
		line, err := m.in.ReadSlice('\n')
		m.line = line
		if err != nil && err != bufio.ErrBufferFull {
			m.end = true
		}
	}
	n := copy(b, m.line)
	m.line = m.line[n:]
	return n, nil
}

// message opens the parts of one message.
func (o *opening) message(r io.Reader, name string, depth int) error {
	limited := &io.LimitedReader{R: r, N: maxHeader}
	m, err := mail.ReadMessage(limited)
	limited.N = math.MaxInt64
	if err != nil {
		o.gap(name, errMail)
		return nil
	}
	return o.part(textproto.MIMEHeader(m.Header), m.Body, name, depth)
}

// part opens one part. What it doesn't encode was seen in the message.
func (o *opening) part(h textproto.MIMEHeader, body io.Reader, name string, depth int) error {
	if depth > maxParts {
		o.gap(name, fmt.Errorf("%w: %d parts within each other", ErrLimit, depth))
		return nil
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err == nil && strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		parts := multipart.NewReader(body, params["boundary"])
		for n := 1; ; n++ {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				o.gap(name, errMail)
				return nil
			}
			if err := o.part(p.Header, p, join(name, partName(p, n)), depth+1); err != nil {
				return err
			}
		}
	}
	var plain io.Reader
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "base64":
		plain = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		plain = quotedprintable.NewReader(body)
	}
	switch {
	case kind == "message/rfc822" && plain == nil:
		return o.message(body, name, depth+1)
	case plain == nil:
		return nil
	case name == "":
		name = "(body)"
	}
	return o.member(name, discreet{plain})
}

// errMail is what is said of a message that can't be taken apart: the libraries' own errors
// quote its lines.
var errMail = errors.New("mail: damaged or cut short")

// discreet is a reader whose errors quote nothing.
type discreet struct{ io.Reader }

func (d discreet) Read(b []byte) (int, error) {
	n, err := d.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = errMail
	}
	return n, err
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func partName(p *multipart.Part, n int) string {
	if name := p.FileName(); name != "" {
		return clean(name)
	}
	return fmt.Sprintf("(part %d)", n)
}
