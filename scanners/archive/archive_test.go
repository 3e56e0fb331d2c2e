package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"go/build"
	"hash/crc32"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/cavaliergopher/cpio"
	"github.com/kdomanski/iso9660"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
)

func secret(n int) string {
	return strings.Map(func(c rune) rune {
		const a = "0123456789abcdefghijklmnopqrstuvwxyz"
		return rune(a[(strings.IndexRune(a, c)*7+n*11+5)%36])
	}, "0123456789abcdefghijklmnopqrstuv")
}

func cookie(n int) string { return "Cookie: sessionid=" + secret(n) + "\n" }

// one is a source that yields a single file.
type one struct {
	name string
	open func() (io.ReadCloser, error)
}

func (o one) Open(context.Context) (scanners.Session, error) { return scanners.Of(o.Artifacts), nil }

func (o one) Artifacts(context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		yield(scanners.Artifact{Location: rules.Location{Path: o.name}, Open: func(context.Context) (io.ReadCloser, error) { return o.open() }}, nil)
	}
}

// scan returns the findings as "path:line secret", and the gaps.
func scan(t testing.TB, name string, open func() (io.ReadCloser, error), l archive.Limits) (found []rules.Finding, gaps []string) {
	t.Helper()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	p := scanners.Pool{Detector: detect.New(set), Workers: 1, Unpacker: archive.New(l)}
	src := one{name, open}
	if _, err := p.Run(t.Context(), src, func(f rules.Finding) { mu.Lock(); defer mu.Unlock(); found = append(found, f) }, func(g scanners.Gap) {
		mu.Lock()
		defer mu.Unlock()
		gaps = append(gaps, g.Error())
	}); err != nil {
		t.Fatal(err)
	}
	return found, gaps
}

// streamed returns an opener of b that does not implement io.ReaderAt.
func streamed(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(struct{ io.Reader }{bytes.NewReader(b)}), nil }
}

func onDisk(t testing.TB, b []byte) func() (io.ReadCloser, error) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return func() (io.ReadCloser, error) { return os.Open(p) }
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func through(b []byte, w func(io.Writer) io.WriteCloser) []byte {
	var out bytes.Buffer
	z := w(&out)
	must(z.Write(b))
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func gz(b []byte) []byte {
	return through(b, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

func tarOf(files ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			panic(err)
		}
		must(w.Write([]byte(files[i+1])))
	}
	_ = w.Close()
	return b.Bytes()
}

func zipOf(files ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		must(must(w.Create(files[i])).Write([]byte(files[i+1])))
	}
	_ = w.Close()
	return b.Bytes()
}

func arOf(name, content string) []byte {
	b := fmt.Appendf([]byte("!<arch>\n"), "%-16s%-12d%-6d%-6d%-8o%-10d`\n%s", name, 0, 0, 0, 0o644, len(content), content)
	if len(content)%2 == 1 {
		b = append(b, '\n')
	}
	return b
}

func cpioOf(name, content string) []byte {
	return through(nil, func(w io.Writer) io.WriteCloser {
		c := cpio.NewWriter(w)
		if err := c.WriteHeader(&cpio.Header{Name: name, Mode: 0o100644, Size: int64(len(content))}); err != nil {
			panic(err)
		}
		must(c.Write([]byte(content)))
		return c
	})
}

func rpmOf(header, content string) []byte {
	b := append([]byte("\xed\xab\xee\xdb"), make([]byte, 92)...)
	head := func(data string) []byte {
		h := append([]byte("\x8e\xad\xe8\x01"), make([]byte, 4)...)
		h = binary.BigEndian.AppendUint32(h, 1)
		h = binary.BigEndian.AppendUint32(h, uint32(len(data)))
		return append(append(h, make([]byte, 16)...), data...)
	}
	b = append(b, head("sigsig")...)
	b = append(b, 0, 0)
	b = append(b, head(header)...)
	return append(b, gz(cpioOf("usr/bin/x", content))...)
}

func isoOf(t testing.TB, name, content string) []byte {
	t.Helper()
	w, err := iso9660.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Cleanup()
	if err := w.AddFile(strings.NewReader(content), name); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := w.WriteTo(&b, "disk"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pdfOf(content string) []byte {
	z := through([]byte(content), func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	return fmt.Appendf(nil, "%%PDF-1.7\n1 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream\nendobj\n%%%%EOF\n", len(z), z)
}

func mozlz4Of(content string) []byte {
	out := make([]byte, lz4.CompressBlockBound(len(content)))
	n := must(lz4.CompressBlock([]byte(content), out, nil))
	return append(binary.LittleEndian.AppendUint32([]byte("mozLz40\x00"), uint32(len(content))), out[:n]...)
}

// bundleOf returns a git bundle of one file, whose later version is a delta, and the pack in
// the bundle.
func bundleOf(t *testing.T, content string, format ...string) (bundle, pack []byte) {
	t.Helper()
	testenv.Need(t, "git")
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		c := exec.Command("git", args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@e.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@e.com")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	git(append([]string{"init", "-q", "-b", "main"}, format...)...)
	for _, text := range []string{strings.Repeat("a line that stays\n", 200), strings.Repeat("a line that stays\n", 200) + content} {
		if err := os.WriteFile(filepath.Join(dir, "f.txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		git("add", "-A")
		git("commit", "-q", "-m", "x")
	}
	git("bundle", "create", "-q", "x.bundle", "--all")
	bundle = must(os.ReadFile(filepath.Join(dir, "x.bundle")))
	return bundle, bundle[bytes.Index(bundle, []byte("PACK")):]
}

// zipLZMA makes a zip of one member of method 14 (LZMA), with the sizes in the header.
func zipLZMA(name, content string) []byte {
	z := through([]byte(content), func(w io.Writer) io.WriteCloser {
		return must(lzma.WriterConfig{SizeInHeader: true, Size: int64(len(content))}.NewWriter(w))
	})
	raw := slices.Concat([]byte("\x09\x14\x05\x00"), z[:5], z[lzma.HeaderLen:])
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	must(must(w.CreateRaw(&zip.FileHeader{Name: name, Method: 14, CRC32: crc32.ChecksumIEEE([]byte(content)), CompressedSize64: uint64(len(raw)), UncompressedSize64: uint64(len(content))})).Write(raw))
	_ = w.Close()
	return b.Bytes()
}

// mailOf returns a message of two parts.
func mailOf(text, header, second string) string {
	return "Subject: x\nFrom: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b b\"\n\n--b b\nContent-Type: text/plain\n\n" + text +
		"\n--b b\n" + header + "\n\n" + second + "\n--b b--\n"
}

// wrap64 encodes s as base64 in lines of 76 characters.
func wrap64(b []byte) string {
	var lines []string
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(b)), 76) {
		lines = append(lines, string(line))
	}
	return strings.Join(lines, "\n")
}

// moved returns a zip that also contains the members of another zip, which no directory lists.
func moved(first, second []byte) []byte {
	first = first[:bytes.Index(first, []byte("PK\x01\x02"))]
	k := bytes.Index(second, []byte("PK\x01\x02"))
	b := slices.Concat(first, second)
	binary.LittleEndian.PutUint32(b[len(first)+k+42:], uint32(len(first)))
	binary.LittleEndian.PutUint32(b[len(b)-6:], uint32(len(first)+k))
	return b
}

// noise returns n hex digits, which no compressor reduces by more than half.
func noise(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return hex.EncodeToString(b)
}

// zlibOf compresses content as git does for a loose object.
func zlibOf(content string) []byte {
	return through([]byte(content), func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
}

// tool makes a file with a program of the system.
func tool(t testing.TB, ext string, content string, args ...string) []byte {
	t.Helper()
	testenv.Need(t, args[0])
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.txt"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(args[0], args[1:]...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v %s", args, err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "in.txt"+ext))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEachFormIsOpened(t *testing.T) {
	text := "first line\n" + cookie(0)
	later := strings.Repeat("a line that stays\n", 200) // in a bundle, the version that the delta is based on
	padded := text + strings.Repeat("a text that is long enough to be worth packing\n", 100)
	for _, c := range []struct {
		name string
		b    func(t *testing.T) []byte
		path string
	}{
		{"x.log.gz", func(*testing.T) []byte { return gz([]byte(text)) }, "x.log.gz!x.log"},
		{"x.zip", func(*testing.T) []byte { return zipOf("a/b.txt", text) }, "x.zip!a/b.txt"},
		{"app.jar", func(*testing.T) []byte {
			return zipOf("META-INF/MANIFEST.MF", "x", "BOOT-INF/lib/in.jar", string(zipOf("application.properties", text)))
		}, "app.jar!BOOT-INF/lib/in.jar!application.properties"},
		{"x.tar", func(*testing.T) []byte { return tarOf("d/e.txt", text) }, "x.tar!d/e.txt"},
		{"x.tgz", func(*testing.T) []byte { return gz(tarOf("d/e.txt", text)) }, "x.tgz!x.tar!d/e.txt"},
		{"x.zst", func(*testing.T) []byte {
			return through([]byte(text), func(w io.Writer) io.WriteCloser { return must(zstd.NewWriter(w)) })
		}, "x.zst!x"},
		{"x.lz4", func(*testing.T) []byte {
			return through([]byte(text), func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) })
		}, "x.lz4!x"},
		{"x.sz", func(*testing.T) []byte {
			return through([]byte(text), func(w io.Writer) io.WriteCloser { return s2.NewWriter(w) })
		}, "x.sz!x"},
		{"x.br", func(*testing.T) []byte {
			return through([]byte(text), func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) })
		}, "x.br!x"},
		{"x.xz", func(t *testing.T) []byte { return tool(t, ".xz", padded, "xz", "in.txt") }, "x.xz!x"},
		{"x.bz2", func(t *testing.T) []byte { return tool(t, ".bz2", padded, "bzip2", "in.txt") }, "x.bz2!x"},
		{"x.7z", func(t *testing.T) []byte { return tool(t, ".7z", padded, "7zr", "a", "in.txt.7z", "in.txt") }, "x.7z!in.txt"},
		{"x.deb", func(*testing.T) []byte { return arOf("data.tar.gz", string(gz(tarOf("./etc/x", text)))) }, "x.deb!data.tar.gz!data.tar!etc/x"},
		{"x.cpio", func(*testing.T) []byte { return cpioOf("etc/x", text) }, "x.cpio!etc/x"},
		{"x.rpm", func(*testing.T) []byte { return rpmOf("nothing!", text) }, "x.rpm!(payload)!(content)!usr/bin/x"},
		{"script.rpm", func(*testing.T) []byte { return rpmOf(text, "nothing") }, "script.rpm!(header)"},
		{"x.iso", func(t *testing.T) []byte { return isoOf(t, "etc/x.txt", text) }, "x.iso!etc/x.txt"},
		{"x.crx", func(*testing.T) []byte {
			return append([]byte("Cr24\x03\x00\x00\x00\x04\x00\x00\x00abcd"), zipOf("bg.js", text)...)
		}, "x.crx!bg.js"},
		{"x.pdf", func(*testing.T) []byte {
			return pdfOf("BT /F1 12 Tf 72 720 Td [(Cookie: sess)-20(ionid=" + secret(0)[:10] + ")5(" + secret(0)[10:] + ")] TJ ET")
		}, "x.pdf!(stream 1)"},
		{"escaped.pdf", func(*testing.T) []byte {
			return pdfOf("BT (Cookie: sessionid\\075) Tj (" + secret(0)[:9] + "\\\n" + secret(0)[9:] + ") Tj ET")
		}, "escaped.pdf!(stream 1)"},
		{"moved.pdf", func(*testing.T) []byte {
			text := "BT 1 0 0 1 72 700 Tm (Cookie:) Tj 40 0 Td (sessionid) Tj"
			for i, c := range "=" + secret(0) {
				text += fmt.Sprintf(" 1 0 0 1 %d 700 Tm (%c) Tj", 120+7*i, c)
			}
			return pdfOf(text + " 1 0 0 1 72 690 Tm (next) Tj ET")
		}, "moved.pdf!(stream 1)"},
		{"set off.pdf", func(*testing.T) []byte {
			return pdfOf("BT [(the)-300(Cookie:)-300(sessionid=" + secret(0)[:9] + ")-20(" + secret(0)[9:] + ")-333(is)-300(live)] TJ ET")
		}, "set off.pdf!(stream 1)"},
		{"mapped.pdf", func(*testing.T) []byte {
			var codes, chars strings.Builder
			for i, c := range "abcdefghijklmnopqrstuvwxyz" {
				fmt.Fprintf(&chars, "<%04x> <%04x>\n", 100+i, c)
			}
			for _, c := range "Cookie: sessionid=" + secret(0) {
				switch {
				case c >= 'a' && c <= 'z':
					c += 100 - 'a'
				case c == 'C':
					c = 0x203
				case c == ':' || c == '=':
					c = 0x100 + c
				}
				fmt.Fprintf(&codes, "%04x", c)
			}
			return slices.Concat(pdfOf("BT /F1 12 Tf <"+codes.String()+"> Tj ET"), pdfOf("/CIDInit /ProcSet findresource begin begincmap 26 beginbfchar\n"+chars.String()+"endbfchar 2 beginbfrange <0020> <0039> <0020> <0200> <0203> [<0041> <0042> <0000> <0043>] endbfrange 1 beginbfrange <0100> <017f> <0000> endbfrange endcmap"))
		}, "mapped.pdf!(stream 1)"},
		{"recovery.jsonlz4", func(*testing.T) []byte { return mozlz4Of(padded) }, "recovery.jsonlz4!recovery.json"},
		{"x.docx", func(*testing.T) []byte { return zipOf("word/document.xml", "<w:t>"+text+"</w:t>") }, "x.docx!word/document.xml"},
		{"runs.docx", func(*testing.T) []byte {
			return zipOf("word/document.xml", "<w:p><w:r><w:t>Cookie: </w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>sessionid="+secret(0)[:9]+"</w:t></w:r><w:proofErr/><w:r><w:t>"+secret(0)[9:]+"</w:t><w:br/><w:t>next</w:t></w:r></w:p>")
		}, "runs.docx!word/document.xml"},
		{"runs.xlsx", func(*testing.T) []byte {
			return zipOf("xl/sharedStrings.xml", "<si><t>x</t></si><si><r><t>Cookie: sessionid="+secret(0)[:9]+"</t></r><r><rPr/><t>"+secret(0)[9:]+"</t></r></si><si><t>y</t></si>")
		}, "runs.xlsx!xl/sharedStrings.xml"},
		{"runs.odt", func(*testing.T) []byte {
			return zipOf("mimetype", "application/vnd.oasis.opendocument.text", "content.xml", `<text:p>a<text:s/>Cookie: sessionid=`+secret(0)[:9]+`<text:span text:style-name="T1">`+secret(0)[9:]+`</text:span><text:line-break/>x</text:p>`)
		}, "runs.odt!content.xml"},
		{"no extension", func(*testing.T) []byte { return gz(tarOf("a.zip", string(zipOf("b", text)))) }, "no extension!(content)!a.zip!b"},
		{"export.tar", func(t *testing.T) []byte { b, _ := bundleOf(t, text); return tarOf("project.bundle", string(b)) }, "export.tar!project.bundle!blob "},
		{"repo.tar", func(t *testing.T) []byte {
			_, b := bundleOf(t, text)
			return tarOf(".git/objects/pack/x.pack", string(b))
		}, "repo.tar!.git/objects/pack/x.pack!blob "},
		{"sha256.pack", func(t *testing.T) []byte { _, b := bundleOf(t, text, "--object-format=sha256"); return b }, fmt.Sprintf("sha256.pack!blob %x", sha256.Sum256(fmt.Appendf(nil, "blob %d\x00%s", len(later)+len(text), later+text)))},
		{"loose", func(*testing.T) []byte { return zlibOf(fmt.Sprintf("blob %d\x00%s", len(padded), padded)) }, "loose!blob"},
		{"x.zlib", func(*testing.T) []byte { return zlibOf(text + noise(90000)) }, "x.zlib!(content)"},
		{"x.lzma", func(*testing.T) []byte {
			return through([]byte(padded), func(w io.Writer) io.WriteCloser { return must(lzma.NewWriter(w)) })
		}, "x.lzma!x"},
		{"lzma.zip", func(*testing.T) []byte { return zipLZMA("a/b.txt", padded) }, "lzma.zip!a/b.txt"},
		{"app.pyz", func(*testing.T) []byte { return append([]byte("#!/usr/bin/env python3\n"), zipOf("a/b.py", text)...) }, "app.pyz!a/b.py"},
		{"start.jar", func(*testing.T) []byte { return append([]byte("#!/bin/bash\n"+text), zipOf("a", "b")...) }, "start.jar!(script)"},
		{"name.gz", func(*testing.T) []byte {
			return through([]byte("text"), func(w io.Writer) io.WriteCloser {
				z := gzip.NewWriter(w)
				z.Name = "Cookie: sessionid=" + secret(0)
				return z
			})
		}, "name.gz!(names)"},
		{"a.eml", func(*testing.T) []byte {
			return []byte(mailOf(text, "Content-Transfer-Encoding: quoted-printable", "x"))
		}, "a.eml!(document)"},
		{"b.eml", func(*testing.T) []byte {
			return []byte(mailOf("Hello", "Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"../c.zip\"", wrap64(zipOf("c.env", text))))
		}, "b.eml!c.zip!c.env"},
		{"crlf.eml", func(*testing.T) []byte {
			return []byte(strings.ReplaceAll(mailOf("Hello", "Content-Transfer-Encoding: base64", wrap64(gz([]byte(text)))), "\n", "\r\n"))
		}, "crlf.eml!(part 2)!(content)"},
		{"soft.eml", func(*testing.T) []byte {
			return []byte(mailOf("Hello", "Content-Transfer-Encoding: quoted-printable", "Cookie: =\nsessionid=3D"+secret(0)[:9]+"=\n"+secret(0)[9:]))
		}, "soft.eml!(part 2)"},
		{"in.eml", func(*testing.T) []byte {
			return []byte(mailOf("Fwd", "Content-Type: message/rfc822", "Subject: in\nContent-Transfer-Encoding: base64\n\n"+wrap64(gz([]byte(text)))))
		}, "in.eml!(part 2)!(content)"},
		{"box", func(*testing.T) []byte {
			return []byte("From a@example.com Sat Nov 28 2026\n" + mailOf("Hello", "", "x") + "\nFrom a@example.com Sat Nov 28 2026\n" + mailOf("Hello", "Content-Transfer-Encoding: base64", wrap64(gz([]byte(text)))))
		}, "box!(message 2)/(part 2)!(content)"},
		{"page.mht", func(*testing.T) []byte {
			return []byte("Snapshot-Content-Location: https://example.com\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n" + wrap64(gz([]byte(text))))
		}, "page.mht!(body)!(content)"},
		{"two.tar", func(*testing.T) []byte { return append(tarOf("a", "b"), tarOf("d/e.txt", text)...) }, "two.tar!d/e.txt"},
		{"first disk", func(*testing.T) []byte {
			return append(append(cpioOf("a", "b"), cpioOf("c", "d")...), gz(cpioOf("etc/x", text))...)
		}, "first disk!(behind)!(content)!etc/x"},
		{"behind.tar", func(*testing.T) []byte { return append(tarOf("a", "b"), text...) }, "behind.tar!(behind)"},
		{"behind.zip", func(*testing.T) []byte { return append(zipOf("a", "b"), text...) }, "behind.zip!(rest)"},
		{"taken out.zip", func(*testing.T) []byte { return moved(zipOf("a", text), zipOf("b", "c")) }, "taken out.zip!a"},
		{"signed.apk", func(*testing.T) []byte {
			b := zipOf("a", "b")
			k := bytes.Index(b, []byte("PK\x01\x02"))
			b = slices.Concat(b[:k], []byte("a block of signatures\n"+text), b[k:])
			binary.LittleEndian.PutUint32(b[len(b)-6:], uint32(k+22+len(text)))
			return b
		}, "signed.apk!(rest)"},
		{"behind.iso", func(t *testing.T) []byte { return append(isoOf(t, "a.txt", "b"), text...) }, "behind.iso!(behind)"},
		{"behind.7z", func(t *testing.T) []byte {
			return append(tool(t, ".7z", "b", "7zr", "a", "in.txt.7z", "in.txt"), text...)
		}, "behind.7z!(behind)"},
		{"names.tar", func(*testing.T) []byte { return tarOf("Cookie: sessionid="+secret(0), "x") }, "names.tar!(names)"},
		{"comment.zip", func(*testing.T) []byte {
			var b bytes.Buffer
			w := zip.NewWriter(&b)
			_ = w.SetComment(text)
			_ = w.Close()
			return b.Bytes()
		}, "comment.zip!(names)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.b(t)
			for how, open := range map[string]func() (io.ReadCloser, error){"streamed": streamed(b), "on disk": onDisk(t, b)} {
				found, gaps := scan(t, c.name, open, archive.DefaultLimits)
				if len(gaps) > 0 {
					t.Errorf("%s: %v", how, gaps)
				}
				if !slices.ContainsFunc(found, func(f rules.Finding) bool {
					return (f.Location.Path == c.path || strings.HasSuffix(c.path, " ") && strings.HasPrefix(f.Location.Path, c.path)) && f.Secret.Reveal() == secret(0)
				}) {
					var paths []string
					for _, f := range found {
						paths = append(paths, f.Location.Path+" "+f.Secret.Reveal())
					}
					t.Errorf("%s: found in %q, not %q", how, paths, c.path)
				}
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// bomb returns n zero bytes, compressed by w.
func bomb(n int64, w func(io.Writer) io.WriteCloser) []byte {
	var out bytes.Buffer
	z := w(&out)
	must(io.CopyN(z, zeros{}, n))
	_ = z.Close()
	return out.Bytes()
}

func gzw(w io.Writer) io.WriteCloser { return must(gzip.NewWriterLevel(w, 9)) }

// No hostile file ends the scan or takes unbounded memory. The scan finds the secrets that
// precede the damage, and reports the damage.
func TestHostileArchives(t *testing.T) {
	testenv.Sequential(t)
	limits := archive.Limits{Depth: 6, Ratio: 20, Free: 8 << 20, Entries: 2000, Kept: 8 << 20}
	good := zipOf("first.txt", cookie(0), "second.txt", cookie(1))
	spoil := func(b []byte, at int, with ...byte) []byte {
		b = bytes.Clone(b)
		if at < 0 {
			at += len(b)
		}
		copy(b[at:], with)
		return b
	}
	central := bytes.Index(good, []byte("PK\x01\x02"))
	var stored bytes.Buffer
	w := zip.NewWriter(&stored)
	for i := range 2 {
		must(must(w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i), CRC32: 1, CompressedSize64: uint64(len(cookie(i))), UncompressedSize64: uint64(len(cookie(i)))})).Write([]byte(cookie(i))))
	}
	_ = w.Close()
	sized := stored.Bytes()
	cutLZMA := zipLZMA("a", cookie(0))
	cutLZMA = cutLZMA[:len(cutLZMA)-30]
	_, cutPack := bundleOf(t, cookie(0))
	cutPack = cutPack[:len(cutPack)-30]
	many := func(n int) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := range n {
			_ = w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Size: 0})
		}
		_ = w.Close()
		return b.Bytes()
	}
	nest := func(n int, b []byte) []byte {
		for range n {
			b = gz(b)
		}
		return b
	}
	tarWith := func(h tar.Header, content string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		h.Size = int64(len(content))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(content))
		_ = w.WriteHeader(&tar.Header{Name: "after.txt", Size: int64(len(cookie(1))), Mode: 0o644})
		_, _ = w.Write([]byte(cookie(1)))
		_ = w.Close()
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		b     []byte
		want  []int // secrets that the scan finds nevertheless
		clean bool  // the scan reports nothing
	}{
		"a bomb of gzip":                             {b: bomb(256<<20, gzw)},
		"a bomb of zstd":                             {b: bomb(256<<20, func(w io.Writer) io.WriteCloser { return must(zstd.NewWriter(w)) })},
		"a bomb of brotli":                           {b: nil},
		"a bomb within a bomb":                       {b: gz(bomb(256<<20, gzw))},
		"a bomb in a zip":                            {b: zipOf("a.txt", cookie(0), "bomb.gz", string(bomb(256<<20, gzw))), want: []int{0}},
		"a zip of sixteen zips of bombs":             {b: zipOf(slices.Concat(slices.Repeat([]string{"b.zip", string(zipOf("x", string(make([]byte, 8<<20))))}, 16))...)},
		"seven forms within each other":              {b: nest(7, []byte(cookie(0)))},
		"five forms within each other":               {b: nest(5, []byte(cookie(0))), want: []int{0}, clean: true},
		"more entries than are read":                 {b: many(3000)},
		"a path that climbs":                         {b: tarWith(tar.Header{Name: "../../../etc/passwd"}, cookie(0)), want: []int{0, 1}, clean: true},
		"a path from the root":                       {b: tarWith(tar.Header{Name: "/etc/passwd"}, cookie(0)), want: []int{0, 1}, clean: true},
		"a path with control characters":             {b: tarWith(tar.Header{Name: "a\x1b[2Jb\nc"}, cookie(0)), want: []int{0, 1}, clean: true},
		"a symbolic link out of it":                  {b: tarWith(tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}, ""), want: []int{1}, clean: true},
		"a hard link out of it":                      {b: tarWith(tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../../x"}, ""), want: []int{1}, clean: true},
		"a device":                                   {b: tarWith(tar.Header{Name: "dev", Typeflag: tar.TypeBlock}, ""), want: []int{1}, clean: true},
		"a pipe":                                     {b: tarWith(tar.Header{Name: "fifo", Typeflag: tar.TypeFifo}, ""), want: []int{1}, clean: true},
		"a tar that is cut":                          {b: tarOf("a", cookie(0), "b", strings.Repeat("x", 5000))[:3000], want: []int{0}},
		"a tar whose second header is damaged":       {b: spoil(tarOf("a", cookie(0), "b", cookie(1)), 1024+148, '9', '9', '9'), want: []int{0, 1}},
		"a tar that states a petabyte":               {b: spoil(tarOf("a", cookie(0)), 124, 0x80, 0, 0, 0, 0, 0x04)},
		"a gzip that is cut":                         {b: gz([]byte(cookie(0) + strings.Repeat("text and more text", 1000)))[:60]},
		"a gzip with a wrong checksum":               {b: spoil(gz([]byte(cookie(0))), -8, 1, 2, 3, 4), want: []int{0}},
		"a gzip with garbage after it":               {b: append(gz([]byte(cookie(0))), cookie(1)...), want: []int{0, 1}},
		"a gzip with garbage after its padding":      {b: append(gz([]byte(cookie(0))), "\x00\x00"+cookie(1)...), want: []int{0, 1}},
		"a zip without its end":                      {b: good[:len(good)-30], want: []int{0, 1}},
		"a zip that is cut in its second member":     {b: good[:bytes.LastIndex(good, []byte("PK\x03\x04"))+60], want: []int{0}},
		"a zip of LZMA, cut":                         {b: cutLZMA, want: []int{0}},
		"a zip with sizes in its local headers, cut": {b: sized[:len(sized)-30], want: []int{0, 1}},
		"a zip whose members state wrong sizes":      {b: spoil(sized[:len(sized)-30], 18, 9), want: []int{0}},
		"a zip with a wrong end record":              {b: spoil(good, -6, 0xff, 0xff, 0xff, 0x7f), want: []int{0, 1}},
		"a zip in a script, cut":                     {b: append([]byte("#!/bin/sh\n"), good[:len(good)-30]...), want: []int{0, 1}},
		"a pack of nothing":                          {b: append([]byte("PACK\x00\x00\x00\x02"), bytes.Repeat([]byte{0xff}, 60)...)},
		"a pack that is cut":                         {b: cutPack, want: []int{0}},
		"a bomb of zlib":                             {b: bomb(256<<20, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })},
		"a zlib stream that is cut":                  {b: zlibOf(cookie(0) + noise(90000))[:40000], want: []int{0}},
		"a loose object that is cut":                 {b: zlibOf("blob 999\x00" + cookie(0) + noise(400))[:120], want: []int{0}},
		"an lzma that asks for a gigabyte":           {b: slices.Concat([]byte{0x5d, 0, 0, 0, 0x40}, bytes.Repeat([]byte{0xff}, 60))},
		"a zip that states a thousand entries":       {b: spoil(good, -12, 0xe8, 3, 0xe8, 3)},
		"a zip entry with a wrong method":            {b: spoil(good, central+10, 0x63), want: []int{1}},
		"a zip entry that is encrypted":              {b: spoil(good, central+8, 1), want: []int{1}},
		"a zip entry that states other sizes":        {b: spoil(good, central+24, 0xff, 0xff), want: []int{0, 1}},
		"a zip entry with a wrong checksum":          {b: spoil(good, central+16, 1, 2, 3, 4), want: []int{0, 1}},
		"a zip entry that begins elsewhere":          {b: spoil(good, central+42, 0xff, 0xff), want: []int{1}},
		"a 7z of nothing":                            {b: append([]byte("7z\xbc\xaf\x27\x1c\x00\x04"), bytes.Repeat([]byte{0xff}, 60)...)},
		"a rar of nothing":                           {b: append([]byte("Rar!\x1a\x07\x01\x00"), bytes.Repeat([]byte{0xff}, 60)...)},
		"an xz of nothing":                           {b: append([]byte("\xfd7zXZ\x00"), bytes.Repeat([]byte{0xff}, 60)...)},
		"an lzip that asks for half a gigabyte":      {b: append([]byte("LZIP\x01\x1d"), bytes.Repeat([]byte{0}, 60)...)},
		"a zstd that asks for a window of 2 GiB":     {b: []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0}},
		"an lz4 of nothing":                          {b: append([]byte("\x04\x22\x4d\x18"), bytes.Repeat([]byte{0xff}, 60)...)},
		"a message that ends in a part":              {b: []byte(mailOf(cookie(0), "", "x")[:180]), want: []int{0}},
		"a message whose header never ends":          {b: []byte("Subject: x\nContent-Transfer-Encoding: base64\n" + strings.Repeat("X-A: "+noise(60)+"\n", 40000) + cookie(0)), want: []int{0}},
		"a message with a wrong attachment":          {b: []byte(mailOf(cookie(0), "Content-Transfer-Encoding: base64", "!!!!")), want: []int{0}},
		"a part without a valid header":              {b: []byte(mailOf("x", secret(0)+" no header\n", "x"))},
		"a message without a valid header in a part": {b: []byte(mailOf("x", "Content-Type: message/rfc822", secret(0)+" no header\n\nx")), clean: true},
		"a byte that an encoding doesn't have":       {b: []byte(mailOf(cookie(0), "Content-Transfer-Encoding: quoted-printable", "a=\n\x01"+cookie(1))), want: []int{0, 1}},
		"parts within each other":                    {b: []byte("Subject: x\nMIME-Version: 1.0\n" + strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 40) + cookie(0)), want: []int{0}},
		"a box of no messages":                       {b: []byte("From x\nSubject: x\nMIME-Version: 1.0\n\nFrom \nFrom \nFrom y")},
		"an ar whose size is a word":                 {b: append([]byte("!<arch>\n"), bytes.Repeat([]byte("x"), 60)...)},
		"an ar with a text in it":                    {b: append(arOf("a", cookie(0)), cookie(1)+strings.Repeat("x", 60)...), want: []int{0, 1}},
		"an ar that states more than it has":         {b: spoil(arOf("a", cookie(0)), 56, '9', '9', '9', '9', '9'), want: []int{0}},
		"a cpio that states a gigabyte":              {b: spoil(cpioOf("a", cookie(0)), 54, []byte("40000000")...)},
		"an rpm of nothing":                          {b: append([]byte("\xed\xab\xee\xdb"), bytes.Repeat([]byte{0xff}, 300)...)},
		"a crx without a zip":                        {b: []byte("Cr24\x03\x00\x00\x00\xff\xff\xff\x7fabcd")},
		"an iso that is cut":                         {b: isoOf(t, "a.txt", cookie(0))[:34000]},
		"a session store with a wrong size":          {b: append([]byte("mozLz40\x00\xff\xff\xff\x7f"), 1, 2, 3)},
		"a large zip within a stream":                {b: tarOf("first.txt", cookie(0), "big.zip", string(zipOf("x", cookie(1)))+strings.Repeat("x", 9<<20)), want: []int{0}},
		"a pdf of strings that don't end":            {b: pdfOf("BT (" + strings.Repeat("(", 1000) + " <<< <61 Tj [ TJ"), clean: true},
		"a pdf of a million strings":                 {b: pdfOf(strings.Repeat("(a)Tj ", 3<<20))},
		"a pdf whose maps are of everything":         {b: pdfOf("begincmap beginbfrange " + strings.Repeat("<0000><ffff><0000>", 500) + "<00><ff><41> <> <> <> endbf beginbf"), clean: true},
		"a pdf that is cut":                          {b: pdfOf("(" + cookie(0) + ") Tj")[:90]},
	} {
		t.Run(name, func(t *testing.T) {
			if c.b == nil {
				c.b = bomb(256<<20, func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 5) })
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			path := "f"
			if strings.Contains(name, "brotli") {
				path = "f.br"
			}
			found, gaps := scan(t, path, streamed(c.b), limits)
			runtime.ReadMemStats(&after)
			if used := int64(after.Sys) - int64(before.Sys); used > 700<<20 {
				t.Errorf("%d MiB more of memory", used>>20)
			}
			for _, n := range c.want {
				if !slices.ContainsFunc(found, func(f rules.Finding) bool { return f.Secret.Reveal() == secret(n) }) {
					t.Errorf("secret %d is lost", n)
				}
			}
			if c.clean { // a busy machine may reach the limit of time
				gaps = slices.DeleteFunc(gaps, func(g string) bool { return strings.Contains(g, scanners.ErrTime.Error()) })
			}
			if c.clean != (len(gaps) == 0) {
				t.Errorf("said: %.300q", gaps)
			}
			for _, f := range found {
				if strings.ContainsAny(f.Location.Path, "\n\x1b") || strings.Contains(f.Location.Path, "..") {
					t.Errorf("path %q", f.Location.Path)
				}
			}
			for _, g := range gaps {
				if strings.Contains(g, secret(0)) || strings.Contains(g, secret(1)) {
					t.Errorf("a gap quotes a secret: %s", g)
				}
			}
		})
	}
}

// A file that only begins like an archive is scanned as it is.
func TestWhatIsNoArchiveAfterAll(t *testing.T) {
	for _, magic := range []string{"\x1f\x8b\x08", "PK\x03\x04", "7z\xbc\xaf\x27\x1c", "\x28\xb5\x2f\xfd", "BZh91AY&SY"} {
		text := magic + "\n" + cookie(0) + strings.Repeat("and more text\n", 100)
		found, gaps := scan(t, "f", streamed([]byte(text)), archive.DefaultLimits)
		if len(found) != 1 || len(gaps) != 1 {
			t.Errorf("%q: %d findings, %q", magic, len(found), gaps)
		}
	}
}

// No part of an intact file is scanned twice, and no part is left over as unknown.
func TestNothingIsLeft(t *testing.T) {
	o := archive.New(archive.DefaultLimits)
	files := map[string][]byte{
		"zip": zipOf("a", "b", "c/d", strings.Repeat("e", 1000)), "empty zip": zipOf(), "a script": append([]byte("#!/bin/sh\nexit\n"), zipOf("a", "b")...),
		"tar": tarOf("a", "b"), "cpio": cpioOf("a", "b"), "ar": arOf("a", "bc"), "rpm": rpmOf("h", "c"), "iso": isoOf(t, "a.txt", "b"),
		"7z": tool(t, ".7z", "b", "7zr", "a", "in.txt.7z", "in.txt"), "lzma": zipLZMA("a", "b"),
	}
	for _, name := range []string{"zip64.zip", "zip64-2.zip", "dd.zip", "test.zip", "winxp.zip", "unix.zip", "symlink.zip"} {
		files[name] = must(os.ReadFile(filepath.Join(build.Default.GOROOT, "src/archive/zip/testdata", name)))
	}
	for name, b := range files {
		form, members := o.Recognise(b[:min(len(b), o.Head())], name), 0
		err := o.Open(t.Context(), form, scanners.Packed{Name: name, Reader: bytes.NewReader(b), At: bytes.NewReader(b), Size: int64(len(b))},
			&scanners.Budget{In: func() int64 { return int64(len(b)) }}, func(member string, r io.Reader) error {
				if members++; member == "(rest)" || member == "(behind)" {
					t.Errorf("%s: %s", name, member)
				}
				_, err := io.Copy(io.Discard, r)
				return err
			}, func(member string, err error) { t.Errorf("%s: %s: %v", name, member, err) })
		if err != nil || members == 0 && name != "empty zip" {
			t.Errorf("%s, %s: %d members, %v", name, form, members, err)
		}
	}
}

// A git patch is not opened as a message, nor is a message that encodes nothing.
func TestTextThatBeginsAsMail(t *testing.T) {
	for _, head := range []string{
		"From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.com>\nSubject: [PATCH] x\n",
		"From: A <a@example.com>\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n",
		"Subject: x\nno header\nContent-Transfer-Encoding: base64\n", "Content-Transfer-Encoding: base64\n",
	} {
		found, gaps := scan(t, "f", streamed([]byte(head+"\n"+cookie(0))), archive.DefaultLimits)
		if len(found) != 1 || len(gaps) != 0 || found[0].Location.Path != "f" {
			t.Errorf("%q: %d findings, %q", head, len(found), gaps)
		}
	}
}

// A text can begin with the bytes of a zlib header.
func TestTextThatBeginsAsZlib(t *testing.T) {
	for _, begin := range []string{"x^2 + y^2", "x\x01", "x\x9c"} {
		if found, gaps := scan(t, "f", streamed([]byte(begin+"\n"+cookie(0)+strings.Repeat("and more text\n", 9000))), archive.DefaultLimits); len(found) != 1 || len(gaps) != 0 {
			t.Errorf("%q: %d findings, %q", begin, len(found), gaps)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, b := range [][]byte{gz([]byte("text")), zipOf("a", "b"), tarOf("a", "b"), arOf("a", "b"), cpioOf("a", "b"), rpmOf("h", "c"), pdfOf("(x) Tj"), mozlz4Of(strings.Repeat("text ", 20)), zlibOf("text"), []byte(mailOf("a", "Content-Transfer-Encoding: base64", "aGk=")), []byte("From a\n" + mailOf("a", "", "")), zipLZMA("a", "b"), []byte("#!/bin/sh\n" + string(zipOf("a", "b"))), zipOf("a", "b")[:40]} {
		f.Add(b)
	}
	o := archive.New(archive.Limits{Depth: 3, Ratio: 100, Free: 1 << 20, Entries: 100, Kept: 1 << 20})
	f.Fuzz(func(t *testing.T, b []byte) {
		form := o.Recognise(b[:min(len(b), o.Head())], "f")
		if form == "" {
			return
		}
		budget := &scanners.Budget{In: func() int64 { return int64(len(b)) }}
		_ = o.Open(t.Context(), form, scanners.Packed{Name: "f", Reader: bytes.NewReader(b)}, budget, func(_ string, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		}, func(string, error) {})
		if budget.Out > 2<<20+100*int64(len(b)) {
			t.Errorf("%d bytes of %d", budget.Out, len(b))
		}
	})
}
