package cilog

// Programs and systems that write output as JSON events and need nothing else here.
var (
	goTest = Format{About: "go test -json", Output: []string{`"Output":"`}}

	loggers = Format{
		About:  "programs that log JSON objects",
		Masks:  []string{"<redacted>"},
		Output: []string{`"msg":"`, `"text":"`, `"data":"`},
	}

	asciinema = Format{About: "asciinema", Output: []string{`, "o", "`, `,"o","`}}
)
