package run

import (
	"context"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
)

// Check asks issuers about credentials and emits the verdicts. The options about
// sources have no effect.
func (r *Runtime) Check(ctx context.Context, o ScanOptions, creds []rules.Credential, sink report.Sink) (*Scanned, error) {
	if r.options.Offline {
		return nil, errOffline
	}
	s, err := r.newScan(o, sink)
	if err != nil {
		return nil, err
	}
	for _, c := range creds {
		r.Redactor.Add(c.Secret)
	}
	s.begin()
	for _, c := range creds {
		for _, f := range c.Findings {
			s.out.Summary.Findings++
			s.emit(FindingEvent(f, r.Keys.Fingerprint, r.Rules, o.ShowSecrets))
		}
	}
	w := window{scan: s, ask: true}
	for _, c := range creds {
		if w.add(grouped{Credential: c, Count: len(c.Findings)}); w.full() {
			w.flush(ctx)
		}
	}
	w.flush(ctx)
	s.end()
	return s.out, s.failed
}
