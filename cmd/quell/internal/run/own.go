package run

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// ownVariables are variables that quell and the clients that it stands next to
// read a credential from. The rules files name those of the providers.
var ownVariables = []string{
	"GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "INPUT_TOKEN", "INPUT_GITHUB-TOKEN",
	"GITLAB_TOKEN", "GL_TOKEN", "CI_JOB_TOKEN", "CI_JOB_JWT", "GITLAB_ACCESS_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN",
	"VAULT_TOKEN", "SLACK_TOKEN", "SLACK_BOT_TOKEN", "JENKINS_API_TOKEN", "CIRCLECI_TOKEN", "CIRCLE_TOKEN", "BUILDKITE_API_TOKEN", "BUILDKITE_AGENT_ACCESS_TOKEN", "AZURE_DEVOPS_EXT_PAT", "SYSTEM_ACCESSTOKEN",
	"QUELL_GIT_TOKEN", "QUELL_STATE", "PGPASSWORD", "QUELL_FINGERPRINT_KEY",
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "NPM_TOKEN", "NODE_AUTH_TOKEN", "DOCKER_PASSWORD", "CI_REGISTRY_PASSWORD",
}

// OwnSecrets are the credentials that quell works with: those of the policy's
// instances, of the environment, and of the configuration files of its clients.
func OwnSecrets(set *rules.Set, list issuer.Instances, getenv func(string) string, more ...string) []credential.Secret {
	var out []credential.Secret
	add := func(s string) {
		if s = strings.TrimSpace(s); len(s) >= 8 {
			out = append(out, credential.NewSecretString(s))
		}
	}
	pair := func(s credential.Secret) {
		out = append(out, s)
		if _, pass, ok := strings.Cut(s.Reveal(), ":"); ok {
			add(pass)
		}
	}
	for _, i := range list {
		pair(i.Admin)
		out = append(out, i.ClientSecret)
		for _, c := range i.Controls {
			pair(c.Secret)
			for _, p := range c.Parts {
				out = append(out, p)
			}
		}
		if i.Rotate != nil {
			out = append(out, i.Rotate.Value)
		}
	}
	for _, n := range slices.Concat(ownVariables, more, providerVariables(set)) {
		v := getenv(n)
		add(v)
		if u, err := url.Parse(v); err == nil && u.User != nil {
			if pass, ok := u.User.Password(); ok {
				add(pass)
			}
		}
	}
	for _, f := range clientFiles(getenv) {
		b, err := os.ReadFile(f)
		if err != nil || len(b) > 1<<20 {
			continue
		}
		for _, m := range secretLike.FindAllString(string(b), 1000) {
			add(m)
			if user, pass, ok := strings.Cut(m, ":"); ok && user != "" {
				add(pass)
			}
		}
	}
	return out
}

func providerVariables(set *rules.Set) []string {
	var out []string
	if set == nil {
		return nil
	}
	for _, p := range set.Providers {
		out = append(out, p.Env...)
	}
	return out
}

// clientFiles are the files from which quell's clients take a credential.
func clientFiles(getenv func(string) string) []string {
	home := getenv("HOME")
	if home == "" {
		return nil
	}
	config := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		config = filepath.Join(home, ".config")
	}
	out := []string{
		filepath.Join(config, "gh", "hosts.yml"), filepath.Join(config, "glab-cli", "config.yml"), filepath.Join(config, "tea", "config.yml"), filepath.Join(config, "git", "credentials"),
		filepath.Join(home, ".vault-token"), filepath.Join(home, ".netrc"), filepath.Join(home, ".git-credentials"), filepath.Join(home, ".pgpass"), filepath.Join(home, ".npmrc"),
	}
	docker := getenv("DOCKER_CONFIG")
	if docker == "" {
		docker = filepath.Join(home, ".docker")
	}
	return append(out, filepath.Join(docker, "config.json"))
}

// secretLike finds the values of a configuration file that are long enough to
// be a credential.
var secretLike = regexp.MustCompile(`[A-Za-z0-9._~+/=:%-]{12,}`)

// Own knows the credentials that quell works with, in every encoding.
func Own(set *rules.Set, list issuer.Instances, getenv func(string) string, more ...string) guard.Own {
	return guard.NewOwn(OwnSecrets(set, list, getenv, more...))
}
