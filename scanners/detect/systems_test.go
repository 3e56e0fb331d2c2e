package detect

import "testing"

// Logs of systems as their documentation or source describes them: each is recognised as its own
// system's, and a finding has its step.
func TestAFindingHasTheStepOfItsSystem(t *testing.T) {
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	const z = "2026-05-03T01:16:34.3352086Z "
	for name, c := range map[string]struct{ log, system, step, group string }{
		"AppVeyor, with times":   {"[00:00:00] Build started\n[00:00:01] git clone -q --branch=main https://example.com/a.git\n[00:00:05] Running Install scripts\n[00:00:06] set TOKEN=" + pat + "\n", "appveyor", "Install", ""},
		"AppVeyor":               {"Build started\ngit clone -q --branch=main https://example.com/a.git\n" + pat + "\n", "appveyor", "", ""},
		"Argo":                   {`{"result":{"content":"start","podName":"wf-1-build"}}` + "\n" + `{"result":{"content":"TOKEN=` + pat + `","podName":"wf-1-test"}}` + "\n", "argo", "wf-1-test", ""},
		"Bitbucket":              {"+ umask 000\n\n+ GIT_LFS_SKIP_SMUDGE=1 retry 6 git clone --branch=\"main\" https://x-token-auth:$REPOSITORY_OAUTH_ACCESS_TOKEN@bitbucket.org/o/r.git\n+ ./deploy.sh --all\nTOKEN=" + pat + "\n", "bitbucket", "", "./deploy.sh --all"},
		"CircleCI's runner":      {"Build-agent version 1.0.1\n====>> Spin up environment\nok\n====>> Run tests\n#!/bin/bash -eo pipefail\n" + pat + "\n", "circleci", "Run tests", ""},
		"CircleCI's API":         {`[{"message":"$ env\r\nTOKEN=` + pat + `\r\n","time":"2026-05-03T01:16:34Z","type":"out"}]`, "circleci", "", ""},
		"Concourse":              {`{"event":"log","version":"5.1","data":{"origin":{"id":"5f1","source":"stdout"},"payload":"a\n","time":1}}` + "\n" + `{"event":"log","version":"5.1","data":{"origin":{"id":"5f2","source":"stdout"},"payload":"TOKEN=` + pat + `\n","time":1}}` + "\n", "concourse", "5f2", ""},
		"Concourse, as a stream": {`data: {"event":"log","version":"5.1","data":{"origin":{"id":"5f2","source":"stdout"},"payload":"TOKEN=` + pat + `\n"}}` + "\n", "concourse", "5f2", ""},
		"Drone":                  {"[build:0] + go build\n[build:1] ok\n[publish:0] TOKEN=" + pat + "\n", "drone", "publish", ""},
		"Drone's API":            {`[{"pos":0,"out":"+ env\n","time":0},{"pos":1,"out":"TOKEN=` + pat + `\n","time":0}]`, "drone", "", ""},
		"Gitea":                  {z + "runner(version:v0.2.11) received task 5 of job build, be triggered by event: push\n" + z + "⭐ Run Main actions/checkout@v4\n" + z + "⭐ Run Main make test\n" + z + "TOKEN=" + pat + "\n", "gitea", "make test", ""},
		"Harness":                {`{"level":"INFO","pos":0,"out":"Executing command: make\n","time":"2026-05-03T01:16:34Z"}` + "\n" + `{"level":"INFO","pos":1,"out":"TOKEN=` + pat + `\n","time":"2026-05-03T01:16:34Z"}` + "\n", "harness", "", "make"},
		"Tekton":                 {"[build : clone] ok\n[build : unit-tests] TOKEN=" + pat + "\n", "tekton", "build : unit-tests", ""},
		"Woodpecker":             {"[build:L0:0s] + go build\n[publish:L0:3s] TOKEN=" + pat + "\n", "woodpecker", "publish", ""},
		"Jenkins, a page":        {"19:15:49 Started by upstream project \"a\"\n19:15:50 " + pat + "\n", "jenkins", "", ""},
		"no system's command":    {"make: all\n+ a line of a diff\n[warn:12] odd\n" + pat + "\n", "", "", ""},
	} {
		got := placesIn(t, c.log)
		if len(got) != 1 {
			t.Errorf("%s: %d findings", name, len(got))
			continue
		}
		if l := got[0]; l.System != c.system || l.Step != c.step || l.Group != c.group {
			t.Errorf("%s: system %q, step %q, group %q", name, l.System, l.Step, l.Group)
		}
	}
}
