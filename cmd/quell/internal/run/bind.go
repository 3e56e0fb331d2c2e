package run

import (
	"regexp"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
)

// together is how far apart the parts of one session can be, in bytes of one
// artifact: three tokens of a response, or the cookies of one header, with the
// text between them.
const together = 8 << 10

// roles are the parts that a credential can have in a group, in the order in
// which they keep a session alive. The first is that of a credential without a
// group.
var roles = []string{"", "refresh token", "Slack client token", "AWS secret key", "AWS access key id", "AWS session token", "access token", "ID token", "Slack d cookie"}

// role is the part that a credential has in a group.
func role(c rules.Ref) string {
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

// roleOf is role as an index into roles.
func roleOf(c rules.Ref) uint8 { return uint8(slices.Index(roles, role(c))) }

// renews reports whether a credential can mint new ones of its group.
func renews(c rules.Ref) bool {
	return c.Kind == rules.KindRefresh && c.Offline.State != rules.OfflineExpired
}

// family names the roles that form groups with each other.
func family(role string) string {
	switch w, _, _ := strings.Cut(role, " "); w {
	case "Slack", "AWS":
		return w
	}
	return "OAuth"
}

// adjacent is how far the next piece of a cookie may begin after the end of one, in bytes, if they
// are certain to be of one list: the attributes of a header Set-Cookie are in between, or the
// members of a JSON object.
const adjacent = 512

// chunkRE is how frameworks name the pieces of a cookie that is longer than
// 4 KiB: .0 (Auth.js, Supabase), C1 (ASP.NET Core), _0 (oauth2-proxy), -0
// (an Amazon load balancer).
var chunkRE = regexp.MustCompile(`^(.+?)(?:\.|_|-|C)([0-9])$`)

// signatureSuffix ends the name of the cookie that signs another: a server that
// signs its cookies accepts neither alone.
const signatureSuffix = rules.SignatureSuffix
