//go:build unix

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

func gzipped(parts ...string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	for _, p := range parts {
		_, _ = w.Write([]byte(p))
	}
	_ = w.Close()
	return b.String()
}

func zlibbed(text string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func fill(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.UintN(256))
	}
	return b
}

func zippedOf(files map[string]string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range sorted(files) {
		f, _ := w.Create(name)
		_, _ = f.Write([]byte(files[name]))
	}
	_ = w.Close()
	return b.String()
}

func tarred(files map[string]string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range sorted(files) {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg})
		_, _ = w.Write([]byte(files[name]))
	}
	_ = w.Close()
	return b.String()
}

func sorted(files map[string]string) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sparse is a member of a tar in the old form of GNU, whose only data is one block at its end.
func sparse(size int64) string {
	var h [512]byte
	base256 := func(b []byte, n int64) {
		binary.BigEndian.PutUint64(b[len(b)-8:], uint64(n))
		b[0] |= 0x80
	}
	copy(h[:], "sparse")
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	base256(h[124:136], 512)
	copy(h[136:], "00000000000\x00")
	copy(h[148:], "        S")
	copy(h[257:], "ustar  \x00")
	base256(h[386:398], size-512)
	base256(h[398:410], 512)
	base256(h[483:495], size)
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return string(h[:]) + strings.Repeat("a", 512)
}

// overlapping is a zip whose directory names the same compressed member 700 times.
func overlapping(token string) string {
	one := []byte(zippedOf(map[string]string{"a": strings.Repeat("\x00", 16<<20) + "\nthe value " + token + " end\n"}))
	at := bytes.Index(one, []byte("PK\x01\x02"))
	end := bytes.LastIndex(one, []byte("PK\x05\x06"))
	const times = 700
	dir := bytes.Repeat(one[at:end], times)
	tail := bytes.Clone(one[end:])
	binary.LittleEndian.PutUint16(tail[8:], times)
	binary.LittleEndian.PutUint16(tail[10:], times)
	binary.LittleEndian.PutUint32(tail[12:], uint32(len(dir)))
	return string(slices.Concat(one[:at], dir, tail))
}

func pdf(streams ...string) string {
	var b strings.Builder
	b.WriteString("%PDF-1.7\n")
	for i, s := range streams {
		fmt.Fprintf(&b, "%d 0 obj\n<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream\nendobj\n", i+1, len(s), s)
	}
	return b.String() + "%%EOF\n"
}

// loopISO is an image with one folder whose extent is that of its parent.
func loopISO(token string) string {
	b := make([]byte, 40*2048)
	record := func(extent uint32, name string, folder bool) []byte {
		r := make([]byte, 33+len(name)+(len(name)+1)%2)
		r[0] = byte(len(r))
		binary.LittleEndian.PutUint32(r[2:], extent)
		binary.BigEndian.PutUint32(r[6:], extent)
		binary.LittleEndian.PutUint32(r[10:], 2048)
		binary.BigEndian.PutUint32(r[14:], 2048)
		if folder {
			r[25] = 2
		}
		r[28], r[31], r[32] = 1, 1, byte(len(name))
		copy(r[33:], name)
		return r
	}
	p := b[16*2048:]
	copy(p, "\x01CD001\x01")
	binary.LittleEndian.PutUint32(p[80:], 40)
	binary.LittleEndian.PutUint16(p[120:], 1)
	binary.LittleEndian.PutUint16(p[128:], 2048)
	copy(p[156:], record(18, "\x00", true))
	copy(b[17*2048:], "\xffCD001\x01")
	at := 18 * 2048
	for _, r := range [][]byte{record(18, "\x00", true), record(18, "\x01", true), record(18, "A", true), record(18, "B", true), record(20, "X.TXT;1", false)} {
		at += copy(b[at:], r)
	}
	copy(b[20*2048:], "the value "+token+" end\n")
	return string(b)
}

// loopSQLite is a database whose inner page has itself as each of its children.
func loopSQLite(token string) string {
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	p := filepath.Join(dir, "x.db")
	db, err := sql.Open("sqlite", p)
	if err != nil {
		panic(err)
	}
	for _, q := range []string{"PRAGMA page_size=1024", "CREATE TABLE log (line TEXT)"} {
		if _, err := db.Exec(q); err != nil {
			panic(err)
		}
	}
	for range 60 {
		if _, err := db.Exec("INSERT INTO log VALUES (?)", strings.Repeat("a", 900)+token); err != nil {
			panic(err)
		}
	}
	db.Close()
	b, err := os.ReadFile(p)
	if err != nil {
		panic(err)
	}
	page := b[1024:2048] // the table's root: an inner page
	for i := range int(binary.BigEndian.Uint16(page[3:])) {
		at := binary.BigEndian.Uint16(page[12+2*i:])
		binary.BigEndian.PutUint32(page[at:], 2)
	}
	binary.BigEndian.PutUint32(page[8:], 2)
	return string(b)
}

// deltaPack is a pack in which each object copies the one before it 100 times.
func deltaPack(token string) string {
	var b bytes.Buffer
	object := func(kind int, body string, size int, base int) {
		head := byte(kind<<4 | size&15)
		for size >>= 4; ; size >>= 7 {
			if size == 0 {
				b.WriteByte(head)
				break
			}
			b.WriteByte(head | 0x80)
			head = byte(size & 127)
		}
		if kind == 6 {
			var ofs []byte
			ofs = append(ofs, byte(base&127))
			for base >>= 7; base > 0; base >>= 7 {
				base--
				ofs = append([]byte{byte(base&127) | 0x80}, ofs...)
			}
			b.Write(ofs)
		}
		b.WriteString(zlibbed(body))
	}
	varint := func(n int) (out []byte) {
		for ; n > 127; n >>= 7 {
			out = append(out, byte(n)|0x80)
		}
		return append(out, byte(n))
	}
	const levels, copies = 4, 100
	b.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x05")
	start := b.Len()
	text := strings.Repeat("the value "+token+" end\n", 500)
	object(3, text, len(text), 0)
	size := len(text)
	for range levels {
		body := append(varint(size), varint(size*copies)...)
		for range copies {
			n := min(size, 0xffffff)
			body = append(body, 0xf0, byte(n), byte(n>>8), byte(n>>16))
		}
		at := b.Len()
		object(6, string(body), len(body), at-start)
		start, size = at, size*copies
	}
	return b.String() + strings.Repeat("\x00", 20)
}

func gitIn(t *testing.T, dir, token string) func(stdin string, args ...string) string {
	t.Helper()
	testenv.Need(t, "git")
	git := func(stdin string, args ...string) string {
		c := exec.Command("git", args...)
		c.Dir, c.Stdin = dir, strings.NewReader(stdin)
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=a@a.example", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=a@a.example")
		out, err := c.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	git("", "init", "-q", "--template=", "-b", "main")
	putFile(t, filepath.Join(dir, "x.txt"), "the value "+token+" end\n")
	git("", "add", "x.txt")
	git("", "commit", "-q", "-m", "a")
	return git
}

func treeBomb(t *testing.T, dir, token string) []string {
	git := gitIn(t, dir, token)
	blob := git("the value "+token+" end, again\n", "hash-object", "-w", "--stdin")
	tree := git("100644 blob "+blob+"\tx.txt\n", "mktree")
	for range 10 {
		var list strings.Builder
		for i := range 10 {
			fmt.Fprintf(&list, "040000 tree %s\td%d\n", tree, i)
		}
		tree = git(list.String(), "mktree")
	}
	git("", "update-ref", "refs/heads/main", git("", "commit-tree", "-p", "HEAD", "-m", "b", tree))
	return []string{"git", dir, "--range", "main~1..main"}
}

func putBlob(t *testing.T, dir, text string) string {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	putFile(t, filepath.Join(dir, "blobs/sha256", sum), text)
	return "sha256:" + sum
}

func layoutOf(t *testing.T, dir, layer string) []string {
	config := `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`
	manifest, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": putBlob(t, dir, config), "size": len(config)},
		"layers": []any{map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": putBlob(t, dir, layer), "size": len(layer)}}})
	index, _ := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": putBlob(t, dir, string(manifest)), "size": len(manifest)}}})
	putFile(t, filepath.Join(dir, "index.json"), string(index))
	putFile(t, filepath.Join(dir, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
	return []string{"image", dir}
}

// registry serves what h answers to all but the first question of the API.
func registry(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			h(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
