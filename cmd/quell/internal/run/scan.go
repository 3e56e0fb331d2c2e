// Package run is the product without its command line: it scans, asks, plans,
// applies and asks again on a Runtime. Findings and verdicts go to the Sink as
// they happen.
package run

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/allow"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/spill"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
)

// ScanOptions is what a scan is asked to do.
type ScanOptions struct {
	Command string   // for the report's first event
	Version string   // of quell, for the same
	Targets []string // for the same
	// Sources are scanned one after the other. Scan closes those that can be
	// closed.
	Sources     []scanners.Source
	Detector    scanners.Detector // nil: one of the Runtime's rules
	Workers     int               // zero: one for each processor
	Confidence  rules.Confidence  // the least that is shown
	FailOn      FailOn
	Allow       *allow.List // what is accepted; nil: nothing
	Theirs      *allow.List // what the scanned folder itself lists: it is counted and suppresses nothing
	NoMarkers   bool        // markers in the text suppress nothing
	ShowSecrets bool        // findings and credentials show their secrets
	// Ignore reports a finding that the run itself put there.
	Ignore func(rules.Finding) bool
	// Each, if set, gets every credential after its findings, with its verdict
	// (nil: no issuer was asked) and whether it counts for the exit code.
	Each func(c rules.Credential, v *revokers.Verdict, counts bool)
	// Gap, if set, gets everything that could not be read, as it happens. Calls do not overlap.
	Gap func(g scanners.Gap)
	// Keep returns the credentials and verdicts, for Plan and Contain. Without it
	// the memory of a scan does not depend on the number of its findings.
	Keep bool
	// Temp is the folder for the sealed file of a scan with very many findings;
	// empty: the system's.
	Temp string
}

// Scanned is the result of a scan, the exit code included.
type Scanned struct {
	Summary report.Summary
	Tally   Tally
	// Credentials and their issuers' answers are set if ScanOptions.Keep is.
	Credentials []rules.Credential
	Checked     []Checked
}

// Scan reads the sources, emits what it finds, asks issuers and emits their
// answers. It emits all events but the summary, which it returns. Findings come in
// the order in which their artifacts were read, those of one artifact in the
// order of their places; credentials come in the order of their first places. An
// error means that there is no result; an interruption is part of the result.
func (r *Runtime) Scan(ctx context.Context, o ScanOptions, sink report.Sink) (*Scanned, error) {
	if o.Detector == nil {
		o.Detector = detect.New(r.Rules)
	}
	r.Redactor.Detect = SecretsIn(o.Detector)
	for _, why := range o.Allow.Expired(r.options.Now()) {
		r.Notice("an entry of the allow-list has expired: " + why)
	}
	s, err := r.newScan(o, sink)
	if err != nil {
		return nil, err
	}
	defer s.file.Close()
	s.begin()
	if r.broken != nil {
		s.gap(scanners.Gap{Kind: scanners.GapUnreadable, Reason: "the policy is left out, and with it its cookie names and rules", Location: rules.Location{Path: "policy"}, Err: r.broken})
	}
	s.read(ctx)
	s.report(ctx)
	return s.out, s.failed
}

func (r *Runtime) newScan(o ScanOptions, sink report.Sink) (*scan, error) {
	s := &scan{Runtime: r, ScanOptions: o, sink: sink, file: spill.NewFile(o.Temp), start: r.options.Now(), out: &Scanned{}, unjudged: map[string]int{}}
	var err error
	if s.found, err = newCollector(r.Rules, r.Keys.Fingerprint, s.file); err != nil {
		return nil, err
	}
	if s.notices, err = newCodec[report.Notice](); err != nil {
		return nil, err
	}
	s.gaps = spill.NewSorter(s.file, sortMemory)
	return s, nil
}

// begin emits what is known before anything was read.
func (s *scan) begin() {
	s.emit(report.Config{
		Protocol: report.Protocol,
		Version:  s.Version,
		Command:  s.Command,
		Targets:  s.Targets,
		Offline:  s.options.Offline,
		Rules:    len(s.Rules.Rules),
		At:       s.start.UTC(),
	})
	s.emitNotices()
}

// read scans the sources, up to an interruption or a failure.
func (s *scan) read(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.cancel = cancel
	for _, src := range s.Sources {
		if !s.source(ctx, src, scanners.NewBounds(scanners.DefaultPatience)) {
			return
		}
	}
}

func gapOf(err error) scanners.Gap {
	var g scanners.Gap
	if !errors.As(err, &g) {
		g = scanners.Gap{Err: err}
	}
	return g
}

// source scans one source, and reports whether the scan goes on. All sources within a target
// share its bounds.
func (s *scan) source(ctx context.Context, source scanners.Source, bounds *scanners.Bounds) bool {
	src, err := source.Open(ctx)
	if err != nil {
		s.gap(gapOf(err))
		return ctx.Err() == nil
	}
	defer src.Close()
	st := s.stream(ctx, src)
	p := scanners.Pool{
		Detector:  s.Detector,
		Workers:   s.Workers,
		NoMarkers: s.NoMarkers,
		Seen:      s.Redactor.Add,
		Finished:  st.finished,
		Watch:     s.options.Watch.read(),
		Unpacker:  archive.New(archive.DefaultLimits),
		Bounds:    bounds,
	}
	stats, err := p.Read(ctx, src, st.found, s.gap)
	st.close(ctx)
	s.out.Summary.Artifacts += stats.Artifacts
	s.out.Summary.Bytes += stats.Bytes
	s.out.Summary.Allowed += stats.Allowed
	s.out.Summary.Suppressed += stats.Suppressed
	for _, text := range src.Notices() {
		s.Notice(text)
	}
	var fatal *scanners.Fatal
	switch {
	case errors.As(err, &fatal):
		s.fail(fatal.Err)
		return false
	case err != nil:
		s.out.Tally.Interrupted = true
		return false
	}
	for more, err := range src.Sources(ctx) {
		if errors.As(err, &fatal) {
			s.fail(fatal.Err)
			return false
		}
		if err != nil {
			s.gap(gapOf(err))
		} else if !s.source(ctx, more, bounds) {
			return false
		}
	}
	return true
}

// report emits what is known once all was read.
func (s *scan) report(ctx context.Context) {
	if s.broken() {
		return
	}
	s.emitNotices()
	s.credentials(ctx)
	for r, err := range s.gaps.Sorted() {
		if err != nil {
			s.fail(err)
			break
		}
		n, err := s.notices.decode(r.Value)
		if err != nil {
			s.fail(err)
			break
		}
		s.emit(n)
	}
	for _, why := range slices.Sorted(maps.Keys(s.accepted)) {
		s.emit(report.Notice{Message: report.Count(int64(s.accepted[why]), "thing") + " not read, which is accepted: " + why})
	}
	if n := int64(s.theirs); n > 0 {
		s.emit(report.Notice{Message: "the scanned folder lists " + report.Count(n, "finding") + " as ignored, which suppresses nothing: --allow FILE accepts them, once you have reviewed its .gitleaksignore or baseline"})
	}
	for _, n := range SelfHostedHints(s.Rules, s.refused) {
		s.emit(n)
	}
	for _, why := range slices.Sorted(maps.Keys(s.unjudged)) {
		s.emit(report.Notice{Message: report.Count(int64(s.unjudged[why]), "credential") + " not judged, which is accepted: " + why})
	}
	s.end()
}

// end completes the summary.
func (s *scan) end() {
	if s.out.Tally.Interrupted {
		s.emit(report.Notice{Message: "interrupted: the result is not whole", Incomplete: true})
	}
	sum, t := &s.out.Summary, &s.out.Tally
	sum.Incomplete, t.Unanswered = t.Incomplete, sum.Unanswered
	sum.Seconds = time.Since(s.start).Seconds()
	sum.ExitCode = t.ExitCode()
}

// credentials binds the findings, asks issuers and emits the results, a few
// credentials at a time.
func (s *scan) credentials(ctx context.Context) {
	list, err := s.found.credentials()
	if err != nil {
		s.fail(err)
		return
	}
	ask := !s.options.Offline && !s.out.Tally.Interrupted
	w := window{scan: s, ask: ask}
	for c, err := range list.all() {
		if err != nil {
			s.fail(err)
			return
		}
		if w.add(c); w.full() {
			w.flush(ctx)
		}
		if s.broken() {
			return
		}
	}
	w.flush(ctx)
}
