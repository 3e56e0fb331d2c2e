package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/rules"
)

// A Sink renders the event stream.
type Sink interface {
	Emit(Event) error
	Close() error
}

// Formats are the renderers by name.
var formats = []string{"text", "jsonl", "json", "sarif"}

// Formats lists the names of the renderers.
func Formats() []string { return slices.Clone(formats) }

// New makes a renderer that writes to w. The style is for text.
func New(format string, w io.Writer, set *rules.Set, style Style) (Sink, error) {
	b := bufio.NewWriter(w)
	switch format {
	case "text":
		return &text{w: b, Style: style}, nil
	case "jsonl":
		return &lines{b}, nil
	case "json":
		return &document{w: b}, nil
	case "sarif":
		return &sarif{w: b, set: set}, nil
	}
	return nil, fmt.Errorf("no format %q (have %s)", format, strings.Join(formats, ", "))
}

// Tee sends events to several sinks; files of --report never see secrets.
type Tee struct {
	Main   Sink
	Others []Sink
}

// Emit implements Sink.
func (t Tee) Emit(e Event) error {
	var errs []error
	if t.Main != nil {
		errs = append(errs, t.Main.Emit(e))
	}
	for _, s := range t.Others {
		o := e
		switch e := e.(type) {
		case Finding:
			e.Secret = ""
			o = e
		case Credential:
			e.Secret = ""
			o = e
		}
		errs = append(errs, s.Emit(o))
	}
	return errors.Join(errs...)
}

// Close implements Sink.
func (t Tee) Close() error {
	var errs []error
	if t.Main != nil {
		errs = append(errs, t.Main.Close())
	}
	for _, s := range t.Others {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// File is a sink into a file. Close publishes the report if the last event was a
// Summary and nothing failed; otherwise the report is not whole, and what was at
// path stays as it was.
func File(format, path string, set *rules.Set, show Show) (Sink, error) {
	f, err := output.Create(path, output.Mode)
	if err != nil {
		return nil, err
	}
	s, err := New(format, f, set, Style{Show: show})
	if err != nil {
		f.Discard()
		return nil, err
	}
	return &file{Sink: s, f: f}, nil
}

type file struct {
	Sink
	f      *output.File
	whole  bool
	failed bool
	closed bool
}

func (f *file) Emit(e Event) error {
	_, f.whole = e.(Summary)
	err := f.Sink.Emit(e)
	f.failed = f.failed || err != nil
	return err
}

func (f *file) Close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	defer f.f.Discard()
	if !f.whole || f.failed {
		return nil
	}
	if err := f.Sink.Close(); err != nil {
		return err
	}
	return f.f.Commit()
}

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
