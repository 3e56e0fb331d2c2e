package house

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

// row is what quell does for one provider. The numbers count kinds of
// credentials.
type row struct {
	id, name, page        string
	detect, probe, who    int
	self, admin, more     int // the least that ends a kind: itself, an operator's credential, more than the one
	confirm, documented   int
	reversible, stateless int
	derived               int
	audit                 bool
	hosts                 []string
}

// coverage lists the providers with a probe or a revocation, and those whose file
// gives the reason for having neither.
func coverage(t *testing.T) []row {
	t.Helper()
	all, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	var out []row
	for _, name := range slices.Sorted(maps.Keys(all)) {
		set, err := rules.Load(name, all[name])
		if err != nil {
			t.Fatal(err)
		}
		var c row
		decided := false
		for _, p := range set.Providers {
			c = row{id: p.ID, name: p.Name, page: strings.TrimSuffix(name, ".toml") + ".md", hosts: p.Patterns, audit: p.Audit != ""}
		}
		for _, r := range set.Rules {
			if r.Kind == rules.KindPublic {
				continue
			}
			decided = decided || r.Probe != nil || len(r.Revokes) > 0 || r.Note != ""
			c.add(r)
		}
		if decided {
			out = append(out, c)
		}
	}
	return out
}

func (c *row) add(r *rules.Rule) {
	c.detect++
	if r.Stateless {
		c.stateless++
	}
	if r.Derived != "" {
		c.derived++
	}
	if r.Probe != nil {
		c.probe++
		if len(r.Owners()) > 0 {
			c.who++
		}
		if slices.ContainsFunc(r.Probe.When, func(a rules.Arm) bool { return a.Then == "dead" && a.Source != "" && a.Condition() }) {
			c.documented++
		}
	}
	if len(r.Revokes) == 0 {
		return
	}
	tier := func(want rules.Tier) bool {
		return slices.ContainsFunc(r.Revokes, func(v rules.Revoke) bool { return v.Tier == want })
	}
	switch {
	case tier(rules.TierSelf):
		c.self++
	case tier(rules.TierAdmin):
		c.admin++
	default:
		c.more++
	}
	if r.Probe != nil {
		c.confirm++
	}
	if slices.ContainsFunc(r.Revokes, func(v rules.Revoke) bool { return v.Restore != nil }) {
		c.reversible++
	}
}

func table(rows []row) string {
	var b strings.Builder
	b.WriteString(`# Providers

Generated from ` + "`rules/providers`" + ` by ` + "`make docs`" + `. A number counts kinds of credentials.

| column | meaning |
|---|---|
| found | kinds that quell recognises |
| probed | kinds that a request which only reads can ask about; of the others, the page says why |
| identity | probed kinds whose answer says whose they are |
| self, admin, more | kinds that are ended with themselves alone or a public client id; with a credential of the operator's; only together with others |
| confirmed | ended kinds whose death the probe can prove |
| documented | kinds whose issuer documents how it refuses a dead one; for the others the refusal is learned |
| undone | kinds whose revocation ` + "`quell restore`" + ` takes back |
| derived | kinds of which the page says what becomes of credentials that were made with them |
| audit | the page says where the issuer's log shows the uses of a credential |
| contract | a test validates requests and answers against the issuer's published API description |
| hosts | where quell sends requests by itself: the egress allow-list. Instances of your own add theirs |

| provider | found | probed | identity | self | admin | more | confirmed | documented | undone | derived | audit | contract | hosts |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`)
	n := func(i int) string {
		if i == 0 {
			return ""
		}
		return fmt.Sprint(i)
	}
	for _, c := range rows {
		contract, hosts, audit := "", "", ""
		if c.audit {
			audit = "yes"
		}
		if _, err := os.Stat(filepath.Join(top, "testdata", "contracts", c.id+".json")); err == nil {
			contract = "yes"
		}
		if len(c.hosts) > 0 {
			hosts = "`" + strings.Join(c.hosts, "` `") + "`"
		}
		fmt.Fprintf(&b, "| [%s](%s) | %s |\n", c.name, c.page, strings.Join([]string{
			n(c.detect), n(c.probe), n(c.who), n(c.self), n(c.admin), n(c.more), n(c.confirm), n(c.documented), n(c.reversible), n(c.derived), audit, contract, hosts}, " | "))
	}
	return b.String()
}

// The table of all providers is current, and what it counts does not shrink.
func TestCoverage(t *testing.T) {
	rows := coverage(t)
	file, want := filepath.Join(top, "docs", "providers", coverageFile), table(rows)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Git merges rows of two branches line by line, in any order: see .gitattributes.
	rowsOf := func(text string) []string { return slices.Sorted(strings.Lines(text)) }
	if got, err := os.ReadFile(file); err != nil || !slices.Equal(rowsOf(string(got)), rowsOf(want)) {
		t.Errorf("%s is not what the rules files say: make docs", file)
	}
	var all row
	for _, c := range rows {
		all.probe, all.self, all.admin, all.confirm = all.probe+c.probe, all.self+c.self, all.admin+c.admin, all.confirm+c.confirm
	}
	t.Logf("%d providers: %d kinds probed, %d ended by themselves, %d by an operator's credential, %d confirmed", len(rows), all.probe, all.self, all.admin, all.confirm)
	if len(rows) < 100 || all.self < 60 || all.admin < 25 {
		t.Errorf("%d providers (100 at least), %d kinds ended by themselves (60), %d by an operator's credential (25)", len(rows), all.self, all.admin)
	}
}

// A revocation rests on the issuer's own document or code.
func TestRevocationsRestOnPrimarySources(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.Rules {
		for _, v := range r.Revokes {
			if v.Grade != "P" || v.Source == "" {
				t.Errorf("rule %s: the revocation %s has grade %s and the source %q", r.ID, v.ID, v.Grade, v.Source)
			}
		}
	}
}

// coverageFile is the table among the generated pages.
const coverageFile = "README.md"
