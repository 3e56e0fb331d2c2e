package cilog

// Programs and systems that write output as JSON events and need nothing else here.
var (
	goTest = Format{About: "go test -json", Output: []string{`"Output":"`}}

	circleCI = Format{
		Name:   "circleci",
		About:  "CircleCI (a step's output by API v1.1), and AWS Lambda",
		Output: []string{`"message":"`},
	}

	concourse = Format{
		Name:   "concourse",
		About:  "Concourse (events of a build)",
		Masks:  []string{"((redacted))"},
		Output: []string{`"payload":"`},
	}

	loggers = Format{
		About:  "programs that log JSON objects",
		Masks:  []string{"<redacted>"},
		Output: []string{`"msg":"`, `"text":"`, `"data":"`},
	}

	asciinema = Format{About: "asciinema", Output: []string{`, "o", "`, `,"o","`}}
)
