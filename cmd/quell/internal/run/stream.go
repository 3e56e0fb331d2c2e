package run

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/spill"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

// scan is one call of Scan.
type scan struct {
	*Runtime
	ScanOptions
	file   *spill.File
	start  time.Time
	cancel func()

	// mu guards what follows: sources are read by several goroutines.
	mu       sync.Mutex
	sink     report.Sink
	found    *collector
	notices  *codec[report.Notice]
	gaps     *spill.Sorter  // notices of what was not read, by their message
	accepted map[string]int // gaps that are accepted, by the reason
	theirs   int            // findings that the scanned folder itself lists as ignored
	paths    map[[2]string]bool
	refused  []Checked
	unjudged map[string]int // unanswered credentials that are accepted, by the reason
	out      *Scanned
	failed   error
}

// emit sends an event to the sink. The first error ends the scan.
func (s *scan) emit(e report.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(e)
}

func (s *scan) send(e report.Event) {
	if s.failed == nil {
		s.fails(s.sink.Emit(e))
	}
}

// fail ends the scan without a result.
func (s *scan) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails(err)
}

func (s *scan) fails(err error) {
	if err == nil || s.failed != nil {
		return
	}
	s.failed = err
	if s.cancel != nil {
		s.cancel()
	}
}

func (s *scan) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil
}

func (s *scan) emitNotices() {
	for _, n := range s.TakeNotices() {
		if n.Incomplete {
			s.mu.Lock()
			s.out.Tally.Incomplete += int(max(n.Count, 1))
			s.mu.Unlock()
		}
		s.emit(n)
	}
}

// gap keeps what was not read until the end, when the redactor knows all secrets
// that its message could quote.
func (s *scan) gap(g scanners.Gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.Kind = cmp.Or(g.Kind, scanners.KindOf(g.Err))
	if s.Gap != nil {
		s.Gap(g)
	}
	if why, ok := s.Allow.AcceptsKind(g.Kind, "", s.start); ok {
		if s.accepted == nil {
			s.accepted = map[string]int{}
		}
		s.accepted[why]++
		return
	}
	s.out.Tally.Incomplete++
	message := g.Error()
	b, err := s.notices.encode(&report.Notice{Kind: g.Kind, Count: g.Count, Message: message, Path: g.Location.Path, Incomplete: true})
	if err == nil {
		err = s.gaps.Add([]byte(message), b)
	}
	s.fails(err)
}

// publish emits the findings that are shown, in order of their places.
func (s *scan) publish(list []*rules.Finding) {
	slices.SortFunc(list, func(a, b *rules.Finding) int {
		return bytes.Compare(placeKey(a.Location, a.Rule), placeKey(b.Location, b.Rule))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range list {
		// Any text about a finding can quote the other findings.
		s.Redactor.Add(f.Secret)
	}
	for _, f := range list {
		if s.failed != nil {
			return
		}
		if s.Ignore != nil && s.Ignore(*f) {
			continue
		}
		if s.elsewhere(f.Rule, f.Location.Path) {
			s.out.Summary.Suppressed++
			continue
		}
		if f.Confidence < s.Confidence {
			s.out.Summary.Hidden++
			continue
		}
		if s.Allow.Accepts(*f, s.Keys.Fingerprint.Fingerprint(f.Secret), s.start) {
			s.out.Summary.Allowed++
			continue
		}
		if s.Theirs.Accepts(*f, "", s.start) {
			s.theirs++
		}
		e := FindingEvent(*f, s.Keys.Fingerprint, s.Rules, s.ShowSecrets)
		if e.Counts = f.Partial && s.FailOn == "found"; e.Counts {
			s.out.Tally.Counted++
		}
		s.out.Summary.Findings++
		s.send(e)
		s.fails(s.found.add(*f))
	}
}

// maxElsewhere limits the paths whose answers are kept.
const maxElsewhere = 1 << 14

// elsewhere is detect.Elsewhere: the versions of a file have one path. The caller holds mu.
func (s *scan) elsewhere(rule, path string) bool {
	k := [2]string{rule, path}
	out, known := s.paths[k]
	if !known {
		if s.paths == nil || len(s.paths) >= maxElsewhere {
			s.paths = map[[2]string]bool{}
		}
		out = detect.Elsewhere(s.Rules, rule, path)
		s.paths[k] = out
	}
	return out
}

// stream collects the findings of one source: artifact by artifact, and where
// the source attributes them, batch by batch.
type stream struct {
	*scan
	ctx context.Context
	src scanners.Session

	mu    sync.Mutex
	open  map[artifact][]*rules.Finding
	held  int          // findings in open
	waits atomic.Int64 // artifacts in open

	batch   sync.Mutex
	pending []*rules.Finding // to be attributed while artifacts are read
	limit   int
	late    []*rules.Finding // to be attributed after the last artifact
	store   *spill.Sorter    // the same, if they are many
	stored  bool
	unknown bool // an attribution failed
}

// artifact is what the findings of one byte stream have in common.
type artifact struct{ path, artifact, commit, layer string }

func artifactOf(l rules.Location) artifact { return artifact{l.Path, l.Artifact, l.Commit, l.Layer} }

const (
	// maxOpen is how many findings of artifacts that are being read are kept to be
	// sorted before they are shown.
	maxOpen = 8192
	// firstBatch and maxBatch bound the findings that are attributed at once. An
	// attribution can read the whole source again, so batches grow.
	firstBatch, maxBatch = 4096, 32768
)

func (s *scan) stream(ctx context.Context, src scanners.Session) *stream {
	st := &stream{scan: s, ctx: ctx, open: map[artifact][]*rules.Finding{}, src: src, limit: firstBatch, store: spill.NewSorter(s.file, sortMemory)}
	return st
}

// found takes one finding.
func (s *stream) found(f rules.Finding) {
	k := artifactOf(f.Location)
	s.mu.Lock()
	list, ok := s.open[k]
	if !ok {
		s.waits.Add(1)
	}
	s.open[k] = append(list, &f)
	s.held++
	var full []*rules.Finding
	if s.held >= maxOpen {
		for k, list := range s.open {
			full = append(full, list...)
			s.open[k] = nil
		}
		s.held = 0
		if s.waits.Load() > maxOpen {
			clear(s.open)
			s.waits.Store(0)
		}
	}
	s.mu.Unlock()
	s.deliver(full)
}

// finished takes the end of an artifact.
func (s *stream) finished(at rules.Location) {
	if s.waits.Load() == 0 {
		return
	}
	k := artifactOf(at)
	s.mu.Lock()
	list, ok := s.open[k]
	if ok {
		delete(s.open, k)
		s.held -= len(list)
		s.waits.Add(-1)
	}
	s.mu.Unlock()
	s.deliver(list)
}

// close publishes what is left after the last artifact.
func (s *stream) close(ctx context.Context) {
	for _, list := range s.open {
		s.deliver(list)
	}
	s.batch.Lock()
	defer s.batch.Unlock()
	s.attribute(append(s.pending, s.late...))
	if !s.stored {
		return
	}
	var list []*rules.Finding
	for r, err := range s.store.Sorted() {
		if err != nil {
			s.fail(err)
			return
		}
		f, err := s.scan.found.codec.decode(r.Value)
		if err != nil {
			s.fail(err)
			return
		}
		x := f.finding()
		if list = append(list, &x); len(list) == maxBatch {
			s.attribute(list)
			list = nil
		}
	}
	s.attribute(list)
}

// deliver passes on the findings of an artifact.
func (s *stream) deliver(list []*rules.Finding) {
	if len(list) == 0 {
		return
	}
	var complete, early, late []*rules.Finding
	for _, f := range list {
		switch s.src.Attribution(f.Location) {
		case scanners.Complete:
			complete = append(complete, f)
		case scanners.Early:
			early = append(early, f)
		default:
			late = append(late, f)
		}
	}
	if len(complete) > 0 {
		s.publish(complete)
	}
	if len(early)+len(late) == 0 {
		return
	}
	s.batch.Lock()
	defer s.batch.Unlock()
	s.pending, s.late = append(s.pending, early...), append(s.late, late...)
	if len(s.pending) >= s.limit {
		s.attribute(s.pending)
		s.pending, s.limit = nil, min(2*s.limit, maxBatch)
	}
	if len(s.late) >= maxBatch {
		s.keep()
	}
}

// keep stores the findings that can't be attributed yet.
func (s *stream) keep() {
	s.stored = true
	for _, f := range s.late {
		b, err := s.scan.found.codec.encode(recordOf(*f))
		if err == nil {
			err = s.store.Add(placeKey(f.Location, f.Rule), b)
		}
		if err != nil {
			s.fail(err)
			break
		}
	}
	s.late = nil
}

// attribute completes the locations of findings and publishes them.
func (s *stream) attribute(list []*rules.Finding) {
	if len(list) == 0 {
		return
	}
	if err := s.src.Attribute(s.ctx, list); err != nil && !s.unknown {
		s.unknown = true
		s.gap(scanners.Gap{Reason: "findings are without their origin", Err: err})
	}
	s.publish(list)
}

// SecretsIn finds the secrets of a name, a message or a reason, for report.Redactor.Detect.
func SecretsIn(d scanners.Detector) func(text string) []rules.Secret {
	find := func(text string) []rules.Secret { return secretsOf(d, scanners.Apart(text)) }
	return func(text string) []rules.Secret {
		out := find(text)
		if strings.Contains(text, "!") { // before the name of a member of an archive
			out = append(out, find(strings.ReplaceAll(text, "!", "/"))...)
		}
		return out
	}
}

// secretsOf are the secrets in a text that the detector is not unsure of.
func secretsOf(d scanners.Detector, text string) (out []rules.Secret) {
	b := []byte(text)
	for m := range d.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: b, Line: 1, Column: 1, To: len(b)}) {
		if m.Confidence >= rules.Medium {
			out = append(out, m.Secret)
		}
	}
	return out
}
