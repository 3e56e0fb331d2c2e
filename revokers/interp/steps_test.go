package interp

import (
	"net/http"
	"strings"
	"testing"

	"github.com/quellhq/quell/revokers/issuer"
)

// The cookies of a sign-in are those that it leaves set, and a body is a word only if nothing else
// is in it.
func TestWhatAStepKeeps(t *testing.T) {
	r := issuer.Response{Header: http.Header{"Set-Cookie": {
		"b=2; Path=/admin; HttpOnly", "a=1; Path=/", "gone=x; Max-Age=0", "old=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "blank=%20; Path=/", "empty=", "b=3; Path=/plugins", "last=1", "last=; Max-Age=-1",
	}}}
	if got, err := extract(allCookies, r, nil); err != nil || got != "a=1; b=3; blank=%20" {
		t.Errorf("%q %v", got, err)
	}
	if got, err := extract(allCookies, issuer.Response{Header: http.Header{"Set-Cookie": {"gone=x; Max-Age=0"}}}, nil); err == nil {
		t.Errorf("%q", got)
	}
	for body, want := range map[string]string{
		"0a1b2c3d4e": "0a1b2c3d4e", " 0a1b\r\n": "0a1b", "": "", "two words": "", "<html>": "", `{"a":1}`: "", "é": "", strings.Repeat("a", 257): "",
	} {
		got, err := extract(bodyText, issuer.Response{Body: []byte(body)}, nil)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", body, got, err)
		}
	}
}

// Several cookies go into the header Cookie as one value only where a step kept them as such.
func TestAValueOfOneCookieAddsNoOther(t *testing.T) {
	s := &scope{}
	s.learn("jar", "a=1; b=2", true)
	if s.inCookie("jar", s.late["jar"]) == nil {
		t.Error("a semicolon was let through")
	}
	s.jars = map[string]bool{"jar": true}
	if err := s.inCookie("jar", s.late["jar"]); err != nil {
		t.Error(err)
	}
	if s.inCookie("jar", "a=1\r\nX: y") == nil {
		t.Error("a line break was let through")
	}
}
