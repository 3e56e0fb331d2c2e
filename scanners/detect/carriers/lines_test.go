package carriers

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
)

// content is a few lines of plain output around one credential.
type content struct{ before, line, after string }

func (c content) text() string { return c.before + c.line + "\n" + c.after }

var plain = content{before: "Resolving dependencies\n", after: "Done in 3 seconds\n"}

// lineContents are the lines of output that a value of the form occurs in.
func lineContents(f form, v string) []string {
	list := []string{"> Authorization: Bearer " + v, `response: {"access_token":"` + v + `","expires_in":3600}`, "export API_TOKEN=" + v}
	if f.known {
		list = append(list, "using "+v+" for the upload", "git clone https://oauth2:"+v+"@git.corp.dev/a/b.git")
	}
	return list
}

// prefixes write what a tool puts at the start of every line; n counts lines.
var prefixes = []struct {
	name string
	of   func(n int) string
}{
	{"github api log", func(n int) string { return fmt.Sprintf("2026-09-01T10:00:%02d.1234567Z ", n) }},
	{"gh run view", func(n int) string { return fmt.Sprintf("build\tRun tests\t2026-09-01T10:00:%02d.1234567Z ", n) }},
	{"gh run view, step unknown", func(n int) string {
		return fmt.Sprintf("build (1.22)\tUNKNOWN STEP\t2026-09-01T10:00:%02d.1234567Z ", n)
	}},
	{"gitlab with stamps", func(n int) string { return fmt.Sprintf("2026-09-01T10:00:%02d.123456Z 01O ", n) }},
	{"jenkins", func(n int) string { return fmt.Sprintf("[2026-09-01T10:00:%02d.123Z] ", n) }},
	{"jenkins branch", func(int) string { return "[linux-amd64] " }},
	{"azure pipelines", func(n int) string { return fmt.Sprintf("2026-09-01T10:00:%02d.1234567Z ", n) }},
	{"buildkit", func(n int) string { return fmt.Sprintf("#12 %d.345 ", n) }},
	{"docker compose", func(int) string { return "api-1  | " }},
	{"docker compose -t", func(n int) string { return fmt.Sprintf("api-1  | 2026-09-01T10:00:%02d.123456789Z ", n) }},
	{"journald", func(n int) string { return fmt.Sprintf("Sep 01 10:00:%02d host1 app[4711]: ", n) }},
	{"syslog rfc 5424", func(n int) string { return fmt.Sprintf("<14>1 2026-09-01T10:00:%02d.123Z host1 app 4711 - - ", n) }},
	{"heroku", func(n int) string { return fmt.Sprintf("2026-09-01T10:00:%02d.123456+00:00 app[web.1]: ", n) }},
	{"aws logs tail", func(n int) string {
		return fmt.Sprintf("2026-09-01T10:00:%02d.123000+00:00 app/web/0123456789abcdef0123456789abcdef ", n)
	}},
	{"turbo", func(int) string { return "@acme/web:build: " }},
	{"lerna", func(int) string { return "@acme/web: " }},
	{"pnpm recursive", func(int) string { return "packages/web build: " }},
	{"pytest", func(int) string { return "E   " }},
	{"kubectl --prefix", func(int) string { return "[pod/api-7d9f8b6c5-x2x4z/api] " }},
	{"kubectl --prefix --timestamps", func(n int) string {
		return fmt.Sprintf("[pod/api-7d9f8b6c5-x2x4z/api] 2026-09-01T10:00:%02d.123456789Z ", n)
	}},
	{"stern", func(int) string { return "api-7d9f8b6c5-x2x4z api " }},
	{"cri", func(n int) string { return fmt.Sprintf("2026-09-01T10:00:%02d.123456789Z stdout F ", n) }},
	{"concurrently", func(int) string { return "[0] " }},
	{"foreman", func(n int) string { return fmt.Sprintf("10:00:%02d web.1   | ", n) }},
	{"bracketed time", func(n int) string { return fmt.Sprintf("[10:00:%02d] ", n) }},
	{"gh and compose", func(n int) string {
		return fmt.Sprintf("build\tRun tests\t2026-09-01T10:00:%02d.1234567Z api-1  | ", n)
	}},
	{"github and buildkit", func(n int) string { return fmt.Sprintf("2026-09-01T10:00:%02d.1234567Z #12 %d.345 ", n, n) }},
	{"github and pytest", func(n int) string { return fmt.Sprintf("2026-09-01T10:00:%02d.1234567Z E   ", n) }},
	{"gitlab and compose", func(n int) string { return fmt.Sprintf("2026-09-01T10:00:%02d.123456Z 01O api-1  | ", n) }},
}

func prefixed(lines []string, of func(n int) string) string {
	var b strings.Builder
	for i, l := range lines {
		b.WriteString(of(i%60) + l + "\n")
	}
	return b.String()
}

// wrapped cuts s into lines of width bytes.
func wrapped(s string, width int) []string {
	var out []string
	for len(s) > width {
		out, s = append(out, s[:width]), s[width:]
	}
	return append(out, s)
}

// textCarriers write lines of output in some encoding, as bytes or as parts.
var textCarriers = []struct {
	name string

	text func(d generator, c content) string
}{
	{"plain", func(d generator, c content) string { return c.text() }},
	{"crlf", func(d generator, c content) string { return strings.ReplaceAll(c.text(), "\n", "\r\n") }},
	{"coloured", func(d generator, c content) string { return c.before + "\x1b[32m" + c.line + "\x1b[0m\n" + c.after }},
	{"utf-16le", func(d generator, c content) string { return utf16Text(c.text(), binary.LittleEndian) }},
	{"utf-16be", func(d generator, c content) string { return utf16Text(c.text(), binary.BigEndian) }},
	{"utf-32le", func(d generator, c content) string { return utf32Text(c.text(), binary.LittleEndian) }},
	{"utf-32be", func(d generator, c content) string { return utf32Text(c.text(), binary.BigEndian) }},
	{"zero-width space inside", func(d generator, c content) string { return inside(c, "\u200b") }},
	{"soft hyphen inside", func(d generator, c content) string { return inside(c, "\u00ad") }},
	{"word joiner inside", func(d generator, c content) string { return inside(c, "\u2060") }},
	{"no-break spaces", func(d generator, c content) string { return strings.ReplaceAll(c.text(), " ", "\u00a0") }},
	{"base64", func(d generator, c content) string {
		return "blob: " + base64.StdEncoding.EncodeToString([]byte(c.text())) + "\n"
	}},
	{"hexadecimal", func(d generator, c content) string { return "blob: " + hex.EncodeToString([]byte(c.line)) + "\n" }},
	{"hexdump -C", func(d generator, c content) string { return hexdumpC([]byte(c.text())) }},
	{"xxd", func(d generator, c content) string { return xxd([]byte(c.text())) }},
	{"tcpdump -X", func(d generator, c content) string { return tcpdumpX([]byte(c.text())) }},
	{"wireshark", func(d generator, c content) string { return wireshark([]byte(c.text())) }},
	{"netty", func(d generator, c content) string { return netty([]byte(c.text())) }},
	{"od -c", func(d generator, c content) string { return odC([]byte(c.text())) }},
	{"bytes with colons", func(d generator, c content) string { return "data: " + bytesAs(c.line, "%02x", ":") + "\n" }},
	{"bytes with spaces", func(d generator, c content) string { return "frame: " + bytesAs(c.line, "%02x", " ") + "\n" }},
	{"node buffer", func(d generator, c content) string { return "body: <Buffer " + bytesAs(c.line, "%02x", " ") + ">\n" }},
	{"node buffer as json", func(d generator, c content) string {
		return `{"err":"ECONNRESET","body":{"type":"Buffer","data":[` + bytesAs(c.line, "%d", ",") + `]}}` + "\n"
	}},
	{"node buffer as indented json", func(d generator, c content) string {
		return "{\n  \"type\": \"Buffer\",\n  \"data\": [\n    " + bytesAs(c.line, "%d", ",\n    ") + "\n  ]\n}\n"
	}},
	{"uint8array", func(d generator, c content) string {
		return fmt.Sprintf("Uint8Array(%d) [ %s ]\n", len(c.line), bytesAs(c.line, "%d", ", "))
	}},
	{"go []byte with %v", func(d generator, c content) string { return "body=[" + bytesAs(c.line, "%d", " ") + "]\n" }},
	{"go []byte with %#v", func(d generator, c content) string { return "body: []byte{" + bytesAs(c.line, "0x%x", ", ") + "}\n" }},
	{"java byte[]", func(d generator, c content) string { return "payload = [" + bytesAs(c.line, "%d", ", ") + "]\n" }},
	{"python bytearray list", func(d generator, c content) string { return "bytes([" + bytesAs(c.line, "%d", ", ") + "])\n" }},
	{"journald message array", func(d generator, c content) string {
		return `{"_PID":"4711","MESSAGE":[` + bytesAs(c.line, "%d", ",") + `],"PRIORITY":"6"}` + "\n"
	}},
	{"escaped bytes", func(d generator, c content) string { return `data = "` + bytesAs(c.line, `\x%02x`, "") + "\"\n" }},
	{"go test -json", func(d generator, c content) string {
		return events(d, c, func(part string) string {
			return compact(object{"Time": "2026-09-01T10:00:00.1Z", "Action": "output", "Package": "corp.dev/p", "Test": "T", "Output": part})
		})
	}},
	{"circleci output", func(d generator, c content) string {
		return "[" + events(d, c, func(part string) string {
			return compact(object{"message": part, "time": "2026-09-01T10:00:00.1Z", "type": "out"}) + ","
		}) + "{}]"
	}},
	{"concourse events", func(d generator, c content) string {
		return events(d, c, func(part string) string {
			return `data: {"data":{"payload":` + quote(part) + `,"time":1788256800,"origin":{"id":"5f0"}},"event":"log","version":"5.1"}`
		})
	}},
	{"semaphore events", func(d generator, c content) string {
		return events(d, c, func(part string) string {
			return `{"event":"cmd_output","timestamp":1788256800,"output":` + quote(part) + `}`
		})
	}},
	{"docker json-file", func(d generator, c content) string {
		return events(d, c, func(part string) string {
			return `{"log":` + quote(part) + `,"stream":"stdout","time":"2026-09-01T10:00:00.1Z"}`
		})
	}},
	{"asciinema", func(d generator, c content) string {
		return "{\"version\": 2, \"width\": 80, \"height\": 24}\n" + events(d, c, func(part string) string { return `[1.234567, "o", ` + quote(part) + `]` })
	}},
	{"lambda events", func(d generator, c content) string {
		return events(d, c, func(part string) string {
			return `{"timestamp":1788256800000,"message":` + quote(part) + `,"ingestionTime":1788256800123}`
		})
	}},
	{"box table", func(d generator, c content) string { return table(c.line, 34, "┌┬┐└┴┘", "│", "─") }},
	{"ascii table", func(d generator, c content) string { return table(c.line, 40, "++++++", "|", "-") }},
	{"wide ascii table", func(d generator, c content) string { return table(c.line, 400, "++++++", "|", "-") }},
	{"markdown table", func(d generator, c content) string {
		return "| name | value |\n| --- | --- |\n| line | " + c.line + " |\n"
	}},
	{"rich, right column", func(d generator, c content) string { return rich(c.line) }},
}

// inside puts s in the middle of the line's longest run of letters and digits.
func inside(c content, s string) string {
	from, to, best := 0, 0, 0
	for i, start := 0, 0; i <= len(c.line); i++ {
		if i == len(c.line) || strings.IndexByte(base62, c.line[i]) < 0 {
			if i-start > best {
				from, to, best = start, i, i-start
			}
			start = i + 1
		}
	}
	m := (from + to) / 2
	c.line = c.line[:m] + s + c.line[m:]
	return c.text()
}

func utf16Text(s string, order binary.ByteOrder) string {
	b := make([]byte, 0, 2*len(s)+2)
	for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
		b = append(b, 0, 0)
		order.PutUint16(b[len(b)-2:], u)
	}
	return string(b)
}

func utf32Text(s string, order binary.ByteOrder) string {
	b := make([]byte, 0, 4*len(s)+4)
	for _, r := range "\ufeff" + s {
		b = append(b, 0, 0, 0, 0)
		order.PutUint32(b[len(b)-4:], uint32(r))
	}
	return string(b)
}

func bytesAs(s, verb, separator string) string {
	parts := make([]string, len(s))
	for i := range len(s) {
		parts[i] = fmt.Sprintf(verb, s[i])
	}
	return strings.Join(parts, separator)
}

func printable(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if out[i] = c; c < 0x20 || c > 0x7e {
			out[i] = '.'
		}
	}
	return string(out)
}

func rows(b []byte, row func(offset int, part []byte) string) string {
	var out strings.Builder
	for o := 0; o < len(b); o += 16 {
		out.WriteString(row(o, b[o:min(o+16, len(b))]) + "\n")
	}
	return out.String()
}

func pairs(part []byte) string {
	var out strings.Builder
	for i, c := range part {
		if i > 0 && i%2 == 0 {
			out.WriteByte(' ')
		}
		fmt.Fprintf(&out, "%02x", c)
	}
	return out.String()
}

func hexdumpC(b []byte) string {
	return rows(b, func(o int, part []byte) string {
		left, right := bytesAs(string(part[:min(8, len(part))]), "%02x", " "), bytesAs(string(part[min(8, len(part)):]), "%02x", " ")
		return fmt.Sprintf("%08x  %-23s  %-23s  |%s|", o, left, right, printable(part))
	})
}

func xxd(b []byte) string {
	return rows(b, func(o int, part []byte) string {
		return fmt.Sprintf("%08x: %-39s  %s", o, pairs(part), printable(part))
	})
}

func tcpdumpX(b []byte) string {
	return "10:00:00.000001 IP 10.0.0.1.4711 > 10.0.0.2.80: Flags [P.], length 120\n" + rows(b, func(o int, part []byte) string {
		return fmt.Sprintf("\t0x%04x:  %-39s  %s", o, pairs(part), printable(part))
	})
}

func wireshark(b []byte) string {
	return rows(b, func(o int, part []byte) string {
		gap := "  "
		if len(b)%2 == 0 { // what its window shows, and what it copies
			gap = "   "
		}
		return fmt.Sprintf("%04x%s%-47s   %s", o, gap, bytesAs(string(part), "%02x", " "), printable(part))
	})
}

func netty(b []byte) string {
	rule := "+--------+-------------------------------------------------+----------------+\n"
	return "         +-------------------------------------------------+\n         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |\n" + rule +
		rows(b, func(o int, part []byte) string {
			return fmt.Sprintf("|%08x| %-47s |%-16s|", o, bytesAs(string(part), "%02x", " "), printable(part))
		}) + rule
}

func odC(b []byte) string {
	return rows(b, func(o int, part []byte) string {
		cells := make([]string, len(part))
		for i, c := range part {
			if cells[i] = "  " + string(rune(c)); c == '\n' {
				cells[i] = ` \n`
			}
		}
		return fmt.Sprintf("%07o %s", o, strings.Join(cells, " "))
	})
}

// events writes the content as two events, cut inside the line's last third.
func events(d generator, c content, event func(part string) string) string {
	text := c.before + c.line + "\n"
	cut := len(text) - 4 - d.IntN(max(1, len(c.line)/3))
	return event(text[:cut]) + "\n" + event(text[cut:]) + "\n" + event(c.after) + "\n"
}

func table(line string, width int, corners, bar, rule string) string {
	k := []rune(corners)
	edge := func(l, m, r rune) string {
		return string(l) + strings.Repeat(rule, 12) + string(m) + strings.Repeat(rule, width+2) + string(r) + "\n"
	}
	var b strings.Builder
	b.WriteString(edge(k[0], k[1], k[2]))
	for i, part := range wrapped(line, width) {
		name := ""
		if i == 0 {
			name = "step 1"
		}
		fmt.Fprintf(&b, "%s %-10s %s %-*s %s\n", bar, name, bar, width, part, bar)
	}
	fmt.Fprintf(&b, "%s %-10s %s %-*s %s\n", bar, "step 2", bar, width, "done", bar)
	b.WriteString(edge(k[3], k[4], k[5]))
	return b.String()
}

// rich writes a message like the logging handler of Python's rich: time and level on the left,
// the source on the right, and the message folded at its column's width.
func rich(line string) string {
	const width = 42
	var b strings.Builder
	column := ""
	flush := func(first bool) {
		if first {
			fmt.Fprintf(&b, "[10:00:01] DEBUG    %-*s client.py:474\n", width, column)
		} else {
			fmt.Fprintf(&b, "%20s%-*s %13s\n", "", width, column, "")
		}
		column = ""
	}
	first := true
	for _, word := range strings.Split(line, " ") {
		if column != "" && len(column)+1+len(word) > width {
			flush(first)
			first = false
		}
		if column != "" {
			column += " "
		}
		for column += word; len(column) > width; first = false {
			rest := column[width:]
			column = column[:width]
			flush(first)
			column = rest
		}
	}
	flush(first)
	return b.String()
}
