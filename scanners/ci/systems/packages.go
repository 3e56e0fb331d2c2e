package systems

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	gl "gitlab.com/gitlab-org/api/client-go"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
)

// one is a file of a package.
type one struct {
	kind, name, version string
	file                string
}

func (p one) path() string {
	return ci.Clean(p.kind) + "/" + ci.Clean(p.name) + "/" + ci.Clean(p.version)
}

// packageFile adds a file of a package. parts is where it is below the server or its API; nil: it
// is not known for this type.
func (s *scan) packageFile(owner, id string, p one, base *ci.Client, parts []string) error {
	at := rules.Location{Source: "artifact", System: s.system, Path: owner + "/packages/" + p.path() + "/" + ci.Clean(p.file)}
	if parts == nil {
		return s.unread(at, fmt.Errorf("files of packages of the type %s are not fetched", scanners.Clip(p.kind, 40)))
	}
	for _, x := range parts {
		if x == "" || x == "." || x == ".." {
			return s.unread(at, errors.New("the package has a name that is no part of an address"))
		}
	}
	return s.item(ci.Item{At: at, Key: "package/" + owner + "/" + id, Fetch: s.download(base.At(parts...), "")})
}

func (s *scan) unread(at rules.Location, why error) error {
	if !s.PackageGap(at, why) {
		return errEnd
	}
	return nil
}

// packagesGitea lists an owner's packages; of a repository: those that are linked to it.
func packagesGitea(s *scan, target string) error {
	owner, repo, linked := strings.Cut(target, "/")
	root := &ci.Client{Base: s.web()}
	if !strings.HasSuffix(root.Base.Path, "/") {
		root.Base.Path += "/"
	}
	for page := 1; ; page++ {
		var list []struct {
			ID                  int64
			Type, Name, Version string
			Repository          *struct{ Name string }
		}
		if _, err := s.get(&list, []string{"packages", owner}, "page", strconv.Itoa(page), "limit", strconv.Itoa(giteaPage)); err != nil {
			return fmt.Errorf("the list of packages: %w", err)
		}
		if len(list) == 0 { // a server may give fewer than it is asked for
			return nil
		}
		for _, p := range list {
			if s.again(fmt.Sprintf("package %s %d", owner, p.ID)) || linked && (p.Repository == nil || !strings.EqualFold(p.Repository.Name, repo)) {
				continue
			}
			x := one{kind: p.Type, name: p.Name, version: p.Version}
			here := s.at(owner + "/packages/" + x.path())
			if p.Type == "container" {
				image := root.Base.Host + "/" + strings.ToLower(owner) + "/" + p.Name
				if err := ci.ImageRepository(image); err != nil {
					if err := s.unread(here, errors.New("its name is not that of an image")); err != nil {
						return err
					}
					continue
				}
				if strings.HasPrefix(p.Version, "sha256:") {
					image += "@" + p.Version
				} else {
					image += ":" + p.Version
				}
				if !s.Image(image, true) {
					return errEnd
				}
				continue
			}
			if err := s.concerning(here.Path, giteaFiles(s, root, owner, x)); err != nil {
				return err
			}
		}
	}
}

func giteaFiles(s *scan, root *ci.Client, owner string, p one) error {
	var files []struct {
		ID   int64
		Name string
	}
	if _, err := s.get(&files, []string{"packages", owner, p.kind, p.name, p.version, "files"}); err != nil {
		return fmt.Errorf("the list of files: %w", err)
	}
	for _, f := range files {
		p.file = f.Name
		base := []string{"api", "packages", owner, p.kind}
		var parts []string
		switch p.kind {
		case "generic":
			parts = append(base, p.name, p.version, f.Name)
		case "npm":
			parts = append(base, append(strings.Split(p.name, "/"), "-", p.version, f.Name)...)
		case "pypi":
			parts = append(base, "files", p.name, p.version, f.Name)
		case "nuget":
			parts = append(base, "package", p.name, p.version, f.Name)
		case "helm":
			parts = append(base, f.Name)
		case "rubygems":
			parts = append(base, "gems", f.Name)
		case "maven":
			if group, artifact, ok := strings.Cut(p.name, ":"); ok {
				parts = append(append(base, strings.Split(group, ".")...), artifact, p.version, f.Name)
			}
		}
		if err := s.packageFile(owner, fmt.Sprintf("%d", f.ID), p, root, parts); err != nil {
			return err
		}
	}
	return nil
}

// packagesGitLab lists the packages and the registry's repositories of a target's projects.
func packagesGitLab(s *scan, target string) error {
	x, err := newLab(s)
	if err == nil {
		err = x.find(target)
	}
	if err != nil {
		return err
	}
	for _, p := range x.sorted() {
		if err := s.concerning(p.PathWithNamespace+"/packages", x.packages(p)); err != nil {
			return err
		}
		if err := s.concerning(p.PathWithNamespace+"/registry", x.registry(p)); err != nil {
			return err
		}
	}
	return nil
}

func (x *labScan) packages(p *gl.Project) error {
	with := gl.WithContext(x.ctx)
	return pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		list, res, err := x.api.Packages.ListProjectPackages(p.ID, &gl.ListProjectPackagesOptions{ListOptions: o, IncludeVersionless: gl.Ptr(true)}, with)
		if err = noNull(list, err); err != nil {
			return res, 0, fmt.Errorf("the list of packages: %w", labError(err))
		}
		for _, k := range list {
			if err := x.concerning(fmt.Sprintf("%s/packages/%d", p.PathWithNamespace, k.ID), x.packageFiles(p, k)); err != nil {
				return res, 0, err
			}
		}
		return res, len(list), nil
	})
}

func (x *labScan) packageFiles(p *gl.Project, k *gl.Package) error {
	with := gl.WithContext(x.ctx)
	return pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		opts := gl.ListPackageFilesOptions{ListOptions: o}
		list, res, err := x.api.Packages.ListPackageFiles(p.ID, k.ID, &opts, with)
		if err = noNull(list, err); err != nil {
			return res, 0, fmt.Errorf("the list of files: %w", labError(err))
		}
		for _, f := range list {
			base := []string{"projects", strconv.FormatInt(p.ID, 10), "packages", k.PackageType}
			var parts []string
			switch k.PackageType {
			case "generic":
				parts = append(append(base, k.Name, k.Version), strings.Split(f.FileName, "/")...)
			case "npm":
				parts = append(base, k.Name, "-", f.FileName)
			case "maven":
				parts = append(append(base, strings.Split(k.Name, "/")...), k.Version, f.FileName)
			case "pypi":
				if f.FileSHA256 != "" {
					parts = append(base, "files", f.FileSHA256, f.FileName)
				}
			case "nuget":
				parts = append(base, "download", k.Name, k.Version, f.FileName)
			case "rubygems":
				parts = append(base, "gems", f.FileName)
			}
			if err := x.packageFile(p.PathWithNamespace, strconv.FormatInt(f.ID, 10), one{kind: k.PackageType, name: k.Name, version: k.Version, file: f.FileName}, x.Client, parts); err != nil {
				return res, 0, err
			}
		}
		return res, len(list), nil
	})
}

// registry adds the images of a project. The registry is often at another host: the token goes to
// GitLab's endpoint for the registry's tokens alone.
func (x *labScan) registry(p *gl.Project) error {
	with := gl.WithContext(x.ctx)
	return pages(func(o gl.ListOptions) (*gl.Response, int, error) {
		list, res, err := x.api.ContainerRegistry.ListProjectRegistryRepositories(p.ID, &gl.ListProjectRegistryRepositoriesOptions{ListOptions: o}, with)
		if err = noNull(list, err); err != nil {
			return res, 0, fmt.Errorf("the list of image repositories: %w", labError(err))
		}
		for _, r := range list {
			if ci.ImageRepository(r.Location) != nil {
				if err := x.unread(x.at(fmt.Sprintf("%s/registry/%d", p.PathWithNamespace, r.ID)), errors.New("the server gives no address of the image")); err != nil {
					return res, 0, err
				}
				continue
			}
			if !x.Image(r.Location+":*", true) {
				return res, 0, errEnd
			}
		}
		return res, len(list), nil
	})
}
