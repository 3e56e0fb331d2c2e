package cli

import (
	"bytes"
	"crypto/sha1" // the digest that detect-secrets keeps
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
)

// madeUp are values in the forms of real ones, by the names that the reports in
// testdata/foreign have in their place.
func madeUp() map[string]string {
	r := rand.New(rand.NewPCG(33, 33))
	const upper, lower, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "0123456789"
	of := func(n int, letters string) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	all := digits + upper + lower
	body, sum := of(30, all), ""
	for c := crc32.ChecksumIEEE([]byte(body)); len(sum) < 6; c /= 62 {
		sum = all[c%62:][:1] + sum
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]string{
		"github":   "ghp" + "_" + body + sum,
		"gitlab":   "glpat" + "-" + of(20, all),
		"slack":    "xoxb" + "-" + of(12, digits) + "-" + of(13, digits) + "-" + of(24, all),
		"npm":      "npm" + "_" + of(36, all),
		"akid":     "AKIA" + of(16, upper+"234567"),
		"aksecret": of(40, all+"/+"),
		"stripe":   "sk_live" + "_" + of(24, all),
		"sendgrid": "SG." + of(22, all) + "." + of(43, all),
		"pass":     "Tr0ub" + of(12, all),
		"jwt":      b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64([]byte(`{"sub":"alice","iss":"https://idp.example.com","exp":4102444800}`)) + "." + of(43, all),
	}
}

// The files that the reports in testdata/foreign are about.
var foreignTree = map[string]string{
	"deploy.sh":          "#!/bin/sh\nexport GITHUB_TOKEN={{github}}\nexport GITLAB_TOKEN=\"{{gitlab}}\"\ncurl -H \"Authorization: Bearer {{slack}}\" https://slack.com/api/auth.test\nnpm_token={{npm}}\n",
	"config/app.env":     "AWS_ACCESS_KEY_ID={{akid}}\nAWS_SECRET_ACCESS_KEY={{aksecret}}\nSTRIPE_KEY={{stripe}}\nSENDGRID_API_KEY={{sendgrid}}\npassword = \"{{pass}}\"\n",
	"config/request.log": "GET /me HTTP/1.1\nAuthorization: Bearer {{jwt}}\n",
}

// filled replaces the names of values, and of their digests, in a text.
func filled(values map[string]string, text string) string {
	return regexp.MustCompile(`\{\{(sha1:)?(\w+)\}\}`).ReplaceAllStringFunc(text, func(m string) string {
		name, digest := strings.CutPrefix(strings.Trim(m, "{}"), "sha1:")
		v := values[name]
		if digest {
			sum := sha1.Sum([]byte(v))
			v = hex.EncodeToString(sum[:])
		}
		return v
	})
}

// Reports of other scanners, each of the version in the file's name: quell imports each value
// exactly, with its own rule if it has one, and with the place that the report names. TruffleHog,
// detect-secrets, gitleaks and betterleaks were run on foreignTree; those of Kingfisher and
// ggshield follow their published samples and schemas.
func TestReportsThatScannersWrote(t *testing.T) {
	values := madeUp()
	dir := t.TempDir()
	for name, text := range foreignTree {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, file, filled(values, text))
	}
	files, err := filepath.Glob("testdata/foreign/*")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d reports, %v", len(files), err)
	}
	reports := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		reports[filepath.Base(f)] = filled(values, string(b))
	}
	t.Chdir(dir)
	home := t.TempDir()
	for file, text := range reports {
		rt, err := run.New(run.Options{Getenv: func(k string) string { return map[string]string{"HOME": home}[k] }})
		if err != nil {
			t.Fatal(err)
		}
		a := &app{}
		creds, err := a.fromForeign(rt, file, strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var got []string
		for _, c := range creds {
			name := nameOf(values, c.Secret)
			for _, p := range c.Parts {
				name += "+" + nameOf(values, p)
			}
			for _, f := range c.Findings {
				got = append(got, fmt.Sprintf("%s %s %s:%d", name, c.Rule, f.Location.Path, f.Location.Line))
			}
		}
		slices.Sort(got)
		if want := foreignWant[file]; !slices.Equal(got, want) || a.unread > 0 {
			t.Errorf("%s: %d left out, got\n%s", file, a.unread, strings.Join(got, "\n"))
		}
	}
}

// quell reads its own report of format gitleaks: each value with its rule and place. Without
// --reveal it has no value, which is not passed over in silence.
func TestTheGitleaksFormatIsReadBack(t *testing.T) {
	values := madeUp()
	dir, env := t.TempDir(), home(t)
	for name, text := range map[string]string{
		"deploy.sh":          foreignTree["deploy.sh"],
		"config/request.log": foreignTree["config/request.log"],
		"cookie.txt":         "GET / HTTP/1.1\nCookie: sessionid=6lrwbqcab69m64p2g158z6tnovmizwdi\n",
	} {
		write(t, filepath.Join(dir, name), filled(values, text))
	}
	t.Chdir(dir)
	var lines string
	for _, args := range [][]string{{"--reveal", "--format", "gitleaks", "--output", "g.json"}, {"--report", "gitleaks=masked.json"}, {"--reveal", "--format", "jsonl"}} {
		var out, errs bytes.Buffer
		if code := Run(t.Context(), slices.Concat([]string{"scan", "path", "deploy.sh", "config", "cookie.txt", "--offline"}, args), strings.NewReader(""), &out, &errs, func(k string) string { return env[k] }); code != exitFindings {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		lines = out.String()
	}
	rt, err := run.New(run.Options{Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	read := func(file string) (got []string, unread int) {
		b, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		a := &app{}
		creds, err := a.fromForeign(rt, file, b)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range creds {
			for _, f := range c.Findings {
				got = append(got, fmt.Sprintf("%s %s %s:%d:%d", c.Secret.Reveal(), c.Rule, f.Location.Path, f.Location.Line, f.Location.Column))
			}
		}
		slices.Sort(got)
		return got, a.unread
	}
	var want []string
	for line := range strings.Lines(lines) {
		var f report.Finding
		if !strings.HasPrefix(line, `{"type":"finding"`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%s %s %s:%d:%d", f.Secret, f.Rule, f.Location.Path, f.Location.Line, f.Location.Column))
	}
	slices.Sort(want)
	if got, unread := read("g.json"); len(want) < 6 || !slices.Equal(got, want) || unread > 0 {
		t.Errorf("%d left out, got\n%s\nwant\n%s", unread, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, unread := read("masked.json"); len(got) != 0 || unread != len(want) {
		t.Errorf("masked: %d left out, %q", unread, got)
	}
}

func nameOf(values map[string]string, s rules.Secret) string {
	for n, v := range values {
		if v == s.Reveal() {
			return n
		}
	}
	return "?"
}

// foreignWant are the value, rule and place of each imported finding.
var foreignWant = map[string][]string{
	"betterleaks-1.7.0.json": {
		"akid aws-access-token ./config/app.env:1",
		"github github-pat ./deploy.sh:2",
		"gitlab gitlab-pat ./deploy.sh:3",
		"jwt jwt ./config/request.log:2",
		"npm npm-access-token ./deploy.sh:5",
		"pass generic-api-key ./config/app.env:5",
		"sendgrid sendgrid-api-token ./config/app.env:4",
		"slack slack-bot-token ./deploy.sh:4",
		"slack slack-bot-token ./deploy.sh:4",
		"stripe stripe-access-token ./config/app.env:3",
	},
	"detect-secrets-1.5.0.json": {
		"akid aws-access-token config/app.env:1",
		"github github-pat deploy.sh:2",
		"gitlab gitlab-pat deploy.sh:3",
		"jwt jwt config/request.log:2",
		"pass generic-api-key config/app.env:5",
		"sendgrid sendgrid-api-token config/app.env:4",
		"slack slack-bot-token deploy.sh:4",
		"stripe stripe-access-token config/app.env:3",
	},
	"ggshield-1.53.0.json": {
		"aksecret+akid aws-secret-key config/app.env:1",
		"aksecret+akid aws-secret-key config/app.env:2",
		"github github-pat deploy.sh:2",
		"gitlab gitlab-pat deploy.sh:3",
		"npm npm-access-token deploy.sh:5",
		"pass generic-api-key config/app.env:5",
		"slack slack-bot-token deploy.sh:4",
		"stripe stripe-access-token config/app.env:3",
	},
	"gitleaks-8.30.1.json": {
		"aksecret+akid aws-secret-key config/app.env:1",
		"aksecret+akid aws-secret-key config/app.env:2",
		"github github-pat deploy.sh:2",
		"gitlab gitlab-pat deploy.sh:3",
		"jwt jwt config/request.log:2",
		"npm npm-access-token deploy.sh:5",
		"pass generic-api-key config/app.env:5",
		"sendgrid sendgrid-api-token config/app.env:4",
		"slack slack-bot-token deploy.sh:4",
		"slack slack-bot-token deploy.sh:4",
		"stripe stripe-access-token config/app.env:3",
	},
	"kingfisher-1.10.0.json": {
		"github github-pat deploy.sh:2",
		"sendgrid sendgrid-api-token config/app.env:4",
	},
	"kingfisher-1.68.0.json": {
		"aksecret aws-secret-key config/app.env:2",
		"github github-pat deploy.sh:2",
		"gitlab gitlab-pat deploy.sh:3",
		"jwt jwt config/request.log:2",
		"sendgrid sendgrid-api-token config/app.env:4",
		"slack slack-bot-token deploy.sh:4",
	},
	"trufflehog-3.97.0-filesystem.jsonl": {
		"aksecret+akid aws-secret-key config/app.env:1",
		"aksecret+akid aws-secret-key config/app.env:1",
		"github github-pat deploy.sh:2",
		"gitlab gitlab-pat deploy.sh:3",
		"npm npm-access-token deploy.sh:5",
		"sendgrid sendgrid-api-token config/app.env:4",
		"slack slack-bot-token deploy.sh:4",
		"stripe stripe-access-token config/app.env:3",
	},
	"trufflehog-3.97.0-git.jsonl": {
		"aksecret+akid aws-secret-key config/app.env:1",
		"aksecret+akid aws-secret-key config/app.env:1",
		"github github-pat deploy.sh:2",
		"gitlab gitlab-pat deploy.sh:3",
		"npm npm-access-token deploy.sh:5",
		"sendgrid sendgrid-api-token config/app.env:4",
		"slack slack-bot-token deploy.sh:4",
		"stripe stripe-access-token config/app.env:3",
	},
}
