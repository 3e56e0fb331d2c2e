package revokers_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
)

// A page offers to sign out by a path, by a parameter, or by the operator's own
// logout, with all of its parameters.
func TestWhatSignsOut(t *testing.T) {
	for _, c := range []struct {
		page, logout string
		want         bool
	}{
		{`<a href="/account/logout">Out</a>`, "", true},
		{`<a href="/wp-login.php?action=logout&amp;_wpnonce=0a1b">Out</a>`, "", true},
		{`<a href="/index.php?do=sign-out">Out</a>`, "", true},
		{`<form action="/bye"></form>`, "/bye", true},
		{`<a href="/app/end?a=1&amp;k=2">Out</a>`, "/end?a=1", true},
		{`<a href="/app/end?a=2">Other</a>`, "/end?a=1", false},
		{`<a href="/end">Other</a>`, "/end?a=1", false},
		{`<a href="/wp-login.php">In</a>`, "/wp-login.php?action=logout", false},
		{`<a href="/help?topic=how+to+logout">Help</a>`, "", false},
		{`<a href="/login?next=/logout">In</a>`, "", false},
		{`<a href="/">Home</a>`, "/", false},
	} {
		if p := revokers.ReadPage(http.Header{}, []byte(c.page), "sid", c.logout, time.Now()); p.SignOut != c.want {
			t.Errorf("%s with %q: %v", c.page, c.logout, p.SignOut)
		}
	}
}
