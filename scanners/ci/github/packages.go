package github

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"
)

// packageTypes are those that GitHub's API lists (docs.github.com/rest/packages).
var packageTypes = []string{"container", "docker", "npm", "maven", "rubygems", "nuget"}

// errPackage is the error of a package that is not an image.
var errPackage = errors.New("GitHub's API does not give the files of packages: they are in a registry at another host, which the token is not sent to")

// packages lists the packages of a target. Images are read from GitHub's registry, which is
// another host: by docker's logins, or without a login. The files of other packages are incomplete.
func (s *Source) packages(ctx context.Context, l *ci.Lister, target string) error {
	owner, repo, one := strings.Cut(target, "/")
	for _, kind := range packageTypes {
		for page, kinds := 1, []string{"orgs", "users"}; ; page++ {
			var list []struct {
				Name       string
				Repository *struct{ Name string }
			}
			u := s.Client.At(kinds[0], owner, "packages")
			u.RawQuery = url.Values{"package_type": {kind}, "per_page": {"100"}, "page": {strconv.Itoa(page)}}.Encode()
			_, err := s.Client.JSON(ctx, u, &list)
			if ci.Is404(err) && page == 1 && len(kinds) > 1 {
				kinds = kinds[1:]
				page--
				continue
			}
			if err != nil {
				if fatal(err) || !l.Gap(s.at(target+"/packages/"+kind), fmt.Errorf("the list of packages: %w", err)) {
					return err
				}
				break
			}
			for _, p := range list {
				if one && (p.Repository == nil || !strings.EqualFold(p.Repository.Name, repo)) {
					continue
				}
				at := rules.Location{Source: "artifact", System: "github", Path: owner + "/packages/" + kind + "/" + ci.Clean(p.Name)}
				image := registry(s.Client.Base) + "/" + strings.ToLower(owner) + "/" + p.Name
				switch {
				case kind != "container":
					err = errPackage
				case ci.ImageRepository(image) != nil:
					err = errors.New("its name is not that of an image")
				default:
					if !l.Image(image+":*", false) {
						return nil
					}
					continue
				}
				if !l.PackageGap(at, err) {
					return nil
				}
			}
			if len(list) == 0 {
				break
			}
		}
	}
	return nil
}

// registry is the host of the images of the server whose API is at base: ghcr.io, or
// containers.HOST (docs.github.com/enterprise-server, "Working with the Container registry").
func registry(base *url.URL) string {
	host := Web(base).Host
	if host == "github.com" {
		return "ghcr.io"
	}
	return "containers." + host
}
