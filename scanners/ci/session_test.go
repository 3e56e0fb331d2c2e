package ci

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// A place within an item whose own path has a "!", or that shares its path with another, marks
// the item: else it would count as read without a finding.
func TestMatchedFindsItsItem(t *testing.T) {
	s := &session{Source: &Source{}, open: map[string][]*work{}}
	item := func(p string) *work {
		w := &work{Item: Item{At: rules.Location{Path: p}}, src: s}
		w.artifact()
		return w
	}
	odd, first, second, other := item("o/p!q/1/drop!x"), item("o/r/2/dist"), item("o/r/2/dist"), item("o/p")
	s.Matched(rules.Location{Path: "o/p!q/1/drop!x!a.zip!b"})
	s.Matched(rules.Location{Path: "o/r/2/dist!a"})
	if !odd.hit.Load() || !first.hit.Load() || !second.hit.Load() {
		t.Errorf("not marked: %v %v %v", odd.hit.Load(), first.hit.Load(), second.hit.Load())
	}
	first.finish()
	second.hit.Store(false)
	s.Matched(rules.Location{Path: "o/r/2/dist"})
	if !second.hit.Load() {
		t.Error("the end of one item closed the other")
	}
	second.finish()
	odd.finish()
	other.finish()
	if len(s.open) > 0 {
		t.Errorf("%d paths are still open", len(s.open))
	}
}

// A panic while things are listed or fetched is reported without its value, and what was
// listed before is read.
func TestPanicIsAGap(t *testing.T) {
	c := &Client{Base: &url.URL{Scheme: "https", Host: "ci.example", Path: "/"}}
	s := &Source{Client: c, List: func(_ context.Context, l *Lister) error {
		l.Item(Item{At: rules.Location{Path: "a"}, Fetch: func(context.Context) (*Blob, error) { panic("a-secret") }})
		panic("a-secret")
	}, Repositories: func(context.Context, func(Repository) bool) error { panic("a-secret") }}
	open, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for a, err := range open.Artifacts(t.Context()) {
		if err == nil {
			err = a.Parts(t.Context(), nil, nil)
		}
		errs = append(errs, err)
	}
	for _, err := range open.(*session).Sources(t.Context()) {
		errs = append(errs, err)
	}
	if len(errs) != 3 {
		t.Fatalf("%q", errs)
	}
	for _, err := range errs {
		if scanners.KindOf(err) != scanners.GapInternal || strings.Contains(err.Error(), "a-secret") {
			t.Errorf("%v", err)
		}
	}
}

// Each target that can't be listed is a gap of its own.
func TestJoinedErrorsAreGaps(t *testing.T) {
	s := &session{Source: &Source{Client: &Client{}, Repositories: func(context.Context, func(Repository) bool) error {
		return errors.Join(scanners.Gap{Location: rules.Location{Path: "a"}, Err: &StatusError{Code: http.StatusNotFound}}, errors.New("b"))
	}}}
	var got []string
	for _, err := range s.Sources(t.Context()) {
		got = append(got, err.Error())
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "a: ") || !strings.HasSuffix(got[1], ": b") {
		t.Errorf("%q", got)
	}
}
