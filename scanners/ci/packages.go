package ci

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/oci"
)

// Image adds an image, or with a target that ends with ":*" all tags of a repository, which is
// read after the items. own is set if the named server issues the registry's tokens: then the
// client's credential goes there, and otherwise those of docker's logins do.
func (l *Lister) Image(target string, own bool) bool {
	s := l.src
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &s.images[0]
	if own {
		list = &s.images[1]
	}
	if !slices.Contains(*list, target) {
		*list = append(*list, target)
	}
	return l.ctx.Err() == nil
}

// imageSources gives the sources of the images.
func (s *session) imageSources() (out []scanners.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, targets := range s.images {
		if len(targets) == 0 {
			continue
		}
		src := &oci.Source{Targets: targets, Remote: true, Memory: s.Memory}
		if n == 1 {
			src.Login = &oci.Login{At: s.Client.Base, Password: func(ctx context.Context) string {
				_, token := s.Client.login(ctx)
				return token
			}}
		}
		out = append(out, src)
	}
	return out
}

// ImageRepository checks that an address of an answer names a repository of a registry.
func ImageRepository(address string) error {
	if strings.Contains(address, "..") {
		return errors.New("not the address of an image")
	}
	_, err := name.NewRepository(address, name.StrictValidation)
	return err
}

// PackageGap reports a package that is not read.
func (l *Lister) PackageGap(at rules.Location, why error) bool {
	return l.Gap(at, scanners.OfKind(scanners.GapNotFetched, why))
}
