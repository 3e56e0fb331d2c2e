package archive

import (
	"archive/tar"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bodgit/sevenzip"
	"github.com/cavaliergopher/cpio"
	"github.com/kdomanski/iso9660"
	"github.com/nwaples/rardecode/v2"
)

// oldTar knows a tar from before POSIX by its header's checksum.
func oldTar(head []byte) bool {
	if len(head) < 512 || head[0] == 0 {
		return false
	}
	field := strings.Trim(string(head[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 32)
	if err != nil || field == "" {
		return false
	}
	sum := int64(0)
	for i, c := range head[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return sum == want
}

// untar opens a tar, and those that were put behind it.
func untar(o *opening) error {
	for {
		if err := Tar(tar.NewReader(o.in), o.note, o.member); err != nil || !Padding(o.buf) {
			return err
		}
		if head, _ := o.buf.Peek(512); !oldTar(head) {
			return nil
		}
	}
}

// Tar walks a tar. note gets each name with what stands beside it, member the
// files. The error is the tar's, or member's.
func Tar(t *tar.Reader, note func(words ...string), member func(name string, r io.Reader) error) error {
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		note(TarWords(h)...)
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse {
			continue
		}
		if err := member(clean(h.Name), t); err != nil {
			return err
		}
	}
}

// TarWords is what a tar's header says in words: the name, what a link points to,
// owners, and the records of a pax header.
func TarWords(h *tar.Header) []string {
	words := []string{h.Name}
	for _, w := range []string{h.Linkname, h.Uname, h.Gname} {
		if w != "" && w != "root" {
			words = append(words, w)
		}
	}
	if len(h.PAXRecords) > 0 {
		for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			words = append(words, k+"="+h.PAXRecords[k])
		}
	}
	return words
}

var errEncrypted = errors.New("encrypted: it can't be read")

func un7z(o *opening) error {
	z, err := sevenzip.NewReader(o.at, o.size)
	if err != nil {
		if e, ok := errors.AsType[*sevenzip.ReadError](err); ok && e.Encrypted {
			return errEncrypted
		}
		return fmt.Errorf("7z: %w", err)
	}
	// The header behind a signature says where the last one stands (7zFormat.txt).
	var h [32]byte
	if _, err := o.at.ReadAt(h[:], 0); err == nil {
		defer o.after(int64(len(h)) + int64(binary.LittleEndian.Uint64(h[12:])) + int64(binary.LittleEndian.Uint64(h[20:])))
	}
	for _, f := range z.File {
		o.note(f.Name)
		if f.FileInfo().IsDir() || f.UncompressedSize == 0 {
			continue
		}
		name := clean(f.Name)
		r, err := f.Open()
		if err != nil {
			if e, ok := errors.AsType[*sevenzip.ReadError](err); ok && e.Encrypted {
				err = errEncrypted
			}
			o.gap(name, err)
			continue
		}
		err = o.member(name, r)
		_ = r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func unrar(o *opening) error {
	r, err := rardecode.NewReader(o.in, rardecode.MaxDictionarySize(maxWindow))
	if err != nil {
		return fmt.Errorf("rar: %w", err)
	}
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("rar: %w", err)
		}
		o.note(h.Name)
		switch {
		case h.IsDir:
			continue
		case h.Encrypted:
			o.gap(clean(h.Name), errEncrypted)
			continue
		}
		if err := o.member(clean(h.Name), r); err != nil {
			return err
		}
	}
}

// unar opens Unix's ar, which Debian's packages and static libraries are.
func unar(o *opening) error {
	r := bufio.NewReader(o.in)
	if _, err := r.Discard(8); err != nil {
		return err
	}
	for {
		h, err := r.Peek(60)
		if err == io.EOF && len(h) == 0 {
			return nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("ar: %w", err)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil || size < 0 || h[58] != '`' {
			return errors.New("ar: damaged header")
		}
		name := strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
		_, _ = r.Discard(len(h))
		m := io.LimitReader(r, size)
		left := uint64(size)
		// BSD's puts long names before the content.
		if n, ok := strings.CutPrefix(name, "#1/"); ok {
			k, err := strconv.ParseInt(n, 10, 16)
			if err != nil || k < 0 || k > size {
				return errors.New("ar: damaged header")
			}
			long := make([]byte, k)
			if _, err := io.ReadFull(m, long); err != nil {
				return fmt.Errorf("ar: %w", err)
			}
			name, left = strings.TrimRight(string(long), "\x00"), left-uint64(k)
		}
		o.note(name)
		if err := o.member(clean(name), &promised{r: m, size: left}); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, m); err != nil {
			return err
		}
		if size%2 == 1 {
			if _, err := r.Discard(1); err == io.EOF {
				return nil
			}
		}
	}
}

// uncpio opens an archive, and those that were put behind it, as in a system's first disk.
func uncpio(o *opening) error {
	r := cpio.NewReader(o.in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			if Padding(o.buf) {
				if head, _ := o.buf.Peek(6); string(head) == "070701" || string(head) == "070702" {
					r = cpio.NewReader(o.in)
					continue
				}
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("cpio: %w", err)
		}
		o.note(h.Name, h.Linkname)
		if !h.Mode.IsRegular() {
			continue
		}
		if err := o.member(clean(h.Name), &promised{r: r, size: uint64(h.Size)}); err != nil {
			return err
		}
	}
}

// unrpm opens a package: a lead of 96 bytes, two headers, of which the second holds
// the scripts, and a compressed cpio.
func unrpm(o *opening) error {
	r := bufio.NewReader(o.in)
	if _, err := r.Discard(96); err != nil {
		return fmt.Errorf("rpm: %w", err)
	}
	const maxHeader = 64 << 20
	for i := range 2 {
		h := make([]byte, 16)
		if _, err := io.ReadFull(r, h); err != nil {
			return fmt.Errorf("rpm: %w", err)
		}
		n, size := int64(binary.BigEndian.Uint32(h[8:])), int64(binary.BigEndian.Uint32(h[12:]))
		if string(h[:4]) != "\x8e\xad\xe8\x01" || n > maxHeader/16 || size > maxHeader {
			return errors.New("rpm: damaged header")
		}
		if _, err := r.Discard(int(16 * n)); err != nil {
			return fmt.Errorf("rpm: %w", err)
		}
		text := io.LimitReader(r, size)
		if i == 1 {
			if err := o.member("(header)", text); err != nil {
				return err
			}
		}
		if _, err := io.Copy(io.Discard, text); err != nil {
			return err
		}
		if i == 0 && size%8 != 0 { // the signature's is padded
			if _, err := r.Discard(int(8 - size%8)); err != nil {
				return fmt.Errorf("rpm: %w", err)
			}
		}
	}
	return o.member("(payload)", r)
}

// uncrx opens an extension of Chromium: a header, and a zip.
func uncrx(o *opening) error {
	head := make([]byte, 16)
	if _, err := o.at.ReadAt(head, 0); err != nil {
		return fmt.Errorf("crx: %w", err)
	}
	skip := int64(12) + int64(binary.LittleEndian.Uint32(head[8:]))
	if binary.LittleEndian.Uint32(head[4:]) == 2 {
		skip = 16 + int64(binary.LittleEndian.Uint32(head[8:])) + int64(binary.LittleEndian.Uint32(head[12:]))
	}
	if skip >= o.size {
		return errors.New("crx: damaged header")
	}
	o.at, o.size = io.NewSectionReader(o.at, skip, o.size-skip), o.size-skip
	return unzip(o)
}

// maxFolders bounds the nesting of an image's folders, which may hold each other.
const maxFolders = 64

func uniso(o *opening) error {
	img, err := iso9660.OpenImage(o.at)
	if err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	root, err := img.RootDir()
	if err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	if label, err := img.Label(); err == nil {
		o.note(label)
	}
	// How many blocks there are of which size, by the first descriptor (ECMA-119, 8.4);
	// partitions may stand behind.
	var d [132]byte
	if _, err := o.at.ReadAt(d[:], 16*2048); err == nil {
		defer o.after(int64(binary.LittleEndian.Uint32(d[80:])) * int64(binary.LittleEndian.Uint16(d[128:])))
	}
	var walk func(f *iso9660.File, dir string, depth int) error
	walk = func(f *iso9660.File, dir string, depth int) error {
		list, err := f.GetChildren()
		if err != nil {
			o.gap(dir, fmt.Errorf("iso: %w", err))
			return nil
		}
		for _, c := range list {
			name := path.Join(dir, clean(c.Name()))
			o.note(name)
			switch {
			case c.IsDir() && depth >= maxFolders:
				o.gap(name, errors.New("iso: folders too deep"))
			case c.IsDir():
				if err := walk(c, name, depth+1); err != nil {
					return err
				}
			default:
				if err := o.member(name, c.Reader()); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return walk(root, "", 0)
}
