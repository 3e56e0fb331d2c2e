package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Checker asks issuers about credentials.
type Checker struct {
	Set       *rules.Set
	Instances issuer.Instances
	Verifier  revokers.Verifier
	Watch     *Watch // may be nil
	Asker     *guard.Asker
	// Canary reports whether a credential must never be sent anywhere.
	Canary func(credential.Credential) bool
	// Known returns what the ledger knows, by fingerprint; nil if there is none.
	Known func(context.Context) map[string]known
	// Time bounds the asking; zero means ten minutes.
	Time time.Duration
	// Offline asks no issuer.
	Offline bool
}

// Checked is a credential with its issuers' answers.
type Checked struct {
	credential.Credential
	// Verdicts has one entry for each instance that was asked or skipped, in order.
	Verdicts []revokers.Verdict
	// Target is the credential at the instance that issued it. It is nil if that is not known:
	// several instances could have issued it, and none or more than one of them answered that it
	// is live.
	Target *revokers.Target
	// Answer is the last answer about Target.
	Answer *revokers.Answer
}

// Verdict returns the verdict that counts: Live at any instance, else Dead, else the first.
func (c Checked) Verdict() revokers.Verdict {
	for _, want := range []revokers.Liveness{revokers.Live, revokers.Dead} {
		for _, v := range c.Verdicts {
			if v.Liveness == want {
				return v
			}
		}
	}
	if len(c.Verdicts) > 0 {
		return c.Verdicts[0]
	}
	return revokers.Undecided(revokers.NoHost, "nothing was asked")
}

// Unanswered reports whether a question about the credential was due and was
// not answered.
func (c Checked) Unanswered() bool { return c.Verdict().Unanswered() }

// atOneIssuer is how many credentials are asked about at once at one host.
const atOneIssuer = 4

// Check asks about the credentials, those with the strongest evidence first, so
// that look-alikes cannot use up an issuer's limit. each is called with every
// result as it arrives, one at a time. The results are in the order of creds.
func (k *Checker) Check(ctx context.Context, creds []credential.Credential, each func(int, Checked)) ([]Checked, error) {
	k.Watch.toAsk(len(creds))
	limit := k.Time
	if limit == 0 {
		limit = 10 * time.Minute
	}
	until, stop := context.WithTimeout(ctx, limit)
	defer stop()
	out := make([]Checked, len(creds))
	queues := map[string][]int{}
	for i, c := range creds {
		b := revokers.Bind(k.Set, k.Instances, c)
		host := ""
		if len(b.Ask) > 0 {
			host = b.Ask[0].Host()
		}
		queues[host] = append(queues[host], i)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, queue := range queues {
		slices.SortStableFunc(queue, func(a, b int) int { return cmp.Compare(strength(creds[b]), strength(creds[a])) })
		next := make(chan int, len(queue))
		for _, i := range queue {
			next <- i
		}
		close(next)
		for range min(atOneIssuer, len(queue)) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range next {
					c := k.One(until, creds[i])
					if ctx.Err() == nil && until.Err() != nil {
						outOfTime(&c)
					}
					k.Watch.asked()
					mu.Lock()
					out[i] = c
					if each != nil {
						each(i, c)
					}
					mu.Unlock()
				}
			}()
		}
	}
	wg.Wait()
	return out, ctx.Err()
}

// outOfTime turns interrupted questions into unanswered ones.
func outOfTime(c *Checked) {
	for i, v := range c.Verdicts {
		if v.Liveness == revokers.Unknown && v.Reason == revokers.Unreachable && v.Detail == interrupted {
			c.Verdicts[i].Reason, c.Verdicts[i].Detail, c.Verdicts[i].Remedy = revokers.Throttled, "--probe-time ended before quell asked about it", "a longer --probe-time; or quell check REPORT"
		}
	}
}

const interrupted = "interrupted"

// strength orders credentials: the surest first.
func strength(c credential.Credential) int {
	n := 8 * int(c.Confidence)
	if len(c.Claims.Hosts) > 0 {
		n += 4
	}
	if !c.Renewable {
		n += 2
	}
	if c.Claims.Expires == nil || c.Claims.Expires.After(time.Now()) {
		n++
	}
	return n
}

// One asks about one credential: the operator's instances first, each of them,
// and a public host only if none of those decided.
func (k *Checker) One(ctx context.Context, c credential.Credential) Checked {
	out := Checked{Credential: c}
	canary := k.Canary != nil && k.Canary(c)
	if v, done := revokers.WithoutAsking(k.Set, c, canary, time.Now()); done {
		out.Verdicts = []revokers.Verdict{v}
		if v.Reason == revokers.Unsupported {
			// Even without a verdict the credential can be ended if only one instance can have
			// issued it.
			if b := revokers.Bind(k.Set, k.Instances, c); len(b.Ask) == 1 {
				out.Target, out.Verdicts[0].Host, out.Verdicts[0].Instance = &b.Ask[0], b.Ask[0].Host(), b.Ask[0].URL()
			}
		}
		return out
	}
	if k.Offline {
		out.Verdicts = []revokers.Verdict{revokers.Undecided(revokers.Offline, "--offline asks no issuer")}
		return out
	}
	b := revokers.Bind(k.Set, k.Instances, c)
	var ended *kill
	if x, ok := k.lookup(ctx, c); ok {
		ended = recalled(&b, x)
	}
	var live []int
	decided := false
	var targets []revokers.Target
	var answers []revokers.Answer
	for _, t := range b.Ask {
		if decided && !t.Instance.Operator {
			break
		}
		var how *kill
		if t.Seen != nil {
			how = ended
		}
		v, a := k.after(ctx, &t, how)
		if v.Liveness == revokers.Live {
			live = append(live, len(out.Verdicts))
		}
		decided = decided || v.Liveness != revokers.Unknown
		out.Verdicts = append(out.Verdicts, v)
		targets, answers = append(targets, t), append(answers, a)
	}
	if len(live) == 0 {
		onlyOne(targets, out.Verdicts, b.Skipped, b.Others)
	}
	switch {
	case len(live) == 1:
		out.Target, out.Answer = &targets[live[0]], &answers[live[0]]
	case len(live) == 0 && len(targets) == 1:
		out.Target, out.Answer = &targets[0], &answers[0]
	}
	if out.Target != nil {
		out.Ref = out.As(out.Target.Cookie)
	}
	for _, t := range b.Skipped {
		out.Verdicts = append(out.Verdicts, skipped(t))
	}
	if len(out.Verdicts) == 0 {
		v := revokers.Undecided(revokers.NoHost, "%s", b.None)
		v.Remedy = addRemedy(c)
		if add := revokers.AddCommand(k.Set, c); add != "" {
			v.Remedy = add
		}
		out.Verdicts = append(out.Verdicts, v)
	}
	return out
}

// onlyOne withdraws a Dead that depends on the operator's statement that no other
// server has issued the credential (elsewhere = false), if the policy itself
// names another one that can have issued it and is not Dead there.
func onlyOne(asked []revokers.Target, verdicts []revokers.Verdict, skipped []revokers.Target, more []*issuer.Instance) {
	var others []string // their addresses
	remedy := ""
	for i, t := range asked {
		if verdicts[i].Liveness != revokers.Dead && t.Instance.Operator {
			others, remedy = append(others, t.URL()), verdicts[i].Remedy
		}
	}
	for _, i := range more {
		if others = append(others, i.URL.String()); remedy == "" {
			remedy = fmt.Sprintf("cookie of [[instance]] provider = %q, url = %q in the policy, if its sessions have another name; else end the session there by hand", i.Provider, i.URL)
		}
	}
	for _, t := range skipped {
		if !t.Instance.Operator || revokers.OtherAccount(t.Instance, t.Credential) {
			continue
		}
		if others = append(others, t.URL()); remedy == "" {
			remedy = fmt.Sprintf("quell check --rule %s with the credential alone on standard input, which asks %s too", t.Rule.ID, t.URL())
		}
	}
	if len(others) == 0 {
		return
	}
	for i, t := range asked {
		v := &verdicts[i]
		if v.Liveness != revokers.Dead || t.Seen != nil || t.Named || t.Rule.OneIssuer() {
			continue
		}
		v.Liveness, v.Reason, v.Remedy = revokers.Unknown, revokers.Refused, remedy
		v.Detail += "; but " + others[0] + ", which the policy names too, can have issued it and did not refuse it"
	}
}

// addRemedy names the command that adds an issuer for a credential.
func addRemedy(c credential.Credential) string {
	return "quell policy add --instance " + cmp.Or(c.Provider, "PROVIDER") + "=URL, for the issuer of yours"
}

// missingRemedy names the setting without which a probe can't ask.
func missingRemedy(t revokers.Target) string {
	need := ""
	if p := t.Rule.Probe; p != nil {
		need, _ = interp.Has(t, p.Needs)
		switch p.Native {
		case "postgres-login":
			need = "user"
		case "oauth-token":
			need = "client"
		}
	}
	if need == "" {
		return revokers.PageRemedy(t.Instance.Provider)
	}
	return revokers.SettingRemedy(need)
}

// skipped is the verdict about an instance that is not asked, because the text names another one.
func skipped(t revokers.Target) revokers.Verdict {
	v := revokers.Undecided(revokers.OtherIssuer, "the text places it at another host, user or database than this instance, so it was not asked")
	v.Host, v.Instance = t.Host(), t.URL()
	v.Remedy = addRemedy(t.Credential) + " that the text names"
	return v
}

// At asks about a target at its instance, and sets its sighting if it is Live.
// A target that was seen Live is asked about at that endpoint alone.
func (k *Checker) At(ctx context.Context, t *revokers.Target) (revokers.Verdict, revokers.Answer) {
	return k.after(ctx, t, nil)
}

// after is At for a target that an earlier kill may have ended.
func (k *Checker) after(ctx context.Context, t *revokers.Target, kill *kill) (revokers.Verdict, revokers.Answer) {
	endpoints := k.Verifier.Endpoints(*t)
	if t.Seen != nil && slices.Contains(endpoints, t.Seen.Endpoint) {
		endpoints = []string{t.Seen.Endpoint}
	}
	if len(endpoints) == 0 {
		v := revokers.Undecided(revokers.Unsupported, "the instance lacks a setting that the probe needs")
		v.Host, v.Instance, v.Remedy = t.Host(), t.URL(), missingRemedy(*t)
		return v, revokers.Answer{}
	}
	var all []statement
	for _, ep := range endpoints {
		e, err := k.Asker.Ask(ctx, k.Verifier, *t, ep)
		if err != nil {
			v := revokers.Undecided(revokers.Unreachable, "%s", reasonOf(err))
			if unset := (interp.UnsetError{}); errors.As(err, &unset) {
				v.Reason, v.Remedy = revokers.Unsupported, revokers.SettingRemedy(unset.Name)
			}
			v.Host, v.Instance, v.Endpoint = t.Host(), t.URL(), ep
			return v, revokers.Answer{}
		}
		if kill != nil && kill.instance == t.URL() && kill.before.Endpoint == ep {
			e.Sent, e.Before = kill.sent, kill.before
		}
		v := revokers.Judge(*t, e)
		if v.Liveness == revokers.Live {
			t.Seen = &revokers.Sighting{Endpoint: ep, At: v.At, Learned: e.Learned}
			t.Captures = e.Answer.Captures
			return v, e.Answer
		}
		all = append(all, statement{v, e.Answer})
	}
	best := decisive(all)
	return best.verdict, best.answer
}

// statement is the answer of one endpoint and the verdict that follows from it.
type statement struct {
	verdict revokers.Verdict
	answer  revokers.Answer
}

// decisive is the verdict of several endpoints of which none answered Live. Dead
// counts only if every other endpoint refused the credential too, or does not
// exist at the issuer. Otherwise an endpoint that leaves a question open
// outweighs one that has no meaning for the credential.
func decisive(all []statement) statement {
	first := all[0]
	var dead, open *statement
	for i, x := range all {
		switch {
		case x.verdict.Liveness == revokers.Dead:
			if dead == nil {
				dead = &all[i]
			}
		case x.answer.Class != revokers.Refuses && x.verdict.Reason != revokers.Unsupported:
			open = &all[i]
		}
		if first.verdict.Liveness == revokers.Unknown && !first.verdict.Unanswered() && x.verdict.Unanswered() {
			first = x
		}
	}
	switch {
	case dead == nil:
		return first
	case open == nil:
		return *dead
	}
	v := open.verdict
	v.Detail = fmt.Sprintf("%s refused it, and %s did not decide: %s", dead.verdict.Endpoint, v.Endpoint, v.Detail)
	return statement{v, open.answer}
}

func reasonOf(err error) string {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return interrupted
	}
	return err.Error()
}
