// Package run is the product without its command line: scan, group, probe,
// decide, rotate, revoke, confirm.
package run

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/allow"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/sqlite"
)

// Scan is one run over sources, one after the other.
type Scan struct {
	Sources    []scanners.Source
	Detector   scanners.Detector
	Workers    int
	Set        *rules.Set
	Key        rules.FingerprintKey
	Confidence rules.Confidence // the least that is reported
	Allow      *allow.List      // what is accepted; nil: nothing is
	NoMarkers  bool             // markers in the text suppress nothing
	// Ignore reports a finding that is none: what the run itself put there.
	Ignore func(rules.Finding) bool
	// Seen gets every secret that the scan sees, shown or not; nil: it is not asked for.
	Seen func(rules.Secret)
}

// Result is what a scan found.
type Result struct {
	Findings    []rules.Finding // in order of their places
	Credentials []rules.Credential
	Gaps        []scanners.Gap
	Stats       scanners.Stats
	Hidden      int
	Partial     int            // findings of which a masker left only a part
	Accepted    map[string]int // gaps that are accepted, by the reason
	Took        time.Duration
}

// Run scans. What was found before an interruption is returned with its error.
func (s *Scan) Run(ctx context.Context) (*Result, error) {
	start := time.Now()
	res := &Result{}
	var mu sync.Mutex
	p := scanners.Pool{Detector: s.Detector, Workers: s.Workers, NoMarkers: s.NoMarkers, Seen: s.Seen, Openers: []scanners.Opener{sqlite.Opener()}, Unpacker: archive.New(archive.DefaultLimits)}
	var all []*rules.Finding
	gap := func(g scanners.Gap) {
		mu.Lock()
		defer mu.Unlock()
		g.Kind = cmp.Or(g.Kind, scanners.KindOf(g.Err))
		if why, ok := s.Allow.AcceptsKind(g.Kind, "", start); ok {
			if res.Accepted == nil {
				res.Accepted = map[string]int{}
			}
			res.Accepted[why]++
			return
		}
		res.Gaps = append(res.Gaps, g)
	}
	var err error
	for _, src := range s.Sources {
		var found []*rules.Finding
		var stats scanners.Stats
		stats, err = p.Run(ctx, src, func(f rules.Finding) {
			mu.Lock()
			defer mu.Unlock()
			found = append(found, &f)
		}, gap)
		res.Stats.Artifacts += stats.Artifacts
		res.Stats.Bytes += stats.Bytes
		res.Stats.Allowed += stats.Allowed
		if a, ok := src.(scanners.Attributor); ok && len(found) > 0 {
			if e := a.Attribute(ctx, found); e != nil {
				gap(scanners.Gap{Reason: "findings are without their origin", Err: e})
			}
		}
		all = append(all, found...)
		if err != nil {
			break
		}
	}
	for _, f := range all {
		if detect.Elsewhere(s.Set, f.Rule, f.Location.Path) || s.Ignore != nil && s.Ignore(*f) {
			continue
		}
		if f.Confidence < s.Confidence {
			res.Hidden++
			continue
		}
		if s.Allow.Accepts(*f, s.Key.Fingerprint(f.Secret), start) {
			res.Stats.Allowed++
			continue
		}
		if f.Partial {
			res.Partial++
		}
		res.Findings = append(res.Findings, *f)
	}
	slices.SortFunc(res.Findings, func(a, b rules.Finding) int {
		x, y := a.Location, b.Location
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Artifact, y.Artifact), cmp.Compare(x.Offset, y.Offset), strings.Compare(a.Rule, b.Rule))
	})
	slices.SortFunc(res.Gaps, func(a, b scanners.Gap) int { return strings.Compare(a.Error(), b.Error()) })
	res.Credentials = Bind(Group(res.Findings, s.Key, s.Set), s.Key)
	res.Took = time.Since(start)
	return res, err
}

// Group makes credentials of findings: one for each distinct value, named by
// the most specific rule that found it. A part of a secret is none.
func Group(findings []rules.Finding, key rules.FingerprintKey, set *rules.Set) []rules.Credential {
	index := map[string]int{}
	var out []rules.Credential
	for _, f := range findings {
		if f.Partial {
			continue
		}
		fp := key.Fingerprint(f.Secret)
		i, ok := index[fp]
		if !ok {
			i = len(out)
			index[fp] = i
			first := rules.Credential{Secret: f.Secret}
			first.Fingerprint, first.Redacted, first.Offline = fp, f.Secret.Hint(), f.Offline
			out = append(out, first)
		}
		c := &out[i]
		if c.Rule == "" || specific(set, f.Rule) > specific(set, c.Rule) {
			c.Rule, c.Provider, c.Kind, c.Cookie = f.Rule, f.Provider, f.Kind, f.Cookie
		}
		c.Confidence = max(c.Confidence, f.Confidence)
		c.Token = cmp.Or(c.Token, f.Token)
		if c.Offline.State == rules.OfflineUnknown {
			c.Offline = f.Offline
		}
		c.Claims.Merge(f.Claims)
		c.Findings = append(c.Findings, f)
	}
	return out
}

func specific(set *rules.Set, id string) int {
	if r := set.Rule(id); r != nil {
		return r.Specific()
	}
	return -1
}

// FailOn is the least that counts for exit code 1.
type FailOn string

// Counts reports whether a credential counts under f.
func (f FailOn) Counts(c rules.Credential, v *revokers.Verdict) bool {
	live := v != nil && v.Liveness == revokers.Live
	dead := v != nil && v.Liveness == revokers.Dead && (v.Reason != revokers.Expired || !c.Renewable) || c.Offline.State == rules.OfflineExpired && !c.Renewable
	switch {
	case c.Kind == rules.KindPublic:
		return false // whatever is found in every page fails no build
	case f == "never":
		return false
	case f == "live":
		return live
	case f == "found":
		return true
	}
	return live || c.Confidence == rules.High && !dead
}

// ParseFailOn reads never, live, suspect or found.
func ParseFailOn(s string) (FailOn, error) {
	if !slices.Contains([]string{"never", "live", "suspect", "found"}, s) {
		return "", fmt.Errorf("--fail-on %q is not never, live, suspect or found", s)
	}
	return FailOn(s), nil
}

// FindingEvent renders f; the secret only where reveal is set.
func FindingEvent(f rules.Finding, key rules.FingerprintKey, set *rules.Set, reveal bool) report.Finding {
	e := report.Finding{Ref: f.Ref, Location: f.Location, Decoded: append([]string{}, f.Decoded...), Views: f.Views, Partial: f.Partial}
	e.Fingerprint = key.Fingerprint(f.Secret)
	if r := set.Rule(f.Rule); r != nil {
		e.Description = r.Description
	}
	if reveal {
		e.Secret = f.Secret.Reveal()
	}
	return e
}

// CredentialEvent renders c.
func CredentialEvent(c rules.Credential, sealed string) report.Credential {
	e := report.Credential{Ref: c.Ref, Findings: len(c.Findings), Sealed: sealed}
	e.Redacted = c.Secret.Hint()
	for _, f := range c.Findings {
		e.Locations = append(e.Locations, f.Location)
	}
	return e
}
