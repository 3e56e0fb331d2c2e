// Package files is the source for files and folders.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// Source yields the regular files at and below the targets, and the names of all files and
// folders there as text. It follows no links below a folder: it reports those that lead out of
// all targets.
type Source struct {
	Name    string // the source's name in locations
	Targets []string
	Stdin   io.Reader // read for the target -
}

// Open implements scanners.Source.
func (s Source) Open(context.Context) (scanners.Session, error) { return scanners.Of(s.Artifacts), nil }

// Artifacts yields the files.
func (s Source) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		s.Walk(ctx, func(f File, err error) bool { return yield(f.Artifact(), err) },
			func(names scanners.Artifact) bool { return yield(names, nil) })
	}
}

// File is one file of the walk.
type File struct {
	Source string
	Path   string // as reported
	Open   func() (io.ReadCloser, error)
	// Companion opens the file at Path with the suffix from replaced by to. It is nil for standard
	// input.
	Companion func(from, to string) (io.ReadCloser, error)
}

// Artifact returns the file as an artifact.
func (f File) Artifact() scanners.Artifact {
	return scanners.Artifact{
		Location:  rules.Location{Source: f.Source, Path: f.Path},
		Open:      func(context.Context) (io.ReadCloser, error) { return f.Open() },
		Companion: f.Companion,
	}
}

func (s Source) file(path string) File {
	return File{Source: s.Name, Path: filepath.ToSlash(path), Open: func() (io.ReadCloser, error) { return regular(path) },
		Companion: func(from, to string) (io.ReadCloser, error) {
			name, ok := strings.CutSuffix(path, from)
			if !ok {
				return nil, fs.ErrNotExist
			}
			return regular(name + to)
		}}
}

// regular opens a regular file. Any other kind is an error.
func regular(path string) (io.ReadCloser, error) {
	// Non-blocking, so that a pipe that replaces the file can't hang the scan.
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, plain(err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, errors.Join(err, scanners.OfKind(scanners.GapNotFile, fmt.Errorf("not a regular file")))
	}
	if hasHoles(info) {
		return &sparse{File: f, size: info.Size()}, nil
	}
	return f, nil
}

// plain drops the path from an error, because the Gap already names it.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}
