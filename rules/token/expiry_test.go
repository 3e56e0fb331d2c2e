package token

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// values gives one value of each format that ends at a time.
func values(at time.Time) map[string]string {
	sum := strings.Repeat("9f86d081884c7d65", 4)
	std := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	return map[string]string{
		"wordpress":     fmt.Sprintf("alice|%d|%s|%s", at.Unix(), sum[:43], sum),
		"forward_auth":  fmt.Sprintf("%s=|%d|alice@app.example", sum[:43], at.Unix()),
		"proxmox":       fmt.Sprintf("PVE:alice@pam:%08X::%s", at.Add(-2*time.Hour).Unix(), sum),
		"remember_me":   std(fmt.Sprintf("alice:%d:SHA256:%s", at.UnixMilli(), sum)),
		"rails_message": std(fmt.Sprintf(`{"_rails":{"message":"W10=","exp":"%s"}}`, at.Format("2006-01-02T15:04:05.000Z"))) + "--" + sum[:40],
		"koa":           std(fmt.Sprintf(`{"user":"alice","_expire":%d}`, at.UnixMilli())),
		"auth0_session": "s:v1." + std("\x81\xa7expires\xd6\xff"+string([]byte{byte(at.Unix() >> 24), byte(at.Unix() >> 16), byte(at.Unix() >> 8), byte(at.Unix())})) + ".x",
		"iron":          fmt.Sprintf("Fe26.2**a*b*c*%d*d*e", at.UnixMilli()),
		"jwe_aad":       fmt.Sprintf(`{"protected":"a","aad":"%s"}`, std(fmt.Sprintf(`{"exp":"%s"}`, at.Format(time.RFC3339)))),
		"signature_v4":  fmt.Sprintf("https://b.s3.amazonaws.com/k?X-Amz-Date=%s&X-Amz-Expires=3600&X-Amz-Signature=0", at.Add(-time.Hour).Format("20060102T150405Z")),
		"azure_sas":     "sv=2022-11-02&se=" + url.QueryEscape(at.Format(time.RFC3339)) + "&sig=0",
		"exp_field":     fmt.Sprintf("tid=1;exp=%d;sku=x:0", at.Unix()),
		"saml":          std(fmt.Sprintf(`<Conditions NotBefore="2020-01-01T00:00:00Z" NotOnOrAfter="%s">`, at.Format(time.RFC3339))),
	}
}

func TestExpiriesByName(t *testing.T) {
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, name := range Expiries() {
		v, ok := values(at)[name]
		if !ok {
			t.Errorf("no value of the format %s", name)
		}
		if got := Expiry(v, []string{name}); !got.Equal(at) {
			t.Errorf("%s: %v, not %v", name, got, at)
		}
		// Only the named format is read.
		others := slices.DeleteFunc(Expiries(), func(n string) bool { return n == name })
		if got := Expiry(v, others); !got.IsZero() {
			t.Errorf("%s is read by another format: %v", name, got)
		}
		if got := Expiry(v, nil); !got.IsZero() {
			t.Errorf("%s: %v without a name", name, got)
		}
		cookie := slices.ContainsFunc(expiries, func(e expiry) bool { return e.name == name && e.cookie })
		if got := CookieExpiry(url.PathEscape(v)); got.Equal(at) != cookie {
			t.Errorf("%s: %v of a cookie without a name", name, got)
		}
	}
}

func FuzzExpiry(f *testing.F) {
	for _, v := range values(time.Now().UTC()) {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, at := range []time.Time{Expiry(v, Expiries()), CookieExpiry(v)} {
			if !at.IsZero() && !Plausible(at) {
				t.Errorf("%v", at)
			}
		}
	})
}
