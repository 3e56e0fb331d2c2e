package github

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v88/github"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
)

// repositories lists those of a target.
func (s *Source) repositories(ctx context.Context, target string) iter.Seq2[repo, error] {
	return func(yield func(repo, error) bool) {
		owner, name, one := strings.Cut(target, "/")
		if one {
			yield(repo{owner, name, true}, nil)
			return
		}
		seen := map[int64]bool{}
		each := func(list iter.Seq2[*github.Repository, error]) (int, error) {
			n := 0
			for r, err := range list {
				if err != nil {
					return n, explain(err)
				}
				if !strings.EqualFold(r.GetOwner().GetLogin(), owner) || seen[r.GetID()] && r.GetID() != 0 {
					continue
				}
				seen[r.GetID()] = true
				n++
				if !yield(repo{r.GetOwner().GetLogin(), r.GetName(), r.GetHasWiki()}, nil) {
					return n, errEnough
				}
			}
			return n, nil
		}
		page := github.ListOptions{PerPage: 100}
		var n int
		var err error
		if s.cfg.Installation {
			n, err = each(s.api.Apps.ListReposIter(ctx, &page))
		} else {
			n, err = each(s.api.Repositories.ListByOrgIter(ctx, owner, &github.RepositoryListByOrgOptions{Type: "all", ListOptions: page}))
			if ci.Is404(err) && n == 0 {
				n, err = each(s.ofUser(ctx, owner, page))
			}
		}
		switch {
		case errors.Is(err, errEnough):
		case err != nil:
			yield(repo{}, fmt.Errorf("the list of repositories: %w", err))
		case n == 0:
			yield(repo{}, scanners.OfKind(scanners.GapMissing, errors.New("no repository that the token can read")))
		}
	}
}

// Page lists one page, counted from 1, of an owner's repositories, those with the newest push
// first. next is the number of the page after it; 0: there is none. A target OWNER/REPO is its
// own list.
func (s *Source) Page(ctx context.Context, target string, page int) (list []ci.Repo, next int, err error) {
	owner, _, one := strings.Cut(target, "/")
	if one {
		return []ci.Repo{{Name: target}}, 0, nil
	}
	opts := github.ListOptions{PerPage: 100, Page: page}
	var repos []*github.Repository
	var res *github.Response
	if s.cfg.Installation {
		var all *github.ListRepositories
		if all, res, err = s.api.Apps.ListRepos(ctx, &opts); err == nil {
			repos = all.Repositories
		}
	} else if repos, res, err = s.api.Repositories.ListByOrg(ctx, owner, &github.RepositoryListByOrgOptions{Type: "all", Sort: "pushed", Direction: "desc", ListOptions: opts}); ci.Is404(explain(err)) {
		if me, _, merr := s.api.Users.Get(ctx, ""); merr == nil && strings.EqualFold(me.GetLogin(), owner) {
			repos, res, err = s.api.Repositories.ListByAuthenticatedUser(ctx, &github.RepositoryListByAuthenticatedUserOptions{Affiliation: "owner", Sort: "pushed", Direction: "desc", ListOptions: opts})
		} else {
			repos, res, err = s.api.Repositories.ListByUser(ctx, owner, &github.RepositoryListByUserOptions{Type: "owner", Sort: "pushed", Direction: "desc", ListOptions: opts})
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("the list of repositories: %w", explain(err))
	}
	for _, r := range repos {
		if strings.EqualFold(r.GetOwner().GetLogin(), owner) {
			list = append(list, ci.Repo{Name: r.GetOwner().GetLogin() + "/" + r.GetName(), Public: r.GetVisibility() == "public" || r.Private != nil && !r.GetPrivate()})
		}
	}
	return list, res.NextPage, nil
}

var errEnough = errors.New("enough")

// ofUser lists the repositories of a person: all of them where the token is the person's own.
func (s *Source) ofUser(ctx context.Context, owner string, page github.ListOptions) iter.Seq2[*github.Repository, error] {
	if me, _, err := s.api.Users.Get(ctx, ""); err == nil && strings.EqualFold(me.GetLogin(), owner) {
		return s.api.Repositories.ListByAuthenticatedUserIter(ctx, &github.RepositoryListByAuthenticatedUserOptions{Affiliation: "owner", ListOptions: page})
	}
	return s.api.Repositories.ListByUserIter(ctx, owner, &github.RepositoryListByUserOptions{Type: "owner", ListOptions: page})
}

// alerts lists the secret-scanning alerts of a target.
func (s *Source) alerts(ctx context.Context, l *ci.Lister, target string) error {
	list := ctx
	ctx = ci.Unconditional(ctx)
	owner, name, one := strings.Cut(target, "/")
	opts := &github.SecretScanningAlertListOptions{ListOptions: github.ListOptions{PerPage: 100}}
	if one {
		return s.each(l, target, s.api.SecretScanning.ListAlertsForRepoIter(ctx, owner, name, opts))
	}
	err := s.each(l, target, s.api.SecretScanning.ListAlertsForOrgIter(ctx, owner, opts))
	if !ci.Refuses(err) {
		return err
	}
	// A person's repositories have lists of their own.
	for r, err := range s.repositories(list, target) {
		if err != nil {
			return err
		}
		opts := &github.SecretScanningAlertListOptions{ListOptions: github.ListOptions{PerPage: 100}}
		if err := s.each(l, r.String(), s.api.SecretScanning.ListAlertsForRepoIter(ctx, r.owner, r.name, opts)); err != nil {
			if fatal(err) || !l.Gap(s.at(r.String()+"/secret-scanning"), err) {
				return err
			}
		}
	}
	return nil
}

func (s *Source) each(l *ci.Lister, target string, list iter.Seq2[*github.SecretScanningAlert, error]) error {
	for a, err := range list {
		if err != nil {
			return fmt.Errorf("the list of secret-scanning alerts: %w", explain(err))
		}
		where := target
		if n := a.GetRepository().GetFullName(); n != "" {
			where = n
		}
		at := rules.Location{Source: "alert", System: "github", Path: fmt.Sprintf("%s/secret-scanning/%d", where, a.GetNumber()), Notes: map[string]string{"url": a.GetHTMLURL(), "state": a.GetState(), "type": a.GetSecretType()}}
		if a.GetSecret() == "" {
			if !l.Gap(at, scanners.OfKind(scanners.GapNotFetched, errors.New("GitHub does not show the secret of this alert to the token"))) {
				return nil
			}
			continue
		}
		text := a.GetSecret() + "\n"
		if !strings.Contains(a.GetSecret(), "\n") {
			text = a.GetSecretType() + ": " + text
		}
		ok := l.Item(ci.Item{At: at, Fetch: func(context.Context) (*ci.Blob, error) { return s.Client.NewBlob(strings.NewReader(text)) },
			Missed: scanners.OfKind(scanners.GapUnsupported, fmt.Errorf("GitHub's alert is of a type that no rule of quell finds: %s", scanners.Clip(a.GetSecretType(), 60))),
		})
		if !ok {
			return nil
		}
	}
	return nil
}

// clones lists what git can fetch of the targets. One that can't be listed does not end it:
// the errors are joined, each a scanners.Gap that names its target.
func (s *Source) clones(ctx context.Context, yield func(ci.Repository) bool) error {
	web := Web(s.Client.Base)
	var failed []error
	fail := func(target string, err error) bool {
		if fatal(err) {
			return false
		}
		failed = append(failed, scanners.Gap{Location: s.at(target), Reason: "the list of repositories", Err: err})
		return true
	}
	for _, t := range s.cfg.Targets {
		owner, _, one := strings.Cut(t, "/")
		for r, err := range s.repositories(ctx, t) {
			if err != nil {
				if !fail(t, err) {
					return errors.Join(append(failed, err)...)
				}
				continue
			}
			if !yield(ci.Repository{Name: r.String(), URL: web.JoinPath(r.owner, r.name+".git")}) {
				return nil
			}
			if r.wiki && !yield(ci.Repository{Name: r.String() + ".wiki", URL: web.JoinPath(r.owner, r.name+".wiki.git"), Optional: true}) {
				return nil
			}
		}
		if one {
			continue
		}
		// An App's installation has no access to gists, and an organisation has none.
		for g, err := range s.api.Gists.ListIter(ctx, owner, &github.GistListOptions{ListOptions: github.ListOptions{PerPage: 100}}) {
			if err != nil {
				err = explain(err)
				none := ci.Is404(err) || s.cfg.Installation && ci.Status(err) == http.StatusForbidden
				if !none && !fail(owner+"/gists", err) {
					return errors.Join(append(failed, err)...)
				}
				break
			}
			u, err := url.Parse(g.GetGitPullURL())
			if err != nil || u.Host == "" || !ci.Private(u) {
				fail(owner+"/gists", fmt.Errorf("the gist %s has no address", scanners.Clip(g.GetID(), 60)))
				continue
			}
			if !yield(ci.Repository{Name: owner + "/gists/" + ci.Clean(g.GetID()), URL: u}) {
				return nil
			}
		}
	}
	return errors.Join(failed...)
}
