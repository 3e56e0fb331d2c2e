package action

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners/github"
	"github.com/quellhq/quell/scanners/github/githubtest"
)

func testAPI(t *testing.T) (*githubtest.Server, *github.API) {
	s := githubtest.New(t, "o", "r", "token")
	api, err := github.NewAPI(s.URL, "token", "o/r")
	if err != nil {
		t.Fatal(err)
	}
	api.Wait = func(context.Context, time.Duration) error { return nil }
	return s, api
}

func TestALongCommentIsCut(t *testing.T) {
	s, api := testAPI(t)
	s.Busy = 1
	if err := Comment(t.Context(), api, 3, strings.Repeat("a line of the text\n", 10_000), true); err != nil {
		t.Fatal(err)
	}
	if len(s.Comments) != 1 || len(s.Comments[0].Body) > 65_536 || !strings.HasSuffix(s.Comments[0].Body, "stands in the job's summary.\n") {
		t.Errorf("%d comments", len(s.Comments))
	}
}

func TestContent(t *testing.T) {
	s, api := testAPI(t)
	s.Files["main:a/b.toml"] = "text"
	if b, err := Content(t.Context(), api, "a/b.toml", "main"); err != nil || string(b) != "text" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Content(t.Context(), api, "a/none", "main"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
}

// Code scanning gets the results in files of the repository; the files that are read for it
// are within the work tree.
func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte(strings.Repeat("a line\n", 9)), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(outside, []byte("outside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.txt")); err != nil {
		testenv.Missing(t, "links")
	}
	result := func(uri string, in bool) map[string]any {
		return map[string]any{"properties": map[string]any{"inRepository": in}, "locations": []any{map[string]any{"physicalLocation": map[string]any{"artifactLocation": map[string]any{"uri": uri}, "region": map[string]any{"startLine": 2}}}}}
	}
	doc, _ := json.Marshal(map[string]any{"runs": []any{map[string]any{"results": []any{result("a.txt", true), result("link.txt", true), result("../../etc/passwd", true), result("/etc/passwd", true), result("layer.txt", false), result("gone.txt", true), result("%zz", true)}}}})
	out, left, err := prepare(doc, dir, "git")
	if err != nil || left != 4 {
		t.Fatalf("%d left out, %v", left, err)
	}
	if n := strings.Count(string(out), "primaryLocationLineHash"); n != 1 {
		t.Errorf("%d hashes: %s", n, out)
	}
	if !strings.Contains(string(out), `"id":"quell/git/"`) {
		t.Errorf("%s", out)
	}
	for _, bad := range []string{"", "[]", "null{"} {
		if _, _, err := prepare([]byte(bad), dir, "git"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
