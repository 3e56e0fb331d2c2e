package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "serve.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(file)
}

// The page's example is a configuration that loads.
func TestTheExampleOfThePageLoads(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```toml\n")
	if len(blocks) < 2 {
		t.Fatal("the page has no example")
	}
	for _, block := range blocks[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(text, "version") {
			continue
		}
		c, err := load(t, text)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Target) < 2 || c.Target[0].LookBack.or(0) != 31*24*time.Hour || len(c.Notify) == 0 {
			t.Errorf("%+v", c)
		}
	}
}

func TestMistakesInTheConfiguration(t *testing.T) {
	const target = "[[target]]\nname = \"a\"\nsystem = \"github\"\nof = [\"o\"]\n"
	secret := "ghp_" + strings.Repeat("x1", 18)
	for name, c := range map[string]struct{ text, want string }{
		"no version":            {target, "version 0 is not 1"},
		"no target":             {"version = 1\n", "no [[target]]"},
		"an unknown key":        {"version = 1\n" + target + "tokn = \"env:X\"\n", `unknown key "target.tokn" (hint: did you mean "target.token"?)`},
		"a secret":              {"version = 1\n" + target + "token = \"" + secret + "\"\n", "a secret is named as env:NAME or file:PATH"},
		"an unknown system":     {"version = 1\n" + strings.Replace(target, "github", "hub", 1), `system "hub" is not one of github, gitlab`},
		"a name for no address": {"version = 1\n" + strings.Replace(target, `"a"`, `"A/b"`, 1), "name is not made of"},
		"a name twice":          {"version = 1\n" + target + target, "given twice"},
		"a span of time":        {"version = 1\n" + target + "every = \"often\"\n", "not a time span"},
		"an unknown event":      {"version = 1\n[[notify]]\nname = \"n\"\nurl = \"env:X\"\non = [\"all\"]\n" + target, `"all" is not one of live, ended, left`},
		"a webhook's address":   {"version = 1\n[[notify]]\nname = \"n\"\nurl = \"https://hooks.example/" + secret + "\"\n" + target, "a secret is named as"},
		"no address":            {"version = 1\n" + strings.Replace(target, "github", "gitea", 1), "url is missing: gitea has no public server"},
		"plain http":            {"version = 1\n" + target + "url = \"http://git.example\"\n", "plain http"},
		"a webhook of Jenkins":  {"version = 1\n[[target]]\nname = \"a\"\nsystem = \"jenkins\"\nof = [\"https://ci.example/\"]\nwebhook = \"env:X\"\n", "not of jenkins"},
		"alerts of GitLab":      {"version = 1\n" + strings.Replace(target, "github", "gitlab", 1) + "read = [\"alerts\"]\n", "only github has alerts"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}

func TestWhatATargetCovers(t *testing.T) {
	x := Target{Of: []string{"Acme", "other/one"}}
	for repo, want := range map[string]bool{"acme/a": true, "Acme/a": true, "acmes/a": false, "other/one": true, "other/two": false, "other/one/sub": true, "": false} {
		if x.Covers(repo) != want {
			t.Errorf("%q: %v", repo, !want)
		}
	}
}
