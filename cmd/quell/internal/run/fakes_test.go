package run

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

// fakeIssuer gives the answers of a rule's case: the issuer's answer for a live credential to
// the live ones, its refusal to all others.
type fakeIssuer struct {
	rule       *rules.Rule
	host       string
	in         *issuer.Instance
	live, dead rules.Reply
}

// newFakeIssuer returns nil for a rule whose probe one request of a fixed path does not answer.
func newFakeIssuer(r *rules.Rule) *fakeIssuer {
	if r.Provider == nil || r.Cookie != nil || len(r.Provider.Asked) != 1 || len(r.Parts) > 0 || r.Probe == nil || r.Probe.Request == nil || len(r.Probe.Also) > 0 || len(r.Probe.Identity) > 0 || len(r.Probe.Needs) > 0 || strings.Contains(r.Probe.Request.Path, "{") {
		return nil
	}
	f := &fakeIssuer{rule: r, host: r.Provider.Asked[0]}
	if q := r.Probe.Request; q.Host != "" && q.Host != f.host {
		return nil
	}
	f.in = &issuer.Instance{Provider: r.Provider.ID, URL: &url.URL{Scheme: "https", Host: f.host}, Settings: map[string]string{}}
	t := revokers.Target{Rule: r, Instance: f.in, Credential: credential.Credential{Secret: rules.NewSecretString("x")}}
	for _, c := range r.Cases {
		for _, p := range c.Replies {
			switch reply := plainReply(p); interp.Means(t, reply) {
			case "live":
				f.live = p
			case "dead":
				f.dead = p
			}
		}
	}
	if f.live.Status == 0 || f.dead.Status == 0 {
		return nil
	}
	return f
}

func plainReply(p rules.Reply) issuer.Response {
	out := issuer.Response{Status: p.Status, Header: http.Header{}, Body: []byte(p.Body)}
	for k, v := range p.Header {
		out.Header.Set(k, v)
	}
	if p.JSON != nil {
		out.Body, _ = json.Marshal(p.JSON)
		out.Header.Set("Content-Type", "application/json")
	}
	return out
}

// respond answers a request about a credential. ended is set if the request is one that ends it.
func (f *fakeIssuer) respond(method, path string, live bool) (a issuer.Response, ended bool) {
	if method == f.rule.Probe.Request.Method && path == f.rule.Probe.Request.Path {
		if live {
			return plainReply(f.live), false
		}
		return plainReply(f.dead), false
	}
	for _, v := range f.rule.Revokes {
		for _, q := range v.Requests {
			if q.Method == method && q.Path == path {
				a := issuer.Response{Status: q.Accept[0], Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte("{}")}
				if len(q.AcceptJSON) > 0 {
					a.Body, _ = json.Marshal(q.AcceptJSON)
				}
				return a, true
			}
		}
	}
	return issuer.Response{Status: http.StatusNotFound, Header: http.Header{}}, false
}

// leaks makes up n lines of a log, each with another credential of the rule, and returns what is
// found in them.
func (f *fakeIssuer) leaks(t *testing.T, engine *detect.Engine, n int, random interface{ Read([]byte) (int, error) }) (lines []string, creds []credential.Credential) {
	t.Helper()
	for try := 0; len(lines) < n && try < 20*n+20; try++ {
		line, err := rules.Generate(f.rule.Examples[try%len(f.rule.Examples)], random)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "\n") {
			continue
		}
		var found []scanners.Match
		for m := range engine.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: []byte(line + "\n"), Line: 1, Column: 1, To: len(line) + 1}) {
			found = append(found, m)
		}
		if len(found) != 1 || found[0].Rule.ID != f.rule.ID || found[0].Confidence < rules.Medium {
			continue
		}
		lines = append(lines, line)
		creds = append(creds, credential.Credential{
			Ref:      credential.Ref{Rule: f.rule.ID, Provider: f.rule.Provider.ID, Kind: f.rule.Kind, Confidence: credential.High, Offline: credential.Offline{State: credential.OfflineUnknown}},
			Secret:   found[0].Secret,
			Findings: []credential.Finding{{Secret: found[0].Secret, Location: credential.Location{Source: "log", Path: "job.log", Line: 1, Column: 1}}},
		})
	}
	return lines, creds
}

// sentText is all that a request contains, with what it has in base64 decoded too.
func sentText(method, uri string, header http.Header, body []byte) string {
	var b strings.Builder
	b.WriteString(method + " " + uri + "\n")
	if plain, err := url.QueryUnescape(uri); err == nil {
		b.WriteString(plain + "\n")
	}
	for k, list := range header {
		for _, v := range list {
			b.WriteString(k + ": " + v + "\n")
			if code, ok := strings.CutPrefix(v, "Basic "); ok {
				if plain, err := base64.StdEncoding.DecodeString(code); err == nil {
					b.Write(plain)
				}
			}
		}
	}
	b.Write(body)
	if plain, err := url.QueryUnescape(string(body)); err == nil {
		b.WriteString("\n" + plain)
	}
	return b.String()
}

// bodyText is the body of a request as it is sent.
func bodyText(body any) []byte {
	switch b := body.(type) {
	case nil:
		return nil
	case url.Values:
		return []byte(b.Encode())
	case issuer.Raw:
		return b.Bytes
	}
	out, _ := json.Marshal(body)
	return out
}
