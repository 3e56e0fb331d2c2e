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

// Source yields the regular files at and below the targets. Links are not
// followed, except a target that is one; a repository's object store, which
// only the git source can read, is left out and said so.
type Source struct {
	Name    string // the source's name in locations
	Targets []string
	Stdin   io.Reader // what the target - means
}

// Artifacts implements scanners.Source.
func (s Source) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		for f, err := range s.Files(ctx) {
			if !yield(f.Artifact(), err) {
				return
			}
		}
	}
}

// File is one file of the walk.
type File struct {
	Source string
	Path   string // as reported
	Open   func() (io.ReadCloser, error)
	// Beside opens the file called as this one with suffix behind; nil: standard input.
	Beside func(suffix string) (io.ReadCloser, error)
}

// Artifact makes the file an artifact of its own.
func (f File) Artifact() scanners.Artifact {
	return scanners.Artifact{
		Location: rules.Location{Source: f.Source, Path: f.Path},
		Open:     func(context.Context) (io.ReadCloser, error) { return f.Open() },
		Beside:   f.Beside,
	}
}

// Files walks the targets. An error is a scanners.Gap.
func (s Source) Files(ctx context.Context) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		for _, t := range s.Targets {
			if !s.walk(ctx, t, yield) {
				return
			}
		}
	}
}

func (s Source) walk(ctx context.Context, target string, yield func(File, error) bool) bool {
	gap := func(path, reason string, err error) (File, error) {
		return File{}, scanners.Gap{Location: rules.Location{Source: s.Name, Path: filepath.ToSlash(path)}, Reason: reason, Err: plain(err)}
	}
	if target == "-" {
		return yield(File{Source: s.Name, Path: "-", Open: func() (io.ReadCloser, error) { return io.NopCloser(s.Stdin), nil }}, nil)
	}
	root := filepath.Clean(target)
	info, err := os.Stat(root)
	if err != nil {
		return yield(gap(root, "", err))
	}
	if !info.IsDir() {
		return yield(s.file(root), nil)
	}
	// A link is resolved for the walk only: reports keep the name as given.
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return yield(gap(root, "", err))
	}
	more := true
	err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		shown := filepath.Join(root, strings.TrimPrefix(path, real))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			more = yield(gap(shown, "", err))
		case d.IsDir() && d.Name() == "objects" && filepath.Base(filepath.Dir(path)) == ".git":
			return filepath.SkipDir
		case d.Type().IsRegular():
			f := s.file(path)
			f.Path = filepath.ToSlash(shown)
			more = yield(f, nil)
		}
		if !more {
			return filepath.SkipAll
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return yield(gap(root, "", err))
	}
	return more
}

func (s Source) file(path string) File {
	return File{Source: s.Name, Path: filepath.ToSlash(path), Open: func() (io.ReadCloser, error) { return regular(path) },
		Beside: func(suffix string) (io.ReadCloser, error) { return regular(path + suffix) }}
}

// regular opens a regular file, and nothing else.
func regular(path string) (io.ReadCloser, error) {
	// Not blocking: a pipe put in the place of a file must not hang the scan.
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, plain(err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, errors.Join(err, fmt.Errorf("not a regular file"))
	}
	return f, nil
}

// plain drops the path of an error: a Gap names it already.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}
