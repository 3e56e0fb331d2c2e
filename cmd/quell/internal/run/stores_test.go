package run

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/files"
)

// A browser's profile that was left in a folder.
func TestCookieStoresAreOpened(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "cookies.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"CREATE TABLE moz_cookies(name, value, host, path, expiry INTEGER, isSecure INTEGER, isHttpOnly INTEGER)",
		"INSERT INTO moz_cookies VALUES('grafana_session','5d41402abc4b2a76b9719d911017c592','grafana.acme.example','/',1990000000,1,1)"} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	res, events := scanned(t, ScanOptions{Sources: []scanners.Source{files.Source{Name: "path", Targets: []string{dir}}}})
	if res.Tally.Incomplete > 0 {
		t.Fatal(events)
	}
	for _, e := range events {
		if f, ok := e.(report.Finding); ok && f.Rule == "grafana-session" && filepath.Base(f.Location.Path) == "cookies.sqlite!Firefox cookies" &&
			f.Claims.Expires != nil && len(f.Claims.Hosts) == 1 && f.Claims.Hosts[0] == "grafana.acme.example" {
			return
		}
	}
	t.Errorf("%+v", events)
}
