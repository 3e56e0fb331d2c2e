package oci

import (
	"context"
	"errors"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/quellhq/quell/scanners"
)

// Limits of one list of a registry. A longer list is treated as endless.
const (
	maxListed = 20_000
	listTime  = 40 * time.Second
)

var errEndless = scanners.OfKind(scanners.GapLimitEntries, errors.New("a list of over 20,000 names, or one that takes over 40 s: name a narrower pattern"))

// pages joins the pages of a list. next returns one page and whether more follow.
func pages(ctx context.Context, next func(context.Context) ([]string, bool, error)) (out []string, err error) {
	until, stop := context.WithTimeout(ctx, listTime)
	defer stop()
	for more := true; more; {
		var page []string
		page, more, err = next(until)
		out = append(out, page...)
		switch {
		case until.Err() != nil && ctx.Err() == nil, err == nil && more && len(out) > maxListed:
			return out, errEndless
		case err != nil:
			return out, err
		}
	}
	return out, nil
}

// catalog lists the repositories of a registry.
func (v *visit) catalog(reg name.Registry) ([]string, error) {
	p, err := remote.NewPuller(options(v.ctx, v.s.way())...)
	if err != nil {
		return nil, err
	}
	c, err := p.Catalogger(v.ctx, reg)
	if err != nil {
		return nil, err
	}
	return pages(v.ctx, func(ctx context.Context) ([]string, bool, error) {
		page, err := c.Next(ctx)
		if err != nil {
			return nil, false, err
		}
		return page.Repos, c.HasNext(), nil
	})
}

// tags lists the tags of a repository.
func (v *visit) tags(repo name.Repository) ([]string, error) {
	p, err := remote.NewPuller(options(v.ctx, v.s.way())...)
	if err != nil {
		return nil, err
	}
	l, err := p.Lister(v.ctx, repo)
	if err != nil {
		return nil, err
	}
	return pages(v.ctx, func(ctx context.Context) ([]string, bool, error) {
		page, err := l.Next(ctx)
		if err != nil {
			return nil, false, err
		}
		return page.Tags, l.HasNext(), nil
	})
}
