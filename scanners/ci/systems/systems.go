// Package systems has one file for each CI system whose API is read by plain requests: which
// runs it lists, and how their logs and artifacts are fetched.
package systems

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
)

// System is what is known of one CI system.
type System struct {
	// Name is as in reports and on the command line, Target as help texts show it.
	Name, Target, About string
	// Address is the public server's API; empty: the operator names one.
	Address string
	// AddressEnv are variables that hold an address, by the system's own runners or clients.
	AddressEnv []string
	// API is the path that an address of the operator's may lack, as api/v4/.
	API string
	// TokenEnv are the variables that hold the token, UserEnv those of its user.
	TokenEnv, UserEnv []string
	// Auth adds the credential to requests.
	Auth func(user string, token rules.Secret) func(context.Context, http.Header) error
	// NoArtifacts is the reason why artifacts can't be read; empty: they can.
	NoArtifacts string
	// Check reports what is wrong with a target; nil: nothing is checked.
	Check func(target string, o ci.Options) error
	// AddressTarget is set if the target is the server's address.
	AddressTarget bool

	list func(s *scan, target string) error
	// page lists one page of the repositories of a target, counted from 1; next is 0 after the
	// last one. nil: a target is what is scanned.
	page func(s *scan, target string, page int) (list []ci.Repo, next int, err error)
	// packages lists the packages and images of a target; nil: the system hosts none.
	packages func(s *scan, target string) error
	// clones lists the repositories of a target; nil: the system hosts none. An error that joins
	// others has one for each part of the target that can't be listed.
	clones func(s *scan, target string, yield func(ci.Repository) bool) error
	// gitUser is as ci.Source's GitUser.
	gitUser func(user string) string
}

// Hosts reports whether the system hosts repositories.
func (s System) Hosts() bool { return s.clones != nil }

// HasPackages reports whether the system hosts packages.
func (s System) HasPackages() bool { return s.packages != nil }

// All lists the systems in the order of the documentation.
func All() []System {
	return []System{gitlab(), gitea(), jenkins(), circleci(), buildkite(), azure(), bitbucket(), travis(), teamcity(), drone(), woodpecker()}
}

// Base gives the API's address of a server that the operator names.
func (s System) Base(address string) (*url.URL, error) {
	u, err := ci.ParseBase(address)
	if err == nil && s.API != "" && !strings.HasSuffix(u.Path, "/"+s.API) {
		u.Path += s.API
	}
	return u, err
}

// Common gives the address that all targets of a system with AddressTarget are below: one
// server's, to which alone the credential goes.
func (s System) Common(targets []string) (*url.URL, error) {
	var base *url.URL
	for _, t := range targets {
		u, err := ci.ParseBase(t)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", scanners.Clip(t, 200), err)
		case base == nil:
			base = u
		case base.Scheme != u.Scheme || base.Host != u.Host:
			return nil, fmt.Errorf("%s and %s are two servers: scan one at a time, each with its own token", base.Host, u.Host)
		}
		for !strings.HasPrefix(u.Path, base.Path) {
			base.Path = base.Path[:strings.LastIndexByte(strings.TrimSuffix(base.Path, "/"), '/')+1]
		}
	}
	return base, nil
}

// web gives an address of the server outside of its API.
func (s *scan) web(parts ...string) *url.URL {
	u := *s.Base
	u.Path = strings.TrimSuffix(u.Path, s.api)
	return u.JoinPath(parts...)
}

// Clones adds the repositories of targets to a source of the system.
func (s System) Clones(src *ci.Source, cache string, targets []string) {
	src.Cache, src.GitUser = cache, s.gitUser
	src.Repositories = func(ctx context.Context, yield func(ci.Repository) bool) error {
		var failed []error
		for _, t := range targets {
			x := &scan{Client: src.Client, ctx: ctx, system: s.Name, api: s.API, seen: map[string]bool{}}
			n, ended := 0, false
			err := s.clones(x, strings.Trim(t, "/"), func(r ci.Repository) bool {
				n++
				ended = !yield(r)
				return !ended
			})
			switch {
			case ended || ctx.Err() != nil:
				return errors.Join(append(failed, err)...)
			case errors.As(err, new(*ci.Unauthorized)):
				return errors.Join(append(failed, err)...)
			case err == nil && n == 0:
				err = errNone
			}
			for _, err := range each(err) {
				if !errors.As(err, new(scanners.Gap)) {
					err = scanners.Gap{Location: x.at(t), Reason: "the list of repositories", Err: err}
				}
				failed = append(failed, err)
			}
		}
		return errors.Join(failed...)
	}
}

// each gives the errors that errors.Join joined.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// unlisted is the error of a part of a target that can't be listed.
func (s *scan) unlisted(path string, err error) error {
	return scanners.Gap{Location: s.at(path), Reason: "the list of repositories", Err: err}
}

// Page lists one page, counted from 1, of what a target consists of. next is the number of the
// page after it; 0: there is none.
func (s System) Page(ctx context.Context, c *ci.Client, target string, page int) (list []ci.Repo, next int, err error) {
	target = strings.Trim(target, "/")
	if s.page == nil {
		return []ci.Repo{{Name: target}}, 0, nil
	}
	return s.page(&scan{Client: c, ctx: ctx, system: s.Name, api: s.API, seen: map[string]bool{}}, target, page)
}

// New makes a source of targets.
func (s System) New(c *ci.Client, mem scanners.Memory, o ci.Options, targets []string) (*ci.Source, error) {
	if o.Artifacts && s.NoArtifacts != "" {
		return nil, errors.New("--artifacts: " + s.NoArtifacts)
	}
	if s.Check != nil {
		for _, t := range targets {
			if err := s.Check(t, o); err != nil {
				return nil, err
			}
		}
	}
	return &ci.Source{Client: c, Memory: mem, List: func(ctx context.Context, l *ci.Lister) error {
		if !o.Logs && !o.Artifacts && !o.Packages {
			return nil
		}
		x := &scan{Client: c, Options: o, Lister: l, ctx: ctx, system: s.Name, api: s.API, seen: map[string]bool{}}
		for _, t := range targets {
			var lists []func(*scan, string) error
			if o.Logs || o.Artifacts {
				lists = append(lists, s.list)
			}
			if o.Packages && s.packages != nil {
				lists = append(lists, s.packages)
			}
			for _, list := range lists {
				if err := x.concerning(t, list(x, strings.Trim(t, "/"))); errors.Is(err, errEnd) {
					return nil
				} else if err != nil {
					return err
				}
			}
		}
		return nil
	}}, nil
}

// scan is one scan of a system.
type scan struct {
	*ci.Client
	ci.Options
	*ci.Lister
	ctx    context.Context
	system string
	api    string
	seen   map[string]bool // runs that were listed
	listed int             // what a target has, of what was asked for and of any age
}

// errEnd ends the listing: the scan was interrupted.
var errEnd = errors.New("interrupted")

// concerning reports an error of one repository, run or job, unless it concerns the token.
func (s *scan) concerning(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*ci.Unauthorized)):
		return err
	case errors.Is(err, errEnd) || s.ctx.Err() != nil:
		return errEnd
	}
	if !s.Gap(s.at(path), err) {
		return errEnd
	}
	return nil
}

// origin gives the Origin of something at a path below the base.
func (s *scan) origin(parts ...string) string { return s.Client.Origin(s.system, parts...) }

func (s *scan) at(path string) rules.Location {
	return rules.Location{Source: "log", System: s.system, Path: path}
}

// get reads a document. query has names and values in turn.
func (s *scan) get(v any, path []string, query ...string) (http.Header, error) {
	return s.read(s.url(path, query...), v)
}

func (s *scan) read(u *url.URL, v any) (http.Header, error) { return s.Client.JSON(s.ctx, u, v) }

// url gives an address below the base, with parts of a path that are escaped one by one.
func (s *scan) url(path []string, query ...string) *url.URL {
	u := s.Client.At(path...)
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			q.Set(query[i], query[i+1])
		}
	}
	u.RawQuery = q.Encode()
	return u
}

// next gives the address that a Link header names as the next page; nil: none. One at another
// host is an error of the request for it.
func next(h http.Header, from *url.URL) *url.URL {
	for _, link := range strings.Split(strings.Join(h.Values("Link"), ","), ",") {
		target, params, ok := strings.Cut(link, ";")
		if !ok || !strings.Contains(params, `rel="next"`) {
			continue
		}
		u, err := from.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
		if err == nil {
			return u
		}
	}
	return nil
}

// chooser decides which runs of a repository are read, the newest first.
type chooser struct {
	ci.Options
	read int
}

// take reports whether a run is read, and whether the list may end here.
func (c *chooser) take(created time.Time) (yes, end bool) {
	if c.Runs > 0 && c.read >= c.Runs {
		return false, true
	}
	if c.Old(created) {
		return false, false
	}
	c.read++
	return true, false
}

// enough reports whether no older run is read: as many as were asked for are, or a whole page
// was too old.
func (c *chooser) enough(page, old int) bool {
	return c.Runs > 0 && c.read >= c.Runs || page > 0 && old == page
}

// notEnded reports a run whose further logs are not read.
func (s *scan) notEnded(at rules.Location, what string) error {
	if !s.Gap(at, scanners.OfKind(scanners.GapNotFetched, errors.New(what))) {
		return errEnd
	}
	return nil
}

func (s *scan) item(i ci.Item) error {
	if i.Key != "" {
		i.Key = s.system + "/" + s.Base.Host + "/" + i.Key
	}
	if !s.Item(i) {
		return errEnd
	}
	return nil
}

// download gives a Fetch of one address.
func (s *scan) download(u *url.URL, accept string) func(context.Context) (*ci.Blob, error) {
	return func(ctx context.Context) (*ci.Blob, error) { return s.Client.Download(ctx, u, accept) }
}

// step is one log of a job.
type step struct {
	job, name string
	text      []byte
	// cut is set where the system does not show all of it.
	cut bool
}

// steps packs the logs of a job's steps as GitHub packs them, so that each finding names its
// job and step, and a job's own log is one place with those of its steps.
func (s *scan) steps(list []step) (*ci.Blob, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for n, x := range list {
		name := strconv.Itoa(n+1) + "_" + ci.Clean(x.name) + ".txt"
		if x.name == "" {
			name = strconv.Itoa(n+1) + "_" + ci.Clean(x.job) + ".txt"
		} else {
			name = ci.Clean(x.job) + "/" + name
		}
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, NonUTF8: false})
		if err == nil {
			_, err = f.Write(x.text)
		}
		if err != nil {
			return nil, fmt.Errorf("pack logs: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack logs: %w", err)
	}
	blob, err := s.Client.NewBlob(&b)
	if err == nil {
		blob.Header = http.Header{}
		for _, x := range list {
			if x.cut {
				blob.Header.Add(cutHeader, x.job+": "+x.name)
			}
		}
	}
	return blob, err
}

const cutHeader = "Quell-Cut"

// readSteps reads what steps packed.
func readSteps(ctx context.Context, b *ci.Blob, at rules.Location, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
	for _, name := range b.Header[cutHeader] {
		gap(scanners.Gap{Location: at, Kind: scanners.GapNotFetched, Reason: name, Err: errors.New("the system keeps only a part of the output")})
	}
	_, err := ci.LogZip(ctx, b, at, part, gap)
	return err
}

// text downloads a text into memory, up to a bound.
func (s *scan) text(ctx context.Context, u *url.URL, accept string) ([]byte, error) {
	b, err := s.Client.Download(ctx, u, accept)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return whole(b)
}

// maxText is how many bytes of one step's log are kept in memory.
const maxText = 256 << 20

var errTooLong = scanners.OfKind(scanners.GapLimitMemory, fmt.Errorf("a log of over %d MiB", maxText>>20))

func whole(b *ci.Blob) ([]byte, error) {
	if b.Size > maxText {
		return nil, errTooLong
	}
	return io.ReadAll(b)
}

// decode downloads a JSON document that is a log.
func (s *scan) decode(ctx context.Context, u *url.URL, v any) error {
	b, err := s.text(ctx, u, "application/json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return errors.New("the log is not the JSON that the system documents")
	}
	return nil
}

// parseTime reads the times of APIs; zero: none.
func parseTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "20060102T150405-0700", "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// bearer and basic are the usual forms of a credential.
func bearer(_ string, token rules.Secret) func(context.Context, http.Header) error {
	return ci.Header("Authorization", "Bearer ", token)
}

func words(form string) func(string, ci.Options) error {
	return func(target string, o ci.Options) error {
		parts := strings.Split(strings.Trim(target, "/"), "/")
		least, most := strings.Count(strings.ReplaceAll(form, "[", ""), "/")+1-strings.Count(form, "[/"), strings.Count(form, "/")+1
		for _, p := range parts {
			if p == "" || p == "." || p == ".." {
				return fmt.Errorf("%q is not %s", target, form)
			}
		}
		if len(parts) < least || len(parts) > most {
			return fmt.Errorf("%q is not %s", target, form)
		}
		if o.Run != "" && len(parts) < most {
			return fmt.Errorf("--run names a run of one project: %s instead of %q", strings.NewReplacer("[", "", "]", "").Replace(form), target)
		}
		return nil
	}
}

// again reports whether a run was listed before: lists move while new runs begin.
func (s *scan) again(run string) bool {
	had := s.seen[run]
	s.seen[run] = true
	return had
}

// none reports a target of which nothing can be listed.
func (s *scan) none(target string, n int) error {
	if n > 0 {
		return nil
	}
	return s.concerning(target, errNone)
}

var errNone = scanners.OfKind(scanners.GapMissing, errors.New("no repository that the token can read"))
