package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

// block is a block of code of a document, with what follows its fence.
var block = regexp.MustCompile("(?ms)^ *```([a-z]*)\n(.*?)^ *```$")

// documented are the lines of shell of a document in their order, without comments.
func documented(t *testing.T, file string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range block.FindAllStringSubmatch(string(b), -1) {
		if m[1] != "" && m[1] != "sh" {
			continue
		}
		// A block with prompts also has what the commands print.
		prompts, until := strings.HasPrefix(m[2], "$ "), ""
		for _, line := range strings.Split(strings.ReplaceAll(m[2], "\\\n", " "), "\n") {
			if until != "" { // a here-document
				if strings.TrimSpace(line) == until {
					until = ""
				}
				continue
			}
			if _, word, ok := strings.Cut(line, "<<"); ok {
				until = strings.Trim(strings.Fields(word)[0], `-'"`)
			}
			if prompts && !strings.HasPrefix(line, "$ ") {
				continue
			}
			line, _, _ = strings.Cut(strings.TrimPrefix(line, "$ "), " #")
			if line = strings.Join(strings.Fields(line), " "); line != "" {
				out = append(out, line)
			}
		}
	}
	return out
}

// The exit codes of the documented commands in a folder with a leaked report and its log.
// No policy there names an instance, so no issuer is asked, and all is held.
var documentedHere = map[string]int{
	"quell completion bash > ~/.local/share/bash-completion/completions/quell":              0,
	"quell contain log run.zip --policy ~/.config/quell/policy.toml":                        0,
	"quell scan log build.log --report jsonl=report.jsonl":                                  0,
	"quell plan report.jsonl --output plan.json":                                            0,
	"quell check gitleaks.json":                                                             0,
	"quell plan gitleaks.json --output plan.json":                                           0,
	"quell apply plan.json --only 1,3":                                                      0,
	"quell scan log run.zip --report jsonl=report.jsonl":                                    0,
	`quell scan path ./artifact --report markdown="$GITHUB_STEP_SUMMARY"`:                   0,
	"quell scan path ./artifact --report jsonl=artifact.jsonl":                              0,
	"quell plan report.jsonl image.jsonl --output plan.json":                                0,
	"quell apply plan.json":                                                                 0,
	"quell recheck":                                                                         0,
	"quell ledger":                                                                          0,
	"0 * * * * quell recheck --due --format jsonl --output /var/log/quell-recheck.jsonl":    0,
	"quell ledger --verify":                                                                 0,
	"quell ledger --prove 312769d7 --output incident.jsonl":                                 0,
	"quell ledger --check incident.jsonl":                                                   0,
	"quell ledger --print-checkpoint":                                                       0,
	"quell ledger --verify --checkpoint 'quell-checkpoint:1:…'":                             0,
	"quell ledger --export evidence.jsonl":                                                  0,
	"quell ledger --installations":                                                          0,
	"quell ledger --prove INCIDENT --output proof.jsonl":                                    0,
	"quell ledger --prove INCIDENT --checkpoint kept.txt --output proof.jsonl":              0,
	"quell ledger --check proof.jsonl --checkpoint kept.txt":                                0,
	"quell hook install":                                                                    0,
	"quell hook uninstall":                                                                  0,
	"quell scan path TREE --offline --format jsonl --reveal --fail-on never > report.jsonl": 0,
}

// The documented lines that run in another test, or are another program's.
var documentedElsewhere = map[string]string{
	"git clone https://github.com/quellhq/quell && cd quell": "git's",
	"make demo": "testdata/script/demo.txtar runs quell demo",
	"go install github.com/quellhq/quell/cmd/quell@latest":                               "Go's, of a release",
	"gunzip quell-linux-amd64.gz && install -m 755 quell-linux-amd64 ~/.local/bin/quell": "testdata/install-check.sh",
	"sudo apt install ./quell-linux-amd64.deb":                                           "testdata/install-check.sh",
	"sudo dnf install ./quell-linux-amd64.rpm":                                           "dnf's",
	"docker run --rm -i ghcr.io/quellhq/quell scan log - < build.log":                    "testdata/install-check.sh",
	// README's first use and docs/applications.md: realtest, TestTheDocumentedApplications.
	"quell policy init --instance 'webapp=https://app.example.com,cookie=NAME,probe_path=/me,logout_path=/logout'": "realtest",
	"GITHUB_TOKEN=… quell scan github OWNER --since 30d --state scan.db":                                           "scanners/github, with its fake of GitHub",
	"GITHUB_TOKEN=… quell scan github OWNER/REPO --run 1234567890":                                                 "scanners/github, with its fake of GitHub",
	"quell scan image registry.example.com/team/app:1.2 --report jsonl=image.jsonl":                                "scanners/oci, with a registry",
	"quell scan image oci --offline":                                                                               "realtest, with buildah",
	"quell ledger --copy NAME --output copy.tar.zst.age":                                                           "package serve, with PostgreSQL",
	"quell ledger --accept --reason 'INC-7: restored from the backup of Sunday'":                                   "package cli, with a ledger that is damaged",
	"quell ledger --admit KEY --reason 'the second worker'":                                                        "package cli, with a second installation",
	"echo 'quell hook run' >> .husky/pre-commit":                                                                   "realtest, with husky",
	"quell vault policy > quell.hcl":                                                                               "realtest, with Vault",
	"age -d -i ~/.local/state/quell/identity.txt copy.tar.zst.age | tar --zstd -x":                                 "age's",
	"vault policy write quell quell.hcl":                                                                           "Vault's; realtest writes the policy",
	"XDG_STATE_HOME=$PWD/made quell ledger --verify":                                                               "the state that docs/deploy.md makes; quell ledger --verify runs here",
}

// elsewhereBegins begin lines that are not run here: the tests of package serve run quell serve.
var elsewhereBegins = []string{"cat > ", "curl ", "export ", "jq ", "kubectl ", "quell serve "}

// Each line of shell in the documents is run here, or is listed with where it is run. A
// command that is new in a document fails until it is in one of the lists.
func TestDocumentedCommandsRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the documents have lines of a POSIX shell")
	}
	testenv.Need(t, "git")
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	home, work := filepath.Join(dir, "home"), filepath.Join(dir, "work")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sh := func(line string) (int, string) {
		c := exec.Command("sh", "-c", line)
		c.Dir = work
		c.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null"}
		out, _ := c.CombinedOutput()
		return c.ProcessState.ExitCode(), string(out)
	}
	log, entries := "", []map[string]any{}
	for _, c := range []string{"6", "7", "8"} {
		line := "Cookie: sessionid=" + c + "lrwbqcab69m64p2g158z6tnovmizwdi"
		log += line + "\n"
		entries = append(entries, map[string]any{"RuleID": "cookie", "Match": line, "Secret": line[18:], "File": "build.txt", "StartLine": 1})
	}
	b, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(work, "gitleaks.json"), string(b))
	write(filepath.Join(work, "artifact", "build.txt"), log)
	write(filepath.Join(work, "build.log"), log)
	write(filepath.Join(work, "run.zip"), zipped(t, "1_build.txt", log))
	write(filepath.Join(home, ".config/quell/policy.toml"), "version = 1\n")
	write(filepath.Join(home, ".local/share/bash-completion/completions/README"), "")
	if code, out := sh("git init -q . && quell scan path artifact --report jsonl=image.jsonl"); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	seen, ran := map[string]bool{}, 0
	for _, file := range append([]string{"../../README.md"}, files...) {
		if filepath.Base(file) == "applications.md" {
			continue // realtest, TestTheDocumentedApplications
		}
	line:
		for _, line := range documented(t, file) {
			seen[line] = true
			want, here := documentedHere[line]
			if !here {
				for _, begin := range elsewhereBegins {
					if strings.HasPrefix(line, begin) {
						continue line
					}
				}
				if documentedElsewhere[line] == "" {
					t.Errorf("%s: %q is in neither list of this test", filepath.Base(file), line)
				}
				continue
			}
			run := strings.TrimPrefix(line, "0 * * * * ")
			if strings.Contains(line, "INCIDENT") || strings.Contains(line, "312769d7") || strings.Contains(line, "quell-checkpoint") || strings.Contains(line, "kept.txt") {
				if code, out := sh("quell ledger --print-checkpoint > kept.txt"); code != 0 {
					t.Fatalf("exit %d\n%s", code, out)
				}
			}
			for from, to := range map[string]string{
				"/var/log/":              "",
				"312769d7":               "$(quell ledger | sed -n 2p | cut -d' ' -f1)",
				"INCIDENT":               "$(quell ledger | sed -n 2p | cut -d' ' -f1)",
				"'quell-checkpoint:1:…'": `"$(cat kept.txt)"`,
				"TREE":                   "artifact",
				`"$GITHUB_STEP_SUMMARY"`: "summary.md",
			} {
				run = strings.ReplaceAll(run, from, to)
			}
			ran++
			if code, out := sh(run); code != want {
				t.Errorf("%s: %q: exit %d\n%s", filepath.Base(file), line, code, out)
			}
		}
	}
	for _, list := range []map[string]bool{keysOf(documentedHere), keysOf(documentedElsewhere)} {
		for line := range list {
			if !seen[line] {
				t.Errorf("%q is in no document", line)
			}
		}
	}
	t.Logf("%d commands run", ran)
}

func keysOf[V any](m map[string]V) map[string]bool {
	out := map[string]bool{}
	for k := range m {
		out[k] = true
	}
	return out
}

func zipped(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
