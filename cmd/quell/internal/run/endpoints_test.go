package run

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// An issuer with two endpoints: Dead by one counts only if the other refused the
// token too. If one answers Live, it is Live.
func TestTwoEndpointsOfOneIssuer(t *testing.T) {
	const token, control = "made-up-leaked-0123456789abcd", "made-up-control-0123456789abc"
	refused := reply(401, `{"error":"invalid_token"}`, "WWW-Authenticate", `Bearer error="invalid_token"`)
	active, inactive, ended := reply(200, `{"active":true,"sub":"7"}`), reply(200, `{"active":false}`), reply(200, `{"active":false,"why":"revoked"}`)
	user := reply(200, `{"sub":"7"}`)
	const marker = "dead_marker = \"revoked\"\n"
	for name, c := range map[string]struct {
		introspection, userinfo http.HandlerFunc // for the leaked token
		more                    string
		want                    revokers.Liveness
		reason                  revokers.Reason
	}{
		"inactive from the beginning, and userinfo accepts it":  {inactive, user, marker, revokers.Live, ""},
		"inactive from the beginning, and userinfo refuses it":  {inactive, refused, "", revokers.Unknown, revokers.Refused},
		"the operator's marker, and userinfo refuses it":        {ended, refused, marker, revokers.Dead, ""},
		"the operator's marker, and userinfo is down":           {ended, down, marker, revokers.Unknown, revokers.Unreachable},
		"the operator's marker, and userinfo is throttled":      {ended, slow, marker, revokers.Unknown, revokers.Throttled},
		"the operator's marker, and userinfo demands a scope":   {ended, reply(403, "", "WWW-Authenticate", `Bearer error="insufficient_scope"`), marker, revokers.Unknown, revokers.Restricted},
		"the operator's marker, and userinfo accepts it":        {ended, user, marker, revokers.Live, ""},
		"active, whatever userinfo says":                        {active, refused, marker, revokers.Live, ""},
		"introspection refuses the client, userinfo the token":  {reply(401, `{"error":"invalid_client"}`), refused, marker, revokers.Unknown, ""},
		"introspection says nothing, userinfo has the marker":   {reply(200, `{}`), reply(401, "revoked"), marker, revokers.Unknown, revokers.Unexpected},
		"both have the marker":                                  {ended, reply(401, "revoked"), marker, revokers.Dead, ""},
		"the marker in an answer of an endpoint that is not up": {reply(503, "revoked"), reply(503, "revoked"), marker, revokers.Unknown, revokers.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			var srv *httptest.Server
			srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				sent := r.Form.Get("token") + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
				leaked, live := strings.Contains(sent, token), strings.Contains(sent, control)
				switch r.URL.Path {
				case "/i":
					switch {
					case leaked:
						c.introspection(w, r)
					case live:
						active(w, r)
					default:
						inactive(w, r)
					}
				case "/u":
					switch {
					case leaked:
						c.userinfo(w, r)
					case live:
						user(w, r)
					default:
						refused(w, r)
					}
				default:
					_ = json.NewEncoder(w).Encode(map[string]string{"issuer": srv.URL, "introspection_endpoint": srv.URL + "/i", "userinfo_endpoint": srv.URL + "/u"})
				}
			}))
			defer srv.Close()
			policy := fmt.Sprintf("version = 1\n[[instance]]\nprovider = \"oauth\"\nurl = %q\nelsewhere = false\nclient_id = \"c\"\nclient_secret = \"env:S\"\ncontrol = \"env:CTL\"\n%s", srv.URL, c.more)
			r := again(t, t.TempDir(), policy, map[string]string{"S": "made-up-client-secret", "CTL": control})
			cred := rules.Credential{Ref: rules.Ref{Rule: "oauth-access-token", Provider: "oauth", Kind: rules.KindBearer}, Secret: rules.NewSecretString(token)}
			v := r.Checker().One(t.Context(), cred).Verdict()
			if v.Liveness != c.want || c.reason != "" && v.Reason != c.reason {
				t.Errorf("%s %s: %s", v.Liveness, v.Reason, v.Detail)
			}
			if v.Liveness == revokers.Unknown && v.Remedy == "" {
				t.Errorf("no remedy: %s %s", v.Reason, v.Detail)
			}
		})
	}
}

// A PostgreSQL server refuses a password to the user that it is not of, to every
// user that does not exist, and in every spelling but its own.
func TestThePasswordOfADatabase(t *testing.T) {
	address, _ := postgresServer(t)
	admin := strings.Replace(address, "%s", "postgres", 1)
	const plain, encoded = "p@ss+word %41/made-up", "p%40ss%2Bword%20%2541%2Fmade-up"
	sql := "CREATE ROLE app LOGIN PASSWORD '" + plain + "'; CREATE ROLE root LOGIN PASSWORD 'another-made-up'"
	if out, err := exec.Command("psql", admin, "-qc", sql).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	host := strings.TrimSuffix(address[strings.LastIndexByte(address, '@')+1:], "/%s?sslmode=disable")
	as := func(user, more string) string {
		return fmt.Sprintf("[[instance]]\nprovider = \"postgres\"\nurl = \"postgres://%s/postgres\"\nuser = %q\n%s", host, user, more)
	}
	const sole = "elsewhere = false\n"
	for name, c := range map[string]struct {
		policy, secret string
		claims         rules.Claims
		want           revokers.Liveness
		reason         revokers.Reason
	}{
		"as an address has it":                       {as("app", sole), encoded, rules.Claims{User: "app"}, revokers.Live, ""},
		"an ended one":                               {as("app", sole), "ended-made-up", rules.Claims{User: "app"}, revokers.Dead, ""},
		"an ended one, whose server is not certain":  {as("app", ""), "ended-made-up", rules.Claims{User: "app"}, revokers.Unknown, revokers.Refused},
		"of another user":                            {as("root", sole), encoded, rules.Claims{User: "app"}, revokers.Unknown, revokers.OtherIssuer},
		"of one of two users":                        {as("root", sole), encoded, rules.Claims{User: "root", Users: []string{"app"}}, revokers.Unknown, revokers.OtherIssuer},
		"of another database":                        {as("app", sole), "ended-made-up", rules.Claims{User: "app", Database: "crm"}, revokers.Unknown, revokers.OtherIssuer},
		"of another port":                            {as("app", sole), "ended-made-up", rules.Claims{User: "app", Hosts: []string{"127.0.0.1:1"}}, revokers.Unknown, revokers.OtherIssuer},
		"with a plus that can be a space":            {as("app", sole), "ended+made-up", rules.Claims{User: "app"}, revokers.Unknown, revokers.Refused},
		"of the second of two users of one database": {as("root", sole) + as("app", sole), encoded, rules.Claims{User: "app"}, revokers.Live, ""},
		"of neither user, named by none":             {as("root", sole) + as("app", sole), "ended-made-up", rules.Claims{}, revokers.Dead, ""},
		"without a user in the policy":               {strings.Replace(as("app", sole), "user = \"app\"\n", "", 1), encoded, rules.Claims{User: "app"}, revokers.Unknown, revokers.Unsupported},
	} {
		r := again(t, t.TempDir(), "version = 1\n"+c.policy, nil)
		cred := rules.Credential{Ref: rules.Ref{Rule: "postgres-url", Provider: "postgres", Kind: rules.KindPassword, Claims: c.claims}, Secret: rules.NewSecretString(c.secret)}
		v := r.Checker().One(t.Context(), cred).Verdict()
		if v.Liveness != c.want || c.reason != "" && v.Reason != c.reason {
			t.Errorf("%s: %s %s: %s", name, v.Liveness, v.Reason, v.Detail)
		}
		if v.Liveness == revokers.Unknown && v.Remedy == "" {
			t.Errorf("%s: no remedy", name)
		}
	}
}
