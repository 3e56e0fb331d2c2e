package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
)

var (
	linesFormat    = Format{Name: "jsonl", New: func(o Options) Sink { return &lines{o.W} }}
	documentFormat = Format{Name: "json", New: func(o Options) Sink { return &document{w: o.W} }}
)

// lines writes one JSON object a line.
type lines struct{ w *bufio.Writer }

func (l *lines) Emit(e Event) error {
	b, err := Marshal(e)
	if err != nil {
		return err
	}
	_, _ = l.w.Write(b)
	if err := l.w.WriteByte('\n'); err != nil {
		return err
	}
	return l.w.Flush()
}

func (l *lines) Close() error { return l.w.Flush() }

// document is the same as one JSON document.
type document struct {
	w     *bufio.Writer
	begun bool
}

func (d *document) Emit(e Event) error {
	if e.eventType() == "progress" {
		return nil
	}
	b, err := Marshal(e)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "    ", "  "); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	before := ",\n    "
	if !d.begun {
		d.begun, before = true, "{\n  \"events\": [\n    "
	}
	_, _ = d.w.WriteString(before)
	_, err = d.w.Write(out.Bytes())
	return err
}

func (d *document) Close() error {
	if d.begun {
		_, _ = d.w.WriteString("\n  ],\n")
	} else {
		_, _ = d.w.WriteString("{\n  \"events\": [],\n")
	}
	_, _ = fmt.Fprintf(d.w, "  \"protocol\": %d\n}\n", Protocol)
	return d.w.Flush()
}
