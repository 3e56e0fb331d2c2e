package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/quellhq/quell/scanners/git/pack"
)

// httpTransport is go-git's, except that it does not send the credential on to another host
// that a redirect names.
func httpTransport() transport.Transport {
	return azure{http.NewClient(&nethttp.Client{CheckRedirect: func(req *nethttp.Request, via []*nethttp.Request) error {
		if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme || len(via) > 5 {
			return errRedirect
		}
		return nil
	}})}
}

// request fetches the objects that are reachable from want and from none of have, and writes
// the pack to w. known is the number of commits of have that the remote has; it is 1 if the
// remote only acknowledges that it has at least one.
func (r Remote) request(ctx context.Context, want id, have []id, filter packp.Filter, w io.Writer) (known int, err error) {
	if r.URL.Scheme != "https" && r.URL.Scheme != "http" {
		return 0, fmt.Errorf("%s: a part of a history is fetched by https", r.URL.Scheme)
	}
	ep, err := transport.NewEndpoint(r.URL.String())
	if err != nil {
		return 0, err
	}
	s, err := httpTransport().NewUploadPackSession(ep, r.auth())
	if err != nil {
		return 0, err
	}
	defer s.Close()
	// The names of all refs are not requested: a forge serves any object that one of them
	// reaches, and there may be a million of them.
	req := packp.NewUploadPackRequest()
	_ = req.Capabilities.Set(capability.Sideband64k)
	_ = req.Capabilities.Set(capability.OFSDelta)
	_ = req.Capabilities.Set(capability.NoProgress)
	if filter != "" {
		_ = req.Capabilities.Set(capability.Filter)
		req.Filter = filter
	}
	req.Wants = []plumbing.Hash{plumbing.Hash([]byte(want))}
	for _, h := range have {
		req.Haves = append(req.Haves, plumbing.Hash([]byte(h)))
	}
	res, err := s.UploadPack(ctx, req)
	if err != nil {
		return 0, explain(err)
	}
	defer res.Close()
	_, err = io.Copy(w, sideband.NewDemuxer(sideband.Sideband64k, res))
	return len(res.ACKs), err
}

// explain adds the remedy to a refusal.
func explain(err error) error {
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed), errors.Is(err, transport.ErrRepositoryNotFound):
		return fmt.Errorf("%w (hint: a token in QUELL_GIT_TOKEN, for a host that QUELL_GIT_HOST lists if it is set; ~/.netrc or ~/.git-credentials)", err)
	}
	return err
}

// bring fetches the objects that are reachable from want and from none of have into a new
// store.
func (s *session) bring(ctx context.Context, want id, have []id, filter packp.Filter) (_ *store, known bool, err error) {
	if len(want) != 20 {
		return nil, false, errors.New("repositories with SHA-256 are not fetched in part")
	}
	if err := os.MkdirAll(s.Upstream.Cache, 0o700); err != nil {
		return nil, false, err
	}
	dir, err := os.MkdirTemp(s.Upstream.Cache, "range-")
	if err != nil {
		return nil, false, err
	}
	s.fetched = append(s.fetched, dir)
	packs := filepath.Join(dir, "objects", "pack")
	if err := os.MkdirAll(packs, 0o700); err != nil {
		return nil, false, err
	}
	f, err := os.OpenFile(filepath.Join(packs, "fetched.pack"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, false, err
	}
	n, err := s.Upstream.request(ctx, want, have, filter, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, false, err
	}
	x, err := openStore(dir, dir)
	if err != nil {
		return nil, false, err
	}
	if p := x.takeProblems(); len(p) > 0 {
		x.close()
		return nil, false, fmt.Errorf("what was fetched: %w", p[0].err)
	}
	return x, n > 0, nil
}

// fetchRange is chooseRange for a range that is not completely in the repository: the upstream
// sends what tip reaches and the bases do not, and only that is read. The upstream has the
// earlier history and sends none of it.
func (r *repo) fetchRange(ctx context.Context, span string, tip id, bases []id) ([]problem, error) {
	x, known, err := r.src.bring(ctx, tip, bases, "")
	if err != nil {
		return nil, fmt.Errorf("fetch what is missing: %w", err)
	}
	r.borrow(x)
	r.want, r.origins = map[id]bool{}, map[id]origin{}
	var problems []problem
	if len(bases) > 0 && !known {
		r.src.notice(fmt.Sprintf("range %s: the upstream has no such base, so all that %s reaches is read", span, tip))
	}
	if i, kind := r.tip(tip); i != tip {
		if kind != pack.Commit {
			return nil, fmt.Errorf("%s: a %s, not a commit", tip, kind)
		}
		r.want[tip] = true
		tip = i
	}
	fresh := func(i id) bool { return x.packed([]byte(i)) }
	var commits []commit
	seen := map[id]bool{tip: true}
	for queue := []id{tip}; len(queue) > 0; queue = queue[1:] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !fresh(queue[0]) {
			continue // the base reaches it
		}
		kind, b, err := r.get([]byte(queue[0]))
		if err != nil || kind != pack.Commit {
			problems = append(problems, problem{"commit " + queue[0].String(), errors.Join(err, errMissing)})
			continue
		}
		c := parseCommit(queue[0], b, r.hashLen)
		commits = append(commits, c)
		for _, p := range c.parents {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	slices.SortStableFunc(commits, func(a, b commit) int { return cmp.Compare(b.when, a.when) })
	return append(problems, r.brought(ctx, commits, fresh)...), nil
}

// names lists the objects of the remote's refs; for an annotated tag, the object that it points
// to.
func (r Remote) names(ctx context.Context) (map[string]id, error) {
	ep, err := transport.NewEndpoint(r.URL.String())
	if err != nil {
		return nil, err
	}
	s, err := httpTransport().NewUploadPackSession(ep, r.auth())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, explain(err)
	}
	out := map[string]id{}
	for name, h := range refs.References {
		if to, ok := refs.Peeled[name]; ok {
			h = to
		}
		out[name] = id(h[:])
	}
	return out, nil
}

// elsewhere finds the upstream's object for a name that is unknown here.
func (s *session) elsewhere(ctx context.Context, name string) (id, error) {
	names, err := s.Upstream.names(ctx)
	if err != nil {
		return "", err
	}
	if branch, ok := strings.CutPrefix(name, "refs/remotes/origin/"); ok {
		name = "refs/heads/" + branch
	}
	for _, pre := range []string{"", "refs/tags/", "refs/heads/"} {
		if i, ok := names[pre+name]; ok {
			return i, nil
		}
	}
	return "", fmt.Errorf("%s: no such branch or tag in the upstream", name)
}

// chooseRelease selects what was introduced by the commits that a tag reaches and no earlier
// tag does.
func (r *repo) chooseRelease(ctx context.Context) ([]problem, error) {
	tip, err := r.revision(r.src.Release)
	if i, ok := r.fullID(r.src.Release); ok {
		tip, err = i, nil
	}
	if err != nil {
		return []problem{{"release " + r.src.Release, err}}, nil
	}
	whole := tip
	if r.has([]byte(tip)) {
		whole, _ = r.tip(tip)
	}
	tagged := map[id]bool{}
	for _, x := range r.refs() {
		if strings.HasPrefix(x.name, "refs/tags/") {
			i, _ := r.tip(x.id)
			tagged[i] = true
		}
	}
	not, all := r.earlier(ctx, whole, tagged)
	var problems []problem
	if !all && r.src.Upstream != nil {
		// The order of tags needs only commits: no tree, no blob.
		names, err := r.src.Upstream.names(ctx)
		for name, i := range names {
			if strings.HasPrefix(name, "refs/tags/") {
				tagged[i] = true
			}
		}
		var x *store
		if err == nil {
			x, _, err = r.src.bring(ctx, tip, nil, packp.FilterTreeDepth(0))
		}
		if err == nil {
			r.borrow(x)
			r.complete = true
			whole, _ = r.tip(tip)
			not, _ = r.earlier(ctx, whole, tagged)
		} else {
			problems = append(problems, problem{"release " + r.src.Release, fmt.Errorf("which tags are before it: %w", err)})
		}
	}
	var names []string
	for _, i := range not {
		names = append(names, i.String())
	}
	more, err := r.chooseRange(ctx, strings.Repeat("0", 2*r.hashLen)+".."+tip.String(), names)
	return append(problems, more...), err
}

// earlier walks back from tip to the first tag on each path. all reports whether the history
// was complete as far as that.
func (r *repo) earlier(ctx context.Context, tip id, tagged map[id]bool) (out []id, all bool) {
	all = true
	ends := map[id]bool{}
	if !r.complete {
		ends = r.boundaries()
	}
	seen := map[id]bool{tip: true}
	for queue := []id{tip}; len(queue) > 0 && ctx.Err() == nil; queue = queue[1:] {
		i := queue[0]
		if tagged[i] && i != tip {
			out = append(out, i)
			continue
		}
		kind, b, err := r.get([]byte(i))
		if err != nil || kind != pack.Commit || ends[i] {
			all = false
			continue
		}
		for _, p := range parseCommit(i, b, r.hashLen).parents {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return out, all
}

// fullID reads a whole object id.
func (r *repo) fullID(name string) (id, bool) { return parseID(strings.ToLower(name), r.hashLen) }
