package detect

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTheIssuersHostIsAClaim(t *testing.T) {
	e := New(builtin(t))
	x := tokens{rand.New(rand.NewPCG(15, 16))}
	got := matches(e, "Host: app.example\ntoken: "+x.jwt(`{"iss":"https://SSO.acme.example:8443/realms/prod"}`)+"\n")
	if len(got) != 1 || !slices.Equal(got[0].Claims.Hosts, []string{"sso.acme.example:8443"}) {
		t.Errorf("%+v", got)
	}
}

func TestHostsOfTheBlockAreClaims(t *testing.T) {
	e := New(builtin(t))
	const cookie = "grafana_session=9f86d081884c7d659a2feaa0c55ad015"
	for text, want := range map[string][]string{
		"> GET / HTTP/1.1\n> Host: grafana.acme.example\n> Cookie: " + cookie + "\n":                                                                      {"grafana.acme.example"},
		"* h2h3 [:authority: grafana.acme.example]\n* h2h3 [cookie: " + cookie + "]\n":                                                                    {"grafana.acme.example"},
		"Host: first.example\nCookie: a=b\n\nGET / HTTP/1.1\nHost: second.example:8443\nCookie: " + cookie + "\n":                                         {"second.example:8443"},
		"{\n \"request\": {\n  \"url\": \"https://grafana.acme.example/api\",\n  \"headers\": [\n   {\"name\":\"Cookie\",\"value\":\"" + cookie + "\"}\n": {"grafana.acme.example"},
		"Cookie: " + cookie + "\nHost: after.example\n":                                                                                                   {"after.example"},
		"Cookie: " + cookie + "\n": nil,
	} {
		var got []string
		for _, m := range matches(e, text) {
			got = append(got, m.Claims.Hosts...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
