//go:build unix

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// hostileUnits are repeated up to hostileText, in a gzip file, with the token after them.
var hostileUnits = map[string]string{
	"percent signs": "%25", "escaped backslashes": `\\`, "beginnings of keys": "-----BEGIN PRIVATE KEY-----", "quotes": `'\''`, "entities": "&amp;", "cookies in cookies": "cookie=sid=",
	"lines of base64": strings.Repeat("QUJD", 19) + "\n", "UTF-16": "a\x00", "soft line breaks": "=\n", "names of tokens": "token=", "beginnings of JWTs": "eyJhbGciOiJIUzI1NiJ9.", "brackets": "[{",
	"terminal codes": "\x1b[0m", "backspaces": "a\b", "headers": "Authorization: Bearer ", "addresses": "https://a:b@", "blanks": " ", "carriage returns": "\r", "empty lines": "\n", "NULs": "\x00", "invalid UTF-8": "\xff",
	"zero-width spaces": "a\u200b", "escapes of JSON": `\u0041`, "nested quotes of JSON": `{\"a\":\"`, "octets of a Buffer": "116,", "a hexadecimal dump": "00000000  41 41 41 41 41 41 41 41  41 41 41 41 41 41 41 41  |AAAAAAAAAAAAAAAA|\n",
	"borders of a table": "│ AAAAAAAAAAAAAAAAAAAA │\n", "masks": "::add-mask::abcdefgh\n", "groups": "##[group]a\n", "events of go test": `{"Action":"output","Output":"a"}` + "\n", "timestamps": "2026-11-01T10:00:00.0000000Z ",
	"lines of a jar": "#HttpOnly_a.example\tTRUE\t/\tTRUE\t0\tsid\tAAAA\n", "pairs of cookies": "a=b; ", "parameters": "&a=b", "machines of netrc": "machine a login b password ", "heads of patches": "diff --git a/a b/a\n@@ -1 +1 @@\n",
	"hexadecimal digits": "4a", "long hexadecimal lines": strings.Repeat("4a", 38) + "\n", "dots": ".", "equals signs": "=", "markers": "quell:allow\n", "XML": "<a b='c'>", "anchors of YAML": "- &a [*a,*a]\n",
}

func hostileKinds(t *testing.T) []hostile {
	var kinds []hostile
	for name, unit := range hostileUnits {
		kinds = append(kinds, written("text of "+name, "x.log.gz", func(token string) string {
			for size := hostileText; ; size /= 2 {
				if b := gzipped(strings.Repeat(unit, size/len(unit)), "\nthe value "+token+" end\n"); len(b) <= hostileBytes {
					return b
				}
			}
		}))
	}
	slices.SortFunc(kinds, func(a, b hostile) int { return strings.Compare(a.kind, b.kind) })
	return append(kinds, hostileFiles()...)
}

func hostileFiles() []hostile {
	line := func(token string) string { return "\nthe value " + token + " end\n" }
	r := rand.New(rand.NewPCG(1, 1))
	return append([]hostile{
		written("half a million tokens", "x.log.gz", func(token string) string { return gzipped(strings.Repeat("a "+token+" b\n", 1<<19)) }),
		written("gzip 400 deep", "x.gz", func(token string) string {
			b := line(token)
			for range 400 {
				b = gzipped(b)
			}
			return b
		}),
		written("base64 20 deep", "x.txt", func(token string) string {
			b := line(token)
			for range 20 {
				b = base64.StdEncoding.EncodeToString([]byte(b))
			}
			return b
		}),
		written("JSON 16 million deep", "x.json.gz", func(token string) string { return gzipped(strings.Repeat("[", hostileText/2), `"`+token+`"`) }),
		written("a JSON document of keys", "x.har.gz", func(token string) string {
			return gzipped(`{"log":{"entries":[`, strings.Repeat(`{"name":"a","value":"b"},`, hostileText/25), `{"name":"x","value":"`+token+`"}]}}`)
		}),
		written("bombs in encoded text", "x.txt.gz", func(token string) string {
			bomb := base64.StdEncoding.EncodeToString([]byte(gzipped(strings.Repeat("a", 4<<20))))
			return gzipped(strings.Repeat(bomb+"\n", 60), line(token))
		}),
		written("a zip of bombs", "x.zip", func(token string) string {
			files := map[string]string{"z.txt": line(token)}
			for i := range 40 {
				files[fmt.Sprint(i, ".gz")] = gzipped(strings.Repeat("\x00", 2<<20))
			}
			return zippedOf(files)
		}),
		written("a zip in a zip, ten of each", "x.zip", func(token string) string {
			b := zippedOf(map[string]string{"a": strings.Repeat("a", 4<<20), "b": line(token)})
			for range 6 {
				files := map[string]string{}
				for i := range 10 {
					files[fmt.Sprint(i, ".zip")] = b
				}
				b = zippedOf(files)
			}
			return b
		}),
		written("overlapping members of a zip", "x.zip", overlapping),
		written("a zip that counts four billion members", "x.zip", func(token string) string {
			b := []byte(zippedOf(map[string]string{"a": line(token)}))
			end := bytes.LastIndex(b, []byte("PK\x05\x06"))
			binary.LittleEndian.PutUint16(b[end+8:], 0xfffe)
			binary.LittleEndian.PutUint16(b[end+10:], 0xfffe)
			return string(b)
		}),
		written("a sparse member of an exbibyte", "x.tar", func(token string) string { return sparse(1<<60) + tarred(map[string]string{"z": line(token)}) }),
		written("a tar of 40,000 empty members", "x.tgz", func(token string) string {
			one := tarred(map[string]string{"a": ""})[:512]
			return gzipped(strings.Repeat(one, 40_000), tarred(map[string]string{"z": line(token)}))
		}),
		written("a name of 800 KB", "x.tgz", func(token string) string {
			return gzipped(tarred(map[string]string{strings.Repeat("a/", 400_000) + token: "x"}))
		}),
		written("a cpio of huge members", "x.cpio", func(token string) string {
			return "070701" + strings.Repeat("00000001", 6) + "FFFFFFF0" + strings.Repeat("00000001", 4) + "FFFFFFF0" + "00000000" + "a\x00" + line(token)
		}),
		written("an ar of a negative size", "x.a", func(token string) string {
			return "!<arch>\n" + fmt.Sprintf("%-16s%-12d%-6d%-6d%-8d%-10s`\n", "a/", 0, 0, 0, 644, "-999999999") + line(token)
		}),
		written("an RPM that counts without end", "x.rpm", func(token string) string {
			return "\xed\xab\xee\xdb\x03\x00" + strings.Repeat("\x00", 90) + "\x8e\xad\xe8\x01\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff" + strings.Repeat("\x00\x00\x03\xe8\x00\x00\x00\x06", 1000) + line(token)
		}),
		written("xz with a dictionary of 4 GiB", "x.xz", func(token string) string {
			return "\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x28\x00\x00\x00\x3d\x4a\x2b\x4f" + line(token)
		}),
		written("LZMA with a dictionary of 4 GiB", "x.lzma", func(token string) string {
			return "\x5d\x00\x00\x00\xf0\xff\xff\xff\xff\xff\xff\xff\xff\x00" + strings.Repeat("\x00", 5000) + line(token)
		}),
		written("zstd with a window of 2 TiB", "x.zst", func(token string) string { return "\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00" + line(token) }),
		written("a 7z of a huge header", "x.7z", func(token string) string {
			return "7z\xbc\xaf\x27\x1c\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00\x00" + line(token)
		}),
		written("an ISO whose folders contain themselves", "x.iso", loopISO),
		written("a PDF of a million strings", "x.pdf", func(token string) string {
			return pdf(zlibbed(strings.Repeat("(aaaa) Tj ", 2<<20) + "(" + token + ") Tj"))
		}),
		written("a PDF of nested arrays", "x.pdf", func(token string) string {
			return "%PDF-1.7\n1 0 obj\n" + strings.Repeat("[", 50_000) + "\nendobj\n" + pdf(zlibbed("("+token+") Tj"))
		}),
		written("a PDF of bombs", "x.pdf", func(token string) string {
			return pdf(slices.Repeat([]string{zlibbed(strings.Repeat(" ", 8<<20))}, 10)...) + line(token)
		}),
		written("an office document of a bomb", "x.docx", func(token string) string {
			return zippedOf(map[string]string{"[Content_Types].xml": "<Types/>", "word/document.xml": strings.Repeat("<w:t>a</w:t>", 3<<20) + "<w:t>" + token + "</w:t>"})
		}),
		written("a mail of 1,500 parts within each other", "x.eml", func(token string) string {
			var b strings.Builder
			b.WriteString("From: a@a.example\nSubject: x\nMIME-Version: 1.0\n")
			for i := range 1500 {
				fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
			}
			return b.String() + "Content-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(line(token)))
		}),
		written("a mailbox of 305,000 mails", "x.mbox.gz", func(token string) string {
			return gzipped(strings.Repeat("From a Thu Jan\nSubject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\nQQ==\n\n", hostileText/110), line(token))
		}),
		written("a database whose pages refer to themselves", "x.db", func(token string) string { return loopSQLite(token) }),
		written("a pack of deltas of a gigabyte", "x.pack", deltaPack),
		written("a pack that counts four billion objects", "x.pack", func(token string) string {
			return "PACK\x00\x00\x00\x02\xff\xff\xff\xff" + strings.Repeat("\x30x\x9c\x03\x00\x00\x00\x00\x01", 5000) + line(token)
		}),
		{"a sparse file of 60 GiB", func(t *testing.T, dir, token string) []string {
			f, err := os.Create(filepath.Join(dir, "x.bin"))
			if err == nil {
				_, err = f.WriteAt([]byte(line(token)), 60<<30)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			return []string{"path", dir}
		}},
		{"names of 248 characters, 14 deep", func(t *testing.T, dir, token string) []string {
			deep := dir
			for range 14 { // a path has at most 4,096 bytes
				deep = filepath.Join(deep, base64.RawURLEncoding.EncodeToString(fill(r, 186)))
			}
			putFile(t, filepath.Join(deep, "x.txt"), line(token))
			return []string{"path", dir}
		}},
		{"links in circles and a FIFO", func(t *testing.T, dir, token string) []string {
			for i := range 200 {
				_ = os.Symlink(filepath.Join(dir, fmt.Sprint("l", (i+1)%200)), filepath.Join(dir, fmt.Sprint("l", i)))
			}
			_ = os.Symlink(dir, filepath.Join(dir, "all"))
			_ = syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644)
			putFile(t, filepath.Join(dir, "x.txt"), line(token))
			return []string{"path", dir}
		}},
		{"a repository whose trees are a bomb", func(t *testing.T, dir, token string) []string { return treeBomb(t, dir, token) }},
		{"a repository of 1,500 refs", func(t *testing.T, dir, token string) []string {
			git := gitIn(t, dir, token)
			head := git("", "rev-parse", "HEAD")
			var refs strings.Builder
			refs.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
			for i := range 1500 {
				fmt.Fprintf(&refs, "%s refs/heads/b%04d\n", head, i)
			}
			putFile(t, filepath.Join(dir, ".git/packed-refs"), refs.String())
			return []string{"git", dir}
		}},
		{"a repository whose alternates are a circle", func(t *testing.T, dir, token string) []string {
			gitIn(t, dir, token)
			putFile(t, filepath.Join(dir, ".git/objects/info/alternates"), filepath.Join(dir, ".git/objects")+"\n../objects\n")
			return []string{"git", dir}
		}},
		{"a repository whose refs are a circle", func(t *testing.T, dir, token string) []string {
			gitIn(t, dir, token)
			putFile(t, filepath.Join(dir, ".git/refs/heads/a"), "ref: refs/heads/b\n")
			putFile(t, filepath.Join(dir, ".git/refs/heads/b"), "ref: refs/heads/a\n")
			return []string{"git", dir}
		}},
		{"an image whose layer is a bomb", func(t *testing.T, dir, token string) []string {
			return layoutOf(t, dir, gzipped(tarred(map[string]string{"a": strings.Repeat("\x00", 64<<20), "b": line(token)})))
		}},
		{"an image whose layer is sparse", func(t *testing.T, dir, token string) []string {
			return layoutOf(t, dir, gzipped(sparse(1<<60), tarred(map[string]string{"b": line(token)})))
		}},
		{"an image whose index is its own manifest", func(t *testing.T, dir, token string) []string {
			layoutOf(t, dir, gzipped(tarred(map[string]string{"b": line(token)})))
			b, _ := os.ReadFile(filepath.Join(dir, "index.json"))
			var nested []any
			for i := range 200 {
				nested = append(nested, map[string]any{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": putBlob(t, dir, fmt.Sprintf(`{"schemaVersion":2,"manifests":[],"n":%d}`, i)), "size": 42})
			}
			doc, _ := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": nested})
			putFile(t, filepath.Join(dir, "index.json"), strings.Replace(string(doc), `"manifests":[`, `"manifests":[`+strings.TrimSuffix(strings.SplitN(string(b), `"manifests":[`, 2)[1], `],"schemaVersion":2}`)+",", 1))
			return []string{"image", dir}
		}},
		{"an image whose documents are blanks", func(t *testing.T, dir, token string) []string {
			putFile(t, filepath.Join(dir, "x.tgz"), gzipped(tarred(map[string]string{"manifest.json": strings.Repeat(" ", hostileText) + "[]", "b": line(token)})))
			return []string{"image", filepath.Join(dir, "x.tgz")}
		}},
		{"a registry whose catalog never ends", func(t *testing.T, dir, token string) []string {
			n := 0
			return []string{"image", registry(t, func(w http.ResponseWriter, r *http.Request) {
				n++
				w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?n=1&last=%d>; rel="next"`, n))
				fmt.Fprintf(w, `{"repositories":["team/r%d"]}`, n)
			}) + "/team/*"}
		}},
		{"a registry whose tags never end", func(t *testing.T, dir, token string) []string {
			return []string{"image", registry(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", `</v2/a/tags/list?last=x>; rel="next"`)
				fmt.Fprint(w, `{"name":"a","tags":["x"]}`)
			}) + "/a:*"}
		}},
		{"a registry whose manifest never ends", func(t *testing.T, dir, token string) []string {
			return []string{"image", registry(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
				for blanks := bytes.Repeat([]byte(" "), 1<<16); r.Context().Err() == nil; {
					if _, err := w.Write(blanks); err != nil {
						return
					}
				}
			}) + "/a:x"}
		}},
	}, logKinds(line)...)
}

// logKinds are inputs of scan log.
func logKinds(line func(string) string) []hostile {
	return []hostile{
		{"a zip of 30 jobs, each a bomb", func(t *testing.T, dir, token string) []string {
			files := map[string]string{"z.txt": line(token)}
			for i := range 30 {
				files[fmt.Sprintf("job%d/1_a.txt", i)] = strings.Repeat("2026-11-01T10:00:00.0000000Z a\n", 1<<15)
			}
			putFile(t, filepath.Join(dir, "x.zip"), zippedOf(files))
			return []string{"log", filepath.Join(dir, "x.zip")}
		}},
		{"a log that is one line", func(t *testing.T, dir, token string) []string {
			putFile(t, filepath.Join(dir, "x.log.gz"), gzipped(strings.Repeat("word ", hostileText/5), token, strings.Repeat(" word", 1000)))
			return []string{"log", filepath.Join(dir, "x.log.gz")}
		}},
	}
}
