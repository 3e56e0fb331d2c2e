// Package ci is the part that the sources of all CI systems share: a client that keeps the
// credential at the named address and honours limits, downloads, the memory of what was read,
// and the pipeline that fetches while earlier logs are scanned.
//
// The package of a system lists its runs (pipelines, builds) and defines how each log or artifact
// is fetched.
package ci

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// Options choose what of a system is read.
type Options struct {
	// Runs is how many runs are read of each repository, the newest first; 0: all.
	Runs int
	// Since leaves out runs that were created before; zero: none.
	Since time.Time
	// Run is the only one that is read, with all its attempts; empty: all.
	Run string
	// Logs and Artifacts select what is read of a run.
	Logs, Artifacts bool
	// Packages adds packages and container images.
	Packages bool
}

// Takes reports whether a run is read, where read is how many of its repository were before.
func (o Options) Takes(read int, created time.Time) bool {
	return (o.Runs == 0 || read < o.Runs) && !o.Old(created)
}

// Old reports whether a run is older than what is read. A time that is not known is not old.
func (o Options) Old(created time.Time) bool {
	return !o.Since.IsZero() && !created.IsZero() && created.Before(o.Since)
}

// ErrExpired is the error of a log or artifact that the system no longer keeps.
var ErrExpired = scanners.OfKind(scanners.GapNotFetched, errors.New("has expired or was deleted, and can't be read"))

// ErrNothing is the error of an item that exists and has no content, as the log of a run whose
// jobs were all skipped.
var ErrNothing = errors.New("there is nothing")

// Item is one thing that is fetched and scanned.
type Item struct {
	// At is its place. Path contains the run's id.
	At rules.Location
	// Key names it among all that the memory keeps; empty: it is read at each scan, as what is
	// still being written.
	Key string
	// Fetch downloads it.
	Fetch func(ctx context.Context) (*Blob, error)
	// Read passes the parts of the download on; nil: it is one artifact, or an archive of some.
	Read func(ctx context.Context, b *Blob, at rules.Location, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error
	// Missed is reported if nothing was found in it; nil: nothing need be.
	Missed error
}

// ahead is how many items are fetched, or wait to be scanned, at one time. After kill -9 no
// more than these are read again.
const ahead = 8

// Source is a scanners.Source of one system.
type Source struct {
	Client *Client
	// Memory keeps which items were read to their end and had no finding; nil: all are read.
	Memory scanners.Memory
	// List lists the items. An error ends the list and is reported; what was listed before is
	// read.
	List func(ctx context.Context, l *Lister) error

	// Repositories lists the repositories that are read after the items; nil: none are.
	Repositories func(ctx context.Context, yield func(Repository) bool) error
	// Cache is the folder for copies of repositories.
	Cache string
	// GitUser gives the name that git sends with the token, of the one that the API gets; nil, or
	// an empty name: x-access-token, since most forges look at the token alone.
	GitUser func(user string) string

	// Found is called with the place and the memory's key of an item that was read to its end
	// and in which something was found, or could not be read. Such an item is read again by the
	// next scan, unless the caller, once it has recorded what was found, calls Recorded. nil:
	// nothing is called.
	Found func(at rules.Location, key string)

	// Fetched is called with each item that was downloaded, before it is scanned, and Failed with
	// each that could not be listed or downloaded. Calls may overlap. An error of Fetched counts
	// as a failed download. nil: nothing is called.
	Fetched func(at rules.Location, b *Blob) error
	Failed  func(at rules.Location, err error)
}

// Recorded notes items that Found was called for, so that later scans don't read them again.
func (s *Source) Recorded(ctx context.Context, keys ...string) {
	for _, k := range keys {
		s.Memory.Put(ctx, k, []byte(noteRead))
	}
}

// Repo is one of an owner's repositories, as a system lists it.
type Repo struct {
	// Name is what a scan takes as its target.
	Name string
	// Public is set if everyone can read it, its logs included.
	Public bool
}

// Open implements scanners.Source.
func (s *Source) Open(context.Context) (scanners.Session, error) {
	return &session{Source: s, open: map[string][]*work{}}, nil
}

// session is one reading of a Source.
type session struct {
	*Source
	scanners.Idle

	mu   sync.Mutex
	open map[string][]*work // by path; two items may have one
	read atomic.Int64
	end  context.CancelFunc // of what is fetched
	// images are the targets in registries: those that docker's logins are for, and those whose
	// tokens the named server issues.
	images [2][]string
}

// work is an item that is being fetched or scanned.
type work struct {
	Item
	src  *session
	blob chan fetched
	free func()
	hit  atomic.Bool // something was found in it, or not read
	done atomic.Bool // it was read to its end
	gone atomic.Bool
}

type fetched struct {
	blob *Blob
	err  error
}

// Lister takes what a system's List finds.
type Lister struct {
	ctx   context.Context
	src   *session
	out   chan entry
	slots chan struct{}
	seen  map[string]bool // paths below dir
	dir   string
}

type entry struct {
	work *work
	err  error
}

// Item adds an item. It returns false once the scan has ended.
func (l *Lister) Item(i Item) bool {
	i.At.Path = l.unique(i.At.Path)
	if i.Key != "" {
		i.Key = "ci/read/" + i.Key
		if m := l.src.Memory; m != nil {
			switch b, ok := m.Get(l.ctx, i.Key); {
			case ok && string(b) == noteGone:
				return l.Gap(i.At, ErrExpired)
			case ok:
				return l.ctx.Err() == nil
			}
		}
	}
	select {
	case l.slots <- struct{}{}:
	case <-l.ctx.Done():
		return false
	}
	w := &work{Item: i, src: l.src, blob: make(chan fetched, 1)}
	w.free = sync.OnceFunc(func() { <-l.slots })
	go func() {
		var f fetched
		// A panic here would end the process, with all that other goroutines found.
		defer func() {
			if x := recover(); x != nil {
				f = fetched{err: internal(x)}
			}
			w.blob <- f
		}()
		if f.blob, f.err = i.Fetch(l.ctx); f.err == nil {
			l.src.read.Add(1)
			if l.src.Fetched != nil {
				if f.err = l.src.Fetched(i.At, f.blob); f.err != nil {
					_ = f.blob.Close()
					f.blob = nil
				}
			}
		}
		if f.err != nil {
			l.src.failed(i.At, f.err)
		}
	}()
	select {
	case l.out <- entry{work: w}:
		return true
	case <-l.ctx.Done():
		w.drop()
		return false
	}
}

// unique keeps two items of one folder from being one place: names of jobs and artifacts may
// be equal. The items of a folder are listed one after the other.
func (l *Lister) unique(p string) string {
	if d := path.Dir(p); d != l.dir {
		clear(l.seen)
		l.dir = d
	}
	out := p
	for n := 2; l.seen[out]; n++ {
		out = fmt.Sprintf("%s~%d", p, n)
	}
	l.seen[out] = true
	return out
}

// failed calls Failed.
func (s *Source) failed(at rules.Location, err error) {
	if s.Failed != nil {
		s.Failed(at, err)
	}
}

// Gap reports something that is not read.
func (l *Lister) Gap(at rules.Location, err error) bool {
	l.src.failed(at, err)
	g := scanners.Gap{Location: at, Err: clean(err)}
	select {
	case l.out <- entry{err: g}:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// Gaps reports that n things at one place are not read.
func (l *Lister) Gaps(at rules.Location, n int, err error) bool {
	if n == 0 {
		return true
	}
	l.src.failed(at, err)
	select {
	case l.out <- entry{err: scanners.Gap{Location: at, Err: clean(err), Count: int64(n)}}:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// Artifacts implements scanners.Session.
func (s *session) Artifacts(ctx context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		s.end = cancel
		l := &Lister{ctx: ctx, src: s, out: make(chan entry), slots: make(chan struct{}, ahead), seen: map[string]bool{}}
		go func() {
			defer close(l.out)
			err := s.list(ctx, l)
			if err == nil || ctx.Err() != nil {
				return
			}
			s.failed(rules.Location{}, err)
			var refused *Unauthorized
			if errors.As(err, &refused) && s.read.Load() == 0 {
				err = &scanners.Fatal{Err: refused}
			}
			select {
			case l.out <- entry{err: clean(err)}:
			case <-ctx.Done():
			}
		}()
		complete := false
		defer func() {
			if complete {
				return // what was fetched is still being scanned, up to Finish
			}
			cancel()
			for e := range l.out {
				if e.work != nil {
					e.work.drop()
				}
			}
		}()
		for e := range l.out {
			switch {
			case e.err != nil:
				if !yield(scanners.Artifact{}, e.err) {
					return
				}
			case e.work.refused():
				yield(scanners.Artifact{}, &scanners.Fatal{Err: s.Client.refused.Load()})
				return
			default:
				if !yield(e.work.artifact(), nil) {
					e.work.drop()
					return
				}
			}
		}
		complete = true
	}
}

// list calls List. A panic in it is an error.
func (s *session) list(ctx context.Context, l *Lister) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = internal(x)
		}
	}()
	return s.List(Conditional(ctx), l)
}

// internal is the error of a panic. Its value is not shown: it may hold a secret.
func internal(x any) error {
	return scanners.OfKind(scanners.GapInternal, fmt.Errorf("internal error, please report: panic of type %T", x))
}

// Finish implements scanners.Session.
func (s *session) Finish(context.Context, func(scanners.Gap)) {
	if s.end != nil {
		s.end()
	}
}

// refused reports whether the server refuses the token, before anything was read: then there
// is no result.
func (w *work) refused() bool {
	return w.src.read.Load() == 0 && w.src.Client != nil && w.src.Client.refused.Load() != nil
}

// drop frees what an item that is not scanned holds.
func (w *work) drop() {
	go func() {
		if f := <-w.blob; f.blob != nil {
			_ = f.blob.Close()
		}
		w.free()
	}()
}

const (
	noteRead = "read"
	noteGone = "gone"
)

func (w *work) artifact() scanners.Artifact {
	w.src.mu.Lock()
	w.src.open[w.At.Path] = append(w.src.open[w.At.Path], w)
	w.src.mu.Unlock()
	return scanners.Artifact{Location: w.At, Done: w.finish,
		Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
			defer w.free()
			f := <-w.blob
			if f.err != nil {
				if errors.Is(f.err, ErrNothing) {
					w.done.Store(true)
					return nil
				}
				if errors.Is(f.err, ErrExpired) || IsGone(f.err) {
					w.gone.Store(true)
					return ErrExpired
				}
				if Is404(f.err) {
					return scanners.OfKind(scanners.GapNotFetched, f.err)
				}
				return f.err
			}
			defer f.blob.Close()
			read := w.Read
			if read == nil {
				read = whole
			}
			if err := read(ctx, f.blob, w.At, part, gap); err != nil {
				return err
			}
			if w.Missed != nil && !w.hit.Load() && ctx.Err() == nil {
				gap(scanners.Gap{Location: w.At, Err: w.Missed})
			}
			w.done.Store(ctx.Err() == nil)
			return nil
		}}
}

// finish notes an item that was read to its end and had no finding, or that is gone.
func (w *work) finish() {
	w.src.close(w)
	m := w.src.Memory
	switch {
	case m == nil || w.Key == "":
	case w.gone.Load():
		m.Put(context.Background(), w.Key, []byte(noteGone))
	case w.done.Load() && !w.hit.Load():
		m.Put(context.Background(), w.Key, []byte(noteRead))
	case w.done.Load() && w.src.Found != nil:
		w.src.Found(w.At, w.Key)
	}
}

// close takes an item off those that are open.
func (s *session) close(w *work) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(s.open[w.At.Path], func(o *work) bool { return o == w })
	if len(list) == 0 {
		delete(s.open, w.At.Path)
	} else {
		s.open[w.At.Path] = list
	}
}

// Matched implements scanners.Session. The path of an item may itself have a "!": all items
// that the place may be in are marked, and at worst one is read again by the next scan.
func (s *session) Matched(at rules.Location) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := at.Path; ; {
		for _, w := range s.open[p] {
			w.hit.Store(true)
		}
		i := strings.LastIndexByte(p, '!')
		if i < 0 {
			return
		}
		p = p[:i]
	}
}

// whole passes a download on as one artifact. One with the same bytes and kind of name is
// scanned once.
func whole(_ context.Context, b *Blob, at rules.Location, part func(scanners.Artifact, io.Reader) error, _ func(scanners.Gap)) error {
	name := path.Ext(at.Path)
	if at.Source != "log" {
		name = path.Base(at.Path)
	}
	return part(scanners.Artifact{Location: at, Content: hex.EncodeToString(b.Sum[:]) + name}, b)
}

// Clean makes one part of a path of a name: jobs and artifacts may be called anything.
func Clean(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == '!' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
	if name == "" || name == "." || name == ".." {
		return "_"
	}
	return name
}
