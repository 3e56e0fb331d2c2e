package aws_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/aws"
	"github.com/quellhq/quell/revokers/guard"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/natives"
	"github.com/quellhq/quell/rules"
)

// key is one access key of the fake.
type key struct {
	secret, session, arn string
	inactive, expired    bool
	may                  bool // its policy allows iam:UpdateAccessKey and what admins do
	issued               time.Time
}

// cloud is STS and IAM on one address. It checks signatures, and answers in the
// form of the query APIs.
type cloud struct {
	mu     sync.Mutex
	keys   map[string]*key
	denied map[string]time.Time // older sessions of a role or user have no access
	guard  string               // an explicit deny of another policy type, for every session
	asked  []string
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	c.asked = append(c.asked, form.Get("Action"))
	fail := func(status int, code, message string) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%d</RequestId></ErrorResponse>`, code, message, len(c.asked))
	}
	auth := r.Header.Get("Authorization")
	scope, _, ok := strings.Cut(strings.TrimPrefix(auth, "AWS4-HMAC-SHA256 Credential="), ",")
	parts := strings.Split(scope, "/")
	if !ok || len(parts) != 5 {
		fail(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
		return
	}
	k := c.keys[parts[0]]
	if k == nil || k.inactive || k.session != r.Header.Get("X-Amz-Security-Token") {
		fail(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
		return
	}
	at, _ := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	q, _ := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	q.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	sum := sha256.Sum256(body)
	_ = v4.NewSigner().SignHTTP(context.Background(), sdk.Credentials{AccessKeyID: parts[0], SecretAccessKey: k.secret, SessionToken: k.session}, q, hex.EncodeToString(sum[:]), parts[3], parts[2], at)
	switch {
	case q.Header.Get("Authorization") != auth || time.Since(at).Abs() > 5*time.Minute:
		fail(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
		return
	case k.expired:
		fail(403, "ExpiredToken", "The security token included in the request is expired")
		return
	}
	c.act(w, form, parts[0], k, fail)
}

func (c *cloud) act(w http.ResponseWriter, form url.Values, id string, k *key, fail func(int, string, string)) {
	name := k.arn[strings.LastIndex(k.arn, "/")+1:]
	if strings.Contains(k.arn, ":assumed-role/") {
		name = strings.Split(k.arn, "/")[1]
	}
	action := form.Get("Action")
	if action == "GetCallerIdentity" {
		fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>%s</Arn><UserId>AIDA1</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, k.arn)
		return
	}
	denied := fmt.Sprintf("User: %s is not authorized to perform: iam:%s on resource: *", k.arn, action)
	switch {
	case k.session != "" && k.issued.Before(c.denied[name]):
		fail(403, "AccessDenied", denied+" with an explicit deny in an identity-based policy")
		return
	case k.session != "" && c.guard != "":
		fail(403, "AccessDenied", denied+" with an explicit deny in "+c.guard)
		return
	case !k.may:
		fail(403, "AccessDenied", denied+" because no identity-based policy allows the iam:"+action+" action")
		return
	}
	switch action {
	case "ListAccountAliases":
	case "UpdateAccessKey":
		other := c.keys[form.Get("AccessKeyId")]
		if user := form.Get("UserName"); other == nil || user != "" && !strings.HasSuffix(other.arn, "/"+user) || user == "" && other.arn != k.arn {
			fail(404, "NoSuchEntity", "The Access Key with that id cannot be found.")
			return
		}
		other.inactive = form.Get("Status") == "Inactive"
	case "PutRolePolicy", "PutUserPolicy":
		_, rest, _ := strings.Cut(form.Get("PolicyDocument"), `"aws:TokenIssueTime":"`)
		at, err := time.Parse(time.RFC3339, strings.TrimSuffix(rest, `"}}}]}`))
		if err != nil || form.Get("PolicyName") != "AWSRevokeOlderSessions" {
			fail(400, "MalformedPolicyDocument", "The policy is not in the valid JSON format.")
			return
		}
		c.denied[form.Get("RoleName")+form.Get("UserName")] = at
	default:
		fail(400, "InvalidAction", "Could not find operation "+action)
		return
	}
	fmt.Fprintf(w, `<%sResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></%sResponse>`, action, action)
}

const (
	secret  = "k7Rz/2mQ+vT9xWbN4LpYdH6sJcFgA1uE8oKiXq3M"
	leaked  = "AKIA" + "Z7VRSQ5TJ2Q3XW4L"
	session = "ASIA" + "Z7VRSQ5TJ2Q3XW4M"
	admins  = "AKIA" + "Z7VRSQ5TJ2Q3XW4N"
)

func start(t *testing.T) (*cloud, *issuer.Instance) {
	t.Helper()
	c := &cloud{denied: map[string]time.Time{}, keys: map[string]*key{
		leaked:  {secret: secret, arn: "arn:aws:iam::123456789012:user/ci/deploy"},
		session: {secret: secret, session: "IQoJ-session", arn: "arn:aws:sts::123456789012:assumed-role/builder/run-1", issued: time.Now().Add(-time.Hour)},
		admins:  {secret: "admin/secret", arn: "arn:aws:iam::123456789012:user/operator", may: true},
	}}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	u, _ := url.Parse(srv.URL)
	return c, &issuer.Instance{Provider: "aws", URL: u, Operator: true, Settings: map[string]string{}}
}

// of returns the target of a leaked key.
func of(t *testing.T, in *issuer.Instance, id, secret, token string) revokers.Target {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	x := revokers.Target{Rule: set.Rule("aws-secret-key"), Instance: in}
	x.Secret, x.Fingerprint = rules.NewSecretString(secret), "f"
	x.Parts = map[string]rules.Secret{"key_id": rules.NewSecretString(id)}
	if token != "" {
		x.Parts["session"] = rules.NewSecretString(token)
	}
	return x
}

// look asks about the key as a scan does, and records its sighting if it is Live.
func look(t *testing.T, asker *guard.Asker, x *revokers.Target, sent *revokers.Acknowledgement, before *revokers.Answer) (revokers.Verdict, revokers.Answer) {
	t.Helper()
	v := aws.Key{Doer: &issuer.Client{}}
	endpoint := v.Endpoints(*x)[0]
	e, err := asker.Ask(t.Context(), v, *x, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	e.Sent, e.Before = sent, before
	got := revokers.Judge(*x, e)
	if got.Liveness == revokers.Live {
		x.Seen = &revokers.Sighting{Endpoint: endpoint, At: e.Answer.At, Learned: e.Learned}
		x.Captures = e.Answer.Captures
	}
	return got, e.Answer
}

func TestAKeyIsSetInactiveAndActiveAgain(t *testing.T) {
	for name, c := range map[string]struct {
		may, admin bool
		want       bool
	}{
		"signed by the leaked key":                     {true, false, true},
		"the leaked key may not change its own status": {false, false, false},
		"signed by the operator's":                     {false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			fake, in := start(t)
			fake.keys[leaked].may = c.may
			if c.admin {
				in.Admin = rules.NewSecretString(admins + ":admin/secret")
			}
			asker, x := &guard.Asker{}, of(t, in, leaked, secret, "")
			v, before := look(t, asker, &x, nil, nil)
			if v.Liveness != revokers.Live || v.Identity["account"] != "123456789012" || !v.NegativeControl {
				t.Fatalf("%s: %s, %v", v.Liveness, v.Detail, v.Identity)
			}
			rv, missing := natives.Choose(x)
			if rv == nil || c.admin != (rv.ID == "deactivate-admin") {
				t.Fatalf("revocation %v, missing %q", rv, missing)
			}
			reg := natives.New(natives.Config{Doer: &issuer.Client{}})
			r, err := reg.Revoker(rv)
			if err != nil {
				t.Fatal(err)
			}
			ts := []revokers.Target{x}
			effects, err := r.Plan(t.Context(), ts)
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := r.Send(t.Context(), ts, effects[0], func(e revokers.Effect) error {
				shown := fmt.Sprint(e.URL, e.Header, string(e.Body))
				if strings.Contains(shown, leaked) || strings.Contains(shown, secret) || strings.Contains(shown, admins) {
					t.Errorf("the effect shows a secret: %s", shown)
				}
				return nil
			})
			if err != nil || receipt.Of(0).Accepted != c.want || fake.keys[leaked].inactive != c.want {
				t.Fatalf("%+v, %v", receipt, err)
			}
			ack := receipt.Of(0)
			v, _ = look(t, asker, &x, &ack, &before)
			if (v.Liveness == revokers.Dead) != c.want {
				t.Fatalf("afterwards %s: %s", v.Liveness, v.Detail)
			}
			if !c.admin {
				return
			}
			back, err := reg.Restorer(rv).Restore(t.Context(), x, func(revokers.Effect) error { return nil })
			if err != nil || !back.Accepted || fake.keys[leaked].inactive {
				t.Errorf("restored: %+v, %v", back, err)
			}
		})
	}
}

// GetCallerIdentity accepts a session that a policy denies everything, so the
// proof needs an action that the policy denies.
func TestARolesSessionsAreDeniedByThePolicy(t *testing.T) {
	fake, in := start(t)
	asker, x := &guard.Asker{}, of(t, in, session, secret, "IQoJ-session")
	v, before := look(t, asker, &x, nil, nil)
	if v.Liveness != revokers.Live {
		t.Fatalf("%s: %s", v.Liveness, v.Detail)
	}
	if rv, missing := natives.Choose(x); rv != nil || missing != "admin" {
		t.Fatalf("without an operator's key: %v, missing %q", rv, missing)
	}
	in.Admin = rules.NewSecretString(admins + ":admin/secret")
	rv, _ := natives.Choose(x)
	if rv == nil || rv.Tier != rules.TierCollateral {
		t.Fatalf("%+v", rv)
	}
	r, err := natives.New(natives.Config{Doer: &issuer.Client{}}).Revoker(rv)
	if err != nil {
		t.Fatal(err)
	}
	ts := []revokers.Target{x}
	effects, err := r.Plan(t.Context(), ts)
	if err != nil {
		t.Fatal(err)
	}
	var final revokers.Effect
	receipt, err := r.Send(t.Context(), ts, effects[0], func(e revokers.Effect) error { final = e; return nil })
	if err != nil || !receipt.Of(0).Accepted {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if string(final.Body) != string(effects[0].Body) || final.URL != effects[0].URL || final.Late["now"] == "" {
		t.Errorf("the final effect differs from the plan's: %+v", final)
	}
	ack := receipt.Of(0)
	if v, _ = look(t, asker, &x, &ack, &before); v.Liveness != revokers.Dead {
		t.Errorf("afterwards %s: %s", v.Liveness, v.Detail)
	}
	fake.mu.Lock()
	defer fake.mu.Unlock()
	for i, a := range fake.asked {
		if strings.HasPrefix(a, "Put") && i < 3 {
			t.Error("the policy was written before the session was asked about")
		}
	}
}

// IAM takes the bare name of a role: an operator's key of another account would
// end the sessions of that account's role of the same name.
func TestOnlyTheSessionsOwnAccountIsChanged(t *testing.T) {
	for name, c := range map[string]struct {
		arn, token string
		want       string
	}{
		"the same account":             {"arn:aws:iam::123456789012:user/operator", "", ""},
		"another account":              {"arn:aws:iam::210987654321:user/operator", "", "another account"},
		"another partition":            {"arn:aws-cn:iam::123456789012:user/operator", "", "another account"},
		"a session of the role itself": {"arn:aws:sts::123456789012:assumed-role/builder/on-call", "IQoJ-admin", "itself a session"},
		"a session of another role":    {"arn:aws:sts::123456789012:assumed-role/admins/on-call", "IQoJ-admin", ""},
		"no name":                      {"", "", "named no caller"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, in := start(t)
			x := of(t, in, session, secret, "IQoJ-session")
			if v, _ := look(t, &guard.Asker{}, &x, nil, nil); v.Liveness != revokers.Live {
				t.Fatalf("%s: %s", v.Liveness, v.Detail)
			}
			fake.keys[admins].arn, fake.keys[admins].session, fake.keys[admins].issued = c.arn, c.token, time.Now()
			in.Admin = rules.NewSecretString(strings.TrimSuffix(admins+":admin/secret:"+c.token, ":"))
			r, ts, announced := aws.Older{Doer: &issuer.Client{}}, []revokers.Target{x}, false
			effects, err := r.Plan(t.Context(), ts)
			if err != nil {
				t.Fatal(err)
			}
			receipt, err := r.Send(t.Context(), ts, effects[0], func(revokers.Effect) error { announced = true; return nil })
			done := c.want == ""
			if receipt.Of(0).Accepted != done || announced != done || (len(fake.denied) == 1) != done {
				t.Errorf("%+v, announced %v, policies %v", receipt.Of(0), announced, fake.denied)
			}
			if done != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A user's path can make an ARN long. A truncated ARN would name another user.
func TestALongARNIsNotCut(t *testing.T) {
	fake, in := start(t)
	fake.keys[leaked].arn = "arn:aws:iam::123456789012:user/" + strings.Repeat("team/", 60) + "deploy"
	x := of(t, in, leaked, secret, "")
	_, _ = look(t, &guard.Asker{}, &x, nil, nil)
	if x.Captures["arn"] != fake.keys[leaked].arn {
		t.Errorf("captured %q", x.Captures["arn"])
	}
	fake.keys[leaked].arn = "arn:aws:iam::123456789012:user/" + strings.Repeat("team/", 600) + "deploy"
	x = of(t, in, leaked, secret, "")
	if _, _ = look(t, &guard.Asker{}, &x, nil, nil); x.Captures["arn"] != "" {
		t.Errorf("captured %q", x.Captures["arn"])
	}
}

// These answers do not prove that a key is dead.
func TestAnswersThatProveNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*cloud)
		id     string
		secret string
		token  string
		sole   bool
		want   revokers.Liveness
		reason revokers.Reason
	}{
		"the secret key of another id":                       {nil, leaked, "x" + secret[1:], "", false, revokers.Unknown, revokers.Unexpected},
		"an id that no one knows may be another partition's": {nil, leaked[:19] + "Z", secret, "", false, revokers.Unknown, revokers.Refused},
		"nor is it this key's if there is no partition":      {nil, leaked[:19] + "Z", secret, "", true, revokers.Unknown, revokers.Refused},
		"an expired session token may be another key's":      {func(c *cloud) { c.keys[session].expired = true }, session, secret, "IQoJ-session", true, revokers.Unknown, revokers.Refused},
		"a session denied by its organisation's policy":      {func(c *cloud) { c.guard = "a service control policy" }, session, secret, "IQoJ-session", true, revokers.Unknown, revokers.Restricted},
		"a role that a policy denied before quell came":      {func(c *cloud) { c.guard = "an identity-based policy" }, session, secret, "IQoJ-session", true, revokers.Unknown, revokers.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			fake, in := start(t)
			in.Sole = c.sole
			if c.change != nil {
				c.change(fake)
			}
			x := of(t, in, c.id, c.secret, c.token)
			if v, _ := look(t, &guard.Asker{}, &x, nil, nil); v.Liveness != c.want || v.Reason != c.reason {
				t.Errorf("%s (%s): %s", v.Liveness, v.Reason, v.Detail)
			}
		})
	}
}

// A temporary key without its session token is not asked about: STS would
// refuse a live one.
func TestATemporaryKeyAloneIsNotAskedAbout(t *testing.T) {
	_, in := start(t)
	x := of(t, in, session, secret, "")
	if got := (aws.Key{Doer: &issuer.Client{}}).Endpoints(x); len(got) != 0 {
		t.Errorf("asked at %v", got)
	}
	// A session token that is near a long-lived key is not its own.
	x = of(t, in, leaked, secret, "IQoJ-session")
	if v, _ := look(t, &guard.Asker{}, &x, nil, nil); v.Liveness != revokers.Live {
		t.Errorf("%s: %s", v.Liveness, v.Detail)
	}
}

// Each partition has an IAM of its own.
func TestRequestsGoToTheHostsOfThePartition(t *testing.T) {
	for sts, want := range map[string]string{
		"https://sts.amazonaws.com":                   "https://iam.amazonaws.com/ us-east-1",
		"https://sts.eu-central-1.amazonaws.com":      "https://iam.amazonaws.com/ us-east-1",
		"https://sts.us-gov-west-1.amazonaws.com":     "https://iam.us-gov.amazonaws.com/ us-gov-west-1",
		"https://sts.cn-northwest-1.amazonaws.com.cn": "https://iam.cn-north-1.amazonaws.com.cn/ cn-north-1",
		"https://sts.amazonaws.com.evil.example":      "https://sts.amazonaws.com.evil.example/ us-east-1",
	} {
		u, _ := url.Parse(sts)
		x := of(t, &issuer.Instance{Provider: "aws", URL: u}, leaked, secret, "")
		var got string
		d := doer(func(i *issuer.Instance, r issuer.Request) {
			scope := strings.Split(r.Header.Get("Authorization"), "/")
			got = i.Origin() + r.Path + " " + scope[2]
		})
		e := aws.Status{Doer: d}
		effects, err := e.Plan(t.Context(), []revokers.Target{x})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = e.Send(t.Context(), []revokers.Target{x}, effects[0], func(revokers.Effect) error { return nil })
		if got != want {
			t.Errorf("%s: %s, want %s", sts, got, want)
		}
		if strings.Fields(want)[0] != effects[0].URL {
			t.Errorf("%s: the plan shows %s", sts, effects[0].URL)
		}
	}
}

type doer func(*issuer.Instance, issuer.Request)

func (d doer) Do(_ context.Context, i *issuer.Instance, r issuer.Request) (issuer.Response, error) {
	d(i, r)
	return issuer.Response{Status: 200}, nil
}
