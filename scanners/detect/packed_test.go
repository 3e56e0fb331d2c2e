package detect

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/quellhq/quell/scanners"
)

// Archives that a text contains in base64 are read, or reported as unread.
func TestArchivesInBase64(t *testing.T) {
	e := New(builtin(t))
	pat := withSum("ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT")
	noise := make([]byte, 3000)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range noise {
		noise[i] = byte(r.IntN(256))
	}
	env := []byte("GITHUB_TOKEN=" + pat + "\n")
	var tarred, zipped, packed bytes.Buffer
	tw := tar.NewWriter(&tarred)
	zw := zip.NewWriter(&zipped)
	for name, b := range map[string][]byte{"bin": noise, ".env": env} {
		if err := tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		tw.Write(b)
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(b)
	}
	tw.Close()
	zw.Close()
	xw, err := xz.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	xw.Write(env)
	xw.Close()
	cut := zipped.Bytes()[:zipped.Len()-40]
	for name, c := range map[string]struct {
		b     []byte
		found bool
		kind  string
	}{
		"a tar":             {tarred.Bytes(), true, ""},
		"a zip":             {zipped.Bytes(), true, ""},
		"a zip that is cut": {cut, false, scanners.GapDamaged},
		"an xz":             {packed.Bytes(), true, ""},
		"an xz, damaged":    {append(bytes.Clone(packed.Bytes()[:60]), noise[:300]...), false, scanners.GapDamaged},
		"a 7z":              {append([]byte("7z\xbc\xaf\x27\x1c\x00\x04"), noise...), false, scanners.GapUnsupported},
		"a rar":             {append([]byte("Rar!\x1a\x07\x01\x00"), noise...), false, scanners.GapUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte("log: " + base64.StdEncoding.EncodeToString(c.b) + "\n")
			var kinds, got []string
			k := scanners.Chunk{Artifact: &scanners.Artifact{}, Data: text, Line: 1, Column: 1, To: len(text)}
			k.OnLimit(func(kind string) { kinds = append(kinds, kind) })
			for m := range e.Detect(k) {
				got = append(got, m.Rule.ID+" "+m.Secret.Reveal())
			}
			if (fmt.Sprint(got) == "[github-pat "+pat+"]") != c.found || strings.Join(kinds, ",") != c.kind {
				t.Errorf("found %v, limits %v", got, kinds)
			}
		})
	}
}
