package files

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// walk is one walk through the targets.
type walk struct {
	Source
	ctx   context.Context
	visit func(File, error) bool
	names func(scanners.Artifact) bool
	roots []string // of all targets, with links resolved
	list  []scanners.Entry
	stop  bool
}

// maxEntries is the number of names that form one artifact.
const maxEntries = 2048

// Walk walks the targets. It calls visit with each file or with an error, which is a
// scanners.Gap, and names with artifacts of the names of files and folders. Either callback
// stops the walk by returning false.
func (s Source) Walk(ctx context.Context, visit func(File, error) bool, names func(scanners.Artifact) bool) {
	w := &walk{Source: s, ctx: ctx, visit: visit, names: names}
	for _, t := range s.Targets {
		if real, err := filepath.EvalSymlinks(filepath.Clean(t)); err == nil && t != "-" {
			if abs, err := filepath.Abs(real); err == nil {
				w.roots = append(w.roots, abs)
			}
		}
	}
	for _, t := range s.Targets {
		if w.stop {
			return
		}
		w.target(t)
		w.flush()
	}
}

func (w *walk) file(f File) { w.stop = w.stop || !w.visit(f, nil) }

func (w *walk) gap(path string, g scanners.Gap) {
	g.Location = rules.Location{Source: w.Name, Path: filepath.ToSlash(path)}
	g.Kind = scanners.KindOf(g.Err)
	g.Err = plain(g.Err)
	w.stop = w.stop || !w.visit(File{}, g)
}

func (w *walk) name(kind, path, name string) {
	w.list = append(w.list, scanners.Entry{Name: name, Location: rules.Location{Source: w.Name, Artifact: kind, Path: filepath.ToSlash(path)}})
	if len(w.list) >= maxEntries {
		w.flush()
	}
}

func (w *walk) flush() {
	if len(w.list) == 0 || w.stop {
		return
	}
	list := w.list
	w.list = nil
	w.stop = !w.names(scanners.EntryNames(rules.Location{Source: w.Name, Artifact: "file names", Path: list[0].Location.Path}, list))
}

func (w *walk) target(target string) {
	if target == "-" {
		w.file(File{Source: w.Name, Path: "-", Open: func() (io.ReadCloser, error) { return io.NopCloser(w.Stdin), nil }})
		return
	}
	root := filepath.Clean(target)
	info, err := os.Stat(root)
	if err != nil {
		w.gap(root, scanners.Gap{Err: err})
		return
	}
	if base := filepath.Base(root); base != "." && base != ".." {
		w.name("file name", root, base)
	}
	if !info.IsDir() {
		f := w.Source.file(root)
		beside := f.Companion
		f.Companion = func(from, to string) (io.ReadCloser, error) {
			// A companion that is read with this file is read; one that this file is read with
			// is not, unless it is a target too.
			if name, ok := strings.CutSuffix(root, from); from != "" && (!ok || !w.among(name+to)) {
				return nil, fs.ErrNotExist
			}
			return beside(from, to)
		}
		w.file(f)
		return
	}
	// The walk resolves a target that is a link; reports show the link's name.
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		w.gap(root, scanners.Gap{Err: err})
		return
	}
	w.folder(root, real)
}

// among reports whether a file is one of the targets, or in one of them.
func (w *walk) among(file string) bool {
	return slices.ContainsFunc(w.Targets, func(target string) bool {
		rel, err := filepath.Rel(filepath.Clean(target), file)
		return err == nil && filepath.IsLocal(rel)
	})
}

func (w *walk) folder(root, real string) {
	var outside int64
	err := filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		shown := filepath.Join(root, strings.TrimPrefix(path, real))
		if w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		if err != nil {
			w.gap(shown, scanners.Gap{Err: err})
			return w.ended()
		}
		switch {
		case path == real:
		case d.IsDir():
			w.name("folder name", shown, d.Name())
		case d.Type()&fs.ModeSymlink != 0:
			w.name("file name", shown, d.Name())
			if to, err := os.Readlink(path); err == nil {
				w.name("link", shown, to)
			}
			if w.outside(path) {
				outside++
			}
		default:
			w.name("file name", shown, d.Name())
		}
		if d.Type().IsRegular() {
			f := w.Source.file(path)
			f.Path = filepath.ToSlash(shown)
			w.file(f)
		}
		return w.ended()
	})
	if err != nil && w.ctx.Err() == nil {
		w.gap(root, scanners.Gap{Err: err})
	}
	if outside > 0 {
		words := "a link leads out of the target and was not followed"
		if outside > 1 {
			words = fmt.Sprintf("%d links lead out of the target and were not followed", outside)
		}
		w.gap(root, scanners.Gap{Count: outside, Reason: words, Err: scanners.OfKind(scanners.GapOutside, errOutside)})
	}
}

// errOutside is the hint for links that lead out of the targets.
var errOutside = fmt.Errorf("name their targets as well to scan them")

func (w *walk) ended() error {
	if w.stop {
		return filepath.SkipAll
	}
	return nil
}

// outside reports whether a link leads to something that exists outside of all targets.
func (w *walk) outside(link string) bool {
	to, err := filepath.EvalSymlinks(link)
	if err != nil {
		return false
	}
	if to, err = filepath.Abs(to); err != nil {
		return false
	}
	if info, err := os.Stat(to); err != nil || !info.IsDir() && !info.Mode().IsRegular() {
		return false
	}
	for _, root := range w.roots {
		if rel, err := filepath.Rel(root, to); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return false
		}
	}
	return true
}
