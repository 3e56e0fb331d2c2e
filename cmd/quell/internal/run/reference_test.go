package run

import (
	"cmp"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
)

// referenceGroup makes credentials of findings: one for each distinct value, named by
// the most specific rule that found it. A part of a secret is none.
func referenceGroup(findings []rules.Finding, key rules.FingerprintKey, set *rules.Set) []rules.Credential {
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
			names := append(slices.Clone(c.Cookies), c.Cookie)
			c.Rule, c.Provider, c.Kind, c.Cookie, c.Cookies = f.Rule, f.Provider, f.Kind, f.Cookie, names
		} else {
			c.Cookies = append(c.Cookies, f.Cookie)
		}
		slices.Sort(c.Cookies)
		c.Cookies = slices.DeleteFunc(slices.Compact(c.Cookies), func(n string) bool { return n == "" || n == c.Cookie || c.Cookie == "" })
		if len(c.Cookies) == 0 {
			c.Cookies = nil
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

// referenceBind puts credentials together that leaked together and are one session: the
// pieces of a cookie too long for one become one credential; a refresh token and
// the tokens that it renews, a key and its session token, a client token and its
// cookie are kept apart, since each is ended in its own way, and name each other.
func referenceBind(creds []rules.Credential, key rules.FingerprintKey) []rules.Credential {
	creds = referenceJoin(creds, key)
	at := map[placeRef][]positionRef{}
	for i, c := range creds {
		if role(c.Ref) == "" {
			continue
		}
		for _, f := range c.Findings {
			p := placeOf(f.Location)
			at[p] = append(at[p], positionRef{f.Location.Offset, f.Location.EndOffset, i})
		}
	}
	parent := make([]int, len(creds))
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for _, positions := range at {
		slices.SortFunc(positions, func(a, b positionRef) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.cred, b.cred)) })
		// One open group of each family: a role that it has already begins the
		// next session, the next answer's tokens.
		open := map[string]*sessionRef{}
		for _, x := range positions {
			r := role(creds[x.cred].Ref)
			o := open[family(r)]
			if has, ok := 0, false; o != nil {
				if has, ok = o.roles[r]; ok && has == x.cred {
					o.to = x.to
					continue
				} else if !ok && x.from-o.to <= together {
					o.roles[r], o.to = x.cred, x.to
					parent[root(x.cred)] = root(o.first)
					continue
				}
			}
			open[family(r)] = &sessionRef{x.cred, x.to, map[string]int{r: x.cred}}
		}
	}
	groups := map[int][]int{}
	for i := range creds {
		groups[root(i)] = append(groups[root(i)], i)
	}
	for _, members := range groups {
		if len(members) < 2 {
			continue
		}
		slices.SortStableFunc(members, func(a, b int) int { return cmp.Compare(roleOf(creds[a].Ref), roleOf(creds[b].Ref)) })
		main := creds[members[0]]
		renews := main.Kind == rules.KindRefresh && main.Offline.State != rules.OfflineExpired
		for _, i := range members {
			creds[i].Group = main.Fingerprint
			creds[i].Role = role(creds[i].Ref)
			// The refresh token can mint a new access token at any time.
			creds[i].Renewable = renews && i != members[0]
		}
	}
	referenceSignatures(creds)
	return creds
}

// referenceSignatures names the cookie that a signature is sent with, and the other way
// round: a server that signs its cookies takes neither alone.
func referenceSignatures(creds []rules.Credential) {
	for i := range creds {
		name, ok := strings.CutSuffix(creds[i].Cookie, ".sig")
		if !ok {
			continue
		}
		for k := range creds {
			if creds[k].Cookie == name && withinReach(creds[i].Findings, creds[k].Findings) {
				creds[i].Group, creds[i].Role = creds[k].Fingerprint, "signature"
				creds[k].Group, creds[k].Role = creds[k].Fingerprint, "signed cookie"
				break
			}
		}
	}
}

// withinReach reports whether a finding of a is within the grouping distance of one of b, in the
// same artifact.
func withinReach(a, b []rules.Finding) bool {
	for _, x := range a {
		for _, y := range b {
			if d := x.Location.Offset - y.Location.Offset; placeOf(x.Location) == placeOf(y.Location) && max(d, -d) <= together {
				return true
			}
		}
	}
	return false
}

type placeRef struct{ path, artifact, commit, layer string }

func placeOf(l rules.Location) placeRef { return placeRef{l.Path, l.Artifact, l.Commit, l.Layer} }

// positionRef is where a credential is in an artifact.
type positionRef struct {
	from, to int64
	cred     int
}

// referenceJoin makes one credential of the pieces of a cookie that are next to each other,
// if none is missing between the first and the last.
func referenceJoin(creds []rules.Credential, key rules.FingerprintKey) []rules.Credential {
	type base struct {
		placeRef
		rule, name string
	}
	type piece struct {
		n    int
		at   int64
		cred int
	}
	pieces := map[base][]piece{}
	for i, c := range creds {
		m := chunkRE.FindStringSubmatch(c.Cookie)
		if m == nil {
			continue
		}
		f := c.Findings[0]
		b := base{placeOf(f.Location), c.Rule, m[1]}
		pieces[b] = append(pieces[b], piece{int(m[2][0] - '0'), f.Location.Offset, i})
	}
	gone := map[int]bool{}
	for b, list := range pieces {
		slices.SortFunc(list, func(x, y piece) int { return cmp.Or(cmp.Compare(x.n, y.n), cmp.Compare(x.at, y.at)) })
		whole := len(list) > 1 && list[0].n <= 1
		for i := 1; i < len(list); i++ {
			whole = whole && list[i].n == list[i-1].n+1 && max(list[i].at-list[i-1].at, list[i-1].at-list[i].at) <= together
		}
		if !whole {
			continue
		}
		var value []rules.Secret
		first := &creds[list[0].cred]
		for i := 1; i < len(list); i++ {
			d := list[i].at - creds[list[i-1].cred].Findings[0].Location.EndOffset
			first.Apart = first.Apart || d < 0 || d > adjacent
		}
		for _, p := range list {
			value = append(value, creds[p.cred].Secret)
			if p.cred != list[0].cred {
				gone[p.cred] = true
				first.Findings = append(first.Findings, creds[p.cred].Findings...)
			}
		}
		first.Secret, first.Cookie, first.Cookies = rules.JoinSecrets(value...), b.name, nil
		first.Fingerprint = key.Fingerprint(first.Secret)
	}
	var out []rules.Credential
	for i, c := range creds {
		if !gone[i] {
			out = append(out, c)
		}
	}
	return out
}

type sessionRef struct {
	first int
	to    int64
	roles map[string]int
}

// referenceParts moves the places of a key's id and of its session token to the secret key that
// is the nearest to them, of those that they are the nearest part of.
func referenceParts(creds []rules.Credential) []rules.Credential {
	gone := map[int]bool{}
	type move struct{ part, main int }
	var moves []move
	for i, c := range creds {
		if c.Rule != "aws-secret-key" {
			continue
		}
		for _, part := range []string{"aws-access-token", "aws-session-token"} {
			best, least := -1, int64(together)+1
			for k, p := range creds {
				if p.Rule != part {
					continue
				}
				for _, x := range c.Findings {
					for _, y := range p.Findings {
						if placeOf(x.Location) != placeOf(y.Location) {
							continue
						}
						if d := max(x.Location.Offset-y.Location.EndOffset, y.Location.Offset-x.Location.EndOffset, 0); d < least {
							best, least = k, d
						}
					}
				}
			}
			if best >= 0 && !gone[best] {
				gone[best] = true
				moves = append(moves, move{best, i})
			}
		}
	}
	for _, m := range moves {
		main, part := &creds[m.main], creds[m.part]
		main.Confidence = max(main.Confidence, part.Confidence)
		main.Findings = append(main.Findings, part.Findings...)
	}
	var out []rules.Credential
	for i, c := range creds {
		if !gone[i] {
			out = append(out, c)
		}
	}
	return out
}
