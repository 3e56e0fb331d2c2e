package aws

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/interp"
	"github.com/quellhq/quell/revokers/issuer"
)

// Endpoints of a key. GetCallerIdentity answers whatever a policy denies, also
// after a session was ended by one, so a session is asked about with an action
// that such a policy denies as well.
const (
	identity = "sts:GetCallerIdentity"
	session  = "sts:GetCallerIdentity, iam:ListAccountAliases"
)

// Key asks about access keys: long-lived ones, and temporary ones together with
// their session token.
type Key struct{ Doer issuer.Doer }

// Endpoints implements revokers.Verifier.
func (Key) Endpoints(t revokers.Target) []string {
	k, ok := keysOf(t)
	switch {
	case !ok:
		return nil
	case k.session != "":
		return []string{session}
	}
	return []string{identity}
}

// maxARN is the longest ARN that AWS makes, in bytes.
const maxARN = 2048

// caller is the answer of GetCallerIdentity.
type caller struct {
	XMLName xml.Name `xml:"GetCallerIdentityResponse"`
	ARN     string   `xml:"GetCallerIdentityResult>Arn"`
	UserID  string   `xml:"GetCallerIdentityResult>UserId"`
	Account string   `xml:"GetCallerIdentityResult>Account"`
}

// Verify implements revokers.Verifier.
func (v Key) Verify(ctx context.Context, t revokers.Target, endpoint string) (revokers.Answer, error) {
	k, ok := keysOf(t)
	if !ok {
		return revokers.Answer{}, fmt.Errorf("the key's id or session token was not found near it")
	}
	q, err := request(ctx, t.Instance, k, "sts", region(t.Instance), url.Values{"Action": {"GetCallerIdentity"}, "Version": {stsVersion}}, true, time.Now())
	if err != nil {
		return revokers.Answer{}, err
	}
	resp, err := v.Doer.Do(ctx, t.Instance, q)
	if err != nil {
		return interp.NoAnswer(ctx, endpoint, err)
	}
	a := revokers.Answer{Endpoint: endpoint, Status: resp.Status, Detail: fmt.Sprintf("STS answered %d", resp.Status), At: time.Now().UTC()}
	var c caller
	if resp.Status != http.StatusOK || xml.Unmarshal(resp.Body, &c) != nil || c.Account == "" || c.ARN == "" || resp.Cut {
		return refusal(a, k, resp), nil
	}
	a.Class, a.Reason, a.Detail = revokers.Accepts, revokers.Authenticated, "STS names the caller"
	a.Identity = map[string]string{"account": short(c.Account, k), "arn": short(c.ARN, k), "user_id": short(c.UserID, k)}
	// A kill acts on the ARN, so that a cut one is none. Those with a long path
	// have up to 600 bytes.
	if len(c.ARN) <= maxARN {
		a.Captures = map[string]string{"arn": c.ARN}
	}
	if endpoint != session {
		return a, nil
	}
	return v.denied(ctx, t, k, a)
}

// denied finds whether a policy denies a session everything.
func (v Key) denied(ctx context.Context, t revokers.Target, k keys, a revokers.Answer) (revokers.Answer, error) {
	at, region := iam(t.Instance)
	q, err := request(ctx, at, k, "iam", region, url.Values{"Action": {"ListAccountAliases"}, "Version": {iamVersion}}, true, time.Now())
	if err != nil {
		return revokers.Answer{}, err
	}
	resp, err := v.Doer.Do(ctx, at, q)
	if err != nil {
		b, err := interp.NoAnswer(ctx, a.Endpoint, err)
		b.Identity, b.Captures = a.Identity, a.Captures
		return b, err
	}
	f := faultOf(resp)
	switch {
	case resp.Status == http.StatusOK && strings.Contains(string(resp.Body), "ListAccountAliasesResponse"):
		return a, nil
	case strings.HasPrefix(f.Code, "AccessDenied") && strings.Contains(f.Message, "with an explicit deny in an identity-based policy"):
		a.Class, a.Reason, a.Status = revokers.Refuses, revokers.Revoked, resp.Status
		// A role that may never use this action gets the same answer.
		a.Documented, a.Also = sourceDenied, revokers.AlsoCredential
		a.Detail = "a policy of its role or user denies the session what it asks for"
		a.Raw = revokers.NewRefusal(resp.Status, "", "", []byte(f.Code+" explicit deny in an identity-based policy"), nil)
		return a, nil
	case strings.HasPrefix(f.Code, "AccessDenied") && strings.Contains(f.Message, "explicit deny"):
		a.Class, a.Reason, a.Detail = revokers.Other, revokers.Restricted, "a policy other than the role's own denies the session what it asks for"
		return a, nil
	case strings.HasPrefix(f.Code, "AccessDenied"):
		return a, nil // it is let in, and has no right to this action
	}
	a.Status, a.Detail = resp.Status, fmt.Sprintf("IAM answered %d", resp.Status)
	return refusal(a, k, resp), nil
}

// short limits the length of a message of AWS, and removes the key's own values from it.
func short(s string, k keys) string {
	for _, secret := range []string{k.secret, k.session} {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "…")
		}
	}
	return s[:min(len(s), 256)]
}

// refusal reads any answer that does not name the caller.
func refusal(a revokers.Answer, k keys, r issuer.Response) revokers.Answer {
	f := faultOf(r)
	a.RetryAfter, _ = guard.RetryAfter(r.Header, time.Now())
	if f.Code != "" {
		a.Detail += ": " + short(f.Code, k)
	}
	say := func(c revokers.Class, reason revokers.Reason) revokers.Answer {
		a.Class, a.Reason = c, reason
		return a
	}
	switch {
	case guard.IsThrottle(r) || slices.Contains([]string{"Throttling", "ThrottlingException", "RequestLimitExceeded"}, f.Code):
		return say(revokers.Silent, revokers.Throttled)
	case r.Status == http.StatusRequestTimeout || r.Status >= 500:
		return say(revokers.Silent, revokers.Unreachable)
	case r.Cut || f.Code == "":
		return say(revokers.Other, revokers.Unexpected)
	}
	sent := []string{k.id, k.secret}
	if k.session != "" {
		sent = append(sent, k.session)
	}
	a.Raw = revokers.NewRefusal(r.Status, "", "", r.Body, sent)
	switch f.Code {
	case "ExpiredToken", "ExpiredTokenException":
		// Both are of the id and the session token, which were paired with the
		// secret key by their distance alone: they may be another key's.
		a.Documented, a.Also = sourceErrors, revokers.AlsoCredential
		return say(revokers.Refuses, revokers.Expired)
	case "InvalidClientTokenId":
		// An id that does not exist, or that is inactive. The partitions of
		// GovCloud and China do not know each other's keys.
		// Also, an id near a secret key need not be its own.
		a.Documented, a.Also = sourceErrors, revokers.AlsoCredential
		a.Detail += ", which a secret key next to another key's id gets as well, and a key of another partition (GovCloud, China)"
		return say(revokers.Refuses, revokers.Revoked)
	case "SignatureDoesNotMatch":
		a.Detail += ": the id exists, and this is not its secret key"
		return say(revokers.Other, revokers.Unexpected)
	case "OptInRequired":
		return say(revokers.Other, revokers.Restricted)
	}
	return say(revokers.Other, revokers.Unexpected)
}
