package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

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

// New makes a renderer that writes to w.
func New(format string, w io.Writer, set *rules.Set) (Sink, error) {
	b := bufio.NewWriter(w)
	switch format {
	case "text":
		return &text{w: b}, nil
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
		if f, ok := e.(Finding); ok {
			f.Secret = ""
			o = f
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

// File is a sink into a file that appears whole or not at all.
func File(format, path string, set *rules.Set) (Sink, error) {
	// What lies there may be a link that somebody else put there: it is not followed.
	if err := os.Remove(path + ".partial"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("report: %w", err)
	}
	f, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	s, err := New(format, f, set)
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, err
	}
	return &file{s, f, path}, nil
}

type file struct {
	Sink
	f    *os.File
	path string
}

func (f *file) Close() error {
	if err := errors.Join(f.Sink.Close(), f.f.Sync(), f.f.Close()); err != nil {
		return fmt.Errorf("report %s: %w", f.path, err)
	}
	return os.Rename(f.f.Name(), f.path)
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
	w   *bufio.Writer
	all []json.RawMessage
}

func (d *document) Emit(e Event) error {
	if e.eventType() == "progress" {
		return nil
	}
	b, err := Marshal(e)
	d.all = append(d.all, b)
	return err
}

func (d *document) Close() error {
	enc := json.NewEncoder(d.w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if d.all == nil {
		d.all = []json.RawMessage{}
	}
	if err := enc.Encode(map[string]any{"protocol": Protocol, "events": d.all}); err != nil {
		return err
	}
	return d.w.Flush()
}
