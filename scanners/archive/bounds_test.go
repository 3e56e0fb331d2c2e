package archive_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zlib"
	"github.com/ulikunitz/xz/lzma"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
)

// repeated returns unit repeated up to size bytes, compressed.
func repeated(unit string, size int) []byte {
	return through([]byte(strings.Repeat(unit, size/len(unit))), gzw)
}

// hostileInputs returns files of at most 100 KB that would cost a scan without limits minutes
// or gigabytes. They supplement those of TestHostileArchives.
func hostileInputs() map[string][]byte {
	zeros := repeated("\x00", 16<<20)
	bomb64 := base64.StdEncoding.EncodeToString(repeated("a", 4<<20))
	deflated := func(text string) []byte {
		return through([]byte(text), func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	}
	page := deflated(strings.Repeat("(aaaa) Tj ", 1<<20))
	var pages strings.Builder
	pages.WriteString("%PDF-1.4\n")
	for i := range 2 {
		fmt.Fprintf(&pages, "%d 0 obj\n<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream\nendobj\n", i+1, len(page), page)
	}
	pages.WriteString("%%EOF\n")
	lzmaHeads := []byte(cookie(0))
	for range 6 {
		lzmaHeads = through(lzmaHeads, func(w io.Writer) io.WriteCloser { return must(lzma.WriterConfig{DictCap: 100 << 20}.NewWriter(w)) })
	}
	var bombs []string
	for i := range 12 {
		bombs = append(bombs, fmt.Sprint(i, ".gz"), string(zeros))
	}
	units := map[string]string{
		"percent signs": "%25", "escaped backslashes": `\\`, "beginnings of keys": "-----BEGIN PRIVATE KEY-----", "quotes": `'\''`, "entities": "&amp;",
		"cookies in cookies": "cookie=sid=", "lines of base64": strings.Repeat("QUJD", 19) + "\n", "characters in UTF-16": "a\x00", "soft line breaks": "=\n", "names of tokens": "token=",
		"beginnings of JWTs": "eyJhbGciOiJIUzI1NiJ9.", "brackets": "[{", "terminal codes": "\x1b[0m", "backspaces": "a\b", "headers": "Authorization: Bearer ", "addresses": "https://a:b@",
	}
	out := map[string][]byte{
		"a sparse member of an exbibyte":     sparseTar(1 << 60),
		"twelve bombs in a zip":              zipOf(bombs...),
		"bombs in encoded text":              gz([]byte(strings.Repeat(bomb64+"\n", 60))),
		"pages of a million strings":         []byte(pages.String()),
		"six dictionaries within each other": lzmaHeads,
	}
	for name, unit := range units {
		out["8 MiB of "+name] = repeated(unit, 8<<20)
	}
	return out
}

// shortHostile are the inputs that make test tries.
var shortHostile = map[string]bool{
	"a sparse member of an exbibyte": true, "bombs in encoded text": true, "six dictionaries within each other": true, "twelve bombs in a zip": true,
	"8 MiB of quotes": true, "8 MiB of brackets": true, "8 MiB of names of tokens": true, "8 MiB of lines of base64": true,
}

// No hostile file takes more than its time, and the scan reports what it left out. It also
// scans the ordinary files that follow. make campaign tries all of them, make test some.
func TestHostileInputsEndInTime(t *testing.T) {
	testenv.Sequential(t)
	inputs := hostileInputs()
	names := slices.Sorted(maps.Keys(inputs))
	if os.Getenv("QUELL_CAMPAIGN") == "" {
		names = slices.DeleteFunc(names, func(n string) bool { return !shortHostile[n] })
		if len(names) != len(shortHostile) {
			t.Fatalf("only %q of %v", names, shortHostile)
		}
	}
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	e := detect.New(set)
	for _, name := range names {
		b := inputs[name]
		if len(b) > 100<<10 {
			t.Errorf("%s: %d bytes", name, len(b))
		}
		b = slices.Concat(gz([]byte(cookie(0))), b)
		if !bytes.HasPrefix(b[len(gz([]byte(cookie(0)))):], []byte("\x1f\x8b")) {
			b = tarOf("first", cookie(0), "hostile", string(b[len(gz([]byte(cookie(0)))):]))
		}
		patience := scanners.Patience{Own: 100 * time.Millisecond, Shared: 400 * time.Millisecond}
		p := scanners.Pool{Detector: e, Workers: 1, Patience: patience, Unpacker: archive.New(archive.DefaultLimits)}
		var mu sync.Mutex
		var found []rules.Finding
		var kinds []string
		if _, err := p.Run(t.Context(), one{"f", streamed(b)}, func(f rules.Finding) { mu.Lock(); defer mu.Unlock(); found = append(found, f) },
			func(g scanners.Gap) { mu.Lock(); defer mu.Unlock(); kinds = append(kinds, g.Kind) }); err != nil {
			t.Fatal(err)
		}
		if len(kinds) == 0 {
			t.Logf("%s: all of it was scanned in time", name)
		}
		for _, k := range kinds {
			if !strings.HasPrefix(k, "limit_") && k != scanners.GapDamaged {
				t.Errorf("%s: %v", name, kinds)
			}
		}
		if !has(found, 0) {
			t.Errorf("%s: what comes first is lost, %v", name, kinds)
		}
	}
}
