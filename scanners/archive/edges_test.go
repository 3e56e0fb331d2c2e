package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/ascii85"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/testenv"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
)

func lzipOf(b []byte) []byte {
	raw := through(b, func(w io.Writer) io.WriteCloser {
		return must(lzma.WriterConfig{Properties: &lzma.Properties{LC: 3, LP: 0, PB: 2}, DictCap: 1 << 23, EOSMarker: true, Size: -1}.NewWriter(w))
	})[lzma.HeaderLen:]
	out := append([]byte("LZIP\x01\x17"), raw...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(b))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(b)))
	return binary.LittleEndian.AppendUint64(out, uint64(len(out)+8))
}

func lz4Of(b []byte) []byte {
	return through(b, func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) })
}

// streamForms returns the formats of a single compressed stream.
func streamForms() map[string]func([]byte) []byte {
	return map[string]func([]byte) []byte{
		"gzip": gz,
		"zlib": func(b []byte) []byte {
			return through(b, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
		},
		"zstd": func(b []byte) []byte {
			return through(b, func(w io.Writer) io.WriteCloser { return must(zstd.NewWriter(w)) })
		},
		"xz": func(b []byte) []byte {
			return through(b, func(w io.Writer) io.WriteCloser { return must(xz.NewWriter(w)) })
		},
		"lzma": func(b []byte) []byte {
			return through(b, func(w io.Writer) io.WriteCloser { return must(lzma.NewWriter(w)) })
		},
		"lzip": lzipOf,
		"lz4":  lz4Of,
	}
}

// foundOrReported fails the test if a secret is not found and no gap is reported.
func foundOrReported(t *testing.T, b []byte, secrets ...int) {
	t.Helper()
	found, gaps := scan(t, "f", streamed(b), archive.DefaultLimits)
	for _, n := range secrets {
		if len(gaps) == 0 && !has(found, n) {
			t.Errorf("secret %d is lost in silence", n)
		}
	}
}

func has(found []rules.Finding, n int) bool {
	return slices.ContainsFunc(found, func(f rules.Finding) bool { return f.Secret.Reveal() == secret(n) })
}

func TestStreamsThatFollowEachOtherAreRead(t *testing.T) {
	for name, pack := range streamForms() {
		t.Run(name, func(t *testing.T) {
			first, second := pack([]byte(cookie(0)+noise(600))), pack([]byte(cookie(1)+noise(600)))
			foundOrReported(t, slices.Concat(first, second), 0, 1)
			foundOrReported(t, slices.Concat(first, second, second), 0, 1)
			foundOrReported(t, slices.Concat(first, make([]byte, 512), second), 0, 1)
			foundOrReported(t, slices.Concat(first, []byte("\n"+cookie(2))), 0, 2)
			if found, gaps := scan(t, "f", streamed(first), archive.DefaultLimits); !has(found, 0) || len(gaps) > 0 {
				t.Errorf("one stream: %d found, %q", len(found), gaps)
			}
		})
	}
}

func TestAnErrorAfterTheEndOfATarIsReported(t *testing.T) {
	tail := map[string]int{"gzip": 8, "zlib": 4, "lzip": 20, "lz4": 4}
	for name, pack := range streamForms() {
		t.Run(name, func(t *testing.T) {
			body := pack(tarOf("a", cookie(0)+noise(20000)))
			second := pack(tarOf("b", cookie(1)+noise(9000)))
			foundOrReported(t, slices.Concat(body, []byte("\n"+cookie(2))), 0, 2)
			foundOrReported(t, slices.Concat(body, second), 0, 1)
			foundOrReported(t, slices.Concat(body, second[:len(second)-700]), 0, 1)
			n := tail[name]
			if n == 0 {
				return
			}
			wrong := bytes.Clone(body)
			wrong[len(wrong)-n] ^= 1
			for what, b := range map[string][]byte{"wrong": wrong, "missing": body[:len(body)-n]} {
				if _, gaps := scan(t, "f", streamed(b), archive.DefaultLimits); len(gaps) == 0 {
					t.Errorf("a checksum that is %s is not reported", what)
				}
			}
		})
	}
}

func TestTarMembersOfEveryTypeThatHasContentAreRead(t *testing.T) {
	for _, kind := range []byte{tar.TypeReg, 0, tar.TypeCont, 'Z', '9', 'A', ' '} {
		b := tarOf("before", cookie(0), "this", cookie(1), "after", cookie(2))
		h := b[1024:1536]
		h[156] = kind
		copy(h[148:156], "        ")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		found, gaps := scan(t, "f", streamed(b), archive.DefaultLimits)
		for n := range 3 {
			if !has(found, n) && len(gaps) == 0 {
				t.Errorf("type %q: secret %d is lost", kind, n)
			}
		}
	}
}

func TestMembersWithNamesOfTheOpenersPartsAreOpened(t *testing.T) {
	for _, name := range []string{"(rest)", "(document)", "(names)", "(behind)", "x!(rest)", "(script)"} {
		for form, b := range map[string][]byte{"tar": tarOf(name, string(gz([]byte(cookie(0))))), "zip": zipOf(name, string(gz([]byte(cookie(0)))))} {
			if found, gaps := scan(t, "f", streamed(b), archive.DefaultLimits); !has(found, 0) {
				t.Errorf("%s in a %s: lost, %q", name, form, gaps)
			}
		}
	}
}

// handZip writes a zip of one stored or deflated member, byte by byte.
func handZip(name string, data, stored, extra []byte) []byte {
	fields := binary.LittleEndian.AppendUint16(nil, 0)
	fields = binary.LittleEndian.AppendUint16(fields, 8)
	fields = append(fields, 0, 0, 0, 0)
	fields = binary.LittleEndian.AppendUint32(fields, crc32.ChecksumIEEE(data))
	fields = binary.LittleEndian.AppendUint32(fields, uint32(len(stored)))
	fields = binary.LittleEndian.AppendUint32(fields, uint32(len(data)))
	fields = binary.LittleEndian.AppendUint16(fields, uint16(len(name)))
	fields = binary.LittleEndian.AppendUint16(fields, uint16(len(extra)))
	out := slices.Concat([]byte("PK\x03\x04\x14\x00"), fields, []byte(name), extra, stored)
	at := len(out)
	out = slices.Concat(out, []byte("PK\x01\x02\x14\x00\x14\x00"), fields, make([]byte, 14), []byte(name), extra)
	size := len(out) - at
	out = append(out, "PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00"...)
	out = binary.LittleEndian.AppendUint32(out, uint32(size))
	out = binary.LittleEndian.AppendUint32(out, uint32(at))
	return append(out, 0, 0)
}

func TestPartsOfAZipThatAreNoMembersAreRead(t *testing.T) {
	deflated := func(b []byte) []byte {
		return through(b, func(w io.Writer) io.WriteCloser { return must(flate.NewWriter(w, 9)) })
	}
	text := []byte("hello")
	line := []byte("\n" + cookie(0))
	plain := zipOf("a.txt", "x")
	for name, b := range map[string][]byte{
		"a line after the end":              slices.Concat(plain, line),
		"bytes that contain PK":             slices.Concat(plain, []byte("PK "+cookie(0))),
		"after the end of a member's data":  handZip("a.txt", text, slices.Concat(deflated(text), line), nil),
		"the content of a folder":           handZip("dir/", line, deflated(line), nil),
		"an extra field":                    handZip("a.txt", text, deflated(text), slices.Concat([]byte{0x99, 0x99, byte(len(line)), 0}, line)),
		"before the first member":           slices.Concat([]byte("#!/bin/sh\n"), line, plain),
		"a second zip":                      slices.Concat(plain, zipOf("b.txt", cookie(0))),
		"a member's name with an extension": zipOf("token/Cookie: sessionid="+secret(0)+".txt", "x"),
	} {
		if found, gaps := scan(t, "f", streamed(b), archive.DefaultLimits); !has(found, 0) {
			t.Errorf("%s: lost, %q", name, gaps)
		}
	}
}

func TestMailAsProgramsWriteIt(t *testing.T) {
	mail := func(head, boundary, mark, encoding string) string {
		return head + "Content-Type: multipart/mixed; boundary=" + boundary + "\n\n--" + mark + "\nContent-Type: application/zip\nContent-Transfer-Encoding: " + encoding +
			"\n\n" + wrap64(zipOf("a", cookie(0))) + "\n--" + mark + "--\n"
	}
	head := "From: a@example.com\nSubject: x\nMIME-Version: 1.0\n"
	for name, text := range map[string]string{
		"an ordinary mail":                      mail(head, `"B"`, "B", "base64"),
		"a mailbox":                             "From a@example.com Thu Jan  1 00:00:00 2026\n" + mail(head, `"B"`, "B", "base64"),
		"a mailbox whose first mail is plain":   "From a Thu Jan\nFrom: a@example.com\nSubject: x\n\nhi\n\nFrom b Thu Jan\n" + mail(head, `"B"`, "B", "base64"),
		"a boundary without quotes":             mail(head, "a=b", "a=b", "base64"),
		"an encoding with a comment":            mail(head, `"B"`, "B", "base64 (zip)"),
		"an encoding in quotes":                 mail(head, `"B"`, "B", `"base64"`),
		"a header of 20 KB":                     mail("Received: x\n"+strings.Repeat("X-Spam: "+strings.Repeat("y", 90)+"\n", 200)+head, `"B"`, "B", "base64"),
		"empty lines before the header":         "\n\n" + mail(head, `"B"`, "B", "base64"),
		"a line in the header that is no field": "From a Thu Jan\n" + mail(head+"no field\n", `"B"`, "B", "base64"),
	} {
		found, gaps := scan(t, "f", streamed([]byte(text)), archive.DefaultLimits)
		if !has(found, 0) {
			t.Errorf("%s: lost, %q", name, gaps)
		}
	}
}

func TestPatchesOfGitAreText(t *testing.T) {
	patch := "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.com>\nSubject: [PATCH] x\n\n+" + cookie(0)
	found, _ := scan(t, "0001.patch", streamed([]byte(patch)), archive.DefaultLimits)
	if len(found) != 1 || found[0].Location.Path != "0001.patch" {
		t.Errorf("%v", found)
	}
}

func TestPDFStreamsAreDecodedOrReported(t *testing.T) {
	object := func(entries string, data []byte) string {
		return fmt.Sprintf("%%PDF-1.4\n1 0 obj\n<< %s /Length %d >>\nstream\n%s\nendstream\nendobj\n%%%%EOF\n", entries, len(data), data)
	}
	shows := []byte("BT /F1 12 Tf (" + strings.TrimSpace(cookie(0)) + ") Tj ET\n")
	z := through(shows, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	a85 := make([]byte, ascii85.MaxEncodedLen(len(z)))
	a85 = append(a85[:ascii85.Encode(a85, z)], "~>"...)
	flate := object("/Filter /FlateDecode", z)
	for name, c := range map[string]struct {
		b    string
		said bool
	}{
		"a title with the word stream":  {b: strings.Replace(flate, "\n1 0", "\n5 0 obj\n<< /Title (Upstream of data) >>\nendobj\n1 0", 1)},
		"a comment with the word":       {b: strings.Replace(flate, "\n1 0", "\n% event stream report\n1 0", 1)},
		"ASCII85 and Flate":             {b: object("/Filter [/ASCII85Decode /FlateDecode]", a85)},
		"hexadecimal and Flate":         {b: object("/Filter [/AHx /Fl]", fmt.Appendf(nil, "%x>", z))},
		"a short name":                  {b: object("/Filter /Fl", z)},
		"a length that is elsewhere":    {b: strings.Replace(flate, fmt.Sprintf("/Length %d", len(z)), "/Length 9 0 R", 1)},
		"a dictionary of over 1 KB":     {b: object("/Filter /FlateDecode /X ("+strings.Repeat("a", 1500)+")", z)},
		"without its checksum":          {b: object("/Filter /FlateDecode", z[:len(z)-4])},
		"a filter that is not known":    {b: object("/Filter /FooDecode", z), said: true},
		"damaged LZW":                   {b: object("/Filter /LZWDecode", []byte(noise(400))), said: true},
		"encrypted":                     {b: strings.Replace(flate, "%%EOF", "trailer << /Encrypt 7 0 R >>\n%%EOF", 1), said: true},
		"damaged":                       {b: object("/Filter /FlateDecode", slices.Concat(z[:len(z)/2], []byte("\xff\xff\xff\xff\xff"), z[len(z)/2:])), said: true},
		"cut":                           {b: flate[:len(flate)-60], said: true},
		"a JPEG, which is not reported": {b: flate + object("/Subtype /Image /Filter /DCTDecode", []byte(noise(500)))},
	} {
		found, gaps := scan(t, "f", streamed([]byte(c.b)), archive.DefaultLimits)
		if c.said != (len(gaps) > 0) || !c.said && !has(found, 0) {
			t.Errorf("%s: %d found, %q", name, len(found), gaps)
		}
	}
}

// The codes of this example are from ISO 32000-1, 7.4.4.2, table 7.
func TestLZWOfAPDF(t *testing.T) {
	codes := []byte{0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01}
	want := "-----A---B"
	doc := fmt.Sprintf("%%PDF-1.4\n1 0 obj\n<< /Filter /LZWDecode >>\nstream\n%s\nendstream\nendobj\n%%%%EOF\n", codes)
	if got := archive.DecodeLZW(codes); got != want {
		t.Errorf("%q, not %q", got, want)
	}
	if _, gaps := scan(t, "f", streamed([]byte(doc)), archive.DefaultLimits); len(gaps) > 0 {
		t.Errorf("%q", gaps)
	}
}

func TestHeadersOfPackagesAreRead(t *testing.T) {
	line := cookie(0)
	later := func(name string) []byte {
		return through([]byte("x"), func(w io.Writer) io.WriteCloser {
			z := gzip.NewWriter(w)
			z.Name = name
			return z
		})
	}
	crx := slices.Concat([]byte("Cr24\x03\x00\x00\x00"), binary.LittleEndian.AppendUint32(nil, uint32(len(line))), []byte(line), zipOf("a", "x"))
	for name, b := range map[string][]byte{
		"a Chrome extension's":       crx,
		"an RPM's":                   rpmOf(line, "x"),
		"the second of two gzips":    slices.Concat(gz([]byte("x")), later(strings.TrimSpace(line))),
		"a cpio member without mode": bytes.Replace(cpioOf("a", line), []byte("000081A4"), []byte("00000000"), 1),
	} {
		if found, gaps := scan(t, "f", streamed(b), archive.DefaultLimits); !has(found, 0) {
			t.Errorf("%s: lost, %q", name, gaps)
		}
	}
}

func TestFormsThatAreNotOpenedAreReported(t *testing.T) {
	for _, magic := range []string{"hsqs", "QFI\xfb\x00\x00\x00\x03", "KDMV\x01\x00\x00\x00", "vhdxfile", "MSCF\x00\x00\x00\x00", "\x1f\x9d\x90", "\x89LZO\x00\r\n\x1a\n", "MSWIM\x00\x00\x00", "xar!\x00\x1c"} {
		found, gaps := scan(t, "f", streamed([]byte(magic+"\x00\x01\x02\n"+cookie(0)+noise(3000))), archive.DefaultLimits)
		if len(gaps) != 1 || !has(found, 0) {
			t.Errorf("%q: %d found, %q", magic, len(found), gaps)
		}
	}
}

// sparseTar returns a tar with a sparse member of the given size, with data at its beginning,
// and a member after it.
func sparseTar(size int64) []byte {
	var b bytes.Buffer
	number := func(n int64) string {
		return "\x80\x00\x00\x00" + string(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	h := make([]byte, 512)
	copy(h, "big")
	copy(h[100:], "0000644\x000000000\x000000000\x00"+fmt.Sprintf("%011o\x00%011o\x00", 512, 0))
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	copy(h[386:], number(0)+number(512)+number(size)+number(0))
	copy(h[483:], number(size))
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	b.Write(h)
	data := make([]byte, 512)
	copy(data, cookie(0))
	b.Write(data)
	b.Write(tarOf("after", cookie(1)))
	return b.Bytes()
}

func TestSparseMembersArePassedOver(t *testing.T) {
	testenv.Sequential(t)
	for _, size := range []int64{4096, 1 << 20, 3<<30 + 12345, 1 << 60} {
		found, gaps := scan(t, "f", streamed(sparseTar(size)), archive.DefaultLimits)
		if !has(found, 0) || !has(found, 1) {
			t.Errorf("%d: %d found", size, len(found))
		}
		if (size == 1<<60) != (len(gaps) > 0) {
			t.Errorf("%d: %q", size, gaps)
		}
	}
}

// The padding of a tar's member is read, also if a value begins in the member.
func TestPaddingOfAMember(t *testing.T) {
	text := strings.Repeat("x", 300) + cookie(0) + cookie(1)
	b := tarOf("a.txt", text, "b.txt", "the next one")
	size := int64(300 + len(cookie(0)) - 20)
	copy(b[124:136], fmt.Sprintf("%011o\x00", size))
	sum := 0
	copy(b[148:156], "        ")
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	found, gaps := scan(t, "f.tar", streamed(b), archive.DefaultLimits)
	got := map[string]string{}
	for _, f := range found {
		got[f.Secret.Reveal()] = f.Location.Path
	}
	want := map[string]string{secret(0): "f.tar!a.txt(padding)", secret(1): "f.tar!a.txt(padding)"}
	if !maps.Equal(got, want) || len(gaps) > 0 {
		t.Errorf("found %v, gaps %q", got, gaps)
	}
}

// A file with the extension of a compressed format and neither its magic number nor text is
// reported as damaged. Its bytes are scanned all the same.
func TestNamesOfCompressedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		b    []byte
		said bool
	}{
		"a gzip without its first bytes":   {"x.gz", gz([]byte(cookie(0)))[3:], true},
		"one byte":                         {"x.zip", []byte("P"), true},
		"letters of a magic number":        {"x.lz", []byte("LZIP"), true},
		"a word":                           {"x.lz", []byte("LATER\n"), false},
		"nothing":                          {"x.zip", nil, false},
		"a page of HTML in place of a zip": {"x.zip", []byte("<html>" + cookie(0) + "</html>\n"), false},
		"bytes with a name of no format":   {"x.bin", gz([]byte(cookie(0)))[3:], false},
	} {
		t.Run(name, func(t *testing.T) {
			found, gaps := scan(t, c.path, streamed(c.b), archive.DefaultLimits)
			if (len(gaps) > 0) != c.said || has(found, 0) != strings.Contains(string(c.b), secret(0)) {
				t.Errorf("%d findings, gaps %q", len(found), gaps)
			}
		})
	}
}

// Disk images and compressed formats without an opener are recognised by their first bytes, and
// a text that begins with the same letters is none.
func TestFormatsThatAreNotOpenedAreNamed(t *testing.T) {
	o := archive.New(archive.DefaultLimits)
	rest := strings.Repeat("\x00\x93", 300)
	for name, head := range map[string]string{
		"squashfs": "hsqs" + rest, "qcow": "QFI\xfb" + rest, "vmdk": "KDMV" + rest, "vhdx": "vhdxfile" + rest, "vhd": "conectix" + rest,
		"vdi": "<<< Oracle VM VirtualBox Disk Image >>>\n" + strings.Repeat("\x00", 24) + "\x7f\x10\xda\xbe\x01\x00\x01\x00" + rest, "LUKS": "LUKS\xba\xbe\x00\x02" + rest, "UBI": "UBI#\x01\x00\x00\x00" + rest,
		"pbzx": "pbzx\x00\x00\x00\x00" + rest, "LZFSE": "bvx2\x00" + rest, "rzip": "RZIP\x02\x01" + rest, "Avro": "Obj\x01\x04\x16avro.schema\x04{}\x14avro.codec\x0edeflate\x00" + rest,
		"cabinet": "MSCF\x00\x00\x00\x00" + rest, "wim": "MSWIM\x00\x00\x00" + rest, "lzo": "\x89LZO\x00\r\n\x1a\n" + rest, "compress (.Z)": "\x1f\x9d" + rest,
	} {
		form := o.Recognise([]byte(head), "f")
		if form != name {
			t.Errorf("%s is taken for %q", name, form)
			continue
		}
		budget := &scanners.Budget{In: func() int64 { return int64(len(head)) }}
		err := o.Open(t.Context(), form, scanners.Packed{Name: "f", Reader: strings.NewReader(head)}, budget, func(string, io.Reader) error { return nil }, func(string, error) {})
		if err == nil || scanners.KindOf(err) != scanners.GapUnsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"conectix makes disks\n", "pbzx is a format\n", "bvx2 too\n", "RZIP\n", "UBI# \n", "Obj\x01avro.codec\x08null" + rest} {
		if form := o.Recognise([]byte(text), "f"); form != "" {
			t.Errorf("%.20q is taken for %s", text, form)
		}
	}
}
