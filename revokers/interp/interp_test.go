package interp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// file is a rules file with one rule, whose revocation the tests fill in.
const file = `[provider]
id = "x"
hosts = ["api.example.com", "id.example.com"]
[[rules]]
id = "x"
regex = '''(x_(?P<id>.{1,40})_[a-z]{8})'''
[rules.probe]
request = { method = "GET", path = "/me", header = { Authorization = "Bearer {token}" } }
[[rules.probe.when]]
status = [200]
json = { ok = true }
then = "live"
[[rules.probe.when]]
status = [401]
json = { code = "revoked" }
then = "dead"
source = "https://docs.example.com"
[[rules.revoke]]
id = "r"
tier = "self"
scope = "this_session"
grade = "P"
settle = "1s"
accept = [200]
`

func load(t *testing.T, rest string) *rules.Rule {
	t.Helper()
	set, err := rules.Load("x.toml", []byte(file+rest))
	if err != nil {
		t.Fatal(err)
	}
	return set.Rules[0]
}

func target(r *rules.Rule, secret string) revokers.Target {
	return revokers.Target{
		Credential: credential.Credential{Ref: credential.Ref{Fingerprint: "f", Rule: r.ID}, Secret: credential.NewSecretString(secret)},
		Rule:       r,
		Instance: &issuer.Instance{
			Provider: "x", URL: &url.URL{Scheme: "https", Host: "api.example.com"}, Settings: map[string]string{},
			Admin: credential.NewSecretString("root:pass:word"),
		},
	}
}

// recorder answers with its responses in turn, and keeps the requests.
type recorder struct {
	responses []issuer.Response
	requests  []issuer.Request
	hosts     []string
}

func (d *recorder) Do(_ context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	d.requests, d.hosts = append(d.requests, r), append(d.hosts, i.Host())
	if len(d.responses) == 0 {
		return issuer.Response{}, errors.New("no response left")
	}
	a := d.responses[0]
	d.responses = d.responses[1:]
	if a.Header == nil {
		a.Header = http.Header{}
	}
	return a, nil
}

func reply(status int, doc any) issuer.Response {
	b, _ := json.Marshal(doc)
	return issuer.Response{Status: status, Header: http.Header{}, Body: b}
}

// hostile are values of scanned text that try to leave their place.
var hostile = []string{
	"..", ".", "../admin", "a/../../admin", "a%2f..%2fadmin", "%2e%2e", "..;", "a\\..\\b", "a/b?c=d", "a#b", "a\r\nX: y", "a\nb", "a\x00b", `a"b`, `a","admin":"true`, "a&admin=1", "a;b=c", "a</token><x>", "a b", "ä", "%", "a'b",
}

func TestValuesStayInTheirPlace(t *testing.T) {
	r := load(t, `[[rules.revoke.request]]
method = "POST"
path = "/t/{token.id}/end"
query = { q = "{token.id}" }
header = { X = "{token.id}", Cookie = "s={token.id}" }
json = { t = "{token.id}", list = [{ t = "{token.id}" }] }
[[rules.revoke.request]]
method = "POST"
path = "/form"
form = { t = "{token.id}" }
[[rules.revoke.request]]
method = "POST"
path = "/raw"
raw = { type = "application/json", text = '{"t":"{token.id}"}' }
`)
	for _, v := range hostile {
		tg := target(r, "x_"+v+"_abcdefgh")
		if got := r.Named(tg.Secret.Reveal())["id"]; got != v {
			continue // the expression does not take it
		}
		s := &scope{t: tg}
		q, err := s.fill(r.Revokes[0].Requests[0], false)
		if err == nil {
			u, perr := url.Parse(q.Path)
			if perr != nil || !strings.HasPrefix(u.EscapedPath(), "/t/") || strings.Count(u.EscapedPath(), "/") != 3 || issuer.HasDotSegment(u.EscapedPath()) || strings.ContainsAny(q.Path, "?#") {
				t.Errorf("%q leaves its segment: %q", v, q.Path)
			}
			for name := range q.Header {
				if control(q.Header.Get(name)) {
					t.Errorf("%q: a control character in the header %s", v, name)
				}
			}
			if strings.Count(q.Header.Get("Cookie"), ";") > 0 {
				t.Errorf("%q adds a cookie: %q", v, q.Header.Get("Cookie"))
			}
			body, _ := q.Body.(map[string]any)
			if len(body) != 2 || body["t"] != v {
				t.Errorf("%q leaves its string: %v", v, body)
			}
		}
		if q, err := s.fill(r.Revokes[0].Requests[1], false); err == nil {
			if form, _ := q.Body.(url.Values); len(form) != 1 || form.Get("t") != v {
				t.Errorf("%q leaves its field: %v", v, q.Body)
			}
		}
		if q, err := s.fill(r.Revokes[0].Requests[2], false); err == nil {
			raw, _ := q.Body.(issuer.Raw)
			var doc map[string]string
			if err := json.Unmarshal(raw.Bytes, &doc); err != nil || len(doc) != 1 || doc["t"] != strings.ToValidUTF8(v, "\ufffd") {
				t.Errorf("%q leaves its string: %s", v, raw.Bytes)
			}
		}
	}
}

func FuzzPathSegment(f *testing.F) {
	for _, v := range hostile {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if inPath("x", v) != nil {
			return
		}
		path := "/a/" + url.PathEscape(v) + "/b"
		for range 3 {
			if issuer.HasDotSegment(path) || issuer.HasDotSegment(strings.ReplaceAll(path, `\`, "/")) {
				t.Fatalf("%q becomes %q", v, path)
			}
			plain, err := url.PathUnescape(path)
			if err != nil {
				return
			}
			path = plain
		}
	})
}

func TestFunctionsAndPairs(t *testing.T) {
	r := load(t, "request = { method = \"POST\", path = \"/t\" }\n")
	s := &scope{t: target(r, "x_one_abcdefgh")}
	for name, want := range map[string]string{
		"token.id":               "one",
		"token.last8":            "abcdefgh",
		"token.id.sha256.hex":    "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
		"token.id.sha256.b64url": "dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z_0Me0",
		"admin.user":             "root",
		"admin.password":         "pass:word",
		"origin":                 "https://api.example.com",
	} {
		if got, ok := s.get(name); !ok || got != want {
			t.Errorf("{%s} is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"token.jwt.sub", "part.key", "client.id", "dead_marker", "namespace", "nothing"} {
		if v, ok := s.get(name); ok {
			t.Errorf("{%s} is set to %q", name, v)
		}
	}
}

func TestRequestsInOrderAreEffectsOfTheirOwn(t *testing.T) {
	r := load(t, `[[rules.revoke.step]]
request = { method = "GET", path = "/list", header = { Authorization = "Bearer {token}" } }
status = [200]
pick = { where = "token", equals = "{token}", keep = { key = "id" } }
[[rules.revoke.request]]
method = "PATCH"
path = "/keys/{key}"
[[rules.revoke.request]]
method = "DELETE"
path = "/login"
host = "id.example.com"
accept = [204, 404]
`)
	tg := target(r, "x_one_abcdefgh")
	d := &recorder{}
	v := Revocation{d, &r.Revokes[0]}
	effects, err := v.Plan(t.Context(), []revokers.Target{tg})
	if err != nil || len(effects) != 2 || len(d.requests) != 0 {
		t.Fatalf("%d effects, %d requests, %v", len(effects), len(d.requests), err)
	}
	if effects[0].Name != "r.1" || effects[0].URL != "https://api.example.com/keys/{key}" || effects[1].Name != "r.2" || effects[1].URL != "https://id.example.com/login" {
		t.Errorf("%+v", effects)
	}
	list := []any{map[string]any{"id": "k1", "token": "other"}, map[string]any{"id": "k2", "token": "x_one_abcdefgh"}}
	d.responses = []issuer.Response{reply(200, list), reply(200, nil)}
	var final revokers.Effect
	receipt, err := v.Send(t.Context(), []revokers.Target{tg}, effects[0], func(e revokers.Effect) error { final = e; return nil })
	if err != nil || !receipt.Of(0).Accepted || d.requests[1].Path != "/keys/k2" || final.Late["key"] != "k2" || final.URL != effects[0].URL {
		t.Errorf("%+v, %v, %+v", receipt, err, final)
	}
	// After a crash the second one is sent alone: its step would ask with a
	// credential that is dead.
	d = &recorder{responses: []issuer.Response{reply(404, nil)}}
	receipt, err = Revocation{d, &r.Revokes[0]}.Send(t.Context(), []revokers.Target{tg}, effects[1], func(revokers.Effect) error { return nil })
	if err != nil || !receipt.Of(0).Accepted || len(d.requests) != 1 || d.hosts[0] != "id.example.com" {
		t.Errorf("%+v, %v, %d requests to %q", receipt, err, len(d.requests), d.hosts)
	}
}

func TestNothingIsSentIfTheIntentIsRefused(t *testing.T) {
	r := load(t, "request = { method = \"POST\", path = \"/t\" }\n")
	d := &recorder{}
	v := Revocation{d, &r.Revokes[0]}
	tg := []revokers.Target{target(r, "x_one_abcdefgh")}
	effects, err := v.Plan(t.Context(), tg)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if _, err := v.Send(t.Context(), tg, effects[0], func(revokers.Effect) error { return stop }); !errors.Is(err, stop) || len(d.requests) != 0 {
		t.Errorf("%v, %d requests", err, len(d.requests))
	}
}

func TestASecretInAURLIsAPlaceholderInThePlan(t *testing.T) {
	r := load(t, "request = { method = \"DELETE\", path = \"/t/{token}\", query = { k = \"{token}\" }, secret_in_url = true, basic = [\"{admin.user}\", \"{admin.password}\"] }\n")
	tg := []revokers.Target{target(r, "x_one_abcdefgh")}
	effects, err := Revocation{&recorder{}, &r.Revokes[0]}.Plan(t.Context(), tg)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(effects)
	if strings.Contains(string(b), "abcdefgh") || strings.Contains(string(b), "pass:word") || effects[0].URL != "https://api.example.com/t/{token}?k={token}" {
		t.Errorf("the plan shows %s", b)
	}
}

func TestALoginsTokenIsNotInTheIntent(t *testing.T) {
	r := load(t, `[[rules.revoke.step]]
request = { method = "POST", login = true, path = "/login", form = { u = "{admin.user}", p = "{admin.password}" } }
keep = { bearer = "token" }
[[rules.revoke.request]]
method = "DELETE"
path = "/t"
header = { Authorization = "Bearer {bearer}" }
`)
	tg := []revokers.Target{target(r, "x_one_abcdefgh")}
	d := &recorder{responses: []issuer.Response{reply(200, map[string]any{"token": "operators-own"}), reply(200, nil)}}
	v := Revocation{d, &r.Revokes[0]}
	effects, err := v.Plan(t.Context(), tg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Send(t.Context(), tg, effects[0], func(e revokers.Effect) error {
		if b, _ := json.Marshal(e); strings.Contains(string(b), "operators-own") {
			t.Errorf("the intent shows %s", b)
		}
		return nil
	})
	if err != nil || d.requests[0].Reads || d.requests[1].Header.Get("Authorization") != "Bearer operators-own" {
		t.Errorf("%v, %+v", err, d.requests)
	}
}

func TestABatchTakesAllTokens(t *testing.T) {
	r := load(t, "batch = 10\nrequest = { method = \"POST\", path = \"/t\", json = { list = [{ id = \"{token.id}\", t = \"{token}\" }] } }\n")
	ts := []revokers.Target{target(r, "x_one_abcdefgh"), target(r, "x_two_ijklmnop")}
	d := &recorder{responses: []issuer.Response{reply(200, nil)}}
	v := Revocation{d, &r.Revokes[0]}
	effects, err := v.Plan(t.Context(), ts)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(effects[0].Body); got != `{"list":[{"id":"{token.id}","t":"{token}"},{"id":"{token_1.id}","t":"{token_1}"}]}` {
		t.Errorf("the plan shows %s", got)
	}
	receipt, err := v.Send(t.Context(), ts, effects[0], func(revokers.Effect) error { return nil })
	b, _ := json.Marshal(d.requests[0].Body)
	if err != nil || len(receipt.Each) != 2 || string(b) != `{"list":[{"id":"one","t":"x_one_abcdefgh"},{"id":"two","t":"x_two_ijklmnop"}]}` {
		t.Errorf("%v, %s", err, b)
	}
}

func TestRestorationTakesAReversibleRevocationBack(t *testing.T) {
	r := load(t, "reversible = true\nrequest = { method = \"POST\", path = \"/off\" }\n[rules.revoke.restore]\naccept = [200]\nrequest = { method = \"POST\", path = \"/on/{token.id}\" }\n")
	d := &recorder{responses: []issuer.Response{reply(200, nil)}}
	v, ok := Restoration(d, &r.Revokes[0])
	if !ok {
		t.Fatal("no restoration")
	}
	ts := []revokers.Target{target(r, "x_one_abcdefgh")}
	effects, err := v.Plan(t.Context(), ts)
	if err != nil {
		t.Fatal(err)
	}
	if receipt, err := v.Send(t.Context(), ts, effects[0], func(revokers.Effect) error { return nil }); err != nil || !receipt.Of(0).Accepted || d.requests[0].Path != "/on/one" {
		t.Errorf("%v, %+v", err, d.requests)
	}
}

func TestAllSurfacesHaveToRefuse(t *testing.T) {
	set, err := rules.Load("x.toml", []byte(strings.NewReplacer("[[rules]]", "[provider.probe.other]\nrequest = { method = \"GET\", path = \"/other\", header = { Authorization = \"Bearer {token}\" } }\n[[provider.probe.other.when]]\nstatus = [200]\nthen = \"live\"\n[[provider.probe.other.when]]\nstatus = [401]\njson = { code = \"revoked\" }\nthen = \"dead\"\nsource = \"https://docs.example.com\"\n[[rules]]", "[rules.probe]\n", "[rules.probe]\nsurfaces = [\"other\"]\n").Replace(file)+"request = { method = \"POST\", path = \"/t\" }\n"))
	if err != nil {
		t.Fatal(err)
	}
	tg := target(set.Rules[0], "x_one_abcdefgh")
	refusal := reply(401, map[string]any{"code": "revoked"})
	for name, c := range map[string]struct {
		second issuer.Response
		class  revokers.Class
		source bool
	}{
		"both refuse":                       {refusal, revokers.Refuses, true},
		"the other one accepts":             {reply(200, map[string]any{"a": 1}), revokers.Accepts, false},
		"the other one is silent":           {reply(503, nil), revokers.Silent, false},
		"the other one refuses in its way":  {reply(404, nil), revokers.Refuses, false},
		"the other one throttles the asker": {reply(429, nil), revokers.Silent, false},
	} {
		d := &recorder{responses: []issuer.Response{refusal, c.second}}
		p := Probe{d}
		a, err := p.Verify(t.Context(), tg, p.Endpoints(tg)[0])
		if err != nil || a.Class != c.class || (a.Documented != "") != c.source {
			t.Errorf("%s: %v %q, %v", name, a.Class, a.Documented, err)
		}
	}
}

func TestTimes(t *testing.T) {
	want := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []string{
		"2030-01-02T03:04:05Z", "2030-01-02T05:04:05+02:00", "2030-01-02T03:04:05.000+0000", "2030-01-02T03:04:05", "2030-01-02 03:04:05 UTC", "2030-01-02 03:04:05",
		"Wed, 02 Jan 2030 03:04:05 GMT", fmt.Sprint(want.Unix()), fmt.Sprint(want.UnixMilli()), fmt.Sprint(want.UnixMicro()), fmt.Sprint(want.Unix()) + ".25",
	} {
		if got := parseTime(s); got == nil || !got.Truncate(time.Second).Equal(want) {
			t.Errorf("%q is %v", s, got)
		}
	}
	for _, s := range []string{"", "0", "-1", "never", "12", "1.2.3"} {
		if got := parseTime(s); got != nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestWhoamiTakesOrganisationsThatAreOwned(t *testing.T) {
	set, err := rules.Load("x.toml", []byte(strings.Replace(file, "[[rules]]", `[provider.login]
url = "https://api.example.com"
env = ["X_TOKEN"]
[[provider.whoami]]
request = { method = "GET", path = "/me", header = { Authorization = "Bearer {token}" } }
id = "id"
name = "login"
[[provider.whoami]]
request = { method = "GET", path = "/orgs", header = { Authorization = "Bearer {token}" } }
list = "data"
where = { role = ["admin", "owner"] }
id = "org.id"
[[rules]]`, 1)+"request = { method = \"POST\", path = \"/t\" }\n"))
	if err != nil {
		t.Fatal(err)
	}
	me := reply(200, object{"id": 7, "login": "alice"})
	orgs := reply(200, object{"data": list{object{"role": "admin", "org": object{"id": 8}}, object{"role": "member", "org": object{"id": 9}}}})
	for name, c := range map[string]struct {
		responses []issuer.Response
		ids       string
		fails     bool
	}{
		"both answer":                       {[]issuer.Response{me, orgs}, "7 8", false},
		"organisations may not be listed":   {[]issuer.Response{me, reply(403, nil)}, "7", false},
		"the login is refused":              {[]issuer.Response{reply(401, nil)}, "", true},
		"the answer does not say who it is": {[]issuer.Response{reply(200, object{}), reply(200, object{})}, "", true},
	} {
		d := &recorder{responses: c.responses}
		ids, who, err := Whoami(t.Context(), d, target(set.Rules[0], "x").Instance, set.Providers["x"], credential.NewSecretString("login"))
		if strings.Join(ids, " ") != c.ids || (err != nil) != c.fails || err == nil && who != "alice" {
			t.Errorf("%s: %q, %q, %v", name, ids, who, err)
		}
		if d.requests[0].Header.Get("Authorization") != "Bearer login" || !d.requests[0].Reads {
			t.Errorf("%s: %+v", name, d.requests[0])
		}
	}
}
