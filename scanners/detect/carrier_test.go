package detect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
)

// cookieCarriers are the texts in which a cookie leaks; NAME and VALUE are placeholders.
var cookieCarriers = map[string]string{
	"request header":          "Cookie: theme=dark; NAME=VALUE; lang=en\n",
	"lower case":              "cookie: NAME=VALUE\n",
	"response header":         "Set-Cookie: NAME=VALUE; Path=/; HttpOnly\n",
	"curl -v":                 "> Cookie: NAME=VALUE\n< Set-Cookie: a=b\n",
	"curl before 8.1, HTTP/2": "* h2h3 [cookie: NAME=VALUE]\n",
	"curl 8.1, HTTP/2":        "* h2 [cookie: NAME=VALUE]\n",
	"curl from 8.3, HTTP/2":   "* [HTTP/2] [1] [cookie: NAME=VALUE]\n",
	"curl's cookie engine":    "* Added cookie NAME=\"VALUE\" for domain app.example, path /, expire 1990000000\n",
	"curl's engine, replaced": "* Replaced cookie NAME=\"VALUE\" for domain app.example, path /, expire 0\n",
	"curl -b":                 "curl -b 'NAME=VALUE' https://app.example/\n",
	"curl -b without quotes":  "curl -b NAME=VALUE https://app.example/\n",
	"curl --cookie":           "curl --cookie \"a=b; NAME=VALUE\" https://app.example/\n",
	"curl -H":                 "curl https://app.example/ -H 'cookie: NAME=VALUE'\n",
	"wget":                    "wget --header=\"Cookie: NAME=VALUE\" https://app.example/\n",
	"HTTPie":                  "http GET app.example Cookie:NAME=VALUE\n",
	"PowerShell":              "$session.Cookies.Add((New-Object System.Net.Cookie(\"NAME\", \"VALUE\", \"/\", \"app.example\")))\n",
	"Netscape jar":            "app.example\tFALSE\t/\tTRUE\t1990000000\tNAME\tVALUE\n",
	"Netscape jar, HttpOnly":  "#HttpOnly_.app.example\tTRUE\t/\tTRUE\t0\tNAME\tVALUE\n",
	"HAR":                     "\"cookies\": [\n  {\n    \"name\": \"NAME\",\n    \"value\": \"VALUE\",\n    \"path\": \"/\"\n  }\n]\n",
	"HAR on one line":         `{"name":"NAME","value":"VALUE","httpOnly":true}` + "\n",
	"HAR header":              `{"name":"Cookie","value":"a=b; NAME=VALUE"}` + "\n",
	"storage state":           `{"cookies":[{"name":"NAME","value":"VALUE","domain":"app.example","path":"/","expires":1990000000}]}` + "\n",
	"EditThisCookie":          "{\n    \"domain\": \"app.example\",\n    \"hostOnly\": true,\n    \"name\": \"NAME\",\n    \"path\": \"/\",\n    \"session\": true,\n    \"storeId\": \"0\",\n    \"value\": \"VALUE\"\n}\n",
	"Selenium, Python":        "{'domain': 'app.example', 'httpOnly': True, 'name': 'NAME', 'path': '/', 'value': 'VALUE'}\n",
	"VCR cassette":            "    headers:\n      Cookie:\n      - NAME=VALUE\n",
	"VCR, response":           "      Set-Cookie:\n      - NAME=VALUE; path=/; HttpOnly\n",
	"Postman":                 `{"key":"Cookie","value":"NAME=VALUE","type":"text"}` + "\n",
	"Go map":                  "map[Accept:[*/*] Cookie:[NAME=VALUE] User-Agent:[x]]\n",
	"Go http.Cookie":          "&http.Cookie{Name:\"NAME\", Value:\"VALUE\", Path:\"/\"}\n",
	"Java wire log":           "http-outgoing-0 >> \"Cookie: NAME=VALUE[\\r][\\n]\"\n",
	"Python http.client":      "send: b'GET / HTTP/1.1\\r\\nHost: app.example\\r\\nCookie: NAME=VALUE\\r\\n\\r\\n'\n",
	"Python dict":             "{'User-Agent': 'python-requests/2', 'Cookie': 'NAME=VALUE'}\n",
	"RequestsCookieJar":       "<RequestsCookieJar[<Cookie NAME=VALUE for app.example/>]>\n",
	"axios":                   "  headers: AxiosHeaders { Cookie: 'NAME=VALUE' }\n",
	"Node, set-cookie":        "    'set-cookie': [ 'NAME=VALUE; Path=/; HttpOnly' ],\n",
	"Node, raw header":        "  _header: 'GET / HTTP/1.1\\r\\nCookie: NAME=VALUE\\r\\nHost: app.example\\r\\n\\r\\n',\n",
	"Ruby, Faraday":           "Cookie: \"NAME=VALUE\"\n",
	"Ruby hash":               "{\"Cookie\"=>\"NAME=VALUE\"}\n",
	"PHP":                     "$_COOKIE['NAME'] => VALUE\n",
	"phpinfo":                 "<tr><td class=\"e\">$_COOKIE['NAME']</td><td class=\"v\">VALUE</td></tr>\n",
	"CGI":                     "HTTP_COOKIE=NAME=VALUE\n",
	".NET":                    "  Cookie: NAME=VALUE\n",
	"Ansible cookies_string":  "\"cookies_string\": \"NAME=VALUE\"\n",
	"Ansible cookies":         "\"cookies\": {\n    \"NAME\": \"VALUE\"\n}\n",
	"JMeter":                  "<elementProp name=\"NAME\" elementType=\"Cookie\">\n<stringProp name=\"Cookie.value\">VALUE</stringProp>\n",
	"JSON in JSON":            "{\"log\":\"{\\\"Cookie\\\":\\\"NAME=VALUE\\\"}\"}\n",
	"environment":             "SESSION_COOKIE='NAME=VALUE'\n",
	"code":                    "requests.get(url, cookies={\"NAME\": \"VALUE\"})\n",
	"JetBrains http client":   "app.example\t/\tNAME\tVALUE\tWed Jan 01 00:00:00 UTC 2031\n",
	"nginx log":               "\"GET / HTTP/1.1\" 200 \"NAME=VALUE\"\n",
	"openconnect":             "COOKIE='NAME=VALUE'\nHOST='1.2.3.4'\n",
	"YAML":                    "cookies:\n  NAME: VALUE\n",
	"URL parameter":           "GET /?NAME=VALUE&x=1 HTTP/1.1\n",
	"percent-encoded":         "data=Cookie%3A%20NAME%3DVALUE%0D%0A\n",
	"curl --trace-ascii":      "=> Send header, 120 bytes (0x78)\n0000: GET / HTTP/1.1\n0010: Cookie: NAME=VALUE\n",
	"SQL row":                 "INSERT INTO cookies VALUES ('app.example','NAME','VALUE','/',1);\n",
}

func TestCookiesAreFoundInEveryCarrier(t *testing.T) {
	e := New(builtin(t))
	src := rand.NewChaCha8([32]byte{21})
	missed := 0
	for _, c := range []struct{ rule, name, value string }{
		{"grafana-session", "grafana_session", "{hex:32}"},
		{"django-session", "sessionid", "{alnum:32}"},
		{"laravel-session", "laravel_session", "eyJpdiI6{b64:180}%3D"},
	} {
		value, err := rules.Generate(c.value, src)
		if err != nil {
			t.Fatal(err)
		}
		for name, shape := range cookieCarriers {
			text := strings.NewReplacer("NAME", c.name, "VALUE", value).Replace(shape)
			if c.rule == "laravel-session" && name == "percent-encoded" {
				continue // a doubly encoded value is decoded and differs from the value as sent
			}
			var got []string
			for _, f := range seen(t, e, text, 0, -1) {
				got = append(got, strings.Join(strings.Fields(f)[:2], " "))
			}
			if want := fmt.Sprint(c.rule, " ", value); !slices.Contains(got, want) {
				missed++
				t.Errorf("%s: %s: %v", name, c.name, got)
			}
		}
	}
	t.Logf("%d carriers, %d missed", 3*len(cookieCarriers), missed)
}

// bearerCarriers are the texts in which a bearer token leaks.
var bearerCarriers = map[string]string{
	"header":                 "Authorization: Bearer VALUE\n",
	"lower case":             "authorization: bearer VALUE\n",
	"proxy":                  "Proxy-Authorization: Bearer VALUE\n",
	"curl -v":                "> Authorization: Bearer VALUE\n",
	"curl before 8.1":        "* h2h3 [authorization: Bearer VALUE]\n",
	"curl 8.1":               "* h2 [authorization: Bearer VALUE]\n",
	"curl from 8.3":          "* [HTTP/2] [1] [authorization: Bearer VALUE]\n",
	"curl -H":                "curl -H 'Authorization: Bearer VALUE' https://app.example/\n",
	"curl -H without space":  "curl -H\"Authorization: Bearer VALUE\" https://app.example/\n",
	"curl --oauth2-bearer":   "curl --oauth2-bearer VALUE https://app.example/\n",
	"curl config file":       "header = \"Authorization: Bearer VALUE\"\n",
	"wget":                   "wget --header='Authorization: Bearer VALUE' https://app.example/\n",
	"HTTPie":                 "http GET app.example 'Authorization:Bearer VALUE'\n",
	"PowerShell":             "Invoke-RestMethod -Headers @{ Authorization = \"Bearer VALUE\" }\n",
	"JSON":                   "{\"Authorization\": \"Bearer VALUE\"}\n",
	"JSON in JSON":           "{\"log\":\"{\\\"authorization\\\":\\\"Bearer VALUE\\\"}\"}\n",
	"Python dict":            "{'Authorization': 'Bearer VALUE'}\n",
	"Python bytes":           "b'authorization': b'Bearer VALUE'\n",
	"Python http.client":     "send: b'GET / HTTP/1.1\\r\\nAuthorization: Bearer VALUE\\r\\n\\r\\n'\n",
	"Go map":                 "map[Accept:[*/*] Authorization:[Bearer VALUE]]\n",
	"Java wire log":          "http-outgoing-0 >> \"Authorization: Bearer VALUE[\\r][\\n]\"\n",
	"Java map":               "{Authorization=Bearer VALUE, Accept=*/*}\n",
	"axios":                  "  headers: AxiosHeaders { Authorization: 'Bearer VALUE' }\n",
	"Node, raw header":       "  _header: 'GET / HTTP/1.1\\r\\nAuthorization: Bearer VALUE\\r\\n\\r\\n',\n",
	"Ruby hash":              "{\"Authorization\"=>\"Bearer VALUE\"}\n",
	"VCR cassette":           "      Authorization:\n      - Bearer VALUE\n",
	"HAR header":             "{\"name\": \"Authorization\", \"value\": \"Bearer VALUE\"}\n",
	"Postman header":         "{\"key\": \"Authorization\", \"value\": \"Bearer VALUE\", \"type\": \"text\"}\n",
	"Postman auth":           "\"bearer\": [\n  {\n    \"key\": \"token\",\n    \"value\": \"VALUE\",\n    \"type\": \"string\"\n  }\n]\n",
	"CGI":                    "HTTP_AUTHORIZATION=Bearer VALUE\n",
	"token response":         "{\"access_token\":\"VALUE\",\"token_type\":\"Bearer\",\"expires_in\":3600}\n",
	"token response, spaced": "{\n  \"access_token\" : \"VALUE\",\n  \"token_type\" : \"Bearer\"\n}\n",
	"camel case":             "{\"accessToken\":\"VALUE\",\"refreshToken\":null}\n",
	"escaped response":       "body: \"{\\\"access_token\\\":\\\"VALUE\\\"}\"\n",
	"query":                  "GET /api?access_token=VALUE&x=1 HTTP/1.1\n",
	"fragment":               "https://app.example/cb#access_token=VALUE&expires_in=3600\n",
	"form body":              "grant_type=x&access_token=VALUE\n",
	"environment":            "ACCESS_TOKEN=VALUE\n",
	"set -x":                 "+ curl -H 'Authorization: Bearer VALUE' https://app.example\n",
	"YAML":                   "access_token: VALUE\n",
	"websocket":              "wss://app.example/ws?access_token=VALUE\n",
	"kubeconfig":             "users:\n- name: x\n  user:\n    token: VALUE\n",
	"X-Auth-Token":           "X-Auth-Token: VALUE\n",
	"Private-Token":          "PRIVATE-TOKEN: VALUE\n",
	"git bearer":             "http.extraheader=AUTHORIZATION: bearer VALUE\n",
	"Token scheme":           "Authorization: Token VALUE\n",
	"Token token=":           "Authorization: Token token=\"VALUE\"\n",
}

func TestBearersAreFoundInEveryCarrier(t *testing.T) {
	e := New(builtin(t))
	value, err := rules.Generate("{base62:43}", rand.NewChaCha8([32]byte{22}))
	if err != nil {
		t.Fatal(err)
	}
	for name, shape := range bearerCarriers {
		ok := false
		got := seen(t, e, strings.ReplaceAll(shape, "VALUE", value), 0, -1)
		for _, f := range got {
			ok = ok || strings.Fields(f)[1] == value
		}
		if !ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}
