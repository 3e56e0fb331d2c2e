package archive_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zip"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
)

// absolute returns b followed by a zip whose offsets count from the beginning of b.
func absolute(b []byte, name, content string) []byte {
	out := bytes.NewBuffer(bytes.Clone(b))
	w := zip.NewWriter(out)
	w.SetOffset(int64(len(b)))
	f := must(w.Create(name))
	must(io.WriteString(f, content))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// directoryFirst returns a zip of one file whose directory is at its beginning, after a number, as
// in Firefox's omni.ja.
func directoryFirst(name, content string) []byte {
	z := zipOf(name, content)
	end := bytes.LastIndex(z, []byte("PK\x05\x06"))
	first := int(binary.LittleEndian.Uint32(z[end+16:]))
	dir, record := bytes.Clone(z[first:end]), bytes.Clone(z[end:])
	binary.LittleEndian.PutUint32(dir[42:], uint32(4+len(dir)))
	binary.LittleEndian.PutUint32(record[16:], 4)
	return slices.Concat([]byte{0, 1, 0, 0}, dir, z[:first], record)
}

// sevenzipHead returns a 7z as far as its start header, whose checksum is right. The end header is
// missing, as in a file that was cut.
func sevenzipHead() []byte {
	b := append([]byte("7z\xbc\xaf\x27\x1c\x00\x04"), make([]byte, 24)...)
	b[12], b[20] = 200, 40
	binary.LittleEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[12:32]))
	return append(b, make([]byte, 100)...)
}

func program(n int) []byte {
	b := append([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, n)...)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(b[16:])
	return append(b, make([]byte, 64)...)
}

func TestArchivesWithinOtherFilesAreOpened(t *testing.T) {
	content := cookie(0) + strings.Repeat("a line of text\n", 100)
	z := zipOf("conf.txt", content)
	text := []byte(strings.Repeat("a line of text\n", 60_000))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	payload := gz(tarOf("conf.txt", content))
	script := []byte("#!/bin/sh\ntail -n +4 \"$0\" | tar xz\nexit 0\n")
	for name, b := range map[string][]byte{
		"a zip after a program":               join(program(90_000), z),
		"a zip after a long program":          join(program(1<<20), z),
		"a zip after a program, zip -A":       absolute(program(90_000), "conf.txt", content),
		"a zip after a text":                  join(text, z),
		"a zip in the middle of a text":       join(text, z, text),
		"a zip after an image":                join([]byte("GIF89a\x10\x00\x10\x00\x80\x00"), z),
		"a zip on a border of what is read":   join(text[:512<<10-9], z, text),
		"a tar.gz after a script":             join(script, payload),
		"a zip after a PDF":                   join(pdfOf("a title"), z),
		"a zip with its directory first":      directoryFirst("conf.txt", content),
		"two zips within a file, one of text": join(program(100), zipOf("a", "nothing"), text, z),
	} {
		found, gaps := scan(t, "f", onDisk(t, b), archive.DefaultLimits)
		if len(found) != 1 || !has(found, 0) || len(gaps) != 0 || !strings.HasSuffix(found[0].Location.Path, "conf.txt") {
			t.Errorf("%s: %d found, %q", name, len(found), gaps)
		}
		// A stream can't be read again.
		if found, gaps := scan(t, "f", streamed(b), archive.DefaultLimits); !has(found, 0) && len(gaps) == 0 {
			t.Errorf("%s: lost in a stream", name)
		}
		if found, gaps := scan(t, "f.tar", onDisk(t, tarOf("bin/f", string(b))), archive.DefaultLimits); !has(found, 0) && len(gaps) == 0 {
			t.Errorf("%s: lost in a tar", name)
		}
	}
}

// A zip of members that are not compressed shows their content, unless a member is a container
// itself or is encrypted. In a stream, such a zip is reported, wherever its members are.
func TestStoredContainersWithinAStreamAreReported(t *testing.T) {
	zipped := func(members ...*zip.FileHeader) []byte {
		out := new(bytes.Buffer)
		w := zip.NewWriter(out)
		for _, m := range members {
			content := m.Comment
			m.Comment = ""
			f := must(w.CreateRaw(m))
			must(io.WriteString(f, content))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	member := func(name string, content []byte, flags uint16) *zip.FileHeader {
		n := uint64(len(content))
		return &zip.FileHeader{Name: name, Comment: string(content), Flags: flags, CRC32: crc32.ChecksumIEEE(content), CompressedSize64: n, UncompressedSize64: n}
	}
	packed := gz([]byte(cookie(0)))
	filler := member("filler", bytes.Repeat([]byte("a line of text\n"), 100_000), 0)
	for name, c := range map[string]struct {
		zip      []byte
		reported bool
	}{
		"text":                           {zipped(member("a", []byte(cookie(0)), 0)), false},
		"a compressed member":            {zipped(member("data", packed, 0)), true},
		"one that is far from the end":   {zipped(member("data", packed, 0), filler), true},
		"one that is far from the begin": {zipped(filler, member("data", packed, 0)), true},
		"a zip":                          {zipped(member("data", zipOf("a", cookie(0)), 0)), true},
		"an encrypted member":            {zipped(member("a", []byte(noise(100)), 1)), true},
	} {
		b := bytes.Join([][]byte{program(5000), c.zip}, nil)
		for how, b := range map[string][]byte{"a stream": b, "a tar": tarOf("f", string(b)), "a gzip": gz(b)} {
			found, gaps := scan(t, "f", streamed(b), archive.DefaultLimits)
			if c.reported && len(gaps) == 0 || !c.reported && (!has(found, 0) || len(gaps) > 0) {
				t.Errorf("%s in %s: %d found, %q", name, how, len(found), gaps)
			}
		}
	}
}

// Formats that quell does not open, and archives that can't be, are reported.
func TestFormatsWithinOtherFilesAreReported(t *testing.T) {
	koly := append([]byte("koly\x00\x00\x00\x04\x00\x00\x02\x00"), make([]byte, 500)...)
	rest := strings.Repeat("\x00\x93", 300)
	for name, b := range map[string]string{
		"DMG":   "\x01\x02" + cookie(0) + rest + string(koly),
		"HDF5":  "\x89HDF\r\n\x1a\n\x00\x00" + cookie(0) + rest,
		"JFFS2": "\x85\x19\x03\x20\x0c\x00\x00\x00" + cookie(0) + rest,
		"jffs2": "\x19\x85\xe0\x01\x00\x00\x00\x40" + cookie(0) + rest,
		"7z":    string(program(3000)) + "\n" + cookie(0) + string(sevenzipHead()),
	} {
		for _, open := range []func() (io.ReadCloser, error){onDisk(t, []byte(b)), streamed([]byte(b))} {
			found, gaps := scan(t, "f", open, archive.DefaultLimits)
			if len(found) == 0 || !has(found, 0) || len(gaps) != 1 || !strings.Contains(strings.ToUpper(gaps[0]), strings.ToUpper(name)) {
				t.Errorf("%s: %d found, %q", name, len(found), gaps)
			}
		}
	}
}

// Programs contain marks as constants; a zip of uncompressed files is read with the file.
func TestMarksAreNoArchives(t *testing.T) {
	stored := new(bytes.Buffer)
	w := zip.NewWriter(stored)
	f := must(w.CreateHeader(&zip.FileHeader{Name: "zone", Method: zip.Store}))
	must(io.WriteString(f, "UTC"))
	_ = w.Close()
	// An entry of a directory, and an end record whose directory would begin before the file.
	entry := make([]byte, 46)
	copy(entry, "PK\x01\x02")
	entry[10] = 8 // deflated
	early := string(entry) + "PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00\x2e\x00\x00\x00\x00\x00\x10\x00\x00\x00"
	for _, tail := range []string{early, strings.Repeat("\x01", 46) + early[46:58] + "\x2e\x00\x00\x00\x80\x00\x00\x00\x00\x00", "PK\x05\x06", "PK\x05\x06" + strings.Repeat("\x00", 18), "7z\xbc\xaf\x27\x1c\x00\x04" + strings.Repeat("\x00\x01", 20), "Rar!\x1a\x07\x00\x00\x00\x00\x73", "Rar!\x1a\x07\x01\x00" + strings.Repeat("\x02", 20), "PK\x01\x02 PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00\x2e\x00\x00\x00\x00\x00\x00\x00\x00\x00", "koly", stored.String()} {
		b := string(program(5000)) + tail + "\x00\x00and more"
		if _, gaps := scan(t, "f", streamed([]byte(b)), archive.DefaultLimits); len(gaps) != 0 {
			t.Errorf("%.20q: %q", tail, gaps)
		}
	}
}

// The log of a database that follows it in an archive is read with it. Without its database,
// the log is reported.
func TestLogsOfDatabasesInArchives(t *testing.T) {
	file, log := database(t)
	set := must(rules.Builtin())
	for name, c := range map[string]struct {
		b    []byte
		rows int
		gaps int
	}{
		"tar":             {gz(tarOf("d/x.db", string(file), "d/x.db-wal", string(log))), 3, 0},
		"zip":             {zipOf("d/x.db", string(file), "d/x.db-wal", string(log)), 3, 0},
		"another's log":   {tarOf("d/y.db", string(file), "d/x.db-wal", string(log)), 1, 1},
		"a log alone":     {tarOf("d/x.db-wal", string(log)), 0, 1},
		"an empty one":    {tarOf("d/x.db-wal", string(log[:32])), 0, 0},
		"the log first":   {tarOf("d/x.db-wal", string(log), "d/x.db", string(file)), 1, 1},
		"a damaged log":   {tarOf("d/x.db", string(file), "d/x.db-wal", string(log[:len(log)-9])), 2, 1},
		"log of nothing":  {tarOf("d/x.db", string(file), "d/x.db-wal", ""), 1, 0},
		"a text as a log": {tarOf("d/x.db", string(file), "d/x.db-wal", "a text\n"), 1, 0},
	} {
		d := &lines{Detector: detect.New(set)}
		p := scanners.Pool{Detector: d, Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
		var gaps []string
		if _, err := p.Run(t.Context(), one{"f", streamed(c.b)}, func(rules.Finding) {}, func(g scanners.Gap) { gaps = append(gaps, g.Error()) }); err != nil {
			t.Fatal(err)
		}
		if d.rows != c.rows || len(gaps) != c.gaps {
			t.Errorf("%s: %d rows of %d, gaps %q", name, d.rows, c.rows, gaps)
		}
	}
}

// lines counts the rows of databases that are scanned.
type lines struct {
	scanners.Detector
	rows int
}

func (d *lines) Detect(c scanners.Chunk) iter.Seq[scanners.Match] {
	if strings.HasSuffix(c.Artifact.Location.Path, "!rows") {
		d.rows += bytes.Count(c.Data, []byte("\n"))
	}
	return d.Detector.Detect(c)
}
