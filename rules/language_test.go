package rules

import (
	"strings"
	"testing"
)

const languageHead = `[provider]
id = "x"
hosts = ["api.example.com", "id.example.com"]
[provider.source.docs]
url = "https://docs.example.com"
[[rules]]
id = "x"
regex = '''\b(x_(?P<id>[a-z]{8})_[a-z]{8})\b'''
[rules.parts]
key = { rule = "y" }
account = { rule = "z", public = true }
`

func revokeWith(request string) string {
	return languageHead + "[[rules.revoke]]\nid = \"r\"\ntier = \"self\"\nscope = \"this_session\"\ngrade = \"P\"\nsettle = \"1s\"\naccept = [200]\nrequest = " + request + "\n"
}

func probeWith(request, arms string) string {
	return languageHead + "[rules.probe]\nrequest = " + request + "\n[[rules.probe.when]]\nstatus = [200]\njson = { ok = true }\nthen = \"live\"\n" + arms
}

const deadArm = "[[rules.probe.when]]\nstatus = [401]\nthen = \"dead\"\n"

func TestTheLoaderRefuses(t *testing.T) {
	get := `{ method = "GET", path = "/me" }`
	for name, c := range map[string]struct{ text, want string }{
		"a misspelt group":                            {revokeWith(`{ method = "DELETE", path = "/t/{token-id}" }`), "unknown variable {token-id} (hint: {token.id})"},
		"a misspelt variable":                         {revokeWith(`{ method = "DELETE", path = "/t", header = { A = "Bearer {tokn}" } }`), "unknown variable {tokn} (hint: {token})"},
		"a variable with spaces":                      {revokeWith(`{ method = "POST", path = "/t", json = { q = "{ viewer }" } }`), "unknown variable { viewer }"},
		"a function that there is not":                {revokeWith(`{ method = "DELETE", path = "/t/{token.sha1.hex}" }`), "unknown variable {token.sha1.hex}"},
		"a part that is not declared":                 {revokeWith(`{ method = "DELETE", path = "/t", header = { A = "{part.kee}" } }`), "hint: {part.key}"},
		"a secret in a path":                          {revokeWith(`{ method = "DELETE", path = "/t/{token}" }`), "secret_in_url"},
		"a secret part in a query":                    {revokeWith(`{ method = "DELETE", path = "/t", query = { k = "{part.key}" } }`), "secret_in_url"},
		"a decoded secret in a path":                  {revokeWith(`{ method = "DELETE", path = "/t/{token.base64}" }`), "secret_in_url"},
		"a password in a path":                        {revokeWith(`{ method = "DELETE", path = "/t/{admin.password}" }`), "secret_in_url"},
		"secret_in_url without a secret":              {revokeWith(`{ method = "DELETE", path = "/t/{token.id}", secret_in_url = true }`), "no secret is in the path"},
		"a host of somebody else":                     {revokeWith(`{ method = "DELETE", host = "evil.example", path = "/t" }`), "not one of the provider's hosts"},
		"a path with a dot segment":                   {revokeWith(`{ method = "DELETE", path = "/a/../t" }`), "dot segment"},
		"a path with a query":                         {revokeWith(`{ method = "DELETE", path = "/a?b=c" }`), "more than a path"},
		"a path that is another host":                 {revokeWith(`{ method = "DELETE", path = "//evil.example/t" }`), "not a path"},
		"two bodies":                                  {revokeWith(`{ method = "POST", path = "/t", form = { a = "b" }, json = { a = "b" } }`), "a body is one of"},
		"a body of a GET":                             {revokeWith(`{ method = "GET", path = "/t", form = { a = "b" } }`), "has no body"},
		"a raw body without a type":                   {revokeWith(`{ method = "POST", path = "/t", raw = { text = "x" } }`), "needs its type"},
		"a header with a line break":                  {revokeWith(`{ method = "POST", path = "/t", header = { A = "b\nc" } }`), "control character"},
		"a header of the connection":                  {revokeWith(`{ method = "POST", path = "/t", header = { Host = "evil.example" } }`), "not the file's to set"},
		"basic and Authorization":                     {revokeWith(`{ method = "POST", path = "/t", basic = ["a", "b"], header = { Authorization = "x" } }`), "both basic and"},
		"basic with one half":                         {revokeWith(`{ method = "POST", path = "/t", basic = ["a"] }`), "a user and a password"},
		"four requests":                               {revokeWith(`[{ method = "POST", path = "/1" }, { method = "POST", path = "/2" }, { method = "POST", path = "/3" }, { method = "POST", path = "/4" }]`), "more than three requests"},
		"a claim that is not always":                  {strings.Replace(revokeWith(get), "accept", "claim = \"often\"\naccept", 1), `claim can only be "always"`},
		"a batch without a list":                      {strings.Replace(revokeWith(`{ method = "POST", path = "/t", json = { t = "{token}" } }`), "accept", "batch = 5\naccept", 1), "can end several"},
		"a restore of what is not reversible":         {revokeWith(get) + "[rules.revoke.restore]\naccept = [200]\nrequest = { method = \"POST\", path = \"/r\" }\n", "not reversible"},
		"a probe that posts":                          {probeWith(`{ method = "POST", path = "/me" }`, deadArm), "reads = true"},
		"a probe that reads without a source":         {probeWith(`{ method = "POST", reads = true, path = "/me" }`, deadArm), "reads = true and the source"},
		"a probe that revokes":                        {probeWith(`{ method = "POST", reads = true, source = "docs", path = "/oauth/revoke" }`, deadArm), `"revoke" changes something`},
		"a probe that signs out with a GET":           {probeWith(`{ method = "GET", path = "/logout" }`, deadArm), `"logout" changes something`},
		"a probe that mints":                          {probeWith(`{ method = "POST", reads = true, source = "docs", path = "/oauth/token", form = { grant_type = "refresh_token" } }`, deadArm), "grant_type=refresh_token"},
		"a probe that costs money":                    {probeWith(`{ method = "POST", reads = true, source = "docs", path = "/v1/chat/completions" }`, deadArm), "costs money"},
		"a probe that posts a message":                {probeWith(`{ method = "POST", reads = true, source = "docs", path = "/bot/sendMessage" }`, deadArm), "changes something"},
		"a probe with a mutation":                     {probeWith(`{ method = "POST", reads = true, source = "docs", path = "/graphql", json = { query = "mutation {{ x }}" } }`, deadArm), "mutation"},
		"a dead 403 without a condition":              {probeWith(get, strings.Replace(deadArm, "401", "403", 1)), "an answer of 403 is never dead without a condition"},
		"a dead 200 without a condition":              {probeWith(get, strings.Replace(deadArm, "401", "200", 1)), "an answer of 200 is never dead without a condition"},
		"a dead 200 that only lacks something":        {probeWith(get, "[[rules.probe.when]]\nstatus = [200]\njson = { id = { absent = true } }\nthen = \"dead\"\n"), "never dead without a condition"},
		"a dead 408":                                  {probeWith(get, "[[rules.probe.when]]\nstatus = [408]\njson = { code = 1 }\nthen = \"dead\"\n"), "an answer of 408 is never dead"},
		"an unknown condition":                        {probeWith(get, "[[rules.probe.when]]\nstatus = [401]\njson = { code = { startswith = \"x\" } }\nthen = \"dead\"\n"), `unknown condition "startswith"`},
		"a source that is not declared":               {probeWith(get, "[[rules.probe.when]]\nstatus = [401]\nsource = \"doc\"\nthen = \"dead\"\n"), "no [provider.source.doc] (hint: docs)"},
		"also on a live arm":                          {strings.Replace(probeWith(get, deadArm), "then = \"live\"", "also = \"asker\"\nthen = \"live\"", 1), "also is for dead arms"},
		"a shared probe that is not declared":         {languageHead + "[rules.probe]\nuse = \"me\"\n", "no [provider.probe.me]"},
		"a shared probe that no rule uses":            {strings.Replace(languageHead, "[[rules]]", "[provider.probe.me]\nrequest = "+get+"\n[[rules]]", 1), "no rule uses [provider.probe.me]"},
		"a list that is not declared":                 {strings.Replace(languageHead, `"id.example.com"`, `"id.{region:asw}.example.com"`, 1), `no list "asw" (hint: aws)`},
		"a host with a path":                          {strings.Replace(languageHead, `"id.example.com"`, `"id.example.com/x"`, 1), "not the name of a host"},
		"a host with a port":                          {strings.Replace(languageHead, `"id.example.com"`, `"id.example.com:8443"`, 1), "not the name of a host"},
		"a public client without a source":            {strings.Replace(languageHead, "[provider.source.docs]", "[provider.client]\nid = \"c\"\n[provider.source.docs]", 1), "needs its source"},
		"a pick that is the same for all credentials": {stepWith(`pick = { where = "name", equals = "mine", keep = { k = "id" } }`), "the same for all credentials"},
		"a pick with two comparisons":                 {stepWith(`pick = { where = "name", equals = "{token}", prefix = "{token}", keep = { k = "id" } }`), "one of equals"},
		"a kept name of the language":                 {stepWith(`keep = { token = "id" }`), "is a variable of the language"},
		"two logins":                                  {stepWith("\n[[rules.revoke.step]]\nrequest = { method = \"POST\", login = true, path = \"/a\" }\n[[rules.revoke.step]]\nrequest = { method = \"POST\", login = true, path = \"/b\" }"), "one POST may be the login"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load("x.toml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func stepWith(rest string) string {
	return revokeWith(`{ method = "DELETE", path = "/t" }`) + "[[rules.revoke.step]]\nrequest = { method = \"GET\", path = \"/list\" }\n" + rest + "\n"
}

func TestTheLoaderTakes(t *testing.T) {
	get := `{ method = "GET", path = "/me" }`
	for name, text := range map[string]string{
		"a group and its digest in a path":         revokeWith(`{ method = "DELETE", path = "/t/{token.id}/{token.sha256.hex}" }`),
		"a public part in a path":                  revokeWith(`{ method = "DELETE", path = "/a/{part.account}/t" }`),
		"the account of an administrator's pair":   revokeWith(`{ method = "DELETE", path = "/a/{admin.user}/t" }`),
		"a declared secret in a path":              revokeWith(`{ method = "DELETE", path = "/t/{token}", secret_in_url = true }`),
		"a list as a body":                         revokeWith(`{ method = "POST", path = "/t", json = ["{token}"] }`),
		"three requests":                           revokeWith(`[{ method = "POST", path = "/1" }, { method = "POST", path = "/2", after = "5s" }, { method = "POST", path = "/3", accept = [404] }]`),
		"a dead 403 with a condition":              probeWith(get, "[[rules.probe.when]]\nstatus = [403]\njson = { invalidToken = true }\nthen = \"dead\"\nsource = \"docs\"\n"),
		"a dead 200 with a header":                 probeWith(get, "[[rules.probe.when]]\nstatus = [200]\nheader = { X-Error = { prefix = \"revoked\" } }\nthen = \"dead\"\nsource = \"docs\"\n"),
		"an introspection":                         probeWith(`{ method = "POST", reads = true, source = "docs", path = "/oauth/introspect", form = { token = "{token}" } }`, deadArm),
		"a list of messages that a GET only reads": probeWith(`{ method = "GET", path = "/v1/messages" }`, deadArm),
	} {
		if _, err := Load("x.toml", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNeedsAreAddedByThemselves(t *testing.T) {
	set, err := Load("x.toml", []byte(revokeWith(`{ method = "DELETE", path = "/{namespace}/t", basic = ["{admin.user}", "{part.key}"], form = { client_secret = "{client.secret}" } }`)))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(set.Rules[0].Revokes[0].Needs, " ")
	for _, want := range []string{"namespace", "admin", "part.key", "client", "client.secret"} {
		if !strings.Contains(" "+got+" ", " "+want+" ") {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
}

func TestHostsThatRequestsNameAreNotAskedByThemselves(t *testing.T) {
	set, err := Load("x.toml", []byte(revokeWith(`{ method = "DELETE", host = "id.example.com", path = "/t" }`)))
	if err != nil {
		t.Fatal(err)
	}
	p := set.Providers["x"]
	if strings.Join(p.Asked, " ") != "api.example.com" || !p.Pins("id.example.com") || !set.Rules[0].OneIssuer() {
		t.Errorf("asked: %q", p.Asked)
	}
}

func TestASecretOfOneRegionIsNotSentToAnother(t *testing.T) {
	text := strings.Replace(languageHead, `"api.example.com", "id.example.com"`, `"api.{token.id:ids}.example.com"`, 1)
	text = strings.Replace(text, "[provider.source.docs]", "[provider.lists]\nids = [\"aaaaaaaa\", \"bbbbbbbb\"]\n[provider.source.docs]", 1)
	set, err := Load("x.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r := set.Rules[0]
	s := NewSecretString("x_aaaaaaaa_cccccccc")
	if !r.Issues("api.aaaaaaaa.example.com", s) || r.Issues("api.bbbbbbbb.example.com", s) || r.OneIssuer() {
		t.Error("the region of the secret does not choose the host")
	}
	get := func(v string) func(string) (string, bool) { return func(string) (string, bool) { return v, v != "" } }
	pattern := set.Providers["x"].Patterns[0]
	if h, err := set.Providers["x"].HostOf(pattern, "elsewhere.example.com", get("bbbbbbbb")); err != nil || h != "api.bbbbbbbb.example.com" {
		t.Errorf("%s, %v", h, err)
	}
	if h, err := set.Providers["x"].HostOf(pattern, "elsewhere.example.com", get("evil.example/")); err == nil {
		t.Errorf("a value that is not in the list makes the host %s", h)
	}
}

// A revocation whose response has a new secret, which is discarded, ends more than the credential.
func TestARevocationThatMintsIsCollateral(t *testing.T) {
	const post = `{ method = "POST", path = "/t", header = { Authorization = "Bearer {token}" } }`
	set, err := Load("x.toml", []byte(strings.Replace(revokeWith(post), "accept", "mints = true\naccept", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if v := set.Rules[0].Revokes[0]; !v.Mints || v.Tier != TierCollateral || v.Collateral == "" {
		t.Errorf("tier %q, collateral %q", v.Tier, v.Collateral)
	}
}
