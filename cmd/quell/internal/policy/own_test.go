package policy

import (
	"net/url"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
)

func at(t *testing.T, address string, operator, public, hasPublic bool) *issuer.Instance {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer.Instance{Provider: "gitlab", URL: u, Operator: operator, Public: public, HasPublic: hasPublic}
}

// Ownership is bound to an instance and to the field that decides there.
func TestWhoseACredentialIs(t *testing.T) {
	rule := &rules.Rule{Provider: &rules.Provider{ID: "gitlab", Owner: []string{"id"}, OwnerName: "name"}}
	const instances = "[[instance]]\nprovider='gitlab'\nurl='https://a.example'\n[[instance]]\nprovider='gitlab'\nurl='https://b.example'\n"
	const oneInstance = "[[instance]]\nprovider='gitlab'\nurl='https://a.example'\n"
	own := func(rest string) string { return "[[own]]\nprovider='gitlab'\n" + rest + "\n" }
	public := at(t, "https://gitlab.com", false, true, true)
	a, b := at(t, "https://a.example", true, false, false), at(t, "https://b.example", true, false, false)
	mixed := at(t, "https://a.example", true, false, true) // the provider has a public host too
	for name, c := range map[string]struct {
		policy   string
		in       *issuer.Instance
		identity map[string]string
		owned    bool
	}{
		"the deciding field at the public host":                {own("identity=['7']"), public, map[string]string{"id": "7"}, true},
		"another value":                                        {own("identity=['7']"), public, map[string]string{"id": "8"}, false},
		"the value in the display field":                       {own("identity=['7']"), public, map[string]string{"id": "8", "name": "7"}, false},
		"the value in a field that users choose":               {own("identity=['7']"), public, map[string]string{"login": "7"}, false},
		"the display name decides nothing":                     {own("identity=['7']\nname='mona'"), public, map[string]string{"id": "8", "name": "mona"}, false},
		"no identity was reported":                             {own("identity=['7','']"), public, nil, false},
		"an empty value":                                       {own("identity=['']"), public, map[string]string{"id": ""}, false},
		"another provider":                                     {strings.Replace(own("identity=['7']"), "gitlab", "github", 1), public, map[string]string{"id": "7"}, false},
		"an identity of the public host at a server":           {own("identity=['7']") + oneInstance, mixed, map[string]string{"id": "7"}, false},
		"an identity without an address at the only server":    {own("identity=['7']") + oneInstance, a, map[string]string{"id": "7"}, false},
		"an identity without an address at one of two servers": {own("identity=['7']") + instances, a, map[string]string{"id": "7"}, false},
		"an identity at its server":                            {own("identity=['7']\nurl='https://a.example'") + instances, a, map[string]string{"id": "7"}, true},
		"an identity at its server, spelled otherwise":         {own("identity=['7']\nurl='https://A.example/'") + instances, a, map[string]string{"id": "7"}, true},
		"the same number at another server":                    {own("identity=['7']\nurl='https://a.example'") + instances, b, map[string]string{"id": "7"}, false},
		"a server's identity at the public host":               {own("identity=['7']\nurl='https://a.example'") + instances, public, map[string]string{"id": "7"}, false},
		"no instance":                                          {own("identity=['7']"), nil, map[string]string{"id": "7"}, false},
	} {
		p, err := Parse("p", []byte("version = 1\n"+c.policy))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := p.Owns(c.in, rule, c.identity); got != c.owned {
			t.Errorf("%s: owned is %v", name, got)
		}
	}
	p := &Policy{Own: []Own{{Provider: "gitlab", Identity: []string{"7"}}}}
	if p.Owns(public, &rules.Rule{Provider: &rules.Provider{ID: "gitlab"}}, map[string]string{"id": "7", "": "7"}) {
		t.Error("a rules file that declares no deciding field decides ownership")
	}
	everything := at(t, "https://a.example", true, false, false)
	everything.Own = true
	if !(&Policy{}).Owns(everything, nil, nil) {
		t.Error("own = true of the instance does not count")
	}
}

func TestZeroMeansZero(t *testing.T) {
	self := &rules.Revoke{ID: "r", Tier: rules.TierSelf}
	in := at(t, "https://a.example", true, false, false)
	in.Own = true
	q := Question{Verdict: revokers.Verdict{Liveness: revokers.Live, NegativeControl: true}, Rule: &rules.Rule{}, Instance: in, Revoke: self}
	for text, held := range map[string]bool{
		"":                      false,
		"max = 1":               false,
		"max = 0":               true,
		"tiers = []":            true,
		"tiers = ['admin']":     true,
		"tiers = ['self']":      false,
		"disabled = true":       true,
		"max_age = '0s'":        false, // apply compares the plan's age
		"max_replica_risk = 0":  false,
		"delay = '0s'\nmax = 1": false,
	} {
		p, err := Parse("p", []byte("version = 1\n[kill]\n"+text+"\n"))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if h := p.Decide(q); (h != nil) != held {
			t.Errorf("%q: %+v", text, h)
		}
	}
	p, err := Parse("p", []byte("version = 1\n[kill]\nmax_age = '0s'\nmax_replica_risk = 0\n"))
	if err != nil || p.MaxAge() != 0 || p.MaxReplicaRisk() <= 0 || p.MaxReplicaRisk() > 1e-100 {
		t.Errorf("max_age %s, max_replica_risk %g: %v", p.MaxAge(), p.MaxReplicaRisk(), err)
	}
	var unset Policy
	if unset.Max() == 0 || unset.MaxAge() == 0 || unset.MaxReplicaRisk() != 0 {
		t.Error("what is not set means the default")
	}
}

func TestValuesThatAPolicyCannotHave(t *testing.T) {
	const instance = "[[instance]]\nprovider='express'\nurl='https://app.example'\n"
	secret := "tok_" + strings.Repeat("s3cr3t", 4)
	for name, text := range map[string]string{
		"a negative kill.max":               "[kill]\nmax = -1",
		"a negative age":                    "[kill]\nmax_age = '-1s'",
		"a negative delay":                  "[kill]\ndelay = '-1s'",
		"a risk above one":                  "[kill]\nmax_replica_risk = 1.1",
		"a negative risk":                   "[kill]\nmax_replica_risk = -0.1",
		"an unknown tier":                   "[kill]\ntiers = ['everything']",
		"an unknown key":                    "[kill]\nmaximum = 1",
		"a canary that is no fingerprint":   "canaries = ['" + secret + "']",
		"a recipient that is a secret":      "recipients = ['AGE-SECRET-KEY-" + secret + "']",
		"a control that is a secret":        instance + "control = '" + secret + "'",
		"an admin that is a secret":         instance + "admin = '" + secret + "'",
		"a client_secret that is one":       instance + "client_secret = '" + secret + "'",
		"a secret after env:":               instance + "control = 'env:" + secret + "!'",
		"a part that is a secret":           instance + "[[instance.controls]]\nrule = 'x'\nparts = { token = '" + secret + "' }",
		"a rotation's value that is one":    instance + "[instance.rotate]\nvault = 'https://v'\nkv = 'a/b#c'\nvalue = '" + secret + "'",
		"http to another machine":           "[[instance]]\nprovider='express'\nurl='http://app.example'",
		"a password in the URL":             "[[instance]]\nprovider='express'\nurl='https://u:" + secret + "@app.example'",
		"a path with a dot segment":         instance + "probe_path = '/a/../b'",
		"an encoded dot segment":            instance + "logout_path = '/%2E%2e/b'",
		"a negative settle":                 instance + "settle = '-1s'",
		"a proxy of another scheme":         instance + "proxy = 'ftp://proxy.example'",
		"another version":                   "[[own]]\nprovider='x'\nidentity=['1']\nversion = 2",
		"controls without a rule":           instance + "[[instance.controls]]\nparts = { token = 'env:X' }",
		"controls without parts":            instance + "[[instance.controls]]\nrule = 'x'",
		"a control of another spelling":     instance + "control = 'ENV:NAME'",
		"an instance without a URL":         "[[instance]]\nprovider='express'",
		"an instance without its provider":  "[[instance]]\nurl='https://app.example'",
		"a file: that is not a reference":   instance + "admin = 'file'",
		"a fingerprint with a digit less":   "canaries = ['" + strings.Repeat("a", 31) + "']",
		"a fingerprint with another letter": "canaries = ['" + strings.Repeat("g", 32) + "']",
	} {
		_, err := Parse("policy.toml", []byte("version = 1\n"+text+"\n"))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the error prints the secret: %v", name, err)
		}
	}
}

func TestACanaryIsFoundInEverySpelling(t *testing.T) {
	const f = "00112233445566778899aabbccddeeff"
	for _, s := range []string{f, strings.ToUpper(f), "sha256:" + f, "0x" + f, "fingerprint:" + f, ` "` + f + `" `, "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff", "00112233-4455-6677-8899-aabbccddeeff", "0011 2233 4455 6677 8899 aabb ccdd eeff", "SHA256:" + strings.ToUpper(f)} {
		p, err := Parse("p", []byte("version = 1\ncanaries = ['''"+s+"''']\n"))
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if !p.Canary()(f) || p.Canary()(strings.Repeat("0", 32)) {
			t.Errorf("%q is not the canary", s)
		}
	}
}

// The first line of policy check: hosts with other customers, and instances that cannot be
// distinguished.
func TestWarnings(t *testing.T) {
	strangers := at(t, "https://gitlab.com", true, true, true)
	strangers.Own = true
	cookie := func(name string) *issuer.Instance {
		i := at(t, "https://app.example", true, false, false)
		i.Cookie, i.Settings = name, map[string]string{}
		return i
	}
	elsewhere := cookie("sid")
	elsewhere.URL = &url.URL{Scheme: "https", Host: "other.example"}
	framework := *elsewhere
	framework.Provider = "express"
	sole := at(t, "https://a.example", true, false, true)
	sole.Sole = true
	for name, c := range map[string]struct {
		list issuer.Instances
		want string
	}{
		"one cookie name at two hosts":              {issuer.Instances{cookie("sid"), elsewhere}, "app.example and other.example"},
		"one cookie name at two hosts, two kinds":   {issuer.Instances{cookie("sid"), &framework}, "can't be distinguished"},
		"elsewhere = false, and elsewhere is named": {issuer.Instances{sole, at(t, "https://b.example", true, false, true)}, "elsewhere = false of a.example"},
		"two servers":                       {issuer.Instances{at(t, "https://a.example", true, false, true), at(t, "https://b.example", true, false, true)}, ""},
		"own = true of a public host":       {issuer.Instances{strangers}, "strangers use that host"},
		"two applications with one cookie":  {issuer.Instances{cookie("sid"), cookie("sid")}, "can't be distinguished"},
		"two applications with two cookies": {issuer.Instances{cookie("sid"), cookie("sid2")}, ""},
		"one of each":                       {issuer.Instances{at(t, "https://gitlab.com", false, true, true), at(t, "https://a.example", true, false, true)}, ""},
	} {
		got := strings.Join(Warnings(c.list), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
