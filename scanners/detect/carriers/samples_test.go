package carriers

import (
	"fmt"
	"strings"
)

var sessionNames = []string{"session", "sessionid", "app_session", "sid", "connect.sid", "JSESSIONID", "auth_session", "portal_session_token", "remember_token"}

var domains = []string{".corp.dev", "app.corp.dev", "portal.acme.io", "127.0.0.1", ".acme-internal.net"}

func pick[T any](d generator, list []T) T { return list[d.IntN(len(list))] }

// credentials makes n samples; every group of carriers gets its share.
func credentials(d generator, n int) []sample {
	groups := []func(generator) sample{inHeader, inHeader, inCookie, inPair, inPair, inLines, inPrefixes, delimited, side}
	list := make([]sample, n)
	for i := range list {
		list[i] = groups[i%len(groups)](d)
	}
	return list
}

func inHeader(d generator) sample {
	c, f := pick(d, headerCarriers), pick(d, forms)
	v := f.make(d)
	h := pick(d, headersFor(f, d, v))
	want := v
	if strings.EqualFold(h.name, "set-cookie") {
		want = strings.SplitN(v, ";", 2)[0]
	}
	return sample{"header: " + c.name, f.name + " in " + h.name + ": " + h.before, c.text(d, h), want}
}

func inCookie(d generator) sample {
	c := pick(d, cookieCarriers)
	for {
		f := pick(d, forms)
		v := f.make(d)
		if !f.cookie && strings.ContainsAny(v, "|:!~+/=") || f.name == "uuid" || f.name == "20 hex" {
			continue
		}
		return sample{"cookie: " + c.name, f.name, c.text(d, cookie{pick(d, sessionNames), v, pick(d, domains)}), v}
	}
}

func inPair(d generator) sample {
	c := pick(d, pairCarriers)
	for {
		f := pick(d, forms)
		v := f.make(d)
		// A name alone doesn't distinguish short values and UUIDs from ids, and the brackets
		// and bars in the syntax of some carriers would end other values.
		if f.cookie || f.name == "uuid" || f.name == "20 hex" {
			continue
		}
		return sample{"pair: " + c.name, f.name, c.text(d, pick(d, pairNames), v), v}
	}
}

func inLines(d generator) sample {
	c, f := pick(d, textCarriers), pick(d, forms)
	for f.cookie {
		f = pick(d, forms)
	}
	v := f.make(d)
	l := plain
	l.line = pick(d, lineContents(f, v))
	if strings.Contains(c.name, "table") && strings.Contains(v, "|") {
		v = strings.ReplaceAll(v, "|", "")
		l.line = strings.ReplaceAll(l.line, "|", "")
	}
	return sample{"text: " + c.name, f.name, c.text(d, l), v}
}

// inPrefixes writes a line that a terminal's width wraps, every part of it after a prefix.
func inPrefixes(d generator) sample {
	p, f := pick(d, prefixes), pick(d, forms)
	for f.cookie {
		f = pick(d, forms)
	}
	v := f.make(d)
	line := pick(d, lineContents(f, v))
	width := pick(d, []int{80, 100, 120})
	if d.IntN(2) == 0 {
		width = 1 << 20
	} else {
		// The value crosses the width.
		at := strings.Index(line, v)
		cut := 2 + d.IntN(min(len(v)-4, width-at-2))
		line = strings.Repeat("=", max(0, width-at-cut-1)) + " " + line
	}
	lines := append([]string{"Resolving dependencies"}, wrapped(line, width)...)
	lines = append(lines, "", "Done in 3 seconds")
	how := "whole"
	if width < 1<<20 {
		how = "wrapped"
	}
	return sample{"prefix: " + p.name + ", " + how, f.name, prefixed(lines, p.of), v}
}

// delimited puts the characters that prose and code write after a value after one that is
// recognised by its own form.
func delimited(d generator) sample {
	f := pick(d, forms)
	for !f.known {
		f = pick(d, forms)
	}
	v := f.make(d)
	after := pick(d, []string{",", ")", ".", "]", "}", ":", "|", ">", ";", "'", "\"", "`", "<", "&x=1", " ", "\n", "...", "?", "!", "*", "\\n", "\\", ")."})
	before := pick(d, []string{"", "(", "[", "{", "'", "\"", "`", "<", "token=", "token: ", "|", "-> ", "=", ">", "*", "x:"})
	return sample{"delimiter: after " + fmt.Sprintf("%q", after), f.name, "the token " + before + v + after + " was used by the job\n", v}
}

// side makes samples of forms that have a single place.
func side(d generator) sample {
	low := func(n int) string { return d.from(alnum, n) }
	kube := low(6) + "." + low(16)
	j := d.jwt("RS256", nil)
	user := "user_01" + d.from(base62, 24) + "%3A%3A" + j
	x := d.from(hexes, 32)
	y := d.from(base62, 40)
	list := []sample{
		{"kubeadm join", "kubeadm", "kubeadm join 10.0.0.1:6443 --token " + kube + " --discovery-token-ca-cert-hash sha256:" + d.from(hexes, 64) + "\n", kube},
		{"kubeadm discovery flag", "kubeadm", "kubeadm join 10.0.0.1:6443 --discovery-token " + kube + " --v=5\n", kube},
		{"kubeadm log", "kubeadm", "I0911 10:00:00.1 1 token.go:423] [token] parsing token \"" + kube + "\"\n", kube},
		{"kubeadm token create", "kubeadm", "+ kubeadm token create\n" + kube + "\n", kube},
		{"kubeadm config", "kubeadm", "bootstrapTokens:\n- groups:\n  - system:bootstrappers\n  token: " + kube + "\n  ttl: 24h0m0s\n", kube},
		{"websocket subprotocol", "jwt", "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io." + b64of(j) + ", v4.channel.k8s.io\n", j},
		{"encoded cookie with a jwt", "jwt", "Cookie: WorkosCursorSessionToken=" + user + "; a=b\n", user},
		{"unnamed 32 hex cookie", "32 hex", "> Cookie: " + d.from(lower, 4) + "_sess=" + x + "\n", x},
		{"flag of oauth2", "base62", "curl --oauth2-bearer " + y + " https://api.corp.dev/\n", y},
		{"index address", "base62", "Looking in indexes: https://build:" + y + "@pypi.corp.dev/simple\n", y},
		{"npmrc", "base62", "//npm.corp.dev/:_authToken=" + y + "\n", y},
		{"docker config", "identity", "{\n  \"auths\": {\n    \"registry.corp.dev\": {\n      \"identitytoken\": \"" + y + "\"\n    }\n  }\n}\n", y},
		{"netrc", "base62", "machine git.corp.dev\nlogin bob\npassword " + y + "\n", y},
		{"sentence of an error", "base62", "Error: 401 for https://api.corp.dev/v1?access_token=" + y + ": expired\n", y},
	}
	for {
		if s := pick(d, list); s.want != "" {
			s.carrier = "side: " + s.carrier
			return s
		}
	}
}

// harmless makes n samples without a credential.
func harmless(d generator, n int) []sample {
	list := make([]sample, n)
	for i := range list {
		if i%4 == 0 {
			s := scenes[(i/4)%len(scenes)]
			list[i] = sample{carrier: "scene", form: s.name, text: s.text(d)}
			continue
		}
		l := pick(d, lookalikes)
		name, v := pick(d, l.names), l.make(d)
		s := sample{form: l.name + " as " + name}
		if d.IntN(3) == 0 {
			c := pick(d, headerCarriers)
			s.carrier, s.text = "header: "+c.name, c.text(d, header{name, "", v})
		} else {
			c := pick(d, pairCarriers)
			for c.name == "msal cache" {
				c = pick(d, pairCarriers) // it treats every value as a secret
			}
			s.carrier, s.text = "pair: "+c.name, c.text(d, name, v)
		}
		list[i] = s
	}
	return list
}
