package rulestest

import (
	"os"
	"path/filepath"
	"testing"
)

// Each trial file is one form of revocation that providers have, in one file
// and without Go.
func TestTrialFilesAreAccepted(t *testing.T) {
	files, err := filepath.Glob("testdata/trial/*.toml")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range Accept(t.Context(), filepath.Base(f), text) {
				t.Error(p)
			}
		})
	}
}
