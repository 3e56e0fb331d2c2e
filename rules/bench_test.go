package rules

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkLoadBuiltin(b *testing.B) {
	for b.Loop() {
		if _, err := readBuiltin(); err != nil {
			b.Fatal(err)
		}
	}
}

// Loads 2,000 rules with probe and revocation, in 100 files.
func BenchmarkLoad2000Rules(b *testing.B) {
	var files []string
	for f := range 100 {
		var s strings.Builder
		fmt.Fprintf(&s, "[provider]\nid = \"p%d\"\nhosts = [\"api.p%d.example.com\"]\n", f, f)
		for r := range 20 {
			fmt.Fprintf(&s, "[[rules]]\nid = \"p%[1]d-r%[2]d\"\nregex = '''\\b(p%[1]dr%[2]d_[0-9a-z]{32})\\b'''\nkeywords = [\"p%[1]dr%[2]d_\"]\n[rules.probe]\nrequest = { method = \"GET\", path = \"/me\", header = { Authorization = \"Bearer {token}\" } }\n[[rules.probe.when]]\nstatus = [200]\nthen = \"live\"\n[[rules.probe.when]]\nstatus = [401]\nthen = \"dead\"\n[[rules.revoke]]\nid = \"r\"\ntier = \"self\"\nscope = \"this_session\"\ngrade = \"P\"\nsettle = \"1s\"\naccept = [204]\nrequest = { method = \"DELETE\", path = \"/t\", header = { Authorization = \"Bearer {token}\" } }\n", f, r)
		}
		files = append(files, s.String())
	}
	b.ResetTimer()
	for b.Loop() {
		for i, f := range files {
			if _, err := Load(fmt.Sprintf("%d.toml", i), []byte(f)); err != nil {
				b.Fatal(err)
			}
		}
	}
}
