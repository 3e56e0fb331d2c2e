package archive

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bodgit/sevenzip"
	"github.com/kdomanski/iso9660"
	"github.com/nwaples/rardecode/v2"

	"github.com/quellhq/quell/scanners"
)

func un7z(o *opening) (err error) {
	z, err := sevenzip.NewReader(o.at, o.size)
	if err != nil {
		if e, ok := errors.AsType[*sevenzip.ReadError](err); ok && e.Encrypted {
			return errEncrypted
		}
		return fmt.Errorf("7z: %w", err)
	}
	// The start header states the position of the end header (7zFormat.txt).
	var h [32]byte
	if _, err := o.at.ReadAt(h[:], 0); err == nil {
		defer func() {
			after := o.after(int64(len(h)) + int64(binary.LittleEndian.Uint64(h[12:])) + int64(binary.LittleEndian.Uint64(h[20:])))
			err = errors.Join(err, after)
		}()
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

// unar opens a Unix ar archive: a Debian package or a static library.
func unar(o *opening) error {
	r := o.buf
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
		if h[0] == 0 { // padding, or data after the archive
			return nil
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil || size < 0 || h[58] != '`' {
			return errors.New("ar: damaged header")
		}
		name := strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
		_, _ = r.Discard(len(h))
		m := io.LimitReader(r, size)
		left := uint64(size)
		// BSD ar stores a long name before the content.
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

// unrpm opens an RPM package: a lead of 96 bytes, two headers, of which the second contains the
// scripts, and a compressed cpio archive.
func unrpm(o *opening) error {
	r := o.buf
	lead := make([]byte, 96)
	if _, err := io.ReadFull(r, lead); err != nil {
		return fmt.Errorf("rpm: %w", err)
	}
	o.note(words(lead))
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
		if err := o.plain([]string{"(signature)", "(header)"}[i], text); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, text); err != nil {
			return err
		}
		if i == 0 && size%8 != 0 { // the signature header is padded to 8 bytes
			if _, err := r.Discard(int(8 - size%8)); err != nil {
				return fmt.Errorf("rpm: %w", err)
			}
		}
	}
	if head, _ := r.Peek(512); len(head) == 0 || o.opener.find(head) == nil {
		o.gap("(payload)", errHead)
	}
	return o.member("(payload)", r)
}

// uncrx opens a Chromium extension: a header and a zip.
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
	if err := o.plain("(header)", io.NewSectionReader(o.at, 12, skip-12)); err != nil {
		return err
	}
	o.at, o.size = io.NewSectionReader(o.at, skip, o.size-skip), o.size-skip
	return unzip(o)
}

// maxFolders bounds the nesting of an image's folders, because folders can form a cycle.
const maxFolders = 64

func uniso(o *opening) (err error) {
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
	// The primary volume descriptor states the number and the size of the blocks (ECMA-119,
	// 8.4). Partitions can follow the volume.
	var d [132]byte
	end := int64(0)
	if _, err := o.at.ReadAt(d[:], 16*2048); err == nil {
		end = int64(binary.LittleEndian.Uint32(d[80:])) * int64(binary.LittleEndian.Uint16(d[128:]))
		defer func() { err = errors.Join(err, o.after(end)) }()
	}
	var known []extent // the extents of files
	var walk func(f *iso9660.File, dir string, depth int) error
	walk = func(f *iso9660.File, dir string, depth int) error {
		list, err := f.GetChildren()
		if err != nil {
			o.gap(dir, fmt.Errorf("iso: %w", err))
			return nil
		}
		for _, c := range list {
			if err := o.counts(); err != nil {
				return err
			}
			name := path.Join(dir, clean(c.Name()))
			o.note(name)
			switch {
			case c.IsDir() && depth >= maxFolders:
				o.gap(name, limitOf(scanners.GapLimitDepth, "%d folders within each other", depth))
			case c.IsDir():
				if err := walk(c, name, depth+1); err != nil {
					return err
				}
			default:
				r := c.Reader()
				if s, ok := r.(*io.SectionReader); ok {
					_, at, n := s.Outer()
					known = append(known, extent{from: at, to: at + n})
				}
				if err := o.member(name, r); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk(root, "", 0); err != nil {
		return err
	}
	return o.unused(known, 16*2048, end)
}

// unused scans the parts of a disk image that belong to no file: folders, and content that no
// folder lists. A part that follows a file without zeros between is read together with the
// file's last tailLen bytes, because a value may begin there.
func (o *opening) unused(known []extent, at, end int64) error {
	slices.SortFunc(known, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	end = min(end, o.size)
	file := int64(0) // the length of the file that ends at at
	for _, x := range append(known, extent{from: end, to: end}) {
		zeros := o.zeros(at, x.from)
		if at += zeros; at < x.from {
			from := at
			if zeros == 0 {
				from -= min(file, tailLen)
			}
			if err := o.plain("(folders)", io.NewSectionReader(o.at, from, x.from-from)); err != nil {
				return err
			}
		}
		if x.to >= at {
			at, file = x.to, x.to-x.from
		}
	}
	return nil
}
