// Package cilog is the source for logs of CI systems: files, folders, and the archives that the
// systems provide.
package cilog

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"regexp"
	"slices"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/files"
)

// maxStdinZip is the largest archive taken from standard input, which can't be
// read from its end, where a zip keeps its directory.
const maxStdinZip = 1 << 30

// Source yields logs.
type Source struct {
	Targets []string
	Stdin   io.Reader
}

// Open implements scanners.Source.
func (s Source) Open(context.Context) (scanners.Session, error) { return scanners.Of(s.Artifacts), nil }

// Artifacts yields the logs.
func (s Source) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		walk := files.Source{Name: "log", Targets: s.Targets, Stdin: s.Stdin}
		walk.Walk(ctx, func(f files.File, err error) bool {
			if err != nil {
				return yield(scanners.Artifact{}, err)
			}
			return yield(scanners.Artifact{
				Location: rules.Location{Source: "log", Path: f.Path},
				Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
					return open(ctx, f, part, gap)
				},
			}, nil)
		}, func(names scanners.Artifact) bool { return yield(names, nil) })
	}
}

// open scans a file. The archive of a run's logs is read here, for its jobs and steps; the pool
// opens all other archives.
func open(ctx context.Context, f files.File, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	whole := f.Artifact()
	whole.Open = nil
	at, size, err := seekable(r)
	if err != nil {
		return err
	}
	if at == nil { // standard input
		head := bufio.NewReaderSize(r, 64<<10)
		if magic, _ := head.Peek(4); !isZip(magic) {
			return part(whole, head)
		}
		b, err := io.ReadAll(io.LimitReader(head, maxStdinZip+1))
		if err != nil {
			return err
		}
		if len(b) > maxStdinZip {
			return scanners.OfKind(scanners.GapLimitMemory, fmt.Errorf("an archive from standard input may have %d bytes at most; save it to a file", maxStdinZip))
		}
		at, size = bytes.NewReader(b), int64(len(b))
		if ofRun(at, size) {
			_, err = Zip(ctx, at, size, f.Path, part, gap)
			return err
		}
		return part(whole, scanners.InMemory(b))
	}
	magic := make([]byte, 4)
	if _, err := at.ReadAt(magic, 0); err == nil && isZip(magic) && ofRun(at, size) {
		_, err = Zip(ctx, at, size, f.Path, part, gap)
		return err
	}
	return part(whole, r)
}

func isZip(magic []byte) bool {
	return bytes.HasPrefix(magic, []byte("PK\x03\x04")) || bytes.HasPrefix(magic, []byte("PK\x05\x06"))
}

// ofRun reports whether a zip has logs of jobs or steps.
func ofRun(at io.ReaderAt, size int64) bool {
	z, err := zip.NewReader(at, size)
	return err == nil && slices.ContainsFunc(z.File, func(f *zip.File) bool { return stepName.MatchString(f.Name) || jobName.MatchString(f.Name) })
}

func seekable(r io.Reader) (io.ReaderAt, int64, error) {
	at, ok := r.(io.ReaderAt)
	s, stat := r.(interface{ Stat() (fs.FileInfo, error) })
	if !ok || !stat {
		return nil, 0, nil
	}
	info, err := s.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, err
	}
	return at, info.Size(), nil
}

// GitHub's layout (cli/cli's reader documents it): <job>/<n>_<step>.txt for
// each step and <n>_<job>.txt for the whole job, where n may be negative.
var (
	stepName = regexp.MustCompile(`^([^/]+)/-?[0-9]+_(.+)\.txt$`)
	jobName  = regexp.MustCompile(`^-?[0-9]+_([^/]+)\.txt$`)
)

// member is a member of the archive of a run's logs.
type member struct {
	*archive.ZipMember
	job, step string
	whole     bool // a job's log
}

// Zip scans the archive of a run's logs, step files first; name is its path. A job's own file
// repeats its steps: lines that were already scanned become blanks, so that each line is
// scanned once, and lines that the steps lack are found at their right place. The logs that it
// gives are nil if the archive is damaged, which gap is called for.
func Zip(ctx context.Context, at io.ReaderAt, size int64, name string, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) ([]JobLog, error) {
	loc := rules.Location{Source: "log", Path: name, System: githubActions.Name}
	z, err := archive.OpenZip(ctx, at, size,
		func(inside string, r io.Reader) error {
			l := loc
			l.Path += "!" + inside
			return part(scanners.Artifact{Location: l}, r)
		},
		func(inside string, err error) {
			l := loc
			l.Path += "!" + inside
			gap(scanners.Gap{Location: l, Err: err})
		})
	if err != nil {
		gap(scanners.Gap{Location: loc, Kind: scanners.GapDamaged, Reason: "damaged zip: its bytes were scanned as they are", Err: err})
		return nil, part(scanners.Artifact{Location: loc}, scanners.AsIs{Reader: io.NewSectionReader(at, 0, size)})
	}
	inside := part
	part = func(a scanners.Artifact, r io.Reader) error {
		a.Expanded = true
		return inside(a, r)
	}
	seen := newLines()
	members, steps := byStep(z)
	logs := []JobLog{}
	for job := range steps {
		logs = append(logs, JobLog{Name: job, Steps: true})
	}
	last := make([]byte, 0, 2*EndSize)
	for _, m := range members {
		l := loc
		l.Path, l.Job, l.Step = name+"!"+m.Name, m.job, m.step
		read := &end{}
		if m.whole {
			read.last = last[:0]
		}
		if err := m.scan(read, seen, steps, func(r io.Reader) error {
			return part(scanners.Artifact{Location: l, Unmarked: m.whole && steps[m.job]}, r)
		}, func(err error) {
			gap(scanners.Gap{Location: l, Err: err})
		}); err != nil {
			return logs, err
		}
		if m.whole {
			logs = append(logs, read.log(m.job))
		}
	}
	return logs, z.Around()
}

// byStep lists an archive's members, those of steps first, and the jobs that have steps.
func byStep(z *archive.Zip) (members []member, steps map[string]bool) {
	steps = map[string]bool{}
	for _, f := range z.Members() {
		m := member{ZipMember: f}
		if g := stepName.FindStringSubmatch(f.Name); g != nil {
			m.job, m.step = g[1], g[2]
			steps[m.job] = true
		} else if g := jobName.FindStringSubmatch(f.Name); g != nil {
			m.job, m.whole = g[1], true
		}
		members = append(members, m)
	}
	slices.SortStableFunc(members, func(a, b member) int {
		switch {
		case a.whole == b.whole:
			return 0
		case a.whole:
			return 1
		}
		return -1
	})
	return members, steps
}

// scan scans one member by way of read. An error ends the archive.
func (m *member) scan(read *end, seen *lines, steps map[string]bool, part func(io.Reader) error, gap func(error)) error {
	if m.Empty() {
		return nil
	}
	r, err := m.Open()
	if err != nil {
		gap(err)
		return nil
	}
	defer r.Close()
	read.Reader = r
	var in io.Reader = read
	switch {
	case m.step != "":
		in = seen.record(in)
	case m.whole && steps[m.job]:
		in = seen.blank(in)
	}
	err = part(in)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, scanners.ErrTime), errors.Is(err, scanners.ErrExpansion), errors.Is(err, archive.ErrLimit):
		return err
	case err != nil:
		gap(err)
		return nil
	}
	return m.Rest()
}
