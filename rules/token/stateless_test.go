package token

import (
	"encoding/base64"
	"strings"
	"testing"
)

// A form that the cookie carries is distinguished from an id that the application keeps.
func TestStatelessForms(t *testing.T) {
	b64 := func(n int) string { return strings.Repeat("aB3-", n/4+1)[:n] }
	std := func(n int) string { return strings.Repeat("aB3+", n/4+1)[:n] }
	raw := base64.RawURLEncoding
	for name, c := range map[string]struct {
		value string
		want  string // begins the form; empty: the application keeps it
	}{
		"Flask":                  {"." + b64(60) + ".Zx8k2A." + b64(27), "Flask"},
		"Django":                 {b64(40) + ":1sXk2A:" + b64(43), "Django"},
		"Rails, encrypted":       {std(80) + "--" + std(16) + "--" + std(22) + "%3D%3D", "Rails or Rack"},
		"Rails, signed":          {"BAh7" + std(60) + "%3D%3D--" + strings.Repeat("0123abcd", 5), "Rack or Rails"},
		"iron":                   {"Fe26.2**" + b64(20), "iron"},
		"ASP.NET Core":           {"CfDJ8" + b64(120), "ASP.NET"},
		"Fernet":                 {"gAAAAABk" + b64(100), "Fernet"},
		"Phoenix":                {"SFMyNTY.g3QAAAAB" + b64(40) + "." + b64(43), "Phoenix"},
		"Auth.js":                {raw.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + "..iv." + b64(40) + "." + b64(22), "an encrypted token"},
		"Mojolicious":            {"eyJ" + std(201) + "---" + strings.Repeat("0123abcd", 8), "Mojolicious"},
		"Tornado":                {"2|1:0|10:1796034955|4:torn|24:" + std(32) + "|" + strings.Repeat("0123abcd", 8), "Tornado"},
		"JWT":                    {raw.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + raw.EncodeToString([]byte(`{"sub":"a"}`)) + "." + b64(43), "a signed token"},
		"cookie-session":         {base64.StdEncoding.EncodeToString([]byte(`{"user":"alice"}`)), "cookie-session"},
		"oauth2-proxy, a cookie": {b64(400) + "|1790000000|" + b64(43), "oauth2-proxy"},
		"oauth2-proxy, Redis":    {b64(100) + "|1790000000|" + b64(43), ""},
		"express-session":        {"s%3A" + b64(32) + "." + std(43), ""},
		"PHP":                    {strings.Repeat("a1b2", 8), ""},
		"UUID":                   {"3f2b6c1e-9d4a-4f7b-8e21-5a7c9d0e1f23", ""},
		"digits":                 {"480203916574", ""},
		"Zabbix":                 {base64.StdEncoding.EncodeToString([]byte(`{"sessionid":"a","sign":"b"}`)), ""},
		"Tomcat":                 {strings.Repeat("0A1B", 8) + ".node1", ""},
		"empty":                  {"", ""},
		"a broken escape":        {"%zz", ""},
	} {
		got, ok := StatelessForm(c.value)
		if ok != (c.want != "") || !strings.HasPrefix(got.Form, c.want) || ok && got.Remedy == "" {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// A load balancer's cookies have no structure: the name identifies them.
func TestTheCookiesOfALoadBalancer(t *testing.T) {
	value := strings.Repeat("aB3+", 80)
	for name, want := range map[string]bool{"AWSELBAuthSessionCookie-0": true, "AWSELBAuthSessionCookie": true, "AWSALB": false, "AWSELB": false, "MyAWSELBAuthSessionCookie-0": false, "session": false} {
		if got, ok := StatelessCookie(name, value); ok != want || ok && got.Remedy == "" {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}
