package aws

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
)

// Status sets a long-lived key inactive, which its owner can take back. With
// the operator's key, that signs the request; otherwise the leaked key does,
// which works if its own policy allows iam:UpdateAccessKey.
type Status struct {
	Doer  issuer.Doer
	Admin bool
}

// Batch implements revokers.Revoker.
func (Status) Batch() int { return 1 }

// Plan implements revokers.Revoker.
func (v Status) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	form, err := v.form(ts[0], "Inactive")
	if err != nil {
		return nil, err
	}
	return []revokers.Effect{v.effect(ts[0], "update-access-key", form)}, nil
}

// form are the parameters of UpdateAccessKey. Without a user name AWS takes the
// user of the key that signs.
func (v Status) form(t revokers.Target, status string) (url.Values, error) {
	k, ok := keysOf(t)
	switch {
	case !ok:
		return nil, errors.New("the key's id was not found near it")
	case k.session != "":
		return nil, errors.New("temporary keys can't be set inactive")
	}
	form := url.Values{"Action": {"UpdateAccessKey"}, "Version": {iamVersion}, "AccessKeyId": {k.id}, "Status": {status}}
	if !v.Admin {
		return form, nil
	}
	kind, name, err := principal(t.Captures["arn"])
	if err != nil {
		return nil, err
	}
	if kind != "user" {
		return nil, fmt.Errorf("only its own user can set the key of a %s inactive", kind)
	}
	form.Set("UserName", name)
	return form, nil
}

func (v Status) effect(t revokers.Target, name string, form url.Values) revokers.Effect {
	return effect(t, name, form, v.Admin)
}

// Send implements revokers.Revoker.
func (v Status) Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	form, err := v.form(ts[0], "Inactive")
	if err != nil {
		return revokers.Receipt{}, err
	}
	ack, err := send(ctx, v.Doer, ts[0], v.effect(ts[0], e.Name, form), form, v.Admin, before)
	return revokers.All(1, ack), err
}

// Restore implements revokers.Restorer: it sets the key active again. An
// inactive key can't sign, so that this takes the operator's.
func (v Status) Restore(ctx context.Context, t revokers.Target, before func(revokers.Effect) error) (revokers.Acknowledgement, error) {
	form, err := Status{Admin: false}.form(t, "Active")
	if err != nil {
		return revokers.Acknowledgement{}, err
	}
	if name := t.Captures["arn"]; name != "" {
		if kind, user, err := principal(name); err == nil && kind == "user" {
			form.Set("UserName", user)
		}
	}
	return send(ctx, v.Doer, t, effect(t, "update-access-key.restore", form, true), form, true, before)
}

// Older denies a role's or user's sessions that are older than the request, by
// the policy that the console's "Revoke active sessions" writes. It ends every
// session of the role, and new ones can be made.
type Older struct{ Doer issuer.Doer }

// Batch implements revokers.Revoker.
func (Older) Batch() int { return 1 }

// nowVariable is shown in a plan for the moment at which the request is sent.
const nowVariable = "{now}"

// Plan implements revokers.Revoker.
func (v Older) Plan(_ context.Context, ts []revokers.Target) ([]revokers.Effect, error) {
	form, err := v.form(ts[0], nowVariable)
	if err != nil {
		return nil, err
	}
	return []revokers.Effect{effect(ts[0], "revoke-older-sessions", form, true)}, nil
}

// form is PutRolePolicy or PutUserPolicy with the documented document.
func (v Older) form(t revokers.Target, now string) (url.Values, error) {
	kind, name, err := principal(t.Captures["arn"])
	if err != nil {
		return nil, err
	}
	doc := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"` + now + `"}}}]}`
	form := url.Values{"Version": {iamVersion}, "PolicyName": {"AWSRevokeOlderSessions"}, "PolicyDocument": {doc}}
	switch kind {
	case "assumed-role":
		form.Set("Action", "PutRolePolicy")
		form.Set("RoleName", name)
	case "user":
		form.Set("Action", "PutUserPolicy")
		form.Set("UserName", name)
	default:
		return nil, fmt.Errorf("no policy reaches the sessions of a %s", kind)
	}
	return form, nil
}

// Send implements revokers.Revoker.
func (v Older) Send(ctx context.Context, ts []revokers.Target, e revokers.Effect, before func(revokers.Effect) error) (revokers.Receipt, error) {
	t := ts[0]
	planned, err := v.form(t, nowVariable)
	if err != nil {
		return revokers.Receipt{}, err
	}
	if err := v.own(ctx, t); err != nil {
		return revokers.Receipt{}, err
	}
	now := time.Now().UTC().Format(time.RFC3339)
	form, err := v.form(t, now)
	if err != nil {
		return revokers.Receipt{}, err
	}
	final := effect(t, e.Name, planned, true)
	final.Late = map[string]string{"now": now}
	ack, err := send(ctx, v.Doer, t, final, form, true, before)
	return revokers.All(1, ack), err
}

// own reports an error unless the operator's key belongs to the session's
// account: IAM takes the bare name of a role or user, which another account may
// have as well. Nor may the policy end the operator's own session.
func (v Older) own(ctx context.Context, t revokers.Target) error {
	k, ok := adminKeys(t.Instance.Admin)
	if !ok {
		return errAdmin
	}
	q, err := request(ctx, t.Instance, k, "sts", region(t.Instance), url.Values{"Action": {"GetCallerIdentity"}, "Version": {stsVersion}}, true, time.Now())
	if err != nil {
		return err
	}
	resp, err := v.Doer.Do(ctx, t.Instance, q)
	if err != nil {
		return fmt.Errorf("whose account admin of the [[instance]] belongs to: %w", err)
	}
	var c caller
	if resp.Status != http.StatusOK || resp.Cut || xml.Unmarshal(resp.Body, &c) != nil {
		return fmt.Errorf("STS does not say whose account admin of the [[instance]] belongs to: it answered %d", resp.Status)
	}
	kind, name, err := principal(c.ARN)
	if err != nil {
		return err
	}
	theirKind, theirName, err := principal(t.Captures["arn"])
	if err != nil {
		return err
	}
	account := accountOf(c.ARN)
	switch {
	case account == "" || account != accountOf(t.Captures["arn"]):
		return errors.New("admin of the [[instance]] belongs to another account than the session: set a key of the session's account")
	case k.session != "" && kind == theirKind && name == theirName:
		return fmt.Errorf("admin of the [[instance]] is itself a session of the %s %s, which the policy would end: set another key", kind, name)
	}
	return nil
}

// accountOf is the partition and the account of an ARN; empty if it names none.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[1] == "" || parts[4] == "" {
		return ""
	}
	return parts[1] + ":" + parts[4]
}

// errAdmin is the error of an operator's key that can't be read.
var errAdmin = errors.New("admin of the [[instance]] is not ID:SECRET or ID:SECRET:SESSION")

// principal splits the ARN of a caller into what it is and its name.
func principal(arn string) (kind, name string, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return "", "", errors.New("STS named no caller, so whose key it is is not known")
	}
	kind, rest, _ := strings.Cut(parts[5], "/")
	switch kind {
	case "user":
		return kind, rest[strings.LastIndexByte(rest, '/')+1:], nil // a path may precede the name
	case "assumed-role":
		name, _, _ = strings.Cut(rest, "/")
		return kind, name, nil
	case "root":
		return "root user", "", nil
	}
	return kind, rest, nil
}

// effect shows a request: the key's id is the placeholder of the part.
func effect(t revokers.Target, name string, form url.Values, admin bool) revokers.Effect {
	at, _ := iam(t.Instance)
	shown := map[string]string{}
	for k := range form {
		shown[k] = form.Get(k)
	}
	if shown["AccessKeyId"] != "" {
		shown["AccessKeyId"] = "{part." + partID + "}"
	}
	body, _ := json.Marshal(shown)
	signer := "{token}"
	if admin {
		signer = "{admin}"
	}
	return revokers.Effect{
		Name: name, Method: http.MethodPost, URL: at.Origin() + strings.TrimRight(at.URL.Path, "/") + "/",
		Header: map[string]string{"Authorization": "AWS4-HMAC-SHA256 " + signer}, Body: body, Elements: []string{t.Fingerprint},
	}
}

func send(ctx context.Context, d issuer.Doer, t revokers.Target, final revokers.Effect, form url.Values, admin bool, before func(revokers.Effect) error) (revokers.Acknowledgement, error) {
	k, ok := keysOf(t)
	if admin {
		if k, ok = adminKeys(t.Instance.Admin); !ok {
			return revokers.Acknowledgement{}, errAdmin
		}
	}
	if !ok {
		return revokers.Acknowledgement{}, errors.New("the key's id was not found near it")
	}
	at, region := iam(t.Instance)
	q, err := request(ctx, at, k, "iam", region, form, false, time.Now())
	if err != nil {
		return revokers.Acknowledgement{}, err
	}
	if err := before(final); err != nil {
		return revokers.Acknowledgement{}, err
	}
	resp, err := d.Do(ctx, at, q)
	if err != nil {
		return revokers.Acknowledgement{}, err
	}
	ack := revokers.Acknowledgement{Status: resp.Status, At: time.Now().UTC()}
	if resp.Status == http.StatusOK && strings.Contains(string(resp.Body), form.Get("Action")+"Response") {
		ack.Accepted = true
		return ack, nil
	}
	ack.Detail = fmt.Sprintf("IAM answered %d", resp.Status)
	if f := faultOf(resp); f.Code != "" {
		ack.Detail += ": " + short(f.Code, k)
		if strings.HasPrefix(f.Code, "AccessDenied") && !admin {
			ack.Detail += "; the key may not change its own status: admin of the [[instance]] can"
		}
	}
	return ack, nil
}
