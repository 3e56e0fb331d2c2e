package archive

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	lzip "github.com/sorairolake/lzip-go"
	"github.com/therootcompany/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/quellhq/quell/scanners/git/pack"
	"github.com/quellhq/quell/scanners/inflate"
)

// maxWindow bounds what a decoder keeps of what it made, whatever a header asks for.
const maxWindow = 128 << 20

func gunzip(o *opening) error {
	z, err := inflate.NewGzip(o.in)
	if err != nil {
		return err
	}
	defer z.Close()
	name := stem(o.name)
	if z.Name != "" {
		name = clean(z.Name)
	}
	if z.Comment != "" || len(z.Extra) > 0 || z.Name != "" && name != stem(o.name) {
		o.note(z.Name, z.Comment, string(z.Extra))
	}
	if err := o.member(name, z); err != nil {
		return err
	}
	if rest := z.Behind(); rest != nil {
		return o.member(BehindMember, rest)
	}
	return nil
}

func unzstd(o *opening) error {
	z, err := zstd.NewReader(o.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	return o.member(stem(o.name), z)
}

func unxz(o *opening) error {
	z, err := xz.NewReader(o.in, maxWindow)
	if err != nil {
		return err
	}
	return o.member(stem(o.name), z)
}

func bzip2Head(head []byte) bool {
	return len(head) >= 10 && head[3] >= '1' && head[3] <= '9' && (bytes.HasPrefix(head[4:], []byte("1AY&SY")) || bytes.HasPrefix(head[4:], []byte("\x17\x72\x45\x38\x50\x90")))
}

func bunzip(o *opening) error { return o.member(stem(o.name), bzip2.NewReader(o.in)) }

func unlz4(o *opening) error { return o.member(stem(o.name), lz4.NewReader(o.in)) }

func unlzip(o *opening) error {
	z, err := lzip.NewReader(o.in)
	if err != nil {
		return err
	}
	return o.member(stem(o.name), z)
}

// lzmaHead looks at the rest of a header of 13 bytes: dictionaries are of a power of two, or
// of one and a half, and the size is not told or of less than a TiB.
func lzmaHead(head []byte) bool {
	if len(head) < lzma.HeaderLen || !lzma.ValidHeader(head[:lzma.HeaderLen]) {
		return false
	}
	size := binary.LittleEndian.Uint64(head[5:])
	return size == math.MaxUint64 || size < 1<<40
}

func unlzma(o *opening) error {
	z, err := unLZMA(o.in)
	if err != nil {
		return err
	}
	return o.member(stem(o.name), z)
}

func unLZMA(r io.Reader) (io.Reader, error) {
	return lzma.ReaderConfig{DictCap: maxWindow}.NewReader(bufio.NewReader(r))
}

// minInflated is how much must come of the beginning of a stream that isn't there to its end:
// no text inflates so far.
const minInflated = 512

// zlibHead knows a zlib stream by what its beginning inflates to: its header alone is two
// letters that a text may begin with.
func zlibHead(head []byte) bool {
	if !inflate.IsZlib(head) {
		return false
	}
	z, err := inflate.NewZlib(bytes.NewReader(head))
	if err != nil {
		return false
	}
	defer z.Close()
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(z, headLen))
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF) && (n >= minInflated || objectKind(out.Bytes()) != "")
}

// objectKind is what object of git's begins so; empty: none.
func objectKind(b []byte) string {
	kind, size, ok := bytes.Cut(b[:min(len(b), 32)], []byte{' '})
	if _, known := pack.ParseKind(kind); !ok || !known || bytes.IndexByte(size, 0) < 1 {
		return ""
	}
	return string(kind)
}

// unzlib opens what has no other frame, as git's loose objects are.
func unzlib(o *opening) error {
	z, err := inflate.NewZlib(o.in)
	if err != nil {
		return err
	}
	defer z.Close()
	in := bufio.NewReader(z)
	head, _ := in.Peek(32)
	return o.member(cmp.Or(objectKind(head), stem(o.name)), in)
}

func unsnappy(o *opening) error {
	return o.member(stem(o.name), s2.NewReader(o.in, s2.ReaderMaxBlockSize(4<<20)))
}

func unbrotli(o *opening) error { return o.member(stem(o.name), brotli.NewReader(o.in)) }

// maxSessionStore is the largest store of a browser's windows that is read.
const maxSessionStore = 256 << 20

// unmozlz4 opens what Firefox keeps its windows and their cookies in: a size, and
// one block of LZ4.
func unmozlz4(o *opening) error {
	b, err := io.ReadAll(io.LimitReader(o.in, maxSessionStore))
	if err != nil {
		return err
	}
	if len(b) < 12 {
		return io.ErrUnexpectedEOF
	}
	size := int64(binary.LittleEndian.Uint32(b[8:]))
	// A block of LZ4 makes at most 255 bytes of one.
	if size > maxSessionStore || size > 255*int64(len(b)) {
		return errors.New("its size is not what its header says")
	}
	out := make([]byte, size)
	n, err := lz4.UncompressBlock(b[12:], out)
	if err != nil {
		return fmt.Errorf("lz4: %w", err)
	}
	return o.member(stem(o.name), bytes.NewReader(out[:n]))
}
