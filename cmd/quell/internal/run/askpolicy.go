package run

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// Shown is what an instance answers about its control, about cookies that were
// never issued, and about none.
type Shown struct {
	Instance *issuer.Instance
	Lines    []string // what each got
	// Problem is why no kill at the instance could be proven; empty if it can.
	Problem string
	// Settings are proposals, as keys of the [[instance]].
	Settings []string
	// Next is what the operator does about the problem, where no setting solves it.
	Next string
}

// AskInstances asks each instance of a web application that the policy names. It
// only reads.
func (r *Runtime) AskInstances(ctx context.Context) ([]Shown, error) {
	if r.options.Offline {
		return nil, errOffline
	}
	var out []Shown
	for _, i := range r.Instances {
		rule := r.webRule(i)
		if !i.Operator || rule == nil {
			continue
		}
		out = append(out, r.show(ctx, i, rule))
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	return out, nil
}

// webRule is the rule of an instance's session cookie, if a page shows whether
// it is live.
func (r *Runtime) webRule(i *issuer.Instance) *rules.Rule {
	var family *rules.Rule
	for _, x := range r.Rules.Rules {
		if x.Cookie == nil || x.Probe == nil || !x.Probe.HTML || x.Provider == nil || x.Provider.ID != i.Provider {
			continue
		}
		if i.Cookie != "" && x.AnyForm && slices.Contains(x.Cookie.Names, i.Cookie) {
			return x
		}
		if i.Cookie == "" && family == nil && !x.AnyForm {
			family = x
		}
	}
	return family
}

func (r *Runtime) show(ctx context.Context, i *issuer.Instance, rule *rules.Rule) Shown {
	out := Shown{Instance: i}
	if i.Settings["probe_path"] == "" {
		out.Problem = "probe_path is not set, so nothing can be asked"
		return out
	}
	name := i.Cookie
	if name == "" {
		name = rule.Cookie.Names[0]
	}
	if strings.Contains(name, "*") {
		out.Problem = fmt.Sprintf("the cookie's name (%s) differs from server to server, so nothing can be asked", name)
		out.Settings = append(out.Settings, `cookie = "…", its name at this server`)
		return out
	}
	t := revokers.Target{Credential: credential.Credential{Ref: credential.Ref{Rule: rule.ID, Cookie: name, Kind: credential.KindSessionCookie}}, Rule: rule, Instance: i, Named: true}
	control, has := i.Control(rule)
	// Without a control the form of a session is not known: 32 letters and
	// digits are refused by most applications as any other would be.
	t.Secret = credential.NewSecretString("q8Zk2mXw71Lp0vB3nT5rU4yCq8Zk2mXw")
	if has {
		t.Secret, t.Parts = control.Secret, control.Parts
	}
	ask := func(what string, x revokers.Target) (interp.Sample, bool) {
		s, err := interp.Show(ctx, r.Doer, x)
		if err != nil {
			out.Lines = append(out.Lines, fmt.Sprintf("%-13s no answer: %v", what, err))
			return s, false
		}
		out.Lines = append(out.Lines, strings.TrimRight(fmt.Sprintf("%-13s %s", what, describe(s)), " "))
		return s, true
	}
	var live interp.Sample
	if has {
		if live, has = ask("control", t); !has {
			out.Problem = "the control got no answer"
			return out
		}
	}
	fake, err := guard.NeverIssued(t)
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	never, ok := ask("never issued", fake)
	empty := t
	empty.Secret, empty.Parts = credential.Secret{}, nil
	none, ok2 := ask("no cookie", empty)
	if !ok || !ok2 {
		out.Problem = "the application does not answer about sessions that were never issued"
		return out
	}
	if never.Location != "" && !strings.Contains(strings.SplitN(never.Location, "/", 2)[0], ".") && i.Settings["login_path"] == "" {
		out.Settings = append(out.Settings, fmt.Sprintf("login_path = %q", strings.TrimPrefix(never.Location, strings.TrimRight(i.URL.Path, "/"))))
	}
	if !has {
		out.Problem = "no control is configured, so the page of a live session is not known"
		out.Next = fmt.Sprintf("sign in to %s, put the value of the cookie %s into an environment variable, and add control = \"env:NAME\" to the [[instance]]", i.URL.Host, name)
		if never.Status == http.StatusNotFound || never.Status == http.StatusGone {
			out.Next = fmt.Sprintf("check probe_path: the application answers %d there; then %s", never.Status, out.Next)
		}
		return out
	}
	r.judgeShown(ctx, &out, t, live, never, none)
	return out
}

// samplesOfKind is how many pages of live sessions, and of those that were never
// issued, a proposed marker is compared with.
const samplesOfKind = 4

// samples asks again about the control and about sessions that were never
// issued: a word of the day is on some of the pages alone. ok is false if one
// got no answer.
func (r *Runtime) samples(ctx context.Context, t revokers.Target, live, never interp.Sample) (lives, nevers []interp.Sample, ok bool) {
	lives, nevers = []interp.Sample{live}, []interp.Sample{never}
	for len(lives) < samplesOfKind {
		l, err := interp.Show(ctx, r.Doer, t)
		if err != nil {
			return nil, nil, false
		}
		fake, err := guard.NeverIssued(t)
		if err != nil {
			return nil, nil, false
		}
		n, err := interp.Show(ctx, r.Doer, fake)
		if err != nil {
			return nil, nil, false
		}
		lives, nevers = append(lives, l), append(nevers, n)
	}
	return lives, nevers, true
}

// renewControl is the next step where the control may be over.
const renewControl = "sign in again, renew the control, and quell policy check --ask"

// judgeShown reports whether a death could be proven, and proposes what is missing.
func (r *Runtime) judgeShown(ctx context.Context, out *Shown, t revokers.Target, live, never, none interp.Sample) {
	i := t.Instance
	if path, method, token := live.Logout(i); path != "" && i.Settings["logout_path"] == "" {
		out.Settings = append(out.Settings, fmt.Sprintf("logout_path = %q", path))
		switch {
		case token:
			out.Settings = append(out.Settings, `csrf = "link"`)
		case method == "GET":
			out.Settings = append(out.Settings, `logout_method = "GET"`)
		}
	} else if path != "" && method == "POST" && i.Settings["csrf"] == "" && path == i.Settings["logout_path"] {
		out.Settings = append(out.Settings, `csrf = "form"`)
	}
	if m := live.Meta(); m != "" && i.Settings["csrf"] == "" && !slices.Contains(out.Settings, `csrf = "form"`) {
		out.Settings = append(out.Settings, fmt.Sprintf("csrf = %q", "meta:"+m))
	}
	v, _ := (&Checker{Set: r.Rules, Verifier: r.Registry, Asker: &guard.Asker{}}).At(ctx, &t)
	switch {
	case v.Liveness == revokers.Live && t.Seen != nil && t.Seen.Learned == "" && i.Settings["dead_marker"] == "":
		out.Problem = "the pages of sessions that were never issued differ too much, so a death could not be proven"
		if lives, nevers, ok := r.samples(ctx, t, live, never); ok {
			if m := interp.Markers(nevers, lives); len(m) > 0 {
				out.Settings = append(out.Settings, fmt.Sprintf("dead_marker = %q", m[0]))
			}
		}
	case v.Liveness == revokers.Live:
		return
	case live.Status == http.StatusNotFound || live.Status == http.StatusGone:
		out.Problem = fmt.Sprintf("the page is not there: the control gets %d", live.Status)
		out.Settings = append(out.Settings, `probe_path = "…", a page that only a signed-in user gets`)
	case live.Status >= 300 && live.Status == never.Status && live.Location == never.Location:
		// The page of a signed-in user is not known, so no marker can be proposed.
		out.Problem = fmt.Sprintf("the control gets what a session gets that was never issued (%d): it is no longer live", live.Status)
		out.Next = renewControl
	case v.Reason == revokers.AcceptsAll || live.Status == never.Status && live.Location == never.Location:
		out.Problem = "the control and a session that was never issued get the same page"
		var m []string
		if lives, nevers, ok := r.samples(ctx, t, live, never); ok {
			m = interp.Markers(lives, append(nevers, none))
		}
		if len(m) > 0 {
			out.Problem = fmt.Sprintf("live sessions and others get the same status (%d) and differ in their text alone", live.Status)
			out.Settings = append(out.Settings, fmt.Sprintf("live_marker = %q", m[0]))
			return
		}
		out.Settings = append(out.Settings, `probe_path = "…", a page that only a signed-in user gets`)
		out.Next = renewControl + "; if it is live, everybody gets that page"
	default:
		out.Problem = "the control is not live: " + v.Detail
		out.Next = renewControl
	}
}

func describe(s interp.Sample) string {
	out := fmt.Sprint(s.Status)
	if s.Location != "" {
		out += " to " + s.Location
	}
	if s.Title != "" {
		out += fmt.Sprintf(" %q", s.Title)
	}
	return out
}
