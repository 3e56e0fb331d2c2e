package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/detect"
)

// abilities are what quell can do about a rule's credentials, in words.
func abilities(r *rules.Rule) string {
	var out []string
	if r.Probe != nil {
		out = append(out, "asks")
	}
	for _, v := range r.Revokes {
		out = append(out, "revokes ("+string(v.Tier)+")")
	}
	return strings.Join(out, ", ")
}

// explain prints what a rule finds, asks and ends, and where each fact is from.
func (a *app) explain(set *rules.Set, r *rules.Rule) {
	p := a.printer(14)
	p("%s: %s", r.ID, r.Description)
	p("  from        %s:%d", r.File, r.Line)
	p("  kind        %s, confidence %s", r.Kind, r.Confidence)
	if r.Provider != nil {
		p("  issuer      %s; asked at %s", r.Provider.Name, hosts(r.Provider))
		p("  docs        %s", r.Provider.Docs)
		if owners := r.Owners(); len(owners) > 0 {
			p("  owner       %s decides, as identity of [[own]] in the policy", strings.Join(owners, " or "))
		}
	}
	if r.Cookie != nil {
		p("  cookie      %s = %s", strings.Join(r.Cookie.Names, ", "), r.Cookie.Value)
	} else if r.Regex != nil {
		p("  expression  %s", r.Regex)
	}
	if slices.Contains(detect.New(set).Slow(), r.ID) {
		p("  speed       slow: the expression has no literal to search for")
	}
	if r.Checksum != "" {
		p("  checksum    %s", r.Checksum)
	}
	for name, part := range r.Parts {
		p("  part        %s, found by rule %s", name, part.Rule)
	}
	if r.Stateless {
		p("  stateless   accepted until it expires, whatever its issuer answers")
	}
	if r.Probe != nil {
		a.explainProbe(r.Probe)
	}
	if r.Note != "" {
		p("  note        %s", r.Note)
	}
	if r.Derived != "" {
		p("  derived     %s", r.Derived)
	}
	if r.Provider != nil && r.Provider.Audit != "" {
		p("  audit       %s (%s)", r.Provider.Audit, r.Provider.Sources["audit"].URL)
	}
	for _, v := range r.Revokes {
		a.explainRevoke(v)
	}
}

// printer returns a function that prints a line, wrapped on a terminal with the
// following lines at a column.
func (a *app) printer(indent int) func(format string, args ...any) {
	style := a.style(a.out, report.Show{})
	return func(format string, args ...any) {
		fmt.Fprintln(a.out, style.Wrap(0, indent, strings.TrimRight(fmt.Sprintf(format, args...), " ")))
	}
}

func hosts(p *rules.Provider) string {
	switch n := len(p.Asked); {
	case n == 0:
		return "instances that the policy names"
	case n > 4:
		return fmt.Sprintf("%s and %d more of that form", p.Asked[0], n-1)
	}
	return strings.Join(p.Asked, ", ")
}

func (a *app) explainProbe(q *rules.Probe) {
	p := a.printer(14)
	if q.Request == nil {
		p("  asks        native %s", q.Native)
	} else {
		p("  asks        %s %s%s", q.Request.Method, q.Request.Host, q.Request.Path)
		for _, w := range q.When {
			p("              %v: %s %s%s", w.Status, w.Then, w.Reason, basis(w))
		}
	}
	for _, also := range q.Also {
		p("  and         %s %s%s, which has to refuse too", also.Request.Method, also.Request.Host, also.Request.Path)
	}
	if q.Note != "" {
		p("              %s", q.Note)
	}
}

// basis is why a dead arm is believed.
func basis(a rules.Arm) string {
	switch {
	case a.Then != "dead":
		return ""
	case a.Source == "" || !a.Condition():
		return "; not documented: it counts by comparison with never-issued credentials"
	case a.Also != "":
		return "; also given because of the " + a.Also + "; " + a.Source
	}
	return "; " + a.Source
}

func (a *app) explainRevoke(v rules.Revoke) {
	p := a.printer(14)
	if v.Native != "" {
		p("  revokes     %s: native %s", v.ID, v.Native)
	}
	for i, q := range v.Requests {
		head := "revokes     " + v.ID + ":"
		if i > 0 {
			head = "then       "
		}
		p("  %s %s %s%s", head, q.Method, q.Host, q.Path)
	}
	p("              tier %s, ends %s, settles within %s, source grade %s", v.Tier, v.Scope, time.Duration(v.Settle), v.Grade)
	if v.Source != "" {
		p("              source: %s", v.Source)
	}
	if v.Always {
		p("              accepted for every credential: the response proves nothing")
	}
	if v.Reversible {
		p("              reversible")
		if x := v.Restore; x != nil && x.Request != nil {
			p("              restored by %s %s%s", x.Request.Method, x.Request.Host, x.Request.Path)
			if x.Window > 0 {
				p("              within %s", time.Duration(x.Window))
			}
		}
	}
	if v.Collateral != "" {
		p("              collateral: %s", v.Collateral)
	}
	if v.Rights != "" {
		p("              rights: %s", v.Rights)
	}
}
