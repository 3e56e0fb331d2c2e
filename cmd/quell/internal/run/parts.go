package run

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
)

// parter finds the parts that credentials are sent with: of each part that a
// rule declares, the nearest one in the same artifact.
type parter struct {
	rules map[string]map[string]rules.Part // the parts of a rule, by its id
	named map[string]bool                  // rules that find parts
	folds map[string]bool                  // of those: rules of parts that grant nothing alone
	reach int64                            // the widest distance that a rule allows

	signed bool // a part is identified by its cookie's name

	is   map[int32]string // the rule of each credential that has parts or is one
	name map[int32]string // the cookie of each of them that is one
	near []position       // places not further back than reach
	best map[int32]map[string]nearest
}

// nearest is the best candidate for a part so far.
type nearest struct {
	cred     int32
	distance int64
}

func newParter(set *rules.Set) *parter {
	p := &parter{rules: map[string]map[string]rules.Part{}, named: map[string]bool{}, folds: map[string]bool{}, is: map[int32]string{}, name: map[int32]string{}, best: map[int32]map[string]nearest{}}
	if set == nil {
		return p
	}
	for _, r := range set.Rules {
		for _, part := range r.Parts {
			p.rules[r.ID], p.named[part.Rule] = r.Parts, true
			p.folds[part.Rule] = p.folds[part.Rule] || folds(r, set.Rule(part.Rule))
			p.signed = p.signed || part.Suffix != ""
			p.reach = max(p.reach, within(part))
		}
	}
	return p
}

// folds reports whether a part of r is no credential by itself: nothing asks about it and
// nothing ends it alone.
func folds(r, part *rules.Rule) bool {
	return part != nil && part.Cookie == nil && part.Kind != rules.KindPublic && !part.Fallback && !part.Probed() && len(part.Revokes) == 0 && r.Provider != nil && part.Provider == r.Provider
}

// fold returns the credential of which each part that grants nothing alone is a part, and the
// parts of each such credential. Of several, it is the first.
func (p *parter) fold(refs []int64) (into map[int32]int32, parts map[int32][]int32) {
	for _, main := range slices.Sorted(maps.Keys(p.best)) {
		if refs[main] == gone {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(p.best[main])) {
			c := p.best[main][name].cred
			if _, has := into[c]; has || refs[c] == gone || !p.folds[p.is[c]] || p.rules[p.is[main]][name].Suffix != "" {
				continue
			}
			if into == nil {
				into, parts = map[int32]int32{}, map[int32][]int32{}
			}
			into[c], parts[main] = main, append(parts[main], c)
		}
	}
	return into, parts
}

// within is how far a part may be from its credential, in bytes.
func within(p rules.Part) int64 { return int64(cmp.Or(p.Within, together)) }

// credential notes the rule of a credential.
func (p *parter) credential(i int32, c rules.Ref) {
	if p.named[c.Rule] || p.rules[c.Rule] != nil || p.signed && strings.HasSuffix(c.Cookie, rules.SignatureSuffix) {
		p.is[i] = c.Rule
		if p.signed && c.Cookie != "" {
			p.name[i] = c.Cookie
		}
	}
}

// artifact begins the places of the next artifact.
func (p *parter) artifact() { p.near = nil }

// add takes the next place of the artifact.
func (p *parter) add(s position) {
	if _, ok := p.is[s.cred]; !ok {
		return
	}
	for len(p.near) > 0 && s.from-p.near[0].from > 2*p.reach {
		p.near = p.near[1:]
	}
	for _, o := range p.near {
		p.pair(s, o)
		p.pair(o, s)
	}
	p.near = append(p.near, s)
}

// pair notes that part may belong to main.
func (p *parter) pair(main, part position) {
	d := max(main.from-part.to, part.from-main.to, 0)
	for name, want := range p.rules[p.is[main.cred]] {
		d := d
		if want.Suffix != "" {
			// A list of cookies has the signature after what it signs.
			if p.name[part.cred] != p.name[main.cred]+want.Suffix {
				continue
			}
			if part.from < main.from {
				d += within(want) / 2
			}
		} else if want.Rule != p.is[part.cred] {
			continue
		}
		if main.cred == part.cred || d > within(want) {
			continue
		}
		if p.best[main.cred] == nil {
			p.best[main.cred] = map[string]nearest{}
		}
		if has, ok := p.best[main.cred][name]; !ok || d < has.distance || d == has.distance && part.cred < has.cred {
			p.best[main.cred][name] = nearest{part.cred, d}
		}
	}
}

// partPrints returns the fingerprints of a credential's parts by their names; nil
// for a credential of one part. It reads the parts that are sent, and not the
// fingerprints that a report or a plan has next to them.
func partPrints(key rules.FingerprintKey, parts map[string]rules.Secret) map[string]string {
	var out map[string]string
	for name, s := range parts {
		if out == nil {
			out = make(map[string]string, len(parts))
		}
		out[name] = key.Fingerprint(s)
	}
	return out
}

// addParts gives a credential its parts.
func (l *credentials) addParts(i int32, c *rules.Credential) error {
	for name, n := range l.parts[i] {
		if l.refs[n.cred] == gone {
			continue
		}
		r, err := l.record(n.cred)
		if err != nil {
			return err
		}
		if c.Parts == nil {
			c.Parts, c.PartFingerprints = map[string]rules.Secret{}, map[string]string{}
		}
		c.Parts[name], c.PartFingerprints[name] = rules.NewSecret(r.Secret), l.prints[n.cred].String()
	}
	return nil
}
