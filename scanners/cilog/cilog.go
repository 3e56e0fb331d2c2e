// Package cilog is the source for logs of CI systems: files, folders, and the
// archives that the systems hand out.
package cilog

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/files"
	"github.com/quellhq/quell/scanners/inflate"
)

// MaxMember is how many bytes of one archive member are read: a log of 8 GiB
// is no log.
const MaxMember = 8 << 30

// MaxArchive is how many bytes of one archive are read, all members together.
const MaxArchive = 64 << 30

// maxStdinZip is the largest archive taken from standard input, which can't be
// read from its end, where a zip keeps its directory.
const maxStdinZip = 1 << 30

// Source yields logs.
type Source struct {
	Targets []string
	Stdin   io.Reader
}

// Artifacts implements scanners.Source.
func (s Source) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		walk := files.Source{Name: "log", Targets: s.Targets, Stdin: s.Stdin}
		for f, err := range walk.Files(ctx) {
			if err != nil {
				if !yield(scanners.Artifact{}, err) {
					return
				}
				continue
			}
			if !yield(scanners.Artifact{
				Location: rules.Location{Source: "log", Path: f.Path},
				Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
					return open(f, part, gap)
				},
			}, nil) {
				return
			}
		}
	}
}

func open(f files.File, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	head := bufio.NewReaderSize(r, 64<<10)
	magic, _ := head.Peek(4)
	loc := rules.Location{Source: "log", Path: f.Path}
	whole := scanners.Artifact{Location: loc}
	switch {
	case bytes.HasPrefix(magic, []byte("PK\x03\x04")), bytes.HasPrefix(magic, []byte("PK\x05\x06")):
		at, size, err := seekable(r, head)
		if err != nil {
			return err
		}
		z, err := zip.NewReader(at, size)
		if err != nil {
			gap(scanners.Gap{Location: loc, Reason: "damaged zip, its raw bytes were scanned", Err: err})
			return part(whole, io.NewSectionReader(at, 0, size))
		}
		return Zip(z, f.Path, part, gap)
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := inflate.NewGzip(head)
		if err != nil {
			return fmt.Errorf("damaged gzip: %w", err)
		}
		defer z.Close()
		limited := &limit{r: z, n: MaxMember}
		whole.Location.Path += "!" + strings.TrimSuffix(path.Base(f.Path), ".gz")
		return part(whole, limited)
	}
	return part(whole, head)
}

func seekable(r io.Reader, head *bufio.Reader) (io.ReaderAt, int64, error) {
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return f, info.Size(), nil
		}
	}
	b, err := io.ReadAll(io.LimitReader(head, maxStdinZip+1))
	if err != nil {
		return nil, 0, err
	}
	if len(b) > maxStdinZip {
		return nil, 0, fmt.Errorf("an archive from standard input may have %d bytes at most; save it to a file", maxStdinZip)
	}
	return bytes.NewReader(b), int64(len(b)), nil
}

// GitHub's layout (cli/cli's reader documents it): <job>/<n>_<step>.txt for
// each step and <n>_<job>.txt for the whole job, where n may be negative.
var (
	stepName = regexp.MustCompile(`^([^/]+)/-?[0-9]+_(.+)\.txt$`)
	jobName  = regexp.MustCompile(`^-?[0-9]+_([^/]+)\.txt$`)
)

// Zip scans the members of the archive of a run's logs, step files first; name is
// where it lies. A job's own file repeats its steps: lines that were scanned before are blanked, so that each is looked at
// once and what the steps lack is still seen, at its right place.
func Zip(z *zip.Reader, name string, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	type member struct {
		*zip.File
		job, step string
		whole     bool
	}
	var members []member
	steps := map[string]bool{}
	for _, f := range z.File {
		m := member{File: f}
		if g := stepName.FindStringSubmatch(f.Name); g != nil {
			m.job, m.step = g[1], g[2]
			steps[m.job] = true
		} else if g := jobName.FindStringSubmatch(f.Name); g != nil {
			m.job, m.whole = g[1], true
		}
		members = append(members, m)
	}
	slices.SortStableFunc(members, func(a, b member) int {
		if a.whole == b.whole {
			return 0
		}
		if a.whole {
			return 1
		}
		return -1
	})
	seen := newLines()
	left := int64(MaxArchive)
	for _, m := range members {
		if m.FileInfo().IsDir() {
			continue
		}
		if left <= 0 {
			gap(scanners.Gap{Location: rules.Location{Source: "log", Path: name}, Reason: "larger than the budget of one archive: its other members were not read"})
			break
		}
		loc := rules.Location{Source: "log", Path: name + "!" + m.Name, Job: m.job, Step: m.step}
		r, err := m.Open()
		if err != nil {
			gap(scanners.Gap{Location: loc, Err: err})
			continue
		}
		whole := &limit{r: r, n: min(MaxMember, left)}
		var in io.Reader = whole
		switch {
		case m.step != "":
			in = seen.record(in)
		case m.whole && steps[m.job]:
			in = seen.blank(in)
		}
		budget := whole.n
		err = part(scanners.Artifact{Location: loc}, in)
		left -= budget - whole.n
		_ = r.Close()
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if err != nil {
			gap(scanners.Gap{Location: loc, Reason: "read to its middle only", Err: err})
		}
	}
	return nil
}

var errTooLarge = errors.New("larger than the budget of one member")

type limit struct {
	r io.Reader
	n int64
}

func (l *limit) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.n -= int64(n); l.n < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// lines remembers lines by a 64-bit hash.
type lines struct {
	seed maphash.Seed
	set  map[uint64]bool
}

func newLines() *lines { return &lines{maphash.MakeSeed(), map[uint64]bool{}} }

// maxLine is the longest line that is remembered; longer ones are scanned
// again.
const maxLine = 1 << 20

// minLine: shorter lines are not worth remembering.
const minLine = 20

func (l *lines) record(r io.Reader) io.Reader { return l.each(r, func(line []byte) { l.put(line) }) }

func (l *lines) put(line []byte) { l.set[maphash.Bytes(l.seed, line)] = true }

func (l *lines) blank(r io.Reader) io.Reader {
	return l.each(r, func(line []byte) {
		if l.set[maphash.Bytes(l.seed, line)] {
			for i := range line {
				line[i] = ' '
			}
		}
	})
}

// each lets f see, and change, the complete lines of r, without their ends.
func (l *lines) each(r io.Reader, f func([]byte)) io.Reader {
	return &lineReader{in: bufio.NewReaderSize(r, 64<<10), f: f}
}

type lineReader struct {
	in   *bufio.Reader
	f    func([]byte)
	line []byte // what is left to hand out
	buf  []byte
	err  error
}

func (r *lineReader) Read(b []byte) (int, error) {
	for len(r.line) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.next()
	}
	n := copy(b, r.line)
	r.line = r.line[n:]
	return n, nil
}

func (r *lineReader) next() {
	r.buf = r.buf[:0]
	for {
		piece, err := r.in.ReadSlice('\n')
		r.buf = append(r.buf, piece...)
		if err == bufio.ErrBufferFull && len(r.buf) < maxLine {
			continue
		}
		if err == nil || err == io.EOF {
			if text := bytes.TrimSuffix(bytes.TrimRight(r.buf, "\r\n"), []byte("\ufeff")); len(text) >= minLine {
				r.f(text)
			}
		}
		if err != nil && err != bufio.ErrBufferFull {
			r.err = err
		}
		r.line = r.buf
		return
	}
}
