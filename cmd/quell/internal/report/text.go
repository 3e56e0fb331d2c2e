package report

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// Numbers of things that are listed one by one unless --show asks for more.
const (
	fewOthers  = 10     // neither live nor suspect, or not read
	fewSuspect = 100    // suspect
	maxKept    = 10_000 // of each kind that is kept for its place in the order
)

var textFormat = Format{Name: "text", New: func(o Options) Sink { return &text{w: o.W, Style: o.Style} }}

// text is for people.
type text struct {
	w *bufio.Writer
	Style
	now *entry // the last credential, whose verdicts may follow

	live, suspect, others pile
	gaps                  []Notice
	gapKinds              map[string]int64
	notices               []string
	held                  []Action
	acted                 bool
	none                  int64 // actions that nothing is done for, because it was dead
}

// entry is a credential or a part of one, as it is listed.
type entry struct {
	Credential
	asked   bool
	verdict Verdict
	partial bool
}

// pile keeps what is listed together and counts all of it.
type pile struct {
	list  []entry
	n     int64
	kinds map[string]map[string]int64 // by state and rule
}

// add counts an entry and reports whether it is kept.
func (p *pile) add(e entry, most int) bool {
	p.n++
	if p.kinds == nil {
		p.kinds = map[string]map[string]int64{}
	}
	s := e.group()
	if p.kinds[s] == nil {
		p.kinds[s] = map[string]int64{}
	}
	p.kinds[s][e.Rule]++
	if len(p.list) >= most {
		return false
	}
	p.list = append(p.list, e)
	return true
}

func (t *text) Emit(e Event) error {
	switch e := e.(type) {
	case Finding:
		if e.Partial {
			t.next()
			t.file(entry{Credential: Credential{Ref: e.Ref, Findings: 1, Locations: []rules.Location{e.Location}}, partial: true})
		}
	case Credential:
		t.next()
		t.now = &entry{Credential: e}
	case Verdict:
		// Several instances can have been asked: Live counts, then Dead.
		if n := t.now; n != nil && n.Fingerprint == e.Fingerprint && (!n.asked || n.verdict.Liveness == revokers.Unknown || e.Liveness == revokers.Live) {
			n.asked, n.verdict = true, e
		}
	case Action:
		t.next()
		t.act(e)
	case Notice:
		t.next()
		t.notice(e)
	case Summary:
		t.flush()
		t.summary(e)
	}
	return nil
}

// next files the last credential.
func (t *text) next() {
	if n := t.now; n != nil {
		t.now = nil
		t.file(*n)
	}
}

// file puts an entry where it will be listed. Of its places only those that are
// listed are kept.
func (t *text) file(e entry) {
	e.Findings = max(e.Findings, len(e.Locations))
	e.Locations = slices.Clone(e.Locations[:min(len(e.Locations), maxPlaces)])
	switch {
	case e.asked && e.verdict.Liveness == revokers.Live:
		t.keep(&t.live, e, maxKept, true)
	case e.suspect() && !t.Show.Live:
		t.keep(&t.suspect, e, maxKept, t.Show.All || t.Show.Suspect)
	default:
		most := fewOthers
		switch {
		case t.Show.All:
			most = maxKept
		case t.Show.Live, t.Show.Suspect:
			most = 0
		}
		t.keep(&t.others, e, most, t.Show.All)
	}
}

// keep adds an entry to a pile. One that is more than the pile keeps is listed out of
// its order, if it has to be listed, else summed up.
func (t *text) keep(p *pile, e entry, most int, list bool) {
	if !p.add(e, most) && list {
		t.credential(e, short(e.Fingerprint))
		p.listed(e)
	}
}

// listed takes an entry out of the sum.
func (p *pile) listed(e entry) {
	s := e.group()
	if p.kinds[s][e.Rule]--; p.kinds[s][e.Rule] == 0 {
		delete(p.kinds[s], e.Rule)
	}
}

// suspect reports a credential that is not live for all that is known, and that
// --fail-on suspect counts.
func (e entry) suspect() bool {
	return e.Confidence == rules.High && e.Kind != rules.KindPublic && (!e.asked || e.verdict.Liveness != revokers.Dead) && (e.Offline.State != rules.OfflineExpired || e.Renewable)
}

func (t *text) notice(n Notice) {
	if !n.Incomplete || n.Kind == NotDeleted {
		t.notices = append(t.notices, Clean(n.Message))
		if t.acted || t.live.n+t.suspect.n+t.others.n == 0 {
			t.flushNotices()
		}
		return
	}
	if t.gapKinds == nil {
		t.gapKinds = map[string]int64{}
	}
	t.gapKinds[cmp.Or(n.Kind, "other")] += max(n.Count, 1)
	if len(t.gaps) <= fewOthers || t.Show.Incomplete && len(t.gaps) < maxKept {
		t.gaps = append(t.gaps, n)
	} else if t.Show.Incomplete {
		t.gap(n)
	}
}

func (t *text) gap(n Notice) {
	fmt.Fprintf(t.w, "%s %s\n", t.paint(yellow, "not read:"), t.wrap(10, 10, Clean(n.Message)))
}

func (t *text) flushNotices() {
	for _, n := range t.notices {
		fmt.Fprintf(t.w, "%s %s\n", t.paint(yellow, "notice:"), t.wrap(8, 8, n))
	}
	t.notices = nil
}

// flush lists what was kept.
func (t *text) flush() {
	t.next()
	t.flushHeld()
	most := fewSuspect
	if t.Show.All || t.Show.Suspect {
		most = maxKept
	}
	ids := t.ids()
	t.pile(&t.live, maxKept, ids)
	t.pile(&t.suspect, most, ids)
	if t.others.n > fewOthers && !t.Show.All {
		t.others.list = nil
	}
	t.pile(&t.others, maxKept, ids)
	if len(t.gaps) <= fewOthers || t.Show.Incomplete {
		for _, g := range t.gaps {
			t.gap(g)
		}
	} else {
		var parts []string
		n := int64(0)
		for _, k := range slices.SortedFunc(maps.Keys(t.gapKinds), byCount(t.gapKinds)) {
			n += t.gapKinds[k]
			parts = append(parts, Number(t.gapKinds[k])+" "+strings.ReplaceAll(k, "_", " "))
		}
		t.para(yellow, Number(n)+" not read:", cut(parts, 6, "kind")+" (--show incomplete lists "+itThem(n)+")")
		t.para(plain, "  as", Clean(t.gaps[0].Message))
	}
	t.gaps, t.gapKinds = nil, nil
	t.flushNotices()
}

// ids shortens the ids of what is listed.
func (t *text) ids() func(string) string {
	var all []string
	for _, p := range []*pile{&t.live, &t.suspect, &t.others} {
		for _, e := range p.list {
			all = append(all, e.Fingerprint)
		}
	}
	return ShortIDs(all)
}

func short(id string) string { return id[:min(8, len(id))] }

// pile lists the first of a pile and sums up what is left.
func (t *text) pile(p *pile, most int, ids func(string) string) {
	for _, e := range p.list[:min(len(p.list), most)] {
		t.credential(e, ids(e.Fingerprint))
		p.listed(e)
	}
	summed := false
	for _, state := range slices.Sorted(maps.Keys(p.kinds)) {
		kinds := p.kinds[state]
		var parts []string
		n := int64(0)
		for _, k := range slices.SortedFunc(maps.Keys(kinds), byCount(kinds)) {
			n += kinds[k]
			parts = append(parts, Number(kinds[k])+" "+k)
		}
		if n > 0 {
			t.para(bold, Number(n)+" "+state+":", cut(parts, 6, "rule")+" (--show all lists "+itThem(n)+")")
			summed = true
		}
	}
	if summed {
		fmt.Fprintln(t.w)
	}
	*p = pile{}
}

func byCount(n map[string]int64) func(a, b string) int {
	return func(a, b string) int {
		if n[a] != n[b] {
			return int(max(min(n[b]-n[a], 1), -1))
		}
		return strings.Compare(a, b)
	}
}

// para prints a label and a text after it, wrapped.
func (t *text) para(c colour, label, s string) {
	at := len(label) + 1
	fmt.Fprintf(t.w, "%s %s\n", t.paint(c, label), t.wrap(at, min(at, indent), s))
}

func (t *text) summary(s Summary) {
	line := func(c colour, format string, args ...any) {
		fmt.Fprintln(t.w, t.paint(c, t.wrap(0, 2, fmt.Sprintf(format, args...))))
	}
	if s.Artifacts > 0 {
		line(plain, "%s, %s read in %.1f s", Count(s.Artifacts, "artifact"), Size(s.Bytes), s.Seconds)
	}
	if len(s.Outcomes) > 0 {
		var parts []string
		for _, o := range []prove.Outcome{prove.Confirmed, prove.AlreadyDead, prove.StillAlive, prove.Unconfirmed, prove.UntilExpiry, prove.Held} {
			if n := s.Outcomes[o]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, o))
			}
		}
		line(bold, "%s", strings.Join(parts, ", "))
	} else if s.Credentials == 0 && t.none > 0 {
		line(bold, "nothing to end: %s dead when the plan was made", Count(t.none, "credential")+" "+wasWere(t.none))
	} else {
		c := bold
		if s.Live > 0 {
			c = red
		}
		where := ""
		if s.Findings > 0 || s.Artifacts > 0 && s.Credentials == 0 {
			where = " in " + Count(int64(s.Findings), "place")
		}
		line(c, "%s%s: %s live, %s dead, %s unknown", Count(int64(s.Credentials), "credential"), where, Number(int64(s.Live)), Number(int64(s.Dead)), Number(int64(s.Unknown)))
	}
	if n := int64(s.Unrecorded); n > 0 {
		line(red, "UNRECORDED: the ledger did not take the answers about %s", Count(n, "credential"))
	}
	if n := int64(s.Unanswered); n > 0 {
		line(yellow, "UNANSWERED: %s could not be judged; this is not a clean result", Count(n, "credential"))
	}
	if n := int64(s.Hidden); n > 0 {
		line(plain, "%s of lower confidence %s not shown (--confidence low)", Count(n, "finding"), isAre(n))
	}
	if n := s.Suppressed; n > 0 {
		line(plain, "%s %s suppressed by %s path: vendored code, lock files, binaries", Count(n, "finding"), isAre(n), itsTheir(n))
	}
	if n := s.Allowed; n > 0 {
		line(plain, "%s %s suppressed by markers in the text or by the allow-list", Count(n, "finding"), isAre(n))
	}
	if n := int64(s.Incomplete); n > 0 {
		line(yellow, "INCOMPLETE: %s could not be read; this is not a clean result", Count(n, "thing"))
	}
}

func isAre(n int64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func itThem(n int64) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

func wasWere(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func itsTheir(n int64) string {
	if n == 1 {
		return "its"
	}
	return "their"
}

// Size is a number of bytes in the unit that a person would use.
func Size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return Count(n, "byte")
}

func (t *text) Close() error {
	t.flush()
	return t.w.Flush()
}
