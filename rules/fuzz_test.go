package rules

import (
	"strings"
	"testing"
)

// The loader reads untrusted files: it can refuse any input but must not panic. An accepted
// file has no unknown variable, and its probes only read.
func FuzzLoad(f *testing.F) {
	all, err := Files()
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"github.toml", "gitlab.toml", "slack.toml", "gitea.toml", "django.toml", "vault.toml"} {
		f.Add(string(all[name]))
	}
	f.Add(earlier)
	f.Add("[provider]\nid='x'\nhosts=['a.{region:aws}.example.com']\n[[rules]]\nid='x'\nregex='(?P<id>x)'\n[[rules.revoke]]\nid='r'\nrequest=[{method='POST'},{}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := Load("x.toml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x.toml") {
				t.Errorf("an error without the file's name: %v", err)
			}
			return
		}
		for _, r := range set.Rules {
			if r.Probe != nil && r.Probe.Request != nil && r.Probe.Request.Method != "GET" && r.Probe.Request.Method != "HEAD" && r.Probe.Request.Method != "LIST" && !r.Probe.Request.Reads {
				t.Errorf("a probe with %s is taken as one that reads", r.Probe.Request.Method)
			}
			s := r.scope()
			for _, q := range r.requests() {
				for _, text := range q.Texts() {
					for _, v := range Vars(text) {
						if strings.Contains(v, "-") && s.check(v) == nil {
							t.Errorf("{%s} is taken as a variable", v)
						}
					}
				}
			}
			_ = r.Named("x")
		}
	})
}

// Splitting any template loses nothing, and yields only text and variables.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"", "{a}", "{{a}}", "{{{a}}}", `{"a":{"b":"{c}"}}`, "{{ x {{ y }} }}", "}{", "{a", "{}", "{{", "}}", "{a}{b}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		names := Vars(s)
		seen := 0
		out, ok := Expand(s, func(n string) (string, bool) {
			if n != names[seen] {
				t.Errorf("%q: variable %d is %q, and %q is asked for", s, seen, names[seen], n)
			}
			seen++
			return "", true
		})
		if !ok || seen != len(names) && strings.ContainsAny(s, "{}") {
			t.Errorf("%q: %d of %d variables", s, seen, len(names))
		}
		if len(out) > len(s) {
			t.Errorf("%q grows to %q without values", s, out)
		}
	})
}
