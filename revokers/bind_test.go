package revokers_test

import (
	"encoding/base64"
	"net/url"
	"slices"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// setOf has the rule of lot's targets.
func setOf(t *testing.T) *rules.Set {
	t.Helper()
	r := lot{}.target(t).Rule
	return &rules.Set{Rules: []*rules.Rule{r}, Providers: map[string]*rules.Provider{r.Provider.ID: r.Provider}}
}

func named(t *testing.T, address, cookie string) *issuer.Instance {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer.Instance{Provider: "made-up", URL: u, Operator: true, Cookie: cookie, Settings: map[string]string{}}
}

func addresses(list []revokers.Target) []string {
	var out []string
	for _, t := range list {
		out = append(out, t.URL())
	}
	return out
}

// Claims of the text choose among the instances that the operator or the
// provider's file named. They never add one.
func TestClaimsChooseAmongNamedInstances(t *testing.T) {
	public := &issuer.Instance{Provider: "made-up", URL: &url.URL{Scheme: "https", Host: "issuer.example"}, Public: true, HasPublic: true}
	a, b := named(t, "https://a.example", ""), named(t, "https://b.example:8443", "")
	set := setOf(t)
	for name, c := range map[string]struct {
		all          issuer.Instances
		hosts        []string
		ask, skipped []string
	}{
		"without a claim the operator's come first":   {issuer.Instances{public, a, b}, nil, []string{"https://a.example", "https://b.example:8443", "https://issuer.example"}, nil},
		"a claim selects its instance":                {issuer.Instances{public, a, b}, []string{"b.example:8443"}, []string{"https://b.example:8443"}, []string{"https://issuer.example", "https://a.example"}},
		"a claim of another port selects nothing":     {issuer.Instances{a, b}, []string{"b.example:9"}, []string{"https://a.example", "https://b.example:8443"}, nil},
		"a foreign host is never added":               {issuer.Instances{public, a}, []string{"evil.example"}, []string{"https://a.example", "https://issuer.example"}, nil},
		"a foreign host next to a named one":          {issuer.Instances{public, a}, []string{"evil.example", "a.example"}, []string{"https://a.example"}, []string{"https://issuer.example"}},
		"the operator's entry replaces the file's":    {issuer.Instances{public, named(t, "https://issuer.example", "")}, nil, []string{"https://issuer.example"}, nil},
		"without an instance there is nothing to ask": {nil, []string{"a.example"}, nil, nil},
	} {
		cred := lot{hosts: c.hosts}.target(t).Credential
		got := revokers.Bind(set, c.all, cred)
		if !slices.Equal(addresses(got.Ask), c.ask) || !slices.Equal(addresses(got.Skipped), c.skipped) || (got.None == "") != (c.ask != nil) {
			t.Errorf("%s: asks %v, skips %v, %q", name, addresses(got.Ask), addresses(got.Skipped), got.None)
		}
	}
	one := issuer.Instances{public, named(t, "https://issuer.example", "")}
	if got := revokers.Bind(set, one, lot{}.target(t).Credential); len(got.Ask) != 1 || !got.Ask[0].Instance.Operator {
		t.Error("the provider file's entry was not replaced")
	}
}

// A cookie is bound to one application only if its name belongs to one alone.
func TestACookieIsNamedByOneInstanceAlone(t *testing.T) {
	target := lot{cookie: true}.target(t)
	set := &rules.Set{Rules: []*rules.Rule{target.Rule}, Providers: map[string]*rules.Provider{"made-up": target.Rule.Provider}}
	cred := target.Credential
	cred.Cookie = "sid"
	// Another product, whose sessions have this name too unless the operator gives another.
	other := named(t, "https://c.example", "")
	other.Provider = "framework"
	set.Rules = append(set.Rules, &rules.Rule{ID: "framework", Provider: &rules.Provider{ID: "framework"}, Kind: credential.KindSessionCookie, Cookie: &rules.CookieFamily{Names: []string{"s*d"}}})
	page := func(i *issuer.Instance, path string) *issuer.Instance { i.Settings["probe_path"] = path; return i }
	for name, c := range map[string]struct {
		all   issuer.Instances
		named []bool
	}{
		"one application has the name":                                                          {issuer.Instances{named(t, "https://a.example", "sid")}, []bool{true}},
		"two applications of one origin with two names":                                         {issuer.Instances{named(t, "https://a.example", "sid"), named(t, "https://a.example", "other")}, []bool{true}},
		"two applications have the name":                                                        {issuer.Instances{named(t, "https://a.example", "sid"), named(t, "https://b.example", "sid")}, []bool{false, false}},
		"two applications of one origin have the name":                                          {issuer.Instances{page(named(t, "https://a.example", "sid"), "/a"), page(named(t, "https://a.example", "sid"), "/b")}, []bool{false, false}},
		"the operator gave no name":                                                             {issuer.Instances{named(t, "https://a.example", "")}, []bool{false}},
		"an application without a name is not asked, and can have issued what its family names": {issuer.Instances{named(t, "https://a.example", "sid"), named(t, "https://b.example", "")}, []bool{false}},
		"so can one of another provider":                                                        {issuer.Instances{named(t, "https://a.example", "sid"), other}, []bool{false}},
	} {
		var got []bool
		for _, x := range revokers.Bind(set, c.all, cred).Ask {
			got = append(got, x.Named)
		}
		if !slices.Equal(got, c.named) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// If a database refuses the password of a user that the text does not name, nothing follows
// for the user that the text names.
func TestAnotherUserOrDatabaseIsNotAsked(t *testing.T) {
	set := setOf(t)
	for name, c := range map[string]struct {
		address, user string
		claims        credential.Claims
		skipped       bool
	}{
		"the same user":          {"https://db.example", "app", credential.Claims{User: "app"}, false},
		"another user":           {"https://db.example", "app", credential.Claims{User: "root"}, true},
		"no user in the text":    {"https://db.example", "app", credential.Claims{}, false},
		"the same database":      {"postgres://db.example/shop", "app", credential.Claims{User: "app", Database: "shop"}, false},
		"another database":       {"postgres://db.example/shop", "app", credential.Claims{User: "app", Database: "crm"}, true},
		"no database is claimed": {"postgres://db.example/shop", "app", credential.Claims{User: "app"}, false},
	} {
		in := named(t, c.address, "")
		in.Settings["user"] = c.user
		cred := lot{}.target(t).Credential
		cred.Claims = c.claims
		got := revokers.Bind(set, issuer.Instances{in}, cred)
		if (len(got.Skipped) == 1) != c.skipped || len(got.Ask)+len(got.Skipped) != 1 {
			t.Errorf("%s: asks %d, skips %d", name, len(got.Ask), len(got.Skipped))
		}
	}
}

// A product's JWT that names no issuer, or a path of its host, is the
// instance's; one that names another host is not.
func TestAProductsJWTIsItsHosts(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for claims, want := range map[string]int{`{"jti":"x"}`: 1, `{"iss":"https://uaa.example/oauth/token"}`: 1, `{"iss":"https://other.example/oauth/token"}`: 0} {
		jwt := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2lnbmF0dXJl"
		in := named(t, "https://uaa.example", "")
		in.Provider = "uaa"
		cred := credential.Credential{Ref: credential.Ref{Rule: "cloudfoundry-uaa-token", Kind: credential.KindJWT}, Secret: credential.NewSecretString(jwt)}
		if got := revokers.Bind(set, issuer.Instances{in}, cred); len(got.Ask) != want {
			t.Errorf("%s: bound to %d instances, want %d", claims, len(got.Ask), want)
		}
	}
}
