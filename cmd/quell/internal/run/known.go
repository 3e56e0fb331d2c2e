package run

import (
	"context"
	"maps"
	"os"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// kill is a revocation of quell's that an issuer accepted, of a credential that
// was Live until then.
type kill struct {
	instance string // URL of the one that accepted it
	before   *revokers.Answer
	sent     *revokers.Acknowledgement
	// parts are the fingerprints of the parts that the credential was sent with.
	parts map[string]string
}

// with returns k if it ended the credential with exactly these parts, else nil:
// a revocation that was sent with another cookie's signature or with another
// key id may have ended nothing.
func (k *kill) with(parts map[string]string) *kill {
	if k == nil || !maps.Equal(k.parts, parts) {
		return nil
	}
	return k
}

// killOf reads the last kill of an incident; nil if none was accepted, if the
// last answer before it was not Live, or if the credential was Live again
// afterwards.
func killOf(entries []ledger.Entry) *kill {
	var k *kill
	// first is the intent of the first request since the credential was Live: one
	// without a receipt may have arrived, and is sent again.
	var first *ledger.Intent
	// found are the parts of the credential by the run that recorded them, and
	// parts those of first.
	found := map[string]map[string]string{}
	var parts map[string]string
	accepted := func(ack revokers.Acknowledgement) {
		if k = nil; ack.Accepted {
			if b := liveBefore(first); b != nil {
				k = &kill{first.Instance, b, &ack, parts}
			}
		}
	}
	for _, e := range entries {
		switch b := e.Body.(type) {
		case ledger.Found:
			found[e.Run] = partsOf(b)
		case ledger.Intent:
			if !b.Kills() {
				continue // they end no credential
			}
			if now := found[e.Run]; first == nil || !maps.Equal(parts, now) {
				first, parts = &b, now
			}
		case ledger.Receipt:
			if b.Action == "" || b.Action == "revoke" {
				accepted(revokers.Acknowledgement{Accepted: b.Accepted, Status: b.Status, Detail: b.Detail, At: b.At})
			}
		case ledger.Rotation:
			// A step that only issues or writes a new value leaves the old one alive.
			if k == nil && (b.Ends || b.Step == "") {
				accepted(revokers.Acknowledgement{Accepted: true, Detail: "rotated", At: b.At})
			}
		case ledger.Verdict:
			if b.Liveness == revokers.Live {
				k, first = nil, nil
			}
		case ledger.Outcome:
			if b.Outcome == "StillAlive" {
				k, first = nil, nil
			}
		case ledger.Restore:
			if b.Outcome == ledger.Restored {
				k, first = nil, nil
			}
		}
	}
	return k
}

// known is the ledger's record of a credential: where it was Live, and how
// quell ended it.
type known struct {
	ref  ledger.Ref
	kill *kill
	key  rules.FingerprintKey
}

// partsOf returns the fingerprints of the parts that a credential was found with.
func partsOf(f ledger.Found) map[string]string {
	if f.Credential == nil {
		return nil
	}
	return f.Credential.PartFingerprints
}

// at reports whether the ledger's credential is t: the same value, with the same
// parts, under the same name, at the same instance. Which signature, key id or
// session token belongs to a value is a guess from where they are in the text, so
// a value that was Live with one part was not seen Live with another, or with
// none: its issuer refuses the wrong pair of a live credential too.
func (k known) at(t revokers.Target) bool {
	r, i := k.ref, t.Instance
	return r.Endpoint != "" && r.Instance == t.URL() && r.Rule == t.Credential.Rule && r.Cookie == t.Cookie &&
		(r.Page == "" || r.Page == i.Settings["probe_path"]) && (r.User == "" || r.User == i.Settings["user"]) && r.Namespace == i.Settings["namespace"] &&
		maps.Equal(r.PartFingerprints, partPrints(k.key, t.Parts))
}

// seen is where it was Live.
func (k known) seen() *revokers.Sighting {
	return &revokers.Sighting{Endpoint: k.ref.Endpoint, Learned: k.ref.Learned}
}

// remembered reads what the ledger knows once for the whole run. A ledger that
// can't be read is a notice: then issuers are asked as if there were none.
func (r *Runtime) remembered(ctx context.Context) map[string]known {
	r.memory.Do(func() {
		all, err := r.recall(ctx)
		if err != nil && ctx.Err() == nil {
			r.Notice("the ledger can't be read, so what it knows about earlier kills is not used: " + err.Error())
		}
		r.knows = all
	})
	return r.knows
}

// recall reads the ledger, if there is one.
func (r *Runtime) recall(ctx context.Context) (map[string]known, error) {
	path := r.State()
	if !ledger.Remote(path) {
		if _, err := os.Stat(path); err != nil {
			return nil, nil //nolint:nilerr // no ledger: nothing is known
		}
	}
	led, err := r.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	defer led.Close()
	kept, err := led.Kept(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]known{}
	for _, s := range kept {
		if s.Ref.Endpoint == "" {
			continue
		}
		entries, err := led.Incident(ctx, s.Incident)
		if err != nil && len(entries) == 0 {
			continue
		}
		out[s.Incident] = known{s.Ref, killOf(entries).with(s.Ref.PartFingerprints), r.Keys.Fingerprint}
	}
	return out, nil
}

// recalled puts what the ledger knows about c into the targets to ask, and moves
// the one where it was Live among them.
func recalled(b *revokers.Binding, k known) *kill {
	for i, t := range b.Skipped {
		if k.at(t) {
			b.Ask = append([]revokers.Target{t}, b.Ask...)
			b.Skipped = append(b.Skipped[:i:i], b.Skipped[i+1:]...)
			break
		}
	}
	for i := range b.Ask {
		if k.at(b.Ask[i]) {
			b.Ask[i].Seen = k.seen()
			return k.kill
		}
	}
	return nil
}

// lookup finds what is known about a credential.
func (k *Checker) lookup(ctx context.Context, c credential.Credential) (known, bool) {
	if k.Known == nil || c.Fingerprint == "" {
		return known{}, false
	}
	x, ok := k.Known(ctx)[c.Fingerprint]
	return x, ok
}
