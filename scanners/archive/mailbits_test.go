package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
)

// No single bit of a message's header, or of the header of its parts, hides an encoded part:
// a scan finds the token in the part or reports that it did not read it.
func TestNoBitOfAHeaderHidesAPart(t *testing.T) {
	testenv.Sequential(t)
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	p := scanners.Pool{Detector: detect.New(set), Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
	r := rand.New(rand.NewPCG(1, 1))
	token := randomToken(r)
	text := randomWords(r, 300) + "\nvalue " + token + " end\n" + randomWords(r, 300)
	mails := map[string]string{
		"gzip":     mailOf("x", "Content-Transfer-Encoding: base64", wrap64(gz([]byte(text)))),
		"zip":      mailOf("x", "Content-Transfer-Encoding: base64", wrap64(zipOf("a", text))),
		"text":     mailOf("x", "Content-Transfer-Encoding: base64", wrap64([]byte(text))),
		"quoted":   mailOf("x", "Content-Transfer-Encoding: quoted-printable", "value "+token[:9]+"=\n"+token[9:]+" end"),
		"one part": "Subject: x\nFrom: a@example.com\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n" + wrap64(gz([]byte(text))) + "\n",
	}
	for name, mail := range mails {
		header := bytes.LastIndex([]byte(mail), []byte("\n\n")) + 2
		for at := range header {
			for bit := range 8 {
				b := []byte(mail)
				b[at] ^= 1 << bit
				var mu sync.Mutex
				found, gaps := false, 0
				if _, err := p.Run(context.Background(), one{"f.eml", streamed(b)}, func(f rules.Finding) {
					mu.Lock()
					defer mu.Unlock()
					found = found || f.Secret.Reveal() == token
				}, func(scanners.Gap) { mu.Lock(); defer mu.Unlock(); gaps++ }); err != nil {
					t.Fatal(err)
				}
				if !found && gaps == 0 {
					t.Errorf("%s: bit %d of byte %d, %s: lost in silence", name, bit, at, fmt.Sprintf("%q", b[max(0, at-12):min(len(b), at+12)]))
				}
			}
		}
	}
}

// A header that is longer than the part that identifies the format, and that declares its encoding at its end.
func TestALongHeaderHidesNoPart(t *testing.T) {
	long := ""
	for i := range 800 {
		long += fmt.Sprintf("X-Seal-%d: %s\n", i, strings.Repeat("word ", 12))
	}
	for name, mail := range map[string]string{
		"a part":   "Subject: x\nMIME-Version: 1.0\n" + long + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: base64\n\n" + wrap64(gz([]byte(cookie(0)))) + "\n--b--\n",
		"no parts": "From: a@example.com\nContent-Type: text/plain\n" + long + "Content-Transfer-Encoding: base64\n\n" + wrap64(gz([]byte(cookie(0)))) + "\n",
	} {
		if found, gaps := scan(t, "f", streamed([]byte(mail)), archive.DefaultLimits); !has(found, 0) {
			t.Errorf("%s: %d found, %q", name, len(found), gaps)
		}
	}
}

// The rest of an encoded part in the text of another part is reported; keys and encoded text
// there are not.
func TestTheRestOfAnEncodedPartIsReported(t *testing.T) {
	content := cookie(0) + noise(6000)
	packed := wrap64(gz([]byte(content)))
	rest := packed[198:]
	for name, c := range map[string]struct {
		text string
		gaps int
	}{
		"half a boundary":             {"x\n--b " + rest, 1},
		"no boundary":                 {"x\n" + rest, 1},
		"half a boundary before text": {"x\n--b " + wrap64([]byte(strings.Repeat("a line of text\n", 100)))[44:], 1},
		"a key":                       {"x\n-----BEGIN PGP MESSAGE-----\n\n" + rest + "\n-----END PGP MESSAGE-----\n", 0},
		"a text":                      {"x\n" + wrap64([]byte(strings.Repeat("a line of text\n", 100))), 0},
		"a whole file as text":        {"x\n" + packed, 0},
	} {
		b := mailOf(c.text, "Content-Type: text/plain", "y")
		found, gaps := scan(t, "f", streamed([]byte(b)), archive.DefaultLimits)
		if len(gaps) != c.gaps || name == "a whole file as text" && !has(found, 0) {
			t.Errorf("%s: %d found, %q", name, len(found), gaps)
		}
	}
}
