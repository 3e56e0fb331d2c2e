package cilog

import "bytes"

// The json-file driver writes {"log":"…\n","stream":"stdout","time":"…"}. The text's own
// escapes stay. A line break replaces its \n; a text without \n continues in the next object.
var dockerJSON = Format{
	About:  "Docker's json-file driver",
	First:  "{",
	Output: []string{`"log":"`},
	Line: func(b []byte, _ int) Line {
		const head = `{"log":"`
		if !bytes.HasPrefix(b, []byte(head)) {
			return Line{}
		}
		i := bytes.LastIndex(b, []byte(`","stream":"std`))
		if i < len(head) {
			return Line{}
		}
		x := Line{Prefix: len(head), Trailer: len(b) - i, Continues: true}
		if bytes.HasSuffix(b, []byte("\n")) {
			x.Keep = 1
		}
		if bytes.HasSuffix(b[:i], []byte(`\n`)) {
			x.Trailer += 2
			x.Continues = false
		}
		return x
	},
}
