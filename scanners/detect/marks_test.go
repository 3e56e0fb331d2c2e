package detect

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

type logText string

func (s logText) Open(context.Context) (scanners.Session, error) {
	return scanners.Of(s.Artifacts), nil
}

func (s logText) Artifacts(context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(s))), nil }
		yield(scanners.Artifact{Location: rules.Location{Source: "log", Path: "log"}, Open: open}, nil)
	}
}

// placesIn scans a log and returns the location of each finding.
func placesIn(t *testing.T, text string) (out []rules.Location) {
	t.Helper()
	var mu sync.Mutex
	p := scanners.Pool{Detector: New(builtin(t))}
	if _, err := p.Run(context.Background(), logText(text), func(f rules.Finding) {
		mu.Lock()
		defer mu.Unlock()
		out = append(out, f.Location)
	}, func(g scanners.Gap) { t.Error(g) }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAFindingHasTheJobStepAndGroupOfItsLog(t *testing.T) {
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	const z = "2026-05-03T01:16:34.3352086Z "
	pipeline := "\x1b[8mha:////4BBBB=\x1b[0m[Pipeline] "
	for name, c := range map[string]struct{ log, system, job, step, group string }{
		"GitHub: a step's output": {z + "Current runner version: '2.317.0'\n" + z + "Complete job name: build (1.22)\n" +
			z + "##[group]Run make test\n" + z + "shell: bash\n" + z + "##[endgroup]\n" + z + pat + "\n", "github", "build (1.22)", "Run make test", ""},
		"GitHub: a group":          {z + "##[group]Run make\n" + z + "##[endgroup]\n" + z + "##[group]Environment\n" + z + "T=" + pat + "\n", "github", "", "Run make", "Environment"},
		"GitHub: carriage returns": {z + "##[group]Run make\r\n" + z + "##[endgroup]\r\n" + z + pat + "\r\n", "github", "", "Run make", ""},
		"Azure":                    {z + "##[section]Starting: Job\n" + z + "##[section]Starting: Publish\n" + z + "##[group]env\n" + z + pat + "\n", "azure", "", "Publish", "env"},
		"Azure: after a step":      {z + "##[section]Starting: Publish\n" + z + "##[section]Finishing: Publish\n" + z + pat + "\n", "azure", "", "", ""},
		"GitLab": {"Running with gitlab-runner 17.1.0 (1)\nsection_start:1716382126:step_script\r\x1b[0K\x1b[0KExecuting\n" +
			"\x1b[0Ksection_start:1716382127:my_first.section[collapsed=true]\r\x1b[0KHeader\n" + pat + "\n", "gitlab", "", "step_script", "my_first.section"},
		"GitLab with times, after a section": {"2024-05-22T12:43:46.962646Z 00O \x1b[0Ksection_start:1716382126:step_script\r\x1b[0K\n" +
			"2024-05-22T12:43:46.962646Z 00O section_start:1:inner\r\x1b[0K\n2024-05-22T12:43:46.962646Z 00O section_end:2:inner\r\x1b[0K\n2024-05-22T12:43:46.962646Z 00O " + pat + "\n",
			"gitlab", "", "step_script", ""},
		"Jenkins' console": {"Started by user a\n[Pipeline] Start of Pipeline\n[Pipeline] node\n[Pipeline] {\n[Pipeline] stage\n[Pipeline] { (Build)\n[Pipeline] withEnv\n[Pipeline] {\n[Pipeline] sh\n+ " + pat + "\n",
			"jenkins", "", "Build", ""},
		"Jenkins' log file, after a stage": {"Started by user a\n" + pipeline + "{\n" + pipeline + "{ (Build)\n" + pipeline + "}\n" + pipeline + "{ (Deploy)\n" + pat + "\n", "jenkins", "", "Deploy", ""},
		"Travis":                           {"travis_fold:start:before_script.1\r\x1b[0Ktravis_time:start:01\r\x1b[0K$ env\n" + pat + "\n", "travis", "", "", "before_script.1"},
		"Travis: after a fold":             {"travis_fold:start:a\r\x1b[0K$ env\ntravis_fold:end:a\r\x1b[0K\n" + pat + "\n", "travis", "", "", ""},
		"Buildkite":                        {"\x1b_bk;t=1729032357999\x07~~~ Preparing\r\n\x1b_bk;t=1729032357999\x07+++ make test\r\n\x1b_bk;t=1729032357999\x07--- \x1b_bk;t=1\x07" + pat + "\r\n", "buildkite", "", "", ""},
		"Buildkite: a diff is no group":    {"\x1b_bk;t=1729032357999\x07+++ make test\r\n" + "--- a/file\n+++ b/file\n" + pat + "\r\n", "buildkite", "", "", "make test"},
		"TeamCity":                         {"TeamCity server version is 2023.05.4 (build 129421)\n[08:02:41]i:\t [Step 1/3] Starting\n[08:02:42] :\t\t [Resolving] " + pat + "\n", "teamcity", "", "Step 1/3", "Resolving"},
		"CodeBuild":                        {"[Container] 2024/05/01 10:00:00.123456 Entering phase BUILD\n[Container] 2024/05/01 10:00:00.123456 Running command make test\n" + pat + "\n", "codebuild", "", "BUILD", "make test"},
		"Cloud Build":                      {"starting build \"1-2\"\n\nFETCHSOURCE\nStep #0: a\nStep #1 - \"publish\": " + pat + "\n", "cloudbuild", "", "publish", ""},
		"a runner's diagnostic log": {"[2026-04-10 17:17:20Z INFO HostContext] Well known directory 'Root': '/opt/runner'\n[2026-04-10 17:17:22Z INFO JobRunner] Job ID 1\n{\n  \"a\": 1\n}\n" +
			"[2026-04-10 17:17:22Z INFO StepsRunner] Processing step: DisplayName='Run make'\n[2026-04-10 17:17:23Z INFO ExecutionContext] ##[group]Run make\n[2026-04-10 17:17:23Z ERR  ProcessInvoker] " + pat + "\n", "github_runner", "", "Run make", ""},
		"Semaphore": {`{"event":"job_started","timestamp":1}` + "\n" + `{"event":"cmd_started","timestamp":1,"directive":"make \"all\""}` + "\n" + `{"event":"cmd_output","timestamp":1,"output":"` + pat + `\n"}` + "\n", "semaphore", "", "", `make \"all\"`},
		"one system's marks in the log of another": {z + "Current runner version: '2'\n" + z + "##[group]Run cat log\n" + z + "##[endgroup]\n" + z + "##[section]Starting: Other\n[Pipeline] { (Build)\n" + z + pat + "\n", "github", "", "Run cat log", ""},
		"no system": {"a\n" + pat + "\n", "", "", "", ""},
	} {
		got := placesIn(t, c.log)
		if len(got) != 1 {
			t.Errorf("%s: %d findings", name, len(got))
			continue
		}
		if l := got[0]; l.System != c.system || l.Job != c.job || l.Step != c.step || l.Group != c.group {
			t.Errorf("%s: system %q, job %q, step %q, group %q", name, l.System, l.Job, l.Step, l.Group)
		}
	}
}

// A step that began several chunks earlier, with the end of a chunk at any offset.
func TestMarksAcrossChunks(t *testing.T) {
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	const z = "2026-05-03T01:16:34.3352086Z "
	for _, shift := range []int{0, 1, 7, 12, 31, 63} {
		var text strings.Builder
		fill := func(n int) {
			for text.Len() < n {
				fmt.Fprintf(&text, "%sline %d of the output\n", z, text.Len())
			}
		}
		text.WriteString(z + "##[group]Run first\n" + z + "##[endgroup]\n")
		fill(512<<10 - 64 + shift)
		text.WriteString(z + "##[group]Run second\n" + z + "##[endgroup]\n")
		fill(1600 << 10)
		text.WriteString(z + pat + "\n")
		got := placesIn(t, text.String())
		if len(got) != 1 || got[0].Step != "Run second" || got[0].System != "github" {
			t.Errorf("%d: %+v", shift, got)
		}
	}
}

// The first line of a command names its step, and may contain the secret itself.
func TestNamesOfStepsHoldNoSecret(t *testing.T) {
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	const z = "2026-05-03T01:16:34.3352086Z "
	for name, first := range map[string]string{
		"whole":             "curl -H 'Authorization: Bearer " + pat + "' https://api.github.com",
		"cut by the limit":  "curl " + strings.Repeat("x", 75) + " " + pat + " https://api.github.com",
		"one long word":     strings.Repeat("x", 100) + pat,
		"a colour within":   "echo " + pat[:20] + "\x1b[0m" + pat[20:],
		"encoded":           "echo Z2hwXzBhQjFjRDJlRjNnSDRpSjVrTDZtTjdvUDhxUjlzVA==",
		"of low confidence": "mysql -u root -p'Tr0ub4dor&3x' && export PASSWORD=hunter2hunter2",
	} {
		for _, l := range placesIn(t, z+"##[group]Run "+first+"\n"+z+"##[endgroup]\n"+z+pat+"\n") {
			for n := 8; n <= len(pat); n++ {
				if strings.Contains(l.Step, pat[:n]) {
					t.Errorf("%s: %q", name, l.Step)
					break
				}
			}
			if !strings.HasPrefix(l.Step, "Run") && l.Step != "…" {
				t.Errorf("%s: %q", name, l.Step)
			}
		}
	}
}
