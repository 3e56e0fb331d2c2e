package run

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

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
	password := func(address string) {
		if u, err := url.Parse(address); err == nil && u.User != nil {
			if pass, ok := u.User.Password(); ok {
				add(pass)
			}
		}
	}
	for _, i := range list {
		pair(i.Admin)
		for p := range strings.SplitSeq(i.Admin.Reveal(), ":") {
			add(p) // ID:SECRET:SESSION has three
		}
		out = append(out, i.ClientSecret, i.SessionsDB)
		password(i.SessionsDB.Reveal())
		for _, c := range i.Controls {
			pair(c.Secret)
			for _, p := range c.Parts {
				out = append(out, p)
			}
		}
		if i.Rotate != nil {
			out = append(out, i.Rotate.Value)
		}
		if i.Login != nil {
			out = append(out, i.Login.SecretID, i.Login.JWT)
		}
	}
	for _, n := range slices.Concat(set.ClientEnv(), more) {
		v := getenv(n)
		add(v)
		password(v)
	}
	for _, f := range set.ClientFiles(getenv) {
		b, err := os.ReadFile(f)
		if err != nil || len(b) > 1<<20 {
			continue
		}
		for _, m := range privateKey.FindAllString(string(b), 100) {
			add(m)
			add(strings.ReplaceAll(m, `\n`, "\n"))
			add(strings.ReplaceAll(m, "\n", `\n`))
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

// secretLike finds the values of a configuration file that are long enough to
// be a credential.
var secretLike = regexp.MustCompile(`[A-Za-z0-9._~+/=:%-]{12,}`)

// privateKey finds PEM keys, whose lines a configuration file may join by \n.
var privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[A-Za-z0-9+/=\\\s]{64,}?-----END [A-Z ]{0,20}PRIVATE KEY-----`)

// Own knows the credentials that quell works with, in every encoding.
func Own(set *rules.Set, list issuer.Instances, getenv func(string) string, more ...string) guard.Own {
	return guard.NewOwn(OwnSecrets(set, list, getenv, more...))
}
