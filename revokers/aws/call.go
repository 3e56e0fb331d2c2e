// Package aws asks AWS about access keys, and ends them. Requests are signed
// (Signature Version 4), so that the secret key itself is never sent.
package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

// Documents that the meaning of requests and answers comes from.
const (
	sourceErrors = "https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html"
	sourceDenied = "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"
)

// Versions of the two query APIs.
const (
	stsVersion = "2011-06-15"
	iamVersion = "2010-05-08"
)

// Names of the parts that a rules file gives an access key.
const (
	partID      = "key_id"
	partSession = "session"
)

// keys is what a request is signed with.
type keys struct {
	id, secret, session string
}

// keysOf are the target's own. ok is false if a part is missing: a temporary
// key works only together with its session token.
func keysOf(t revokers.Target) (k keys, ok bool) {
	k = keys{t.Parts[partID].Reveal(), t.Secret.Reveal(), ""}
	if strings.HasPrefix(k.id, "ASIA") {
		k.session = t.Parts[partSession].Reveal()
		return k, k.session != ""
	}
	return k, k.id != ""
}

// adminKeys reads the operator's key, ID:SECRET or ID:SECRET:SESSION.
func adminKeys(s credential.Secret) (keys, bool) {
	id, rest, ok := strings.Cut(s.Reveal(), ":")
	secret, session, _ := strings.Cut(rest, ":")
	return keys{id, secret, session}, ok && id != "" && secret != ""
}

// stsHost finds the region of a regional endpoint.
var stsHost = regexp.MustCompile(`^sts(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-[0-9])\.amazonaws\.com(?:\.cn)?$`)

// region is the one that requests to an endpoint of STS are signed for. The
// global endpoint's is us-east-1.
func region(i *issuer.Instance) string {
	if m := stsHost.FindStringSubmatch(i.URL.Hostname()); m != nil {
		return m[1]
	}
	return "us-east-1"
}

// iam is the IAM endpoint of the partition that an endpoint of STS belongs to,
// with the region that it is signed for. A server of the operator's own has
// both.
func iam(i *issuer.Instance) (at *issuer.Instance, signed string) {
	host, signed := "", "us-east-1"
	switch m := region(i); {
	case strings.HasPrefix(m, "us-gov-"):
		host, signed = "iam.us-gov.amazonaws.com", "us-gov-west-1"
	case strings.HasPrefix(m, "cn-"):
		host, signed = "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"
	case i.URL.Hostname() == "sts.amazonaws.com" || stsHost.MatchString(i.URL.Hostname()):
		host = "iam.amazonaws.com"
	default:
		return i, signed
	}
	c := *i
	c.URL = &url.URL{Scheme: "https", Host: host}
	return &c, signed
}

// request makes a signed request of a query API.
func request(ctx context.Context, i *issuer.Instance, k keys, service, region string, form url.Values, reads bool, now time.Time) (issuer.Request, error) {
	return signed(ctx, i, k, service, region, issuer.Request{Method: http.MethodPost, Path: "/", Header: http.Header{}, Body: issuer.Raw{Type: formType, Bytes: []byte(form.Encode())}, Reads: reads}, now)
}

// Sign returns r, a POST of Raw to the root of i, with a signature by a key of the form
// ID:SECRET or ID:SECRET:SESSION. All of r's headers are signed.
func Sign(ctx context.Context, i *issuer.Instance, key credential.Secret, service, region string, r issuer.Request, now time.Time) (issuer.Request, error) {
	k, ok := adminKeys(key)
	if !ok {
		return r, errors.New("the key of AWS is not of the form ID:SECRET or ID:SECRET:SESSION")
	}
	return signed(ctx, i, k, service, region, r, now)
}

// LoginKey joins the parts of a key for Sign. It is zero if the id or the secret is missing.
func LoginKey(id, secret, session string) credential.Secret {
	switch {
	case id == "" || secret == "":
		return credential.Secret{}
	case session == "":
		return credential.NewSecretString(id + ":" + secret)
	}
	return credential.NewSecretString(id + ":" + secret + ":" + session)
}

func signed(ctx context.Context, i *issuer.Instance, k keys, service, region string, r issuer.Request, now time.Time) (issuer.Request, error) {
	body, ok := r.Body.(issuer.Raw)
	if !ok {
		return r, errors.New("sign the request: its body is not raw")
	}
	sum := sha256.Sum256(body.Bytes)
	u := *i.URL
	u.Path = strings.TrimRight(u.Path, "/") + "/"
	q, err := http.NewRequestWithContext(ctx, r.Method, u.String(), http.NoBody)
	if err != nil {
		return r, fmt.Errorf("sign the request: the address of %s is not one of HTTP", i.Host())
	}
	q.Header = r.Header.Clone()
	q.Header.Set("Content-Type", body.Type)
	err = v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret, SessionToken: k.session}, q, hex.EncodeToString(sum[:]), service, region, now)
	if err != nil {
		return r, fmt.Errorf("sign the request for %s: the key is not one of AWS", i.Host())
	}
	for _, n := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
		if v := q.Header.Get(n); v != "" {
			r.Header.Set(n, v)
		}
	}
	return r, nil
}

var regionName = regexp.MustCompile(`^[a-z]{2}(?:-[a-z]+)+-[0-9]$`)

// IsRegion reports whether s has the form of a region's name, as eu-west-1.
func IsRegion(s string) bool { return regionName.MatchString(s) }

// Service is the endpoint of a regional service of the partition that a region belongs to,
// for the operator's login at STS. A server of the operator's own has all services.
func Service(i *issuer.Instance, service, region string) *issuer.Instance {
	if i.URL.Hostname() != "sts.amazonaws.com" && !stsHost.MatchString(i.URL.Hostname()) {
		return i
	}
	c := *i
	host := service + "." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	c.URL = &url.URL{Scheme: "https", Host: host}
	return &c
}

const formType = "application/x-www-form-urlencoded"

// fault is the error document of a query API.
type fault struct {
	XMLName xml.Name `xml:"ErrorResponse"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
}

// faultOf reads an error document; the code is empty if the body is none.
func faultOf(r issuer.Response) fault {
	var f fault
	if xml.Unmarshal(r.Body, &f) != nil {
		return fault{}
	}
	return f
}
