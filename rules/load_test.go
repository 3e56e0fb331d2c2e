package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zricethezav/gitleaks/v8/config"
)

func TestBuiltinRulesLoad(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules) < 222 || len(set.Providers) < 11 {
		t.Errorf("%d rules of %d providers", len(set.Rules), len(set.Providers))
	}
	for _, id := range []string{"github-pat", "aws-access-token", "generic-api-key", "express-session"} {
		if set.Rule(id) == nil {
			t.Errorf("no rule %s", id)
		}
	}
	if r := set.Rule("gitlab-session-cookie"); r.Provider == nil {
		t.Error("ours does not replace gitleaks'")
	}
}

func TestBadFilesNameFileAndLine(t *testing.T) {
	const head = "[provider]\nid = \"x\"\n\n[[rules]]\nid = \"x\"\nregex = 'x'\n"
	const probe = head + "[rules.probe]\nrequest = { method = \"GET\", path = \"/a\" }\n"
	const arms = "[[rules.probe.when]]\nstatus = [200]\nthen = \"live\"\n[[rules.probe.when]]\nstatus = [401]\nthen = \"dead\"\n"
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":                {head + "colour = 1\n", `x.toml:7: unknown key "rules.colour"`},
		"an unknown table":              {head + "[rules.prob]\n", `x.toml:7: unknown key`},
		"bad syntax":                    {"[provider\n", "x.toml:1: "},
		"no provider":                   {"title = 'x'\n", "x.toml:1: [provider] has no id"},
		"a bad expression":              {strings.Replace(head, "'x'", "'('", 1), "x.toml:4: rule x: regex: "},
		"a probe without a dead arm":    {probe + "[[rules.probe.when]]\nstatus = [200]\nthen = \"live\"\n", "x.toml:4: rule x: the probe has no arm for live or none for dead"},
		"a probe without a live arm":    {probe + "[[rules.probe.when]]\nstatus = [401]\nthen = \"dead\"\n", "no arm for live"},
		"an unknown variable":           {strings.Replace(probe, "/a", "/{nope}", 1) + arms, "x.toml:4: rule x: the probe: unknown variable {nope}"},
		"a token in a URL":              {strings.Replace(probe, "/a", "/{token}", 1) + arms, "a secret in a URL"},
		"a secret group in a URL":       {strings.NewReplacer("'x'", "'(a(?P<secret>b))'", "/a\"", "/{token.secret}\"").Replace(probe) + arms, "a secret in a URL"},
		"only and a comparison":         {head + "[[rules.revoke]]\nid='r'\ntier='self'\nscope='this_session'\ngrade='P'\nsettle='1s'\naccept=[200]\nrequest={method='POST',path='/r'}\n[[rules.revoke.step]]\nrequest={method='GET',path='/l'}\npick={only=true,where='id',equals='{token}',keep={k='id'}}\n", "only and a comparison"},
		"a dead 403":                    {probe + strings.Replace(arms, "401", "403", 1), "an answer of 403 is never dead"},
		"a dead 429":                    {probe + strings.Replace(arms, "401", "429", 1), "never dead"},
		"a dead 503":                    {probe + strings.Replace(arms, "401", "503", 1), "never dead"},
		"a dead redirect":               {probe + strings.Replace(arms, "401", "302", 1), "a redirect is dead only"},
		"a probe that deletes":          {strings.Replace(probe, "GET", "DELETE", 1) + arms, "not one that only reads"},
		"an unconfirmed revocation":     {head + "[[rules.revoke]]\nid='r'\ntier='self'\nscope='this session'\nsettle='1s'\ngrade='K'\naccept=[200]\nrequest={method='POST',path='/r'}\n", "grade"},
		"a revocation without a settle": {head + "[[rules.revoke]]\nid='r'\ntier='self'\nscope='this session'\ngrade='P'\naccept=[200]\nrequest={method='POST',path='/r'}\n", "settle"},
		"an unknown kind":               {head + "kind = 'sausage'\n", `unknown kind "sausage"`},
		"the same id twice":             {head + "[[rules]]\nid = \"x\"\nregex = 'y'\n", "x.toml:7: rule x: the id stands twice"},
	} {
		_, err := Load("x.toml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestGitleaksBadExpressionIsAnErrorAndNoPanic(t *testing.T) {
	_, err := FromGitleaks("their.toml", []byte("[[rules]]\nid='a'\nregex='x'\n[[rules]]\nid='b'\nregex='('\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "their.toml:4: rule b: ") {
		t.Errorf("got %v", err)
	}
}

// Stock gitleaks must be able to read quell's files, with the same rules.
func TestOurFilesAreGitleaksConfigs(t *testing.T) {
	all, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range all {
		own, err := Load(name, text)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := FromGitleaks(name, text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, r := range theirs.Rules {
			if o := (&Set{Rules: own.Rules}).Rule(r.ID); o == nil || o.Regex.String() != r.Regex.String() {
				t.Errorf("%s: gitleaks reads rule %s otherwise", name, r.ID)
			}
		}
	}
}

func TestGitleaksDefaultIsReadWhole(t *testing.T) {
	set, err := FromGitleaks("gitleaks.toml", []byte(config.DefaultConfig))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(set.Rules), strings.Count(config.DefaultConfig, "[[rules]]"); got != want {
		t.Errorf("%d of %d rules", got, want)
	}
	var allow, paths, stop int
	for _, a := range set.Allowlists {
		paths += len(a.Paths)
		allow += len(a.Regexes)
		stop += len(a.StopWords)
	}
	for _, a := range set.Rule("generic-api-key").Allowlists {
		stop += len(a.StopWords)
	}
	if paths < 20 || allow < 8 || stop < 1000 {
		t.Errorf("allow-lists were lost: %d paths, %d expressions, %d stop words", paths, allow, stop)
	}
}

func TestGitleaksSecretGroups(t *testing.T) {
	rule := func(group int) []byte {
		return fmt.Appendf(nil, "[[rules]]\nid = \"acme\"\nregex = \"(a)(b)\"\nsecretGroup = %d\n", group)
	}
	set, err := FromGitleaks("mine.toml", rule(2))
	if err != nil || set.Rules[0].SecretGroup != 2 || set.Rules[0].Regex.String() != "(a)(b)" {
		t.Errorf("%v", err)
	}
	if _, err := FromGitleaks("mine.toml", rule(3)); err == nil || !strings.HasPrefix(err.Error(), "mine.toml:1: rule acme: secretGroup 3") {
		t.Errorf("%v", err)
	}
}
