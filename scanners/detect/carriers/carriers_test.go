package carriers

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// header is a request or response header whose value holds a credential.
type header struct{ name, before, value string }

func (h header) text() string { return h.before + h.value }

// headersFor lists the headers that a value of the form occurs in.
func headersFor(f form, d generator, v string) []header {
	cookies := []header{
		{"cookie", "sessionid=", v},
		{"Cookie", "theme=dark; lang=en-GB; app_session=", v},
		{"set-cookie", "session=", v + "; Path=/; HttpOnly; Secure"},
	}
	if f.cookie {
		return cookies
	}
	if strings.ContainsAny(v, "|:!~+/=") {
		cookies = nil // a server sends these encoded
	}
	if f.name == "uuid" {
		cookies = cookies[2:] // without HttpOnly a cookie is not known to be more than an id
	}
	return append(cookies,
		header{"authorization", "Bearer ", v},
		header{"Authorization", "Bearer ", v},
		header{"Proxy-Authorization", "Bearer ", v},
		header{"Authorization", "token ", v},
		header{"Authorization", "SSWS ", v},
		header{"Authorization", "Splunk ", v},
		header{"X-Api-Key", "", v},
		header{"x-auth-token", "", v},
		header{"PRIVATE-TOKEN", "", v},
	)
}

// A carrier writes a credential the way some program does.
type carrier struct {
	name string
	text func(d generator, h header) string
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func indented(v any) string {
	b, _ := json.MarshalIndent(v, "", "  ")
	return string(b)
}

func compact(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

type object = map[string]any

// headerCarriers write a header's name and its value as a pair.
var headerCarriers = []carrier{
	{"curl -v", func(d generator, h header) string {
		return "> GET /v1/me HTTP/1.1\n> Host: api.corp.dev\n> " + h.name + ": " + h.text() + "\n> Accept: */*\n>\n"
	}},
	{"curl http/2", func(d generator, h header) string {
		return "* [HTTP/2] [1] [:path: /v1/me]\n* [HTTP/2] [1] [" + strings.ToLower(h.name) + ": " + h.text() + "]\n* [HTTP/2] [1] [accept: */*]\n"
	}},
	{"curl -H", func(d generator, h header) string {
		return "curl -sS -X POST 'https://api.corp.dev/v1/me' -H 'Accept: */*' -H '" + h.name + ": " + h.text() + "' --compressed\n"
	}},
	{"curl --header with a continuation", func(d generator, h header) string {
		return "curl https://api.corp.dev/v1/me \\\n  --header \"" + h.name + ": " + h.text() + "\" \\\n  --fail\n"
	}},
	{"envoy debug", func(d generator, h header) string {
		return "request headers complete (end_stream=true):\n':authority', 'api.corp.dev'\n':path', '/v1/me'\n'" + strings.ToLower(h.name) + "', '" + h.text() + "'\n'accept', '*/*'\n"
	}},
	{"har indented", func(d generator, h header) string {
		return indented(object{"log": object{"entries": []any{object{"request": object{"url": "https://api.corp.dev/v1/me", "headers": []any{object{"name": "accept", "value": "*/*"}, object{"name": h.name, "value": h.text()}}}}}}})
	}},
	{"har compact", func(d generator, h header) string {
		return compact(object{"log": object{"entries": []any{object{"request": object{"headers": []any{object{"name": h.name, "value": h.text()}, object{"name": "accept", "value": "*/*"}}}}}}})
	}},
	{"value before name", func(d generator, h header) string {
		return "{\n  \"value\": " + quote(h.text()) + ",\n  \"name\": " + quote(h.name) + "\n}\n"
	}},
	{"postman", func(d generator, h header) string {
		return indented(object{"item": []any{object{"request": object{"header": []any{object{"key": h.name, "type": "text", "value": h.text()}}, "method": "GET"}}}})
	}},
	{"insomnia", func(d generator, h header) string {
		return indented(object{"_type": "request", "headers": []any{object{"id": "pair_" + d.from(hexes, 32), "name": h.name, "value": h.text()}}})
	}},
	{"headers object", func(d generator, h header) string {
		return indented(object{"method": "GET", "headers": object{"Accept": "*/*", h.name: h.text()}})
	}},
	{"headers object of lists", func(d generator, h header) string {
		return indented(object{"headers": object{"Accept": []string{"*/*"}, h.name: []string{h.text()}}})
	}},
	{"escaped json in a log", func(d generator, h header) string {
		return `level=debug msg="request" body=` + quote(compact(object{"headers": object{h.name: h.text()}})) + "\n"
	}},
	{"asgi", func(d generator, h header) string {
		return "scope={'type': 'http', 'headers': [(b'host', b'api.corp.dev'), (b'" + strings.ToLower(h.name) + "', b'" + h.text() + "'), (b'accept', b'*/*')]}\n"
	}},
	{"python dict", func(d generator, h header) string {
		return "DEBUG:client:request headers: {'Accept': '*/*', '" + h.name + "': '" + h.text() + "', 'Connection': 'keep-alive'}\n"
	}},
	{"http.client", func(d generator, h header) string {
		return "send: b'GET /v1/me HTTP/1.1\\r\\nHost: api.corp.dev\\r\\n" + h.name + ": " + h.text() + "\\r\\nAccept: */*\\r\\n\\r\\n'\n"
	}},
	{"grpc metadata", func(d generator, h header) string {
		return "I0911 10:00:00.1 call_op_set] metadata: (('user-agent', 'grpc-python/1.60'), ('" + strings.ToLower(h.name) + "', '" + h.text() + "'))\n"
	}},
	{"grpc metadata of python", func(d generator, h header) string {
		return "_Metadatum(key='" + strings.ToLower(h.name) + "', value='" + h.text() + "')\n"
	}},
	{"node rawHeaders", func(d generator, h header) string {
		return "  rawHeaders: [\n    'Host',\n    'api.corp.dev',\n    '" + h.name + "',\n    '" + h.text() + "',\n    'Accept',\n    '*/*'\n  ],\n"
	}},
	{"axios", func(d generator, h header) string {
		return "    headers: AxiosHeaders {\n      Accept: '*/*',\n      '" + h.name + "': '" + h.text() + "',\n      'User-Agent': 'axios/1.7'\n    },\n"
	}},
	{"rust debug", func(d generator, h header) string {
		return "headers: {\"host\": \"api.corp.dev\", \"" + strings.ToLower(h.name) + "\": \"" + h.text() + "\", \"accept\": \"*/*\"}\n"
	}},
	{"rust header tuple", func(d generator, h header) string {
		return "[(\"host\", \"api.corp.dev\"), (\"" + strings.ToLower(h.name) + "\", \"" + h.text() + "\")]\n"
	}},
	{"hpack of h2", func(d generator, h header) string {
		return "Header { name: \"" + strings.ToLower(h.name) + "\", value: \"" + h.text() + "\" }\n"
	}},
	{"erlang", func(d generator, h header) string {
		return "{<<\"" + strings.ToLower(h.name) + "\">>,<<\"" + h.text() + "\">>},\n{<<\"accept\">>,<<\"*/*\">>}\n"
	}},
	{"elixir", func(d generator, h header) string {
		return "req_headers: [{\"host\", \"api.corp.dev\"}, {\"" + strings.ToLower(h.name) + "\", \"" + h.text() + "\"}, {\"accept\", \"*/*\"}]\n"
	}},
	{"haskell", func(d generator, h header) string {
		return "  requestHeaders       = [(\"Host\",\"api.corp.dev\"),(\"" + h.name + "\",\"" + h.text() + "\")]\n"
	}},
	{"java .header()", func(d generator, h header) string {
		return "        .uri(URI.create(\"https://api.corp.dev/v1/me\"))\n        .header(\"" + h.name + "\", \"" + h.text() + "\")\n        .build();\n"
	}},
	{"java map", func(d generator, h header) string {
		return "DEBUG o.s.web - headers={accept=*/*, " + h.name + "=[" + h.text() + "], host=api.corp.dev}\n"
	}},
	{"apache wire", func(d generator, h header) string {
		return "DEBUG org.apache.http.wire - http-outgoing-0 >> \"" + h.name + ": " + h.text() + "[\\r][\\n]\"\n"
	}},
	{"xml attributes", func(d generator, h header) string {
		return "  <header key=\"" + h.name + "\" value=\"" + h.text() + "\" />\n"
	}},
	{"jmeter", func(d generator, h header) string {
		return "<elementProp name=\"\" elementType=\"Header\">\n  <stringProp name=\"Header.name\">" + h.name + "</stringProp>\n  <stringProp name=\"Header.value\">" + h.text() + "</stringProp>\n</elementProp>\n"
	}},
	{"wiremock", func(d generator, h header) string {
		return indented(object{"request": object{"headers": object{h.name: object{"equalTo": h.text()}}}})
	}},
	{"sentry pairs", func(d generator, h header) string {
		return indented(object{"request": object{"headers": []any{[]string{"Accept", "*/*"}, []string{h.name, h.text()}}}})
	}},
	{"sentry pairs on one line", func(d generator, h header) string {
		return compact(object{"request": object{"headers": []any{[]string{"Accept", "*/*"}, []string{h.name, h.text()}}}})
	}},
	{"opentelemetry debug exporter", func(d generator, h header) string {
		return "     -> http.method: Str(GET)\n     -> http.request.header." + strings.ToLower(h.name) + ": Slice([\"" + h.text() + "\"])\n     -> http.status_code: Int(200)\n"
	}},
	{"go map", func(d generator, h header) string {
		return "headers: map[Accept:[*/*] " + h.name + ":[" + h.text() + "] User-Agent:[Go-http-client/1.1]]\n"
	}},
	{"go %#v", func(d generator, h header) string {
		return "http.Header{\"Accept\":[]string{\"*/*\"}, \"" + h.name + "\":[]string{\"" + h.text() + "\"}}\n"
	}},
	{"php print_r", func(d generator, h header) string {
		return "Array\n(\n    [Accept] => */*\n    [" + h.name + "] => " + h.text() + "\n    [Host] => api.corp.dev\n)\n"
	}},
	{"php var_dump", func(d generator, h header) string {
		return fmt.Sprintf("array(2) {\n  [\"Accept\"]=>\n  string(3) \"*/*\"\n  [\"%s\"]=>\n  string(%d) \"%s\"\n}\n", h.name, len(h.text()), h.text())
	}},
	{"yaml", func(d generator, h header) string {
		return "request:\n  headers:\n    Accept: '*/*'\n    " + h.name + ": " + h.text() + "\n"
	}},
	{"yaml list", func(d generator, h header) string {
		return "    headers:\n      " + h.name + ":\n      - " + h.text() + "\n      Accept:\n      - '*/*'\n"
	}},
	{"yaml folded", func(d generator, h header) string {
		return "    " + h.name + ": >-\n      " + h.text() + "\n    Accept: '*/*'\n"
	}},
	{"ruby hash", func(d generator, h header) string {
		return "I, [2026-09-01] INFO -- request: {\"Accept\"=>\"*/*\", \"" + h.name + "\"=>\"" + h.text() + "\"}\n"
	}},
	{"faraday", func(d generator, h header) string {
		return "I, [2026-09-01T10:00:00] INFO -- : " + h.name + ": \"" + h.text() + "\"\n"
	}},
	{"cgi environment", func(d generator, h header) string {
		return "HTTP_ACCEPT=*/*\nHTTP_" + strings.ToUpper(strings.ReplaceAll(h.name, "-", "_")) + "=" + h.text() + "\nHTTP_HOST=api.corp.dev\n"
	}},
	{"terraform trace", func(d generator, h header) string {
		return "2026-09-01T10:00:00.000Z [DEBUG] provider.terraform: Accept: */*\n2026-09-01T10:00:00.000Z [DEBUG] provider.terraform: " + h.name + ": " + h.text() + "\n"
	}},
	{"fetch()", func(d generator, h header) string {
		return "await fetch(\"https://api.corp.dev/v1/me\", {\n  \"headers\": {\n    \"accept\": \"*/*\",\n    \"" + strings.ToLower(h.name) + "\": \"" + h.text() + "\"\n  }\n});\n"
	}},
	{"powershell", func(d generator, h header) string {
		return "$headers = @{\n  \"Accept\"=\"*/*\"\n  \"" + h.name + "\"=\"" + h.text() + "\"\n}\n"
	}},
	{".http file", func(d generator, h header) string {
		return "### me\nGET https://api.corp.dev/v1/me\nAccept: */*\n" + h.name + ": " + h.text() + "\n\n"
	}},
}

// cookie is a browser's cookie.
type cookie struct{ name, value, domain string }

var cookieCarriers = []struct {
	name string
	text func(d generator, c cookie) string
}{
	{"netscape jar", func(d generator, c cookie) string {
		return "# Netscape HTTP Cookie File\n#HttpOnly_" + c.domain + "\tFALSE\t/\tTRUE\t1999999999\t" + c.name + "\t" + c.value + "\n"
	}},
	{"libwww jar", func(d generator, c cookie) string {
		return "#LWP-Cookies-2.0\nSet-Cookie3: " + c.name + "=\"" + c.value + "\"; path=\"/\"; domain=" + c.domain + "; path_spec; secure; expires=\"2033-05-18 03:33:20Z\"; version=0\n"
	}},
	{"jetbrains jar", func(d generator, c cookie) string {
		return "# domain\tpath\tname\tvalue\tdate\n" + c.domain + "\t/\t" + c.name + "\t" + c.value + "\tWed May 18 03:33:20 UTC 2033\n"
	}},
	{"playwright storage", func(d generator, c cookie) string {
		return "{\n  \"cookies\": [\n    {\n      \"name\": \"" + c.name + "\",\n      \"value\": \"" + c.value + "\",\n      \"domain\": \"" + c.domain + "\",\n      \"path\": \"/\",\n      \"expires\": 1999999999,\n      \"httpOnly\": true,\n      \"secure\": true,\n      \"sameSite\": \"Lax\"\n    }\n  ],\n  \"origins\": []\n}\n"
	}},
	{"playwright storage on one line", func(d generator, c cookie) string {
		return `{"cookies":[{"name":"` + c.name + `","value":"` + c.value + `","domain":"` + c.domain + `","path":"/","expires":-1,"httpOnly":true,"secure":true,"sameSite":"Lax"}],"origins":[]}`
	}},
	{"sorted members", func(d generator, c cookie) string {
		return indented([]any{object{"domain": c.domain, "expirationDate": 1999999999.5, "hostOnly": true, "httpOnly": true, "name": c.name, "path": "/", "secure": true, "session": false, "value": c.value}})
	}},
	{"selenium", func(d generator, c cookie) string {
		return "[{'domain': '" + c.domain + "', 'expiry': 1999999999, 'httpOnly': True, 'name': '" + c.name + "', 'path': '/', 'sameSite': 'Lax', 'secure': True, 'value': '" + c.value + "'}]\n"
	}},
	{"firefox, value before name", func(d generator, c cookie) string {
		return indented(struct {
			Host  string `json:"host"`
			Value string `json:"value"`
			Path  string `json:"path"`
			Name  string `json:"name"`
		}{c.domain, c.value, "/", c.name})
	}},
	{"console.log of an object", func(d generator, c cookie) string {
		return "[\n  {\n    name: '" + c.name + "',\n    value: '" + c.value + "',\n    domain: '" + c.domain + "',\n    path: '/',\n    httpOnly: true\n  }\n]\n"
	}},
	{"http.cookiejar", func(d generator, c cookie) string {
		return "Cookie(version=0, name='" + c.name + "', value='" + c.value + "', port=None, port_specified=False, domain='" + c.domain + "', path='/', secure=True, expires=1999999999, discard=False)\n"
	}},
	{"requests jar", func(d generator, c cookie) string {
		return "<RequestsCookieJar[<Cookie " + c.name + "=" + c.value + " for " + c.domain + "/>]>\n"
	}},
	{"NSHTTPCookie", func(d generator, c cookie) string {
		return "<NSHTTPCookie\n\tversion:0\n\tname:" + c.name + "\n\tvalue:" + c.value + "\n\texpiresDate:'2033-05-18 03:33:20 +0000'\n\tsessionOnly:FALSE\n\tdomain:" + c.domain + "\n\tpath:\"/\"\n\tisSecure:TRUE\n isHTTPOnly: YES>\n"
	}},
	{"curl cookie engine", func(d generator, c cookie) string {
		return "* Added cookie " + c.name + "=\"" + c.value + "\" for domain " + c.domain + ", path /, expire 1999999999\n"
	}},
	{"Set-Cookie", func(d generator, c cookie) string {
		return "< HTTP/1.1 200 OK\n< Set-Cookie: " + c.name + "=" + c.value + "; Path=/; Domain=" + c.domain + "; HttpOnly; SameSite=Lax\n<\n"
	}},
	{"cookie header among others", func(d generator, c cookie) string {
		return "> Cookie: _ga=GA1.2.3." + d.from(digits, 10) + "; " + c.name + "=" + c.value + "; lang=en\n"
	}},
	{"curl -b", func(d generator, c cookie) string {
		return "+ curl -sS -b '" + c.name + "=" + c.value + "' https://" + strings.TrimPrefix(c.domain, ".") + "/api\n"
	}},
	{"--cookie", func(d generator, c cookie) string {
		return "curl --cookie \"" + c.name + "=" + c.value + "\" https://" + strings.TrimPrefix(c.domain, ".") + "/api\n"
	}},
	{"cookie variable", func(d generator, c cookie) string {
		return "APP_COOKIE=\"" + c.name + "=" + c.value + "\"\n"
	}},
	{"document.cookie", func(d generator, c cookie) string {
		return "document.cookie = '" + c.name + "=" + c.value + "; path=/; secure';\n"
	}},
	{"loadrunner", func(d generator, c cookie) string {
		return "web_add_cookie(\"" + c.name + "=" + c.value + "; DOMAIN=" + strings.TrimPrefix(c.domain, ".") + "\");\n"
	}},
	{"jmeter cookie", func(d generator, c cookie) string {
		return "<elementProp name=\"" + c.name + "\" elementType=\"Cookie\">\n  <stringProp name=\"Cookie.value\">" + c.value + "</stringProp>\n  <stringProp name=\"Cookie.domain\">" + c.domain + "</stringProp>\n</elementProp>\n"
	}},
	{"har cookies", func(d generator, c cookie) string {
		return "          \"cookies\": [\n            {\n              \"name\": \"" + c.name + "\",\n              \"value\": \"" + c.value + "\",\n              \"path\": \"/\",\n              \"domain\": \"" + c.domain + "\",\n              \"expires\": \"2033-05-18T03:33:20.000Z\",\n              \"httpOnly\": true,\n              \"secure\": true\n            }\n          ],\n"
	}},
	{"cookies as an object", func(d generator, c cookie) string {
		return indented(object{"cookies": object{"lang": "en", c.name: c.value}, "url": "https://" + strings.TrimPrefix(c.domain, ".") + "/"})
	}},
	{"python cookies=", func(d generator, c cookie) string {
		return "r = requests.get('https://app.corp.dev/api', cookies={'" + c.name + "': '" + c.value + "'})\n"
	}},
	{"go http.Cookie", func(d generator, c cookie) string {
		return "req.AddCookie(&http.Cookie{Name: \"" + c.name + "\", Value: \"" + c.value + "\"})\n"
	}},
}

// pairCarriers write a variable's or member's name and its value.
var pairCarriers = []struct {
	name string
	text func(d generator, name, v string) string
}{
	{"environment", func(d generator, n, v string) string {
		return "HOME=/root\n" + strings.ToUpper(n) + "=" + v + "\nPATH=/usr/bin:/bin\n"
	}},
	{"export", func(d generator, n, v string) string { return "export " + strings.ToUpper(n) + "=\"" + v + "\"\n" }},
	{"set -x", func(d generator, n, v string) string { return "+ " + strings.ToUpper(n) + "='" + v + "'\n" }},
	{"declare -x", func(d generator, n, v string) string { return "declare -x " + strings.ToUpper(n) + "=\"" + v + "\"\n" }},
	{"docker inspect", func(d generator, n, v string) string {
		return indented(object{"Config": object{"Env": []string{"PATH=/usr/bin", strings.ToUpper(n) + "=" + v}}})
	}},
	{"json indented", func(d generator, n, v string) string { return indented(object{"kind": "config", n: v}) }},
	{"json compact", func(d generator, n, v string) string { return compact(object{"kind": "config", n: v}) }},
	{"json escaped", func(d generator, n, v string) string { return quote(compact(object{n: v, "ttl": 3600})) + "\n" }},
	{"yaml", func(d generator, n, v string) string { return "config:\n  " + n + ": " + v + "\n  ttl: 3600\n" }},
	{"yaml quoted", func(d generator, n, v string) string { return "config:\n  " + n + ": \"" + v + "\"\n" }},
	{"toml", func(d generator, n, v string) string { return "[config]\n" + n + " = \"" + v + "\"\n" }},
	{"ini", func(d generator, n, v string) string { return "[config]\n" + n + " = " + v + "\n" }},
	{"properties", func(d generator, n, v string) string { return "app." + n + "=" + v + "\n" }},
	{"xml element", func(d generator, n, v string) string {
		return "<config>\n  <" + n + ">" + v + "</" + n + ">\n</config>\n"
	}},
	{"xml add", func(d generator, n, v string) string { return "<add key=\"" + n + "\" value=\"" + v + "\" />\n" }},
	{"go", func(d generator, n, v string) string { return "\tconst " + n + " = \"" + v + "\"\n" }},
	{"python", func(d generator, n, v string) string { return n + " = '" + v + "'\n" }},
	{"javascript", func(d generator, n, v string) string { return "const " + n + " = `" + v + "`;\n" }},
	{"form body", func(d generator, n, v string) string {
		return "POST /login HTTP/1.1\n\nuser=bob&" + n + "=" + url.QueryEscape(v) + "&remember=1\n"
	}},
	{"query", func(d generator, n, v string) string {
		return "GET https://api.corp.dev/v1/me?" + n + "=" + url.QueryEscape(v) + "&page=2 200\n"
	}},
	{"fragment", func(d generator, n, v string) string {
		return "redirect https://app.corp.dev/cb#" + n + "=" + url.QueryEscape(v) + "&expires_in=3600\n"
	}},
	{"log field", func(d generator, n, v string) string { return "level=info msg=login " + n + "=" + v + " user=bob\n" }},
	{"java toString", func(d generator, n, v string) string { return "Config{user=bob, " + n + "=" + v + ", ttl=3600}\n" }},
	{"go struct", func(d generator, n, v string) string { return "&{User:bob " + n + ":" + v + " TTL:3600}\n" }},
	{"flag", func(d generator, n, v string) string {
		return "+ tool login --user bob --" + strings.ReplaceAll(n, "_", "-") + " " + v + " --quiet\n"
	}},
	{"local storage pair", func(d generator, n, v string) string {
		return indented(object{"origins": []any{object{"origin": "https://app.corp.dev", "localStorage": []any{object{"name": n, "value": v}}}}})
	}},
	{"msal cache", func(d generator, n, v string) string {
		return indented(object{"AccessToken": object{"id": object{"credential_type": "AccessToken", "secret": v, "expires_on": "2000000000", "environment": "login.microsoftonline.com"}}})
	}},
	{"terraform state", func(d generator, n, v string) string {
		return indented(object{"outputs": object{n: object{"sensitive": true, "type": "string", "value": v}}})
	}},
	{"kubernetes env", func(d generator, n, v string) string {
		return "        env:\n        - name: " + strings.ToUpper(n) + "\n          value: " + v + "\n"
	}},
	{"dockerfile", func(d generator, n, v string) string {
		return "FROM debian\nENV " + strings.ToUpper(n) + " " + v + "\n"
	}},
}

// pairNames are names that mark the value as a credential.
var pairNames = []string{"access_token", "api_token", "auth_token", "session_token", "refresh_token", "api_key"}
