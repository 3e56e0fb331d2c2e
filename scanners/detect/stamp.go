package detect

import "bytes"

// lineMark is what a CI system or a container runtime wrote around a line.
type lineMark struct {
	len     int  // before the text
	joins   bool // the text goes on where the line before ended
	partial bool // the next line goes on where this one ends
	// trailer bytes at the end are not of the text, but for the last keep of
	// them.
	trailer, keep int
}

// stamp recognises what stands before a line's text:
//
//   - RFC 3339 times with any fraction and Z or an offset (GitHub Actions,
//     Azure Pipelines, Gitea, docker logs -t, kubectl logs --timestamps);
//   - after them GitLab's stream: two hex digits, O or E, and a space or, for a
//     continued line, +; and the kubelet's CRI form: the stream, F or P, where P
//     says that the line goes on;
//   - Docker's json-file, one object a line, partial without "\n" at its end;
//   - bracketed times (Jenkins' Timestamper, TeamCity, AppVeyor), CodeBuild's
//     [Container] and Cloud Build's Step #n.
func stamp(b []byte) lineMark {
	if len(b) < 8 {
		return lineMark{}
	}
	switch c := b[0]; {
	case c == bom[0] && bytes.HasPrefix(b, bom):
		m := stamp(b[len(bom):])
		if m.len > 0 {
			m.len += len(bom)
		}
		return m
	case digit(c):
		return clock(b)
	case c == '[':
		return lineMark{len: bracketed(b)}
	case c == '{':
		return dockerJSON(b)
	case c == 'S' && bytes.HasPrefix(b, []byte("Step #")):
		return lineMark{len: cloudBuild(b)}
	}
	return lineMark{}
}

// mayStamp marks what a line with something before its text begins with.
var mayStamp = func() (t [256]bool) {
	for c := range t {
		t[c] = digit(byte(c)) || c == '[' || c == '{' || c == 'S' || c == int(bom[0])
	}
	return t
}()

func digit(c byte) bool { return c >= '0' && c <= '9' }

// shaped reports whether b begins with the shape: 0 stands for a digit.
func shaped(b []byte, shape string) bool {
	if len(b) < len(shape) {
		return false
	}
	for i := range len(shape) {
		if shape[i] == '0' {
			if !digit(b[i]) {
				return false
			}
		} else if b[i] != shape[i] {
			return false
		}
	}
	return true
}

// rfc3339 is the length of a time at b's beginning.
func rfc3339(b []byte) int {
	const date = "0000-00-00T00:00:00"
	if !shaped(b, date) {
		return 0
	}
	i := len(date)
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && digit(b[i]); i++ {
		}
	}
	switch {
	case i < len(b) && b[i] == 'Z':
		return i + 1
	case i < len(b) && (b[i] == '+' || b[i] == '-') && shaped(b[i+1:], "00:00"):
		return i + 6
	}
	return 0
}

func clock(b []byte) lineMark {
	i := rfc3339(b)
	if i == 0 || i >= len(b) || b[i] != ' ' {
		if shaped(b, "00:00:00  ") { // Timestamper, rendered
			return lineMark{len: len("00:00:00  ")}
		}
		return lineMark{}
	}
	i++
	r := b[i:]
	if len(r) >= 4 && hexDigit(r[0]) && hexDigit(r[1]) && (r[2] == 'O' || r[2] == 'E') && (r[3] == ' ' || r[3] == '+') {
		return lineMark{len: i + 4, joins: r[3] == '+'}
	}
	for _, stream := range []string{"stdout ", "stderr "} {
		if k := len(stream); len(r) >= k+2 && string(r[:k]) == stream && (r[k] == 'F' || r[k] == 'P') && r[k+1] == ' ' {
			return lineMark{len: i + k + 2, partial: r[k] == 'P'}
		}
	}
	return lineMark{len: i}
}

func hexDigit(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func bracketed(b []byte) int {
	const codeBuild = "[Container] "
	if bytes.HasPrefix(b, []byte(codeBuild)) {
		if r := b[len(codeBuild):]; shaped(r, "0000/00/00 00:00:00") {
			if k := bytes.IndexByte(r[len("0000/00/00 "):min(len(r), 40)], ' '); k >= 0 {
				return len(codeBuild) + len("0000/00/00 ") + k + 1
			}
		}
		return 0
	}
	n := rfc3339(b[1:])
	if n == 0 && shaped(b[1:], "00:00:00") {
		n = len("00:00:00")
	}
	if n == 0 || 1+n >= len(b) || b[1+n] != ']' {
		return 0
	}
	i := n + 2
	// TeamCity: a letter for how bad it is, a colon, tabs for the nesting.
	if i+1 < len(b) && b[i+1] == ':' && bytes.IndexByte([]byte(" iWEF"), b[i]) >= 0 {
		for i += 2; i < len(b) && (b[i] == '\t' || b[i] == ' '); i++ {
		}
		return i
	}
	if i < len(b) && b[i] == ' ' {
		return i + 1
	}
	return 0
}

// cloudBuild is the length of `Step #0: ` or `Step #0 - "id": `.
func cloudBuild(b []byte) int {
	i := len("Step #")
	for ; i < len(b) && digit(b[i]); i++ {
	}
	if bytes.HasPrefix(b[i:], []byte(` - "`)) {
		k := bytes.IndexByte(b[i+4:min(len(b), i+100)], '"')
		if k < 0 {
			return 0
		}
		i += 4 + k + 1
	}
	if bytes.HasPrefix(b[i:], []byte(": ")) {
		return i + 2
	}
	return 0
}

// dockerJSON is Docker's json-file driver: {"log":"…\n","stream":"stdout","time":"…"}.
// The text's own escapes stay; the line break stands for its \n.
func dockerJSON(b []byte) lineMark {
	const head = `{"log":"`
	if !bytes.HasPrefix(b, []byte(head)) {
		return lineMark{}
	}
	i := bytes.LastIndex(b, []byte(`","stream":"std`))
	if i < len(head) {
		return lineMark{}
	}
	m := lineMark{len: len(head), trailer: len(b) - i, partial: true}
	if bytes.HasSuffix(b, []byte("\n")) {
		m.keep = 1
	}
	if bytes.HasSuffix(b[:i], []byte(`\n`)) {
		m.trailer += 2
		m.partial = false
	}
	return m
}

// longestService bounds a service's name with what sets it off.
const longestService = 64

// serviceName is `name-1  | ` of docker compose, or `[name] ` of Tekton and of
// Jenkins' parallel branches. A text may begin like that: it is a prefix only
// where a line beside it has the same.
func serviceName(b []byte) []byte {
	b = b[:min(len(b), longestService)]
	i := 0
	if len(b) > 0 && b[0] == '[' {
		i = bytes.IndexByte(b, ']')
		if i < 2 || i+1 >= len(b) || b[i+1] != ' ' {
			return nil
		}
		return b[:i+2]
	}
	for i < len(b) && (word(b[i]) || b[i] == '-' || b[i] == '.') {
		i++
	}
	if i == 0 {
		return nil
	}
	k := i
	for k < len(b) && b[k] == ' ' {
		k++
	}
	if k == i || k+1 >= len(b) || b[k] != '|' || b[k+1] != ' ' {
		return nil
	}
	return b[:k+2]
}

// unstamped is a line without its stamp.
func unstamped(b []byte) []byte { return b[stamp(b[:min(len(b), 128)]).len:] }
