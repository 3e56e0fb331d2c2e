package rules

import (
	"slices"
	"testing"
)

func TestClientsOfAllProvidersAreKnown(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	env := set.ClientEnv()
	for _, name := range []string{
		"GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "INPUT_TOKEN", "INPUT_GITHUB-TOKEN",
		"GITLAB_TOKEN", "GL_TOKEN", "CI_JOB_TOKEN", "CI_JOB_JWT", "GITLAB_ACCESS_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN", "VAULT_TOKEN", "SLACK_TOKEN", "SLACK_BOT_TOKEN",
		"JENKINS_API_TOKEN", "CIRCLECI_TOKEN", "CIRCLE_TOKEN", "BUILDKITE_API_TOKEN", "BUILDKITE_AGENT_ACCESS_TOKEN", "AZURE_DEVOPS_EXT_PAT", "SYSTEM_ACCESSTOKEN",
		"QUELL_GIT_TOKEN", "QUELL_STATE", "PGPASSWORD", "QUELL_FINGERPRINT_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "NPM_TOKEN", "NODE_AUTH_TOKEN", "DOCKER_PASSWORD", "CI_REGISTRY_PASSWORD",
	} {
		if !slices.Contains(env, name) {
			t.Errorf("%s is missing", name)
		}
	}
	get := func(vars map[string]string) func(string) string { return func(n string) string { return vars[n] } }
	files := set.ClientFiles(get(map[string]string{"HOME": "/home/a", "XDG_CONFIG_HOME": "/cfg", "DOCKER_CONFIG": "relative"}))
	for _, f := range []string{"/home/a/.netrc", "/home/a/.git-credentials", "/home/a/.vault-token", "/home/a/.pgpass", "/home/a/.npmrc", "/home/a/.docker/config.json", "/home/a/.config/gh/hosts.yml", "/cfg/gh/hosts.yml", "/cfg/glab-cli/config.yml", "/cfg/tea/config.yml", "/cfg/git/credentials"} {
		if !slices.Contains(files, f) {
			t.Errorf("%s is missing", f)
		}
	}
	for _, f := range files {
		if f[0] != '/' {
			t.Errorf("%s is not absolute", f)
		}
	}
	if got := set.ClientFiles(get(nil)); len(got) != 0 {
		t.Errorf("without a home: %q", got)
	}
}
