package git

import (
	"errors"
	"strings"
)

// setting is one line of a configuration file.
type setting struct {
	section    string // in lower case
	subsection string
	key        string // in lower case
	value      string
}

var errConfig = errors.New("not a configuration of git")

// parseConfig reads a configuration file as git does (git-config, "Syntax"), but follows no
// include. The settings before an error are returned with it.
func parseConfig(text string) (out []setting, err error) {
	text = strings.TrimPrefix(text, "\ufeff")
	p := configParser{rest: strings.ReplaceAll(text, "\r\n", "\n")}
	var in setting
	for {
		p.blank()
		switch c, ok := p.peek(); {
		case !ok:
			return out, nil
		case c == '[':
			if in, err = p.header(); err != nil {
				return out, err
			}
		case letter(c):
			s, err := p.entry()
			if err != nil {
				return out, err
			}
			s.section, s.subsection = in.section, in.subsection
			out = append(out, s)
		default:
			return out, errConfig
		}
	}
}

// configParser reads a text from its beginning.
type configParser struct{ rest string }

func (p *configParser) peek() (byte, bool) {
	if p.rest == "" {
		return 0, false
	}
	return p.rest[0], true
}

func (p *configParser) next() (byte, bool) {
	c, ok := p.peek()
	if ok {
		p.rest = p.rest[1:]
	}
	return c, ok
}

// blank skips white space, and comments to the end of their lines.
func (p *configParser) blank() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\n\r\v\f")
		if p.rest == "" || p.rest[0] != '#' && p.rest[0] != ';' {
			return
		}
		_, p.rest, _ = strings.Cut(p.rest, "\n")
	}
}

// word reads letters, digits, "-" and, where dots is set, ".".
func (p *configParser) word(dots bool) string {
	n := 0
	for n < len(p.rest) && (letter(p.rest[n]) || p.rest[n] >= '0' && p.rest[n] <= '9' || p.rest[n] == '-' || dots && p.rest[n] == '.') {
		n++
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// header reads [section], [section "subsection"], or the old [section.subsection].
func (p *configParser) header() (s setting, err error) {
	p.rest = p.rest[1:]
	name := strings.ToLower(p.word(true))
	s.section, s.subsection, _ = strings.Cut(name, ".")
	if name == "" {
		return s, errConfig
	}
	p.rest = strings.TrimLeft(p.rest, " \t")
	if c, _ := p.peek(); c == '"' {
		p.rest = p.rest[1:]
		var b strings.Builder
		for {
			c, ok := p.next()
			if c == '\\' {
				c, ok = p.next()
			} else if c == '"' {
				break
			}
			if !ok || c == '\n' {
				return s, errConfig
			}
			b.WriteByte(c)
		}
		s.subsection = b.String()
	}
	if c, ok := p.next(); !ok || c != ']' {
		return s, errConfig
	}
	return s, nil
}

// entry reads "key = value" or a bare key, which is true.
func (p *configParser) entry() (setting, error) {
	s := setting{key: strings.ToLower(p.word(false)), value: "true"}
	p.rest = strings.TrimLeft(p.rest, " \t")
	switch c, ok := p.peek(); {
	case !ok || c == '\n' || c == '#' || c == ';':
		return s, nil
	case c != '=':
		return s, errConfig
	}
	p.rest = p.rest[1:]
	var err error
	s.value, err = p.value()
	return s, err
}

// value reads to the end of a line: quotes protect blanks and comment signs, a
// backslash at the end continues the line.
func (p *configParser) value() (string, error) {
	var b strings.Builder
	keep := 0 // blanks before this position count
	quoted := false
	p.rest = strings.TrimLeft(p.rest, " \t")
	for {
		c, ok := p.next()
		switch {
		case !ok || c == '\n':
			if quoted {
				return "", errConfig
			}
			return b.String()[:keep], nil
		case !quoted && (c == '#' || c == ';'):
			_, p.rest, _ = strings.Cut(p.rest, "\n")
			return b.String()[:keep], nil
		case c == '"':
			quoted = !quoted
			keep = b.Len()
			continue
		case c == '\\':
			if c, ok = p.next(); !ok {
				return "", errConfig
			}
			i := strings.IndexByte("\nntb\\\"", c)
			if i < 0 {
				return "", errConfig
			}
			if c == '\n' {
				continue
			}
			b.WriteByte("\n\n\t\b\\\""[i])
			keep = b.Len()
			continue
		}
		b.WriteByte(c)
		if quoted || c != ' ' && c != '\t' {
			keep = b.Len()
		}
	}
}
