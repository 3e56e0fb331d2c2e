package oci

import "testing"

// A later layer that changes or removes a file does so to everything nested in it.
func TestGone(t *testing.T) {
	l := &layer{whiteout: map[string]bool{"app/x.jar": true, "=etc/over.zip": true, "var/log/": true, "=odd!name": true}}
	for file, want := range map[string]string{
		"app/x.jar": "deleted", "app/x.jar!a/b.txt": "deleted", "app/x.jar.bak": "", "etc/over.zip": "overwritten", "etc/over.zip!in": "overwritten",
		"var/log/a": "deleted", "var/log/b/c.gz!c": "deleted", "var/logs/a": "", "odd!name": "overwritten", "odd": "", "": "",
	} {
		if got := l.gone(file); got != want {
			t.Errorf("%q is %q, not %q", file, got, want)
		}
	}
	if (*layer)(nil).gone("x") != "" {
		t.Error("no layer removes something")
	}
}
