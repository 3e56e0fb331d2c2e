package ci

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"

	"github.com/quellhq/quell/rules"
)

// Header gives a function for Client.Auth that sets one header.
func Header(name, prefix string, token rules.Secret) func(context.Context, http.Header) error {
	return func(_ context.Context, h http.Header) error {
		h.Set(name, prefix+token.Reveal())
		return nil
	}
}

// Basic gives a function for Client.Auth that sends a user and a password.
func Basic(user string, password rules.Secret) func(context.Context, http.Header) error {
	return func(_ context.Context, h http.Header) error {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password.Reveal())))
		return nil
	}
}

// ParseKey reads the PEM of an RSA key. Line breaks may be written as \n.
func ParseKey(secret rules.Secret) (*rsa.PrivateKey, error) {
	text := secret.Reveal()
	if !strings.Contains(text, "\n") {
		text = strings.ReplaceAll(text, `\n`, "\n")
	}
	block, _ := pem.Decode([]byte(strings.TrimSpace(text) + "\n"))
	if block == nil {
		return nil, errors.New("not a private key in PEM form")
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not an RSA key in PEM form")
	}
	rsaKey, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return rsaKey, nil
}

// Variables are the environment variables with credentials for CI systems: quell never kills
// these credentials.
func Variables() []string {
	return []string{"GITHUB_TOKEN", "GH_TOKEN", "GITHUB_APP_PRIVATE_KEY", "GITLAB_TOKEN", "CI_JOB_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN", "JENKINS_API_TOKEN",
		"CIRCLECI_TOKEN", "CIRCLE_TOKEN", "CIRCLECI_CLI_TOKEN", "BUILDKITE_API_TOKEN", "BUILDKITE_API_ACCESS_TOKEN", "AZURE_DEVOPS_EXT_PAT", "SYSTEM_ACCESSTOKEN",
		"BITBUCKET_TOKEN", "BITBUCKET_ACCESS_TOKEN", "BITBUCKET_API_TOKEN", "BITBUCKET_APP_PASSWORD", "TRAVIS_TOKEN", "TRAVIS_API_TOKEN", "TEAMCITY_TOKEN", "DRONE_TOKEN", "WOODPECKER_TOKEN"}
}
