// Package webhook verifies and reads what GitHub, GitLab and Gitea send to a webhook.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/quellhq/quell/rules"
)

// MaxBody is the most bytes of a delivery. GitHub sends none above 25 MB
// (docs.github.com/webhooks/webhook-events-and-payloads#payload-cap).
const MaxBody = 25 << 20

// Verify reports whether a delivery comes from a server that has the secret. Comparisons take
// the same time whatever was sent.
func Verify(system string, secret rules.Secret, h http.Header, body []byte) bool {
	if secret.IsZero() {
		return false
	}
	switch system {
	case "github":
		// docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
		text, ok := strings.CutPrefix(h.Get("X-Hub-Signature-256"), "sha256=")
		return ok && signed(secret, text, body)
	case "gitea":
		// docs.gitea.com/usage/webhooks: hexadecimal, without a prefix
		return signed(secret, h.Get("X-Gitea-Signature"), body)
	case "gitlab":
		// docs.gitlab.com/user/project/integrations/webhooks: the secret itself
		return secret.Equal(rules.NewSecretString(h.Get("X-Gitlab-Token")))
	}
	return false
}

// Formed reports whether a delivery has what Verify asks for in its headers, before its body is
// read: of GitLab the secret itself, of the others something in the form of a signature.
func Formed(system string, secret rules.Secret, h http.Header) bool {
	text := h.Get("X-Gitea-Signature")
	switch system {
	case "gitlab":
		return Verify(system, secret, h, nil)
	case "github":
		var ok bool
		if text, ok = strings.CutPrefix(h.Get("X-Hub-Signature-256"), "sha256="); !ok {
			return false
		}
	}
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == sha256.Size
}

// Digest names a body that was delivered. It is keyed, and is not the body's signature.
func Digest(secret rules.Secret, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret.Reveal()))
	m.Write([]byte("delivered\n"))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// signed reports whether text is the HMAC-SHA-256 of a body, in hexadecimal.
func signed(secret rules.Secret, text string, body []byte) bool {
	got, err := hex.DecodeString(text)
	if err != nil {
		return false
	}
	m := hmac.New(sha256.New, []byte(secret.Reveal()))
	m.Write(body)
	return hmac.Equal(got, m.Sum(nil))
}
