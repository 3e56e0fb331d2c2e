// Package notify sends messages to webhooks: JSON with one key, "text", as Slack, Mattermost
// and similar receivers expect; cards for Microsoft Teams; or signed JSON.
package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Timeout is the limit for one message.
const Timeout = 10 * time.Second

// Hook is a webhook. Its path is a secret, because it suffices to send messages, so a Hook
// prints as its host only.
type Hook struct{ url *url.URL }

// Parse parses the URL of a webhook: https, or http to loopback. Its errors quote only the
// host.
func Parse(text string) (Hook, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Hostname() == "" {
		return Hook{}, errors.New("notify: an entry is no URL of a webhook")
	}
	if u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !issuer.Loopback(u.Hostname())) {
		return Hook{}, fmt.Errorf("notify: the webhook at %s is neither https without a user nor http to loopback", u.Host)
	}
	return Hook{u}, nil
}

// Read reads the webhook that a policy names: its address, or a reference to it,
// which secret resolves.
func Read(entry string, secret func(ref string) (credential.Secret, error)) (Hook, error) {
	if !strings.HasPrefix(entry, "env:") && !strings.HasPrefix(entry, "file:") && !strings.HasPrefix(entry, "vault:") {
		return Parse(entry)
	}
	s, err := secret(entry)
	if err != nil {
		return Hook{}, fmt.Errorf("notify: %w", err)
	}
	return Parse(s.Reveal())
}

// String returns the host.
func (h Hook) String() string {
	if h.url == nil {
		return ""
	}
	return h.url.Host
}

// GoString hides the path from %#v.
func (h Hook) GoString() string { return "notify.Hook(" + h.String() + ")" }

// minSecret is the minimum length, in bytes, of a path that counts as a secret.
const minSecret = 12

// Secrets returns the parts of the URL that a redactor must know.
func (h Hook) Secrets() []credential.Secret {
	var out []credential.Secret
	for _, s := range []string{h.url.RequestURI(), strings.TrimPrefix(h.url.EscapedPath(), "/"), h.url.RawQuery, h.url.Path[strings.LastIndex(h.url.Path, "/")+1:]} {
		if len(s) >= minSecret {
			out = append(out, credential.NewSecretString(s))
		}
	}
	return out
}

// Send posts a text as Text. It follows no redirect and ignores proxies of the environment. Errors
// quote only the host of the URL.
func (h Hook) Send(ctx context.Context, text string) error {
	body, err := Message{Text: text}.Body(Text)
	if err != nil {
		return fmt.Errorf("notify %s: %w", h, err)
	}
	return h.Post(ctx, body, nil)
}

// Post posts a body, as Send does.
func (h Hook) Post(ctx context.Context, body []byte, header map[string]string) error {
	ctx, stop := context.WithTimeout(ctx, Timeout)
	defer stop()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("notify %s: the address is no URL", h)
	}
	q.Header.Set("Content-Type", "application/json")
	for name, v := range header {
		q.Header.Set(name, v)
	}
	t := &http.Transport{DisableKeepAlives: true}
	c := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a, err := c.Do(q)
	if err != nil {
		return fmt.Errorf("notify %s: %s", h, cause(err))
	}
	defer a.Body.Close()
	if a.StatusCode < 200 || a.StatusCode > 299 {
		return fmt.Errorf("notify %s: it answered %d", h, a.StatusCode)
	}
	return nil
}

// cause drops the URL that net/http quotes.
func cause(err error) string {
	var u *url.Error
	switch {
	case errors.As(err, &u) && u.Timeout():
		return "no answer in time"
	case errors.As(err, &u):
		return "the message could not be delivered"
	}
	return "no answer"
}
