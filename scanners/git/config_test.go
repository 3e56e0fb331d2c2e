package git

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigurations(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"as git writes it", "[extensions]\n\tobjectformat = sha256\n", "sha256"},
		{"in one line", "[extensions] objectformat = sha256", "sha256"},
		{"another case", "[ExTensions]\nObjectFormat=sha256\n", "sha256"},
		{"a comment after the value", "[extensions]\nobjectformat = sha256 # word\n", "sha256"},
		{"a semicolon after the value", "[extensions]\nobjectformat = sha256;word\n", "sha256"},
		{"a comment after the section", "[extensions] ; word\nobjectformat = sha256\n", "sha256"},
		{"quotes", "[extensions]\nobjectformat = \"sha256\"\n", "sha256"},
		{"quotes within", "[extensions]\nobjectformat = sha\"25\"6\n", "sha256"},
		{"a comment sign in quotes", "[extensions]\nobjectformat = \"a # b\" # c\n", "a # b"},
		{"escapes", "[extensions]\nobjectformat = a\\tb\\\\c\\\"d\n", "a\tb\\c\"d"},
		{"a continued line", "[extensions]\nobjectformat = sha\\\n256\n", "sha256"},
		{"Windows' line ends", "[extensions]\r\n\tobjectformat = sha256\r\n", "sha256"},
		{"a byte order mark", "\ufeff[extensions]\nobjectformat = sha256\n", "sha256"},
		{"blanks within and after", "[extensions]\nobjectformat =  a  b  \n", "a  b"},
		{"a bare key", "[extensions]\nobjectformat\n", "true"},
		{"nothing", "[extensions]\nobjectformat =\n", ""},
		{"the last one counts", "[extensions]\nobjectformat = a\n[core]\nx = y\n[extensions]\nobjectformat = b\n", "b"},
		{"a subsection is another section", "[extensions \"x\"]\nobjectformat = a\n[extensions]\nobjectformat = b\n[extensions.y]\nobjectformat = c\n", "b"},
		{"a subsection with an escape", "[remote \"a\\\"]b\"]\nurl = x\n[extensions]\nobjectformat = b\n", "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := parseConfig(c.text)
			if err != nil {
				t.Fatal(err)
			}
			got, found := "", false
			for _, s := range list {
				if s.section == "extensions" && s.subsection == "" && s.key == "objectformat" {
					got, found = s.value, true
				}
			}
			if !found || got != c.want {
				t.Errorf("%q, found %v", got, found)
			}
			// git is the reference, where it is installed. It accepts all of the above.
			if git, err := exec.LookPath("git"); err == nil && got != "true" {
				file := filepath.Join(t.TempDir(), "config")
				if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(git, "config", "-f", file, "--get", "extensions.objectformat").Output()
				if said := strings.TrimSuffix(string(out), "\n"); err != nil || said != c.want {
					t.Errorf("git says %q, %v", said, err)
				}
			}
		})
	}
}

func TestWhatIsNoConfiguration(t *testing.T) {
	for _, text := range []string{"[extensions", "x = \"y", "[]\n", "[a \"b\nc\"]", "= x", "[a]\n-x = y", "[a]\nx = \\q", "[a]\nx y", "\x00"} {
		if _, err := parseConfig(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("[a \"b\"]\nc = d\\\n e # f\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := parseConfig(text)
		for _, s := range list {
			if s.key == "" {
				t.Error("a setting without a name")
			}
		}
	})
}
