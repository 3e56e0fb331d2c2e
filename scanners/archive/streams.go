package archive

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	lzip "github.com/sorairolake/lzip-go"
	"github.com/therootcompany/xz"

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
	if z.Comment != "" || len(z.Extra) > 0 {
		o.note(name, z.Comment, string(z.Extra))
	}
	return o.member(name, z)
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
