package report

import (
	"reflect"
	"sync"

	"github.com/quellhq/quell/cmd/quell/internal/redact"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Redactor removes secrets from events. It is safe for concurrent use.
type Redactor struct {
	known *redact.Redactor
	// Detect, if set before use, finds secrets in names and messages that quote the
	// scanned text: those that no source has read as text are redacted all the same.
	Detect func(text string) []rules.Secret

	mu     sync.Mutex
	looked map[string]bool
}

// NewRedactor knows the secrets, and those that Add brings later.
func NewRedactor(secrets ...rules.Secret) *Redactor {
	return &Redactor{known: redact.New(secrets...)}
}

// Add makes a secret known.
func (r *Redactor) Add(s rules.Secret) { r.known.Add(s) }

// String redacts s. The nil Redactor changes nothing.
func (r *Redactor) String(s string) string {
	if r == nil {
		return s
	}
	return r.known.String(s)
}

// Quoted redacts text that quotes what was scanned: a name, a title, a path.
func (r *Redactor) Quoted(s string) string {
	if r == nil {
		return s
	}
	r.look(s)
	return Name(r.known.String(s))
}

// maxLooked bounds the texts that are remembered.
const maxLooked = 1 << 16

// look adds the secrets in s.
func (r *Redactor) look(s string) {
	if r.Detect == nil || len(s) < redact.MinLen {
		return
	}
	r.mu.Lock()
	done := r.looked[s]
	if !done {
		if r.looked == nil || len(r.looked) >= maxLooked {
			r.looked = map[string]bool{}
		}
		r.looked[s] = true
	}
	r.mu.Unlock()
	if done {
		return
	}
	add := func(text string) {
		for _, x := range r.Detect(text) {
			r.known.Add(x)
		}
	}
	add(s)
	redact.Decoded(s, add)
}

// Event redacts every string of an event but those that exempt lists.
func (r *Redactor) Event(e Event) Event {
	if r == nil {
		return e
	}
	// The secrets of all texts are known before the first is printed.
	redact.Each(e, func(at redact.Field, s string) {
		if quotes(at) {
			r.look(s)
		}
	})
	return redact.Strings(e, func(at redact.Field, s string) string {
		if exempt(at) {
			return s
		}
		return Name(r.known.String(s))
	})
}

// Location redacts a location that goes elsewhere than to a Sink.
func (r *Redactor) Location(l rules.Location) rules.Location {
	return redact.Strings(l, func(at redact.Field, s string) string {
		if exempt(at) {
			return s
		}
		return r.Quoted(s)
	})
}

// Verdict redacts what an issuer may have echoed.
func (r *Redactor) Verdict(v revokers.Verdict) revokers.Verdict {
	return redact.Strings(v, func(_ redact.Field, s string) string { return r.String(s) })
}

// quotes reports fields that hold words of the scanned text.
func quotes(at redact.Field) bool {
	switch at.Of {
	case reflect.TypeFor[rules.Location](), reflect.TypeFor[Notice]():
		return !exempt(at)
	case reflect.TypeFor[Config]():
		return at.Name == "Targets"
	}
	return false
}

// exempt reports fields that quell makes itself: identifiers, digests, sealed
// values, and what --reveal prints. A secret that equals one of them by chance
// must not make a report unreadable for programs.
func exempt(at redact.Field) bool {
	switch at.Of {
	case reflect.TypeFor[rules.Ref]():
		switch at.Name {
		case "Rule", "Provider", "Kind", "Fingerprint", "Redacted", "Group", "PartFingerprints":
			return true
		}
	case reflect.TypeFor[rules.Location]():
		return at.Name == "Source" || at.Name == "Commit"
	case reflect.TypeFor[Finding]():
		return at.Name == "Secret"
	case reflect.TypeFor[Credential]():
		return at.Name == "Sealed" || at.Name == "Secret"
	case reflect.TypeFor[Verdict](), reflect.TypeFor[Derived]():
		return at.Name == "Fingerprint"
	case reflect.TypeFor[Config]():
		return at.Name == "Version"
	case reflect.TypeFor[Notice]():
		return at.Name == "Kind"
	}
	return false
}

// Redacting returns a Sink that redacts every event before s sees it. It is the
// only way of events to a sink.
// Close may be called again, and prints nothing where there was no event.
func Redacting(s Sink, r *Redactor) Sink { return &redacting{Sink: s, r: r} }

type redacting struct {
	Sink
	r      *Redactor
	begun  bool
	closed bool
}

func (s *redacting) Emit(e Event) error {
	s.begun = true
	return s.Sink.Emit(s.r.Event(e))
}

func (s *redacting) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if !s.begun {
		discard(s.Sink)
		return nil
	}
	return s.Sink.Close()
}

// discard gives up the files of a stream that did not begin.
func discard(s Sink) {
	switch s := s.(type) {
	case Tee:
		discard(s.Main)
		for _, o := range s.Others {
			discard(o)
		}
	case *file:
		_ = s.Close()
	}
}
