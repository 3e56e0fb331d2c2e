package run

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
)

// together is how far apart, in bytes of one artifact, the parts of one session
// may stand: three tokens of an answer, or the cookies of one header, with what
// is between.
const together = 8 << 10

// Bind puts credentials together that leaked together and are one session: the
// pieces of a cookie too long for one become one credential; a refresh token and
// the tokens that it renews, a key and its session token, a client token and its
// cookie are kept apart, since each is ended in its own way, and name each other.
func Bind(creds []rules.Credential, key rules.FingerprintKey) []rules.Credential {
	creds = joinChunks(creds, key)
	at := map[place][]seat{}
	for i, c := range creds {
		if role(c) == "" {
			continue
		}
		for _, f := range c.Findings {
			p := placeOf(f.Location)
			at[p] = append(at[p], seat{f.Location.Offset, f.Location.EndOffset, i})
		}
	}
	parent := make([]int, len(creds))
	for i := range parent {
		parent[i] = i
	}
	var root func(int) int
	root = func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for _, seats := range at {
		slices.SortFunc(seats, func(a, b seat) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.cred, b.cred)) })
		// One open group of each family: a role that it has already begins the
		// next session, the next answer's tokens.
		open := map[string]*session{}
		for _, x := range seats {
			r := role(creds[x.cred])
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
			open[family(r)] = &session{x.cred, x.to, map[string]int{r: x.cred}}
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
		slices.SortStableFunc(members, func(a, b int) int { return cmp.Compare(order(creds[a]), order(creds[b])) })
		main := creds[members[0]]
		renews := main.Kind == rules.KindRefresh && main.Offline.State != rules.OfflineExpired
		for _, i := range members {
			creds[i].Group = main.Fingerprint
			creds[i].Role = role(creds[i])
			// Who has the refresh token has a new access token when he wants one.
			creds[i].Renewable = renews && i != members[0]
		}
	}
	bindSignatures(creds)
	return creds
}

// bindSignatures names the cookie that a signature is sent with, and the other way
// round: a server that signs its cookies takes neither alone.
func bindSignatures(creds []rules.Credential) {
	for i := range creds {
		name, ok := strings.CutSuffix(creds[i].Cookie, ".sig")
		if !ok {
			continue
		}
		for k := range creds {
			if creds[k].Cookie == name && beside(creds[i].Findings, creds[k].Findings) {
				creds[i].Group, creds[i].Role = creds[k].Fingerprint, "signature"
				creds[k].Group, creds[k].Role = creds[k].Fingerprint, "signed cookie"
				break
			}
		}
	}
}

// beside reports whether one of a stands near one of b in the same artifact.
func beside(a, b []rules.Finding) bool {
	for _, x := range a {
		for _, y := range b {
			if d := x.Location.Offset - y.Location.Offset; placeOf(x.Location) == placeOf(y.Location) && max(d, -d) <= together {
				return true
			}
		}
	}
	return false
}

type place struct{ path, artifact, commit, layer string }

func placeOf(l rules.Location) place { return place{l.Path, l.Artifact, l.Commit, l.Layer} }

// seat is where a credential stands in an artifact.
type seat struct {
	from, to int64
	cred     int
}

// role is what a credential is in a group; empty: it stands alone.
func role(c rules.Credential) string {
	switch c.Rule {
	case "slack-client-token":
		return "Slack client token"
	case "slack-session-cookie":
		return "Slack d cookie"
	case "aws-access-token":
		return "AWS access key id"
	case "aws-secret-key":
		return "AWS secret key"
	case "aws-session-token":
		return "AWS session token"
	}
	switch {
	case c.Kind == rules.KindRefresh:
		return "refresh token"
	case c.Token != nil && c.Token.Type == "ID token":
		return "ID token"
	case c.Kind == rules.KindJWT || c.Kind == rules.KindBearer && c.Cookie == "":
		return "access token"
	}
	return ""
}

// order sorts a group by which of it keeps the session alive.
func order(c rules.Credential) int {
	return max(0, slices.Index([]string{"refresh token", "Slack client token", "AWS secret key", "AWS access key id", "AWS session token", "access token", "ID token", "Slack d cookie"}, role(c)))
}

// session is a group while it is put together: roles by name.
type session struct {
	first int
	to    int64
	roles map[string]int
}

// family is whose tokens go together.
func family(role string) string {
	switch w, _, _ := strings.Cut(role, " "); w {
	case "Slack", "AWS":
		return w
	}
	return "OAuth"
}

// chunkRE is how frameworks name the pieces of a cookie that is longer than
// 4 KiB: .0 (Auth.js, Supabase), C1 (ASP.NET Core), _0 (oauth2-proxy), -0
// (an Amazon load balancer).
var chunkRE = regexp.MustCompile(`^(.+?)(?:\.|_|-|C)([0-9])$`)

// joinChunks makes one credential of the pieces of a cookie that stand together,
// where none is missing between the first and the last.
func joinChunks(creds []rules.Credential, key rules.FingerprintKey) []rules.Credential {
	type base struct {
		place
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
		for _, p := range list {
			value = append(value, creds[p.cred].Secret)
			if p.cred != list[0].cred {
				gone[p.cred] = true
				first.Findings = append(first.Findings, creds[p.cred].Findings...)
			}
		}
		first.Secret, first.Cookie = rules.JoinSecrets(value...), b.name
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
