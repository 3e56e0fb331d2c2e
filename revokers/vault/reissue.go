package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules/credential"
)

// Names of steps.
const (
	issueToken  = "issue-token"
	extendToken = "extend-token"
)

// trial is the time to live of a replacement without a period until it is written: one
// that a crash loses ends by itself, since nothing but a list of all tokens would find it.
const trial = 5 * time.Minute

// reissue replaces a token by an orphan with its policies, so that it does not end
// with quell's own login. It lives for the time of a trial until it is written.
func (j *job) reissue() error {
	if !j.with.Reissue {
		return nil
	}
	path := "auth/token/create-orphan"
	if j.with.Token != "" {
		if !clean(j.with.Token) {
			return fmt.Errorf("token role %q is no name", j.with.Token)
		}
		path = "auth/token/create/" + j.with.Token
	}
	issue := act{
		mark: func(ctx context.Context) ([]byte, error) {
			lives, err := j.trial(ctx)
			if err != nil {
				return nil, err
			}
			return fmt.Appendf(nil, "%d %d", time.Now().Unix(), int64(lives.Seconds())), nil
		},
		do: func(ctx context.Context, fresh *credential.Secret) error { return j.create(ctx, path, fresh) },
		did: func(_ context.Context, mark []byte) (revokers.State, error) {
			// The store does not show it. If there is one, it ends within the trial.
			return revokers.Lost, nil
		},
		undo: func(_ context.Context, mark []byte) error {
			var at, lives int64
			if _, err := fmt.Sscanf(string(mark), "%d %d", &at, &lives); err != nil {
				return errors.New("the mark of the lost token is damaged")
			}
			// The request may have left some time after the mark.
			left := time.Until(time.Unix(at+lives, 0).Add(time.Minute))
			if left > 0 {
				return fmt.Errorf("a token that was issued and lost lives for %s more (hint: apply again then)", left.Round(time.Second))
			}
			return nil
		},
	}
	issue.Name, issue.Issues, issue.Where = issueToken, true, path
	issue.Effect = j.effect(put, `{"policies":"{those of the leaked token}","ttl":"`+trial.String()+`","meta":{"`+tagKey+`":"{incident}"}}`, path)
	issue.Note = "an orphan with the policies of the leaked token"
	if len(j.with.Policies) > 0 {
		issue.Effect.Body = []byte(strings.Replace(string(issue.Effect.Body), "{those of the leaked token}", jsonSafe(strings.Join(j.with.Policies, ",")), 1))
		issue.Note = "an orphan with the policies " + strings.Join(j.with.Policies, ", ")
	}
	issue.grants = []Grant{
		{path, []string{"update"}, "issue the replacement"},
		{"auth/token/lookup", []string{"update"}, "read the rights of the leaked token, and the replacement"},
	}
	if j.with.Token != "" {
		issue.grants = append(issue.grants, Grant{"auth/token/roles/" + j.with.Token, []string{"read"}, "know for how long a replacement that a crash loses lives"})
	}
	j.add(orderIssue, issue)
	extend := act{
		do: func(ctx context.Context, fresh *credential.Secret) error { return j.extend(ctx, *fresh) },
		did: func(ctx context.Context, _ []byte) (revokers.State, error) {
			if j.with.KV == "" {
				// A token that is not known can't be ended, and its lifetime may have been extended.
				return revokers.Unsure, nil
			}
			return revokers.NotDone, nil
		},
	}
	extend.Name, extend.Needs, extend.Repeats, extend.Where = extendToken, true, true, path
	extend.Effect = j.effect(put, `{"token":"{new token}","increment":"{time to live of the leaked token}"}`, "auth/token/renew")
	extend.grants = []Grant{{"auth/token/renew", []string{"update"}, "let the replacement live as long as the leaked token was to"}}
	// It lives for longer only where it can be found again: once KV holds it, or all of
	// the stores that can't be read.
	order := orderReload - 5
	if j.with.KV != "" {
		order = orderWrite + 5
	}
	j.add(order, extend)
	return nil
}

// trial is for how long a replacement lives that is not written anywhere. One with a
// period lives for that: it ends because only its holder could renew it.
func (j *job) trial(ctx context.Context) (time.Duration, error) {
	was, err := j.lookup(ctx, j.t.Secret)
	if err != nil {
		return 0, err
	}
	longest := trial
	periods := []string{text(was["period"])}
	if j.with.Token != "" {
		role, err := j.read(ctx, "auth/token/roles/"+j.with.Token)
		if err != nil {
			return 0, err
		}
		periods = append(periods, text(role["token_period"]), text(role["period"]))
	}
	for _, p := range periods {
		if n, err := strconv.Atoi(p); err == nil {
			longest = max(longest, time.Duration(n)*time.Second)
		}
	}
	return longest, nil
}

// lookup reads a token by quell's own.
func (j *job) lookup(ctx context.Context, token credential.Secret) (map[string]any, error) {
	c, err := j.client()
	if err != nil {
		return nil, err
	}
	s, err := c.Auth().Token().LookupWithContext(ctx, token.Reveal())
	if err != nil || s == nil || len(s.Data) == 0 {
		return nil, reason("look the token up", err)
	}
	return s.Data, nil
}

func (j *job) create(ctx context.Context, path string, fresh *credential.Secret) error {
	was, err := j.lookup(ctx, j.t.Secret)
	if err != nil {
		return err
	}
	policies := slices.Clone(j.with.Policies)
	list, _ := was["policies"].([]any)
	if len(policies) > 0 {
		list = nil
	}
	for _, p := range list {
		switch p := text(p); p {
		case "root":
			return errors.New("the leaked token has the policy root: a replacement with the same rights is not made")
		case "default":
		default:
			policies = append(policies, p)
		}
	}
	body := map[string]any{"policies": policies, "ttl": trial.String(), "renewable": true, "meta": map[string]string{tagKey: j.tag()}, "display_name": "quell-replacement"}
	if n, _ := strconv.Atoi(text(was["period"])); n > 0 {
		body["period"] = text(was["period"]) + "s"
		delete(body, "ttl")
	}
	if n, _ := strconv.Atoi(text(was["explicit_max_ttl"])); n > 0 {
		body["explicit_max_ttl"] = text(was["explicit_max_ttl"]) + "s"
	}
	c, err := j.client()
	if err != nil {
		return err
	}
	s, err := c.Logical().WriteWithContext(ctx, path, body)
	if err != nil || s == nil {
		return reason("issue a token", err)
	}
	if s.Auth == nil || s.Auth.ClientToken == "" {
		return errors.New("issue a token: Vault answered without one")
	}
	token := credential.NewSecretString(s.Auth.ClientToken)
	if !s.Auth.Orphan {
		err := c.Auth().Token().RevokeTreeWithContext(ctx, s.Auth.ClientToken)
		return errors.Join(errors.New("the token role issues tokens that end with quell's own login (hint: orphan = true of the token role)"), err)
	}
	*fresh = token
	return nil
}

// extend gives the replacement the time to live that the leaked token was created
// with. A periodic token has its period already.
func (j *job) extend(ctx context.Context, fresh credential.Secret) error {
	was, err := j.lookup(ctx, j.t.Secret)
	if err != nil {
		return err
	}
	ttl, _ := strconv.Atoi(text(was["creation_ttl"]))
	if n, _ := strconv.Atoi(text(was["period"])); n > 0 || ttl == 0 {
		ttl = n
	}
	c, err := j.client()
	if err != nil {
		return err
	}
	if _, err := c.Auth().Token().RenewWithContext(ctx, fresh.Reveal(), ttl); err != nil {
		return reason("renew the replacement", err)
	}
	return nil
}

// issuedToken reports whether quell issued a token for this incident.
func (j *job) issuedToken(ctx context.Context, token credential.Secret) (bool, error) {
	got, err := j.lookup(ctx, token)
	if err != nil {
		return false, err
	}
	meta, _ := got["meta"].(map[string]any)
	return text(meta[tagKey]) == j.tag(), nil
}
