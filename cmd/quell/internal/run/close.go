package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci/removal"
	"github.com/quellhq/quell/scanners/detect"
)

// closing carries out the deletions of a plan, after its kills.
type closing struct {
	*Runtime
	applier  *Applier
	plan     *plan.Plan
	id       string
	servers  Servers
	ended    map[string]report.Action // what this apply did, by fingerprint
	dry      bool
	some     bool              // only some items were applied
	each     func(text string) // called with each result; may be nil
	detector scanners.Detector
	// settle is the pause before a log that can still be read is looked for again, doubled each
	// time; zero: two seconds.
	settle time.Duration
}

// looks is how often a deleted log is looked for.
const looks = 4

// result is how a deletion ended.
type result struct {
	plan.Deletion
	word   ledger.Word
	detail string
	remedy string
	copy   kept
	meant  bool // it stays because of the policy
	again  bool // an earlier apply did it
}

// undone reports whether something stays that was to be deleted.
func (x result) undone() bool { return x.word == ledger.NotDeleted || x.word == "kept" && !x.meant }

func (x result) String() string {
	s := fmt.Sprintf("%s: %s", strings.ReplaceAll(string(x.word), "_", " "), x.What)
	if x.URL != "" {
		s += fmt.Sprintf(" (%s %s)", x.Method, x.URL)
	}
	if x.detail != "" {
		s += ": " + x.detail
	}
	if x.copy.name != "" {
		s += fmt.Sprintf("; sealed copy %s, SHA-256 %s", x.copy.name, x.copy.hash)
	}
	if x.remedy != "" {
		s += " (next: " + x.remedy + ")"
	}
	return s
}

// run goes through the deletions. Each is emitted as a notice.
func (c *closing) run(ctx context.Context, emit func(report.Event) error, tally *Tally) error {
	for _, d := range c.plan.Deletions {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		x, err := c.one(ctx, d)
		if err != nil {
			return err
		}
		if x.undone() {
			tally.Incomplete++
		}
		n := report.Notice{Message: x.String(), Incomplete: x.undone()}
		if n.Incomplete {
			n.Kind = report.NotDeleted
		}
		if err := emit(n); err != nil {
			return err
		}
		if c.each != nil {
			c.each(x.String())
		}
		if x.word != ledger.WasDeleted && x.word != ledger.NotDeleted || x.again {
			continue
		}
		for _, text := range c.announce(ctx, x) {
			if err := emit(report.Notice{Message: text}); err != nil {
				return err
			}
		}
	}
	return nil
}

func staying(d plan.Deletion, h *policy.Hold) result {
	return result{Deletion: d, word: "kept", detail: h.Reason, remedy: h.Remedy, meant: h.Reason == legalHold}
}

// one carries out one deletion.
func (c *closing) one(ctx context.Context, d plan.Deletion) (result, error) {
	was, err := c.history(ctx, d)
	switch {
	case err != nil:
		return result{}, err
	case was.done != nil:
		return result{Deletion: d, word: was.done.Outcome, detail: was.done.Detail, copy: kept{name: was.done.Evidence, hash: was.done.EvidenceHash}, again: true}, nil
	case d.Hold != nil:
		return staying(d, d.Hold), nil
	case c.dry:
		return result{Deletion: d, word: "would_be_deleted", detail: "once all that it exposes is dead"}, nil
	case c.some:
		return staying(d, &policy.Hold{Reason: "--only names items of the plan", Remedy: "quell apply with the same plan and without --only"}), nil
	}
	if h := c.keeps(ctx); h != nil {
		return c.kept(ctx, d, h)
	}
	for _, fp := range d.Credentials {
		if alive, err := c.unproven(ctx, fp); err != nil {
			return result{}, err
		} else if alive != "" {
			return c.kept(ctx, d, &policy.Hold{Reason: alive, Remedy: "quell apply with the same plan, once it is dead"})
		}
	}
	if age := time.Since(c.plan.Created); !was.begun && age > c.Policy.MaxAge() {
		return c.kept(ctx, d, &policy.Hold{Reason: fmt.Sprintf("the plan is %s old", age.Round(time.Second)), Remedy: "quell plan; or kill.max_age in the policy"})
	}
	s, r, err := c.removal(d)
	if err != nil {
		return c.kept(ctx, d, &policy.Hold{Reason: err.Error(), Remedy: "quell plan with the same server named"})
	}
	leases, others, free, err := c.lease(ctx, d)
	if err != nil {
		return result{}, err
	}
	defer free()
	if others {
		return c.kept(ctx, d, &policy.Hold{Reason: "another apply works on its credentials", Remedy: "quell apply with the same plan, when that one has ended"})
	}
	return c.delete(ctx, d, s, r, was, leases)
}

// kept records why something stays.
func (c *closing) kept(ctx context.Context, d plan.Deletion, h *policy.Hold) (result, error) {
	x := staying(d, h)
	return x, c.record(ctx, d, ledger.Held{Reason: d.What + " stays: " + h.Reason, Remedy: h.Remedy})
}

// removal makes the request again, of the origin alone, and compares it with the plan's.
func (c *closing) removal(d plan.Deletion) (*removal.Server, *removal.Removal, error) {
	if c.servers == nil {
		return nil, nil, errors.New("no CI server is named")
	}
	s, err := c.servers(d.System)
	if err != nil {
		return nil, nil, err
	}
	of := s.Of
	if d.Kind == removal.Caches {
		of = s.Cache
	}
	r, err := of(d.Origin)
	switch {
	case err != nil:
		return nil, nil, err
	case r.Method != d.Method || r.URL != d.URL || r.Kind != d.Kind:
		return nil, nil, fmt.Errorf("the requests differ from the plan: %s %s", r.Method, r.URL)
	}
	return s, r, nil
}

// lease leases the incidents of a deletion, and renews the leases until free is called.
func (c *closing) lease(ctx context.Context, d plan.Deletion) (fences map[string]int64, others bool, free func(), err error) {
	ttl := (&applying{Applier: c.applier}).ttl()
	list, err := c.applier.Ledger.Acquire(ctx, ttl, d.Credentials...)
	if err != nil {
		return nil, false, func() {}, err
	}
	until, stop := context.WithCancel(context.WithoutCancel(ctx))
	go renewing(until, c.applier.Ledger, ttl, func() []ledger.Lease { return list })
	fences = map[string]int64{}
	for _, l := range list {
		fences[l.Incident] = l.Fence
	}
	return fences, len(fences) < len(d.Credentials), func() {
		stop()
		_ = c.applier.Ledger.Release(context.WithoutCancel(ctx), list...)
	}, nil
}

// delete copies, deletes and looks.
func (c *closing) delete(ctx context.Context, d plan.Deletion, s *removal.Server, r *removal.Removal, was deleted, fences map[string]int64) (result, error) {
	stay := func(why, remedy string) (result, error) {
		return c.kept(ctx, d, &policy.Hold{Reason: why, Remedy: remedy})
	}
	if err := c.record(ctx, d, ledger.Intent{Action: "copy", Origin: d.Origin, FoundAt: d.FoundAt}); err != nil {
		return result{}, err
	}
	c.applier.Progress("copying " + d.What)
	w, err := c.newCopy()
	if err != nil {
		return stay("no sealed copy can be made: "+err.Error(), "evidence = DIR in the policy, a folder with room; then quell apply with the same plan")
	}
	defer w.Discard()
	now, err := c.inspect(ctx, s, r, w, was.begun && was.copy.name != "")
	switch {
	case err != nil:
		return result{}, err
	case ctx.Err() != nil:
		return result{}, ctx.Err()
	case len(now.failed) > 0:
		return stay("the copy would not be whole: "+now.failed[0].Error(), "quell apply with the same plan, when it can be read")
	case w.Members() == 0 && was.begun && was.copy.name != "":
		// An earlier apply sent the request, and ended before it recorded the answer.
		x := result{Deletion: d, word: ledger.WasDeleted, detail: "deleted, and gone", copy: was.copy}
		return x, c.conclude(ctx, x)
	case w.Members() == 0:
		x := result{Deletion: d, word: ledger.WasGone, detail: "it was no longer kept, and nothing was sent"}
		return x, c.conclude(ctx, x)
	case r.Kind != removal.Caches && !slices.ContainsFunc(d.Credentials, func(fp string) bool { return now.found[fp] != "" }):
		return stay("none of the credentials is in it now", "scan it again, and quell plan with that report")
	case len(now.unread) > 0:
		return stay("what can't be searched in it may hold a credential that is not dead: "+now.unread[0].Error(), "look into it, and delete it by hand")
	}
	for fp, name := range now.found {
		if alive, err := c.unproven(ctx, fp); err != nil {
			return result{}, err
		} else if alive != "" {
			return stay("it also holds "+name+": "+alive, "quell scan and quell plan for all that is in it")
		}
	}
	copied, err := c.keepCopy(ctx, w, was.copies)
	if err != nil {
		return stay("no sealed copy can be kept: "+err.Error(), "evidence = DIR in the policy, a folder with room; then quell apply with the same plan")
	}
	if err := c.record(ctx, d, ledger.Deletion{What: d.What, Origin: d.Origin, Outcome: ledger.WasCopied, Evidence: copied.name, EvidenceHash: copied.hash}); err != nil {
		return result{}, err
	}
	if h := c.keeps(ctx); h != nil {
		return c.kept(ctx, d, h)
	}
	if err := c.intend(ctx, d, fences); err != nil {
		return result{}, err
	}
	c.applier.Progress("deleting " + d.What)
	status, sent := s.Send(ctx, r)
	ack := ledger.Receipt{Accepted: sent == nil, Status: status, At: time.Now().UTC(), Action: "delete_" + ledger.Word(d.Kind)}
	if sent != nil {
		ack.Detail = c.Redactor.String(sent.Error())
	}
	ctx = context.WithoutCancel(ctx) // what was sent is recorded, whatever happens
	if err := c.record(ctx, d, ack); err != nil {
		return result{}, err
	}
	x := result{Deletion: d, word: ledger.WasDeleted, detail: "deleted, and gone", copy: copied}
	if why := c.look(ctx, s, r, sent == nil); why != "" {
		x.word, x.detail, x.remedy = ledger.NotDeleted, why, "quell apply with the same plan; or delete it by hand"
		if sent != nil {
			x.detail = ack.Detail
		}
	} else if sent != nil {
		x.detail = "it is gone, and whether by this request is not known: " + ack.Detail
	}
	return x, c.conclude(ctx, x)
}

func (c *closing) intend(ctx context.Context, d plan.Deletion, fences map[string]int64) error {
	host := ""
	if u, err := url.Parse(d.URL); err == nil {
		host = u.Host
	}
	entries := make([]ledger.Entry, len(d.Credentials))
	for i, fp := range d.Credentials {
		entries[i] = c.entry(fp, ledger.Intent{Action: "delete_" + ledger.Word(d.Kind), Host: host, Origin: d.Origin, Requests: []ledger.Request{{Method: d.Method, URL: d.URL}}, FoundAt: d.FoundAt, Fence: fences[fp]})
	}
	return c.applier.Ledger.Append(ctx, entries...)
}

// conclude records the end.
func (c *closing) conclude(ctx context.Context, x result) error {
	return c.record(context.WithoutCancel(ctx), x.Deletion, ledger.Deletion{What: x.What, Origin: x.Origin, Outcome: x.word, Detail: x.detail, Evidence: x.copy.name, EvidenceHash: x.copy.hash})
}

// record appends an entry to each incident of a deletion.
func (c *closing) record(ctx context.Context, d plan.Deletion, b ledger.Body) error {
	entries := make([]ledger.Entry, len(d.Credentials))
	for i, fp := range d.Credentials {
		entries[i] = c.entry(fp, b)
	}
	return c.applier.Ledger.Append(ctx, entries...)
}

func (c *closing) entry(fp string, b ledger.Body) ledger.Entry {
	return ledger.Entry{Incident: fp, Actor: c.applier.Actor, Run: c.id, Body: b}
}

// look reports why something is not gone; empty: it is. Whatever the server gives there now counts
// as still there, also what has no credential in it: it may be a page to sign in at.
func (c *closing) look(ctx context.Context, s *removal.Server, r *removal.Removal, accepted bool) string {
	wait := c.settle
	if wait == 0 {
		wait = 2 * time.Second
	}
	for n := 1; ; n++ {
		now, err := c.inspect(ctx, s, r, nil, true)
		why := "the server accepted, and it can still be read"
		switch {
		case err != nil:
			why = err.Error()
		case len(now.failed) > 0:
			why = "whether it is gone can't be read: " + now.failed[0].Error()
		case now.items == 0:
			return ""
		case r.Kind != removal.Caches && len(now.found) == 0:
			why = "the server accepted, and gives something else there, which has none of the credentials: whether it is gone is not known"
		}
		if n == looks || !accepted {
			return why
		}
		time.Sleep(wait << (n - 1))
	}
}

// inspected is what a copy holds.
type inspected struct {
	found  map[string]string // rule and redacted form by fingerprint
	items  int
	failed []error // what could not be listed or downloaded
	unread []error // what is in the copy and could not be searched
}

// inspect reads everything that a removal deletes, seals it into w (nil: nothing is kept), and
// finds the credentials in it. read is set if it was read before.
func (c *closing) inspect(ctx context.Context, s *removal.Server, r *removal.Removal, w copier, read bool) (inspected, error) {
	out := inspected{found: map[string]string{}}
	src, err := s.Copy(r)
	if err != nil {
		return out, err
	}
	var mu sync.Mutex
	copyInto(src, w, &mu, &out.items)
	var failed []error
	src.Failed = func(_ rules.Location, err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, err)
	}
	if c.detector == nil {
		c.detector = detect.New(c.Rules)
	}
	found, unread, err := c.scanCopy(ctx, src)
	if err != nil && ctx.Err() == nil && len(failed) == 0 {
		failed = append(failed, err)
	}
	for _, x := range found {
		if x.Confidence >= rules.Medium {
			out.found[x.Fingerprint] = x.Rule + " " + x.Redacted
		}
	}
	missing := func(err error) bool { return isNothing(err) || s.Gone(ctx, r, err, read) }
	out.failed = slices.DeleteFunc(failed, missing)
	if w != nil && len(out.failed) == 0 {
		out.unread = slices.DeleteFunc(unread, missing)
	}
	return out, nil
}

// unproven is the reason why a credential is not proven dead; empty: it is. A plan's own verdict
// counts if the plan has nothing to end.
func (c *closing) unproven(ctx context.Context, fp string) (string, error) {
	name := fp[:min(len(fp), 8)]
	if a, ok := c.ended[fp]; ok {
		name = a.Rule + " " + a.Redacted
		switch {
		case a.Outcome == prove.Confirmed || a.Outcome == prove.AlreadyDead, a.Outcome == "" && a.Action == plan.ActNone:
			return "", nil
		}
		return name + " is not proven dead", nil
	}
	entries, err := c.applier.Ledger.Incident(ctx, fp)
	if err != nil && !errors.Is(err, ledger.ErrNoIncident) {
		return "", err
	}
	dead := false
	for _, e := range entries {
		switch b := e.Body.(type) {
		case ledger.Outcome:
			dead = b.Outcome == ledger.Word(prove.Confirmed) || b.Outcome == ledger.Word(prove.AlreadyDead)
		case ledger.Verdict:
			dead = dead && b.Liveness != revokers.Live
		case ledger.Restore:
			dead = dead && b.Outcome != ledger.Restored
		}
	}
	if dead {
		return "", nil
	}
	return name + " is not proven dead", nil
}

// deleted is the ledger's record of a deletion.
type deleted struct {
	begun  bool // a request to delete was recorded, and no end
	done   *ledger.Deletion
	copy   kept              // the last one
	copies map[string]string // hashes by name
}

func (c *closing) history(ctx context.Context, d plan.Deletion) (deleted, error) {
	out := deleted{copies: map[string]string{}}
	for _, fp := range d.Credentials[:min(1, len(d.Credentials))] {
		entries, err := c.applier.Ledger.Incident(ctx, fp)
		if err != nil && !errors.Is(err, ledger.ErrNoIncident) {
			return out, err
		}
		for _, e := range entries {
			switch b := e.Body.(type) {
			case ledger.Intent:
				if b.Origin == d.Origin && strings.HasPrefix(string(b.Action), "delete_") {
					out.begun = true
				}
			case ledger.Deletion:
				if b.Origin != d.Origin {
					continue
				}
				switch b.Outcome {
				case ledger.WasCopied:
					out.copy = kept{b.Evidence, b.EvidenceHash}
					out.copies[b.Evidence] = b.EvidenceHash
				case ledger.WasDeleted, ledger.WasGone:
					// One that is older than the plan was of another: a run that was
					// started again has new logs at the same address.
					if out.begun = false; !e.At.Before(c.plan.Created) {
						out.done = &b
					}
				case ledger.NotDeleted:
					out.begun = false
				}
			}
		}
	}
	return out, nil
}

// announce gives notice of a deletion, to the policy's webhooks and on pull requests, and
// returns what could not be sent.
func (c *closing) announce(ctx context.Context, x result) (failed []string) {
	var names []string
	for _, fp := range x.Credentials {
		if a, ok := c.ended[fp]; ok {
			names = append(names, a.Rule)
		}
	}
	slices.Sort(names)
	what := strings.Join(slices.Compact(names), ", ")
	if what == "" {
		what = count(len(x.Credentials), "credential")
	}
	done := map[ledger.Word]string{ledger.WasDeleted: "was deleted", ledger.NotDeleted: "could not be deleted"}[x.word]
	text := c.Redactor.String(fmt.Sprintf("quell: a credential leaked (%s) and is dead. What it leaked into %s: %s. A sealed copy is kept, SHA-256 %s.", what, done, x.What, x.copy.hash))
	if c.applier.Notify != nil {
		to, err := c.applier.Notify(ctx, text)
		if err != nil {
			failed = append(failed, "the notice of a deletion: "+err.Error())
		}
		if len(to) > 0 {
			_ = c.record(context.WithoutCancel(ctx), x.Deletion, ledger.Notice{Kind: "deletion", Message: text, To: strings.Join(to, ", ")})
		}
	}
	for _, address := range x.Comments {
		if err := c.comment(ctx, x, address, text); err != nil {
			failed = append(failed, "the comment on the pull request: "+err.Error())
		}
	}
	return failed
}

func (c *closing) comment(ctx context.Context, x result, address, text string) error {
	s, err := c.servers(x.System)
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if x.Actor != "" {
		text = "@" + x.Actor + " " + text
	}
	b, err := json.Marshal(map[string]string{"body": text})
	if err != nil {
		return err
	}
	if err := c.record(ctx, x.Deletion, ledger.Intent{Action: "comment", Host: u.Host, Origin: x.Origin, Requests: []ledger.Request{{Method: "POST", URL: address}}}); err != nil {
		return err
	}
	status, reason, err := s.Client.Change(ctx, "POST", u, b)
	if err == nil && status >= 300 {
		err = fmt.Errorf("the server answers %d %s", status, reason)
	}
	return err
}
