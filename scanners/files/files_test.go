package files_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/files"
)

func token(n int) string {
	return "dop_" + "v1_" + strings.Repeat("0123456789abcdef"[n:n+1]+"7c3d9e1", 8)
}

func scan(t *testing.T, targets ...string) (found []rules.Finding, gaps []scanners.Gap) {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	p := scanners.Pool{Detector: detect.New(set), Workers: 2, Unpacker: archive.New(archive.DefaultLimits)}
	_, err = p.Run(t.Context(), files.Source{Name: "path", Targets: targets},
		func(f rules.Finding) { mu.Lock(); defer mu.Unlock(); found = append(found, f) },
		func(g scanners.Gap) { mu.Lock(); defer mu.Unlock(); gaps = append(gaps, g) })
	if err != nil {
		t.Fatal(err)
	}
	return found, gaps
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNamesAreScannedOnceAndAtTheirPath(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, token(0)+".txt"), "words\n")
	write(t, filepath.Join(dir, token(1), "a", "notes.txt"), "words\n")
	write(t, filepath.Join(dir, token(1), "b", "notes.txt"), "words\n")
	found, gaps := scan(t, dir)
	if len(found) != 2 || len(gaps) > 0 {
		t.Fatalf("%d found, %v", len(found), gaps)
	}
	for n, want := range []string{token(0) + ".txt", token(1)} {
		want = filepath.ToSlash(filepath.Join(dir, want))
		i := slices.IndexFunc(found, func(f rules.Finding) bool { return f.Secret.Reveal() == token(n) })
		if i < 0 || found[i].Location.Path != want || found[i].Location.Line != 1 || found[i].Location.Column != 1 {
			t.Errorf("secret %d: %+v", n, found)
		}
	}
}

func TestLinksThatLeadOutOfTheTargetAreReportedOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege there")
	}
	dir, outside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "own.txt"), "words\n")
	write(t, filepath.Join(outside, "a.txt"), "words\n")
	for name, to := range map[string]string{"inside": "own.txt", "loop": ".", "dangling": "nowhere", "self": "self"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, gaps := scan(t, dir); len(gaps) > 0 {
		t.Errorf("links within the target: %v", gaps)
	}
	for name, to := range map[string]string{"file": filepath.Join(outside, "a.txt"), "folder": outside} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, gaps := scan(t, dir); len(gaps) != 1 || gaps[0].Kind != scanners.GapOutside || gaps[0].Count != 2 {
		t.Errorf("links out of the target: %v", gaps)
	}
	if _, gaps := scan(t, dir, outside); len(gaps) > 0 {
		t.Errorf("links from one target to another: %v", gaps)
	}
}

func TestFilesOfAnObjectStoreAreRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".git", "objects", "notes.txt"), "token "+token(0)+"\n")
	if found, _ := scan(t, dir); len(found) != 1 {
		t.Errorf("%d found", len(found))
	}
}

func TestHolesOfAFileArePassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holes")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const far = 40 << 30
	if _, err := f.WriteString("first\ntoken " + token(0) + "\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("\ntoken "+token(1)+"\n"), far); err != nil {
		testenv.Missing(t, "a file system for long files")
	}
	if err := f.Truncate(far + 10<<30); err != nil {
		testenv.Missing(t, "a file system for long files")
	}
	found, gaps := scan(t, path)
	if len(found) != 2 || len(gaps) > 0 {
		t.Fatalf("%d found, %v", len(found), gaps)
	}
	for _, x := range found {
		if n := slices.Index([]string{token(0), token(1)}, x.Secret.Reveal()); n < 0 || x.Location.Column != 7 ||
			n == 1 && (x.Location.Line != 4 || x.Location.Offset != far+7) {
			t.Errorf("%+v", x.Location)
		}
	}
}

func TestAHoleAtTheBeginningIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holes")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("\ntoken "+token(1)+"\n"), 3<<30); err != nil {
		testenv.Missing(t, "a file system for long files")
	}
	found, gaps := scan(t, path)
	if len(found) != 1 || len(gaps) > 0 || found[0].Location.Line != 2 {
		t.Errorf("%d found, %v", len(found), gaps)
	}
}
