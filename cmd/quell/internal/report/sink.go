package report

import (
	"errors"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/rules"
)

// A Sink renders the event stream.
type Sink interface {
	Emit(Event) error
	Close() error
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
// path stays as it was. A file is kept for later: without a choice of --show, text in it lists
// everything.
func File(format, path string, set *rules.Set, show Show) (Sink, error) {
	if format == textFormat.Name && show == (Show{}) {
		show = Show{All: true, Incomplete: true}
	}
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
