package run

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
)

// instanceSecrets are the secrets of the policy's instances, whole and the password of each
// pair: the redactor removes them from everything that leaves the process.
func instanceSecrets(list issuer.Instances) []credential.Secret {
	var out []credential.Secret
	add := func(all ...credential.Secret) {
		for _, s := range all {
			for _, form := range []string{s.Reveal(), afterColon(s.Reveal()), passwordOf(s.Reveal())} {
				if len(form) >= minOwn {
					out = append(out, credential.NewSecretString(form))
				}
			}
		}
	}
	for _, i := range list {
		add(i.Admin, i.ClientSecret, i.SessionsDB)
		add(i.Further...)
		for _, c := range i.Controls {
			add(c.Secret)
			for _, p := range c.Parts {
				add(p)
			}
		}
		for _, r := range append([]*issuer.Rotation{i.Rotate}, i.Rotations...) {
			if r != nil {
				add(r.Value)
			}
		}
		if i.Login != nil {
			add(i.Login.SecretID, i.Login.JWT, i.Login.AWSKey)
		}
	}
	return out
}

// minOwn is the minimum length, in bytes, of a secret of quell's own that is looked for.
const minOwn = 8

func afterColon(s string) string {
	_, after, _ := strings.Cut(s, ":")
	if strings.HasPrefix(after, "//") {
		return "" // a URL
	}
	return after
}

// passwordOf is the password in a URL.
func passwordOf(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil {
		return ""
	}
	p, _ := u.User.Password()
	return p
}

// OwnSecrets are the credentials that quell works with: those of the policy's
// instances, of the environment, and of the configuration files of its clients.
func OwnSecrets(set *rules.Set, list issuer.Instances, getenv func(string) string, more ...string) []credential.Secret {
	var out []credential.Secret
	add := func(s string) {
		if s = strings.TrimSpace(s); len(s) >= minOwn {
			out = append(out, credential.NewSecretString(s))
		}
	}
	for _, i := range list {
		for p := range strings.SplitSeq(i.Admin.Reveal(), ":") {
			add(p) // ID:SECRET:SESSION has three
		}
		// A control is spared whatever its length.
		for _, c := range i.Controls {
			out = append(out, c.Secret)
			for _, p := range c.Parts {
				out = append(out, p)
			}
		}
	}
	out = append(out, instanceSecrets(list)...)
	for _, n := range slices.Concat(set.ClientEnv(), more) {
		v := getenv(n)
		add(v)
		add(passwordOf(v))
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

// ownForms are secrets in the forms in which they leak: whole, the password of a pair or of a
// URL, and a PEM key without what surrounds it, with its lines apart or joined by \n.
func ownForms(all ...credential.Secret) (out []credential.Secret) {
	for _, s := range all {
		text := strings.TrimSpace(s.Reveal())
		forms := []string{text, afterColon(text), passwordOf(text)}
		for _, key := range privateKey.FindAllString(text, 10) {
			forms = append(forms, key, strings.ReplaceAll(key, `\n`, "\n"), strings.ReplaceAll(key, "\n", `\n`))
		}
		for _, f := range forms {
			if len(f) >= minOwn {
				out = append(out, credential.NewSecretString(f))
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
