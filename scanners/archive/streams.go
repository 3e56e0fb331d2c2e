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

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/git/pack"
	"github.com/quellhq/quell/scanners/inflate"
)

// maxWindow is the maximum history window of a decoder, in bytes, whatever a header requests.
// typicalWindow is the assumed size where quell does not read the header.
const maxWindow, typicalWindow = 128 << 20, 64 << 20

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
	if text, all := z.Later(); len(text) > 0 {
		o.note(string(text))
		if !all {
			o.gap(NamesMember, limitOf(scanners.GapLimitBytes, "over %d KiB of names in the headers of streams", len(text)>>10))
		}
	}
	if rest := z.Trailing(); rest != nil {
		return o.member(TrailingMember, rest)
	}
	return nil
}

func unzstd(o *opening) error {
	z, done, err := o.zstd(o.in)
	if err != nil {
		return err
	}
	defer done()
	return o.member(stem(o.name), z)
}

// zstd decompresses Zstandard frames.
func (o *opening) zstd(in io.Reader) (io.Reader, func(), error) {
	free, err := o.window(typicalWindow)
	if err != nil {
		return nil, nil, err
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		free()
		return nil, nil, err
	}
	return z, func() { z.Close(); free() }, nil
}

func unxz(o *opening) error {
	z, done, err := o.xz(o.in)
	if err != nil {
		return err
	}
	defer done()
	return o.member(stem(o.name), z)
}

// xz decompresses xz streams.
func (o *opening) xz(in io.Reader) (io.Reader, func(), error) {
	done, err := o.window(typicalWindow)
	if err != nil {
		return nil, nil, err
	}
	z, err := xz.NewReader(in, maxWindow)
	if err != nil {
		done()
		return nil, nil, err
	}
	return z, done, nil
}

func bzip2Head(head []byte) bool {
	return len(head) >= 10 && head[3] >= '1' && head[3] <= '9' && (bytes.HasPrefix(head[4:], []byte("1AY&SY")) || bytes.HasPrefix(head[4:], []byte("\x17\x72\x45\x38\x50\x90")))
}

func bunzip(o *opening) error { return o.member(stem(o.name), bzip2.NewReader(o.in)) }

func unlz4(o *opening) error { return o.member(stem(o.name), lz4.NewReader(o.in)) }

// minInflated is the least output, in bytes, that identifies a damaged or truncated zlib
// stream: no text inflates that far.
const minInflated = 512

// minEnded is the least output, in bytes, that identifies a stream with a wrong checksum.
const minEnded = 64

// zlibHead recognises a zlib stream by what its beginning inflates to. The header alone is two
// characters, which a text can begin with.
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
	switch {
	case err == nil, n >= minInflated:
		return true
	case errors.Is(err, inflate.ErrChecksum):
		return n >= minEnded
	// Except for one compression level, the second byte occurs in no text.
	case head[1] != '^' && (len(head) < 18 || !printableHead(head[2:])):
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF) && objectKind(out.Bytes()) != ""
}

// objectKind returns the kind of git object that b begins, or "".
func objectKind(b []byte) string {
	kind, size, ok := bytes.Cut(b[:min(len(b), 32)], []byte{' '})
	if _, known := pack.ParseKind(kind); !ok || !known || bytes.IndexByte(size, 0) < 1 {
		return ""
	}
	return string(kind)
}

// unzlib opens a bare zlib stream, such as a loose git object.
func unzlib(o *opening) error {
	z, err := inflate.NewZlib(o.in)
	if err != nil {
		return err
	}
	defer func() { z.Close() }()
	for name := ""; ; name = TrailingMember {
		in := bufio.NewReader(z)
		head, _ := in.Peek(32)
		if err := o.member(cmp.Or(name, objectKind(head), stem(o.name)), in); err != nil {
			return err
		}
		rest := z.Trailing()
		if rest == nil {
			return nil
		}
		trailing := bufio.NewReaderSize(rest, headLen)
		if more, err := Padding(trailing); !more {
			return err
		}
		if head, _ := trailing.Peek(headLen); !zlibHead(head) {
			return o.member(TrailingMember, trailing)
		}
		next, err := inflate.NewZlib(trailing)
		if err != nil {
			return err
		}
		defer z.Close() // trailing still reads from z
		z = next
	}
}

func unsnappy(o *opening) error {
	return o.member(stem(o.name), s2.NewReader(o.in, s2.ReaderMaxBlockSize(4<<20)))
}

func unbrotli(o *opening) error { return o.member(stem(o.name), brotli.NewReader(o.in)) }

// maxSessionStore is the largest session store of a browser, in bytes, that is read.
const maxSessionStore = 256 << 20

// unmozlz4 opens the format in which Firefox stores its windows with their cookies: a size and
// one LZ4 block.
func unmozlz4(o *opening) error {
	b, err := io.ReadAll(io.LimitReader(o.in, maxSessionStore+1))
	if err != nil {
		return err
	}
	if len(b) > maxSessionStore {
		return limitOf(scanners.GapLimitMemory, "a store of over %d MiB", maxSessionStore>>20)
	}
	if len(b) < 12 {
		return io.ErrUnexpectedEOF
	}
	size := int64(binary.LittleEndian.Uint32(b[8:]))
	// An LZ4 block expands at most 255 times.
	if size > maxSessionStore || size > 255*int64(len(b)) {
		return errors.New("its size is not the one in its header")
	}
	out := make([]byte, size)
	n, err := lz4.UncompressBlock(b[12:], out)
	if err != nil {
		return fmt.Errorf("lz4: %w", err)
	}
	if int64(n) != size {
		o.gap("", scanners.OfKind(scanners.GapDamaged, errors.New("its size is not the one in its header")))
	}
	return o.member(stem(o.name), bytes.NewReader(out[:n]))
}
