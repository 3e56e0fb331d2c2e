package archive

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/sqlite"
)

// form is one format of files that contain other files.
type form struct {
	name string
	// at is the offset of magic, in bytes.
	at    int
	magic string
	// known checks the beginning further if magic is not sufficient; nil means it is.
	known func(head []byte) bool
	// single is set if the format contains exactly one file: an error before its first byte
	// means that the input does not have this format.
	single bool
	// seeks is set if the format is read from its end or by random access.
	seeks bool
	open  func(o *opening) error
}

// forms is the table of recognised formats. The first match wins.
func forms() []form {
	return []form{
		{name: "gzip", magic: "\x1f\x8b\x08", single: true, open: gunzip},
		{name: "zip", magic: "PK\x03\x04", seeks: true, open: unzip},
		{name: "zip", magic: "PK\x05\x06", seeks: true, open: unzip},
		{name: "zip", magic: "PK\x07\x08PK\x03\x04", seeks: true, open: unzip},
		{name: "zip after a script", magic: "#!", known: zipApp, seeks: true, open: unzipApp},
		{name: "tar", at: 257, magic: "ustar", open: untar},
		{name: "zstd", magic: "\x28\xb5\x2f\xfd", single: true, open: unzstd},
		{name: "zstd", magic: "\x2a\x4d\x18", at: 1, known: skippable, single: true, open: unzstd},
		{name: "xz", magic: "\xfd7zXZ\x00", single: true, open: unxz},
		{name: "bzip2", magic: "BZh", known: bzip2Head, single: true, open: bunzip},
		{name: "lz4", magic: "\x04\x22\x4d\x18", single: true, open: unlz4},
		{name: "lz4", magic: "\x02\x21\x4c\x18", single: true, open: unlz4},
		{name: "lzip", magic: "LZIP\x01", single: true, open: unlzip},
		{name: "lzma", magic: "\x5d\x00\x00", known: lzmaHead, single: true, open: unlzma},
		{name: "zlib", magic: "\x78", known: zlibHead, single: true, open: unzlib},
		{name: "snappy", magic: "\xff\x06\x00\x00sNaPpY", single: true, open: unsnappy},
		{name: "snappy", magic: "\xff\x06\x00\x00S2sTwO", single: true, open: unsnappy},
		{name: "7z", magic: "7z\xbc\xaf\x27\x1c", seeks: true, open: un7z},
		{name: "rar", magic: "Rar!\x1a\x07", open: unrar},
		{name: "ar", magic: "!<arch>\n", open: unar},
		{name: "rpm", magic: "\xed\xab\xee\xdb", open: unrpm},
		{name: "cpio", magic: "070701", open: uncpio},
		{name: "cpio", magic: "070702", open: uncpio},
		{name: "crx", magic: "Cr24", seeks: true, open: uncrx},
		{name: "iso", at: 0x8001, magic: "CD001", seeks: true, open: uniso},
		{name: "mozlz4", magic: "mozLz40\x00", open: unmozlz4},
		{name: "pdf", magic: "%PDF-", seeks: true, open: pdfText},
		{name: "SQLite", magic: sqlite.Magic, open: unsqlite},
		{name: "SQLite log", magic: "\x37\x7f\x06\x82\x00\x2d\xe2\x18", open: unsqlitelog},
		{name: "SQLite log", magic: "\x37\x7f\x06\x83\x00\x2d\xe2\x18", open: unsqlitelog},
		{name: "git pack", magic: "PACK\x00\x00\x00\x02", seeks: true, open: unpack},
		{name: "git pack", magic: "PACK\x00\x00\x00\x03", seeks: true, open: unpack},
		{name: "git bundle", magic: "# v2 git bundle\n", seeks: true, open: unbundle},
		{name: "git bundle", magic: "# v3 git bundle\n", seeks: true, open: unbundle},

		// quell recognises these compressed formats but does not open them.
		{name: "squashfs", magic: "hsqs", open: unsupported},
		{name: "squashfs", magic: "sqsh", known: squashfsHead, open: unsupported},
		{name: "qcow", magic: "QFI\xfb", open: unsupported},
		{name: "vmdk", magic: "KDMV", open: unsupported},
		{name: "vhdx", magic: "vhdxfile", open: unsupported},
		{name: "vhd", magic: "conectix", known: binaryHead, open: unsupported},
		{name: "vdi", at: 0x40, magic: "\x7f\x10\xda\xbe", open: unsupported},
		{name: "LUKS", magic: "LUKS\xba\xbe", open: unsupported},
		{name: "UBI", magic: "UBI#\x01\x00\x00\x00", open: unsupported},
		{name: "pbzx", magic: "pbzx\x00", open: unsupported},
		{name: "LZFSE", magic: "bvx2", known: binaryHead, open: unsupported},
		{name: "LZFSE", magic: "bvx1", known: binaryHead, open: unsupported},
		{name: "LZFSE", magic: "bvxn", known: binaryHead, open: unsupported},
		{name: "rzip", magic: "RZIP\x02", open: unsupported},
		{name: "Avro", magic: "Obj\x01", known: avroHead, open: unsupported},
		{name: "cabinet", magic: "MSCF\x00\x00\x00\x00", open: unsupported},
		{name: "InstallShield cabinet", magic: "ISc(", open: unsupported},
		{name: "compress (.Z)", magic: "\x1f\x9d", open: unsupported},
		{name: "pack (.z)", magic: "\x1f\x1e", open: unsupported},
		{name: "lzh", magic: "\x1f\xa0", open: unsupported},
		{name: "lha", at: 2, magic: "-lh", known: lhaHead, open: unsupported},
		{name: "lzo", magic: "\x89LZO\x00\r\n\x1a\n", open: unsupported},
		{name: "lrzip", magic: "LRZI", known: binaryHead, open: unsupported},
		{name: "zpaq", magic: "7kSt\xa0", open: unsupported},
		{name: "wim", magic: "MSWIM\x00\x00\x00", open: unsupported},
		{name: "xar", magic: "xar!\x00", open: unsupported},
		{name: "arj", magic: "\x60\xea", known: arjHead, open: unsupported},
		{name: "ace", at: 7, magic: "**ACE**", open: unsupported},
		{name: "zoo", at: 20, magic: "\xdc\xa7\xc4\xfd", open: unsupported},
		{name: "StuffIt", magic: "StuffIt (c)", open: unsupported},
		{name: "cramfs", magic: "\x45\x3d\xcd\x28", open: unsupported},
		{name: "erofs", at: 1024, magic: "\xe2\xe1\xf5\xe0", open: unsupported},
		{name: "AppImage", at: 8, magic: "AI\x02", open: unsupported},
		{name: "HDF5", magic: "\x89HDF\r\n\x1a\n", open: unsupported},
		{name: "JFFS2", magic: "\x85\x19", known: jffs2Head, open: unsupported},
		{name: "JFFS2", magic: "\x19\x85", known: jffs2Head, open: unsupported},
		{name: "DMG", magic: "koly\x00\x00\x00\x04\x00\x00\x02\x00", open: unsupported},
		{name: "Parquet", magic: "PAR1", known: binaryHead, open: unsupported},
		{name: "ORC", magic: "ORC", known: orcHead, open: unsupported},

		{name: "tar", known: oldTar, open: untar},
		{name: "mail", known: mailHead, seeks: true, open: unmail},
		{name: damagedName, known: damagedHead, open: damagedForm},
	}
}

// headLen is the number of bytes that recognition needs: an ISO image has its magic number at
// byte 32,769.
const headLen = 0x8001 + 5

var errUnsupported = scanners.OfKind(scanners.GapUnsupported, errors.New("is not opened: unpack it first"))

func unsupported(*opening) error { return errUnsupported }

// skippable reports whether head is a skippable frame of Zstandard (RFC 8878, 3.1.2) that
// another frame follows.
func skippable(head []byte) bool {
	if head[0]&0xf0 != 0x50 || len(head) < 12 {
		return false
	}
	end := 8 + int64(head[4]) + int64(head[5])<<8 + int64(head[6])<<16 + int64(head[7])<<24
	return end+4 <= int64(len(head)) && string(head[end:end+4]) == "\x28\xb5\x2f\xfd"
}

// squashfsHead detects version 4 of SquashFS in big-endian byte order.
func squashfsHead(head []byte) bool { return len(head) >= 30 && head[28] == 0 && head[29] == 4 }

func lhaHead(head []byte) bool { return len(head) > 22 && head[6] == '-' && head[20] <= 3 }

// arjHead checks the size of the basic header, which is at most 2,600 bytes.
func arjHead(head []byte) bool {
	return len(head) > 34 && int(head[2])|int(head[3])<<8 <= 2600 && head[4] >= 30 && head[4] <= 46
}

func orcHead(head []byte) bool { return len(head) > 16 && head[3] < ' ' && binaryHead(head) }

// avroHead detects Avro data whose blocks are compressed.
func avroHead(head []byte) bool {
	_, codec, ok := strings.Cut(string(head), "avro.codec")
	return ok && len(codec) > 5 && codec[1:5] != "null"
}

// binaryHead rejects a text that begins with the letters of a magic number.
func binaryHead(head []byte) bool {
	return strings.IndexByte(string(head[:min(len(head), 64)]), 0) >= 0
}

// jffs2Head detects the first node of a JFFS2 file system in either byte order: a clean marker,
// an entry of a folder, an inode, padding or a summary, with its length.
func jffs2Head(head []byte) bool {
	if len(head) < 12 {
		return false
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[0] == 0x19 {
		order = binary.BigEndian
	}
	n := order.Uint32(head[4:])
	return slices.Contains([]uint16{0x2003, 0xe001, 0xe002, 0x2004, 0x2006}, order.Uint16(head[2:])) && n >= 12 && n < 1<<20
}
